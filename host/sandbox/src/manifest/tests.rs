//! Manifests that are read, and each fault that is found in one.

use super::*;

const LEAST: &str = r#"
name = "my-game"
version = "1.0.0"
contract = "1"
license = "MIT"
summary = "One sentence"
"#;

/// The example of the module's documentation.
fn example() -> String {
    let lines = include_str!("../manifest.rs").lines().filter_map(|line| line.strip_prefix("//!"));
    let example = lines.skip_while(|line| *line != " ```toml").skip(1).take_while(|line| *line != " ```");
    example.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

/// `more` behind the least manifest has these faults; lines count from the first of `more`.
#[track_caller]
fn check(more: &str, expected: &[&str]) {
    let text = format!("{LEAST}{more}");
    let faults = read(&text).err().unwrap_or_default();
    let offset = LEAST.matches('\n').count();
    let shown: Vec<_> = faults
        .iter()
        .map(|fault| format!("{}:{}: {}", fault.line as isize - offset as isize, fault.column, fault.says))
        .collect();
    assert_eq!(shown, expected, "in{more}");
}

#[test]
fn the_least_manifest_has_defaults() {
    let manifest = read(LEAST).expect("it has all that is needed");
    assert_eq!(
        (manifest.payload_bytes, manifest.stream_head, manifest.replies, manifest.fuel_per_packet),
        (64, 0, false, 2_000)
    );
    assert_eq!((&*manifest.name, manifest.contract, manifest.reasons.len()), ("my-game", 1, 0));
}

#[test]
fn the_documented_example_is_read_whole() {
    let manifest = read(&example()).expect("the example has no faults");
    assert_eq!(manifest.reasons.len(), 1);
    assert_eq!(manifest.rates, [ClassRate { class: Class::Query, per_source: 20, per_player: 10 }]);
    assert_eq!(manifest.flags[0].env.as_deref(), Some("BEHIND_PROXY"));
    let shape = &manifest.shapes[0];
    assert_eq!((shape.reason, shape.shape.payload_bytes.clone()), (1, Some(0..=0)));
    assert_eq!(shape.shape.bytes, [BytesAt { offset: 0, value: vec![0xff, 0xf0], mask: vec![0xff, 0xf0] }]);
    assert_eq!(shape.shape.source_port, Some(123));
    assert_eq!(manifest.games.iter().map(|game| &**game).collect::<Vec<_>>(), ["name = \"My Game\"\n"]);
}

#[test]
fn all_faults_are_reported_together() {
    check(
        "[wants]\npayload-bytes = 513\nstream-head = -1\nreplies = 1\nspeed = 3\nfuel-per-packet = 50_001\n",
        &[
            "2:17: `payload-bytes` must be from 0 to 512",
            "3:15: `stream-head` must be from 0 to 1024",
            "4:11: `replies` must be true or false, not a number",
            "5:1: `speed` is no key of wants",
            "6:19: `fuel-per-packet` must be from 1 to 50000",
        ],
    );
    check(
        "[[reasons]]\nname = \"Two Words\"\ncertainty = \"sure\"\nsays = \"\"\nsource = 1\n",
        &[
            "2:8: `name` must be kebab-case: a-z, 0-9 and single hyphens, beginning with a letter",
            "3:13: `certainty` must be one of `impossible`, `unusual`, `rate`",
            "4:8: `says` is empty",
            "5:10: `source` must be a string, not a number",
        ],
    );
    check(
        "[classes.query]\nper-source = 0\n",
        &["1:1: `per-player` is missing in query", "2:14: `per-source` must be from 1 to 4294967295"],
    );
    check("[classes.lunch]\nper-source = 1\nper-player = 1\n", &["1:10: `lunch` is no key of classes"]);
}

#[test]
fn broken_syntax_is_reported_alone() {
    let faults = read("name = \nversion = [\n").expect_err("two faults");
    assert_eq!(faults.first().map(|fault| fault.line), Some(1));
    assert!(faults.iter().all(|fault| !fault.says.contains("missing")), "{faults:?}");
}

#[test]
fn shapes_are_for_what_is_impossible() {
    let reasons = "[[reasons]]\nname = \"odd\"\ncertainty = \"unusual\"\nsays = \"Odd\"\nsource = \"here\"\n\
                   [[reasons]]\nname = \"never\"\ncertainty = \"impossible\"\nsays = \"Never\"\nsource = \"here\"\n";
    let shaped = |shape: &str, expected: &[&str]| check(&format!("{reasons}[[shapes]]\n{shape}"), expected);
    shaped("reason = \"never\"\ntransport = \"udp\"\nsource-port = 53\n", &[]);
    shaped("reason = \"never\"\ntransport = \"tcp\"\ntcp-flags = { mask = 0x3f, value = 0 }\n", &[]);
    shaped(
        "reason = \"odd\"\ntransport = \"udp\"\nsource-port = 53\n",
        &["12:10: the kernel drops by shape only what is `impossible`"],
    );
    shaped(
        "reason = \"other\"\ntransport = \"udp\"\nsource-port = 53\n",
        &["12:10: no reason is named `other`"],
    );
    shaped("reason = \"never\"\ntransport = \"udp\"\n", &["11:1: this shape would match every packet"]);
    shaped(
        "reason = \"never\"\ntransport = \"udp\"\nwithout-options = true\n",
        &["14:19: `without-options` is for `transport = \"tcp\"`"],
    );
    shaped(
        "reason = \"never\"\ntransport = \"udp\"\npayload-bytes = { min = 9, max = 8 }\n",
        &["14:25: `min` 9 is above `max` 8"],
    );
    shaped(
        "reason = \"never\"\ntransport = \"udp\"\nbytes = [{ hex = \"f\" }]\n",
        &["14:18: `hex` must be pairs of hexadecimal digits"],
    );
    shaped(
        "reason = \"never\"\ntransport = \"udp\"\nbytes = [{ hex = \"ff ff\", mask = \"ff\" }]\n",
        &["14:34: `mask` must be as long as `hex`"],
    );
}

#[test]
fn sizes_are_bounded() {
    let long = "x".repeat(limits::SENTENCE_BYTES + 1);
    check(&format!("authors = [\"{long}\"]\n"), &["1:12: `authors` has at most 600 bytes"]);
    check("authors = [\"a\\u001bb\"]\n", &["1:12: `authors` has control characters"]);
    let flags: String = (0..65).map(|at| format!("[[flags]]\nname = \"f{at}\"\nsays = \"x\"\n")).collect();
    check(&flags, &["1:1: `flags` has 65 entries, at most 64 are allowed"]);
    let faults = read(&"#".repeat(limits::MANIFEST_BYTES + 1)).expect_err("too long");
    assert_eq!(faults.len(), 1);
}

#[test]
fn a_cut_or_changed_manifest_never_panics() {
    let example = example();
    for at in 0..example.len() {
        let _cut = read(&example[..at]);
        let mut changed = example.clone().into_bytes();
        changed[at] = b"\"[]{}=.,\n\0"[at % 10];
        let _changed = read(&String::from_utf8_lossy(&changed));
    }
}

#[test]
fn the_contract_is_known_before_the_rest_is_understood() {
    assert_eq!(contract("contract = \"9\"\n[[[").as_deref(), Some("9"));
    assert_eq!(contract("contract = 1"), None);
    assert_eq!(contract(""), None);
}

#[test]
fn the_manifests_of_our_own_plugins_have_no_faults() {
    let plugins = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    for folder in std::fs::read_dir(plugins).expect("the plugins' folder") {
        let file = folder.expect("an entry").path().join("plugin.toml");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        if let Err(faults) = read(&text) {
            panic!("{}: {faults:?}", file.display());
        }
    }
}
