//! Manifests that are read, and the place of each fault.

use super::*;

const HEADER: &str =
    "name = \"x\"\nversion = \"1.0.0\"\ncontract = \"1\"\nlicense = \"MIT\"\nsummary = \"s\"\n";

const REASON: &str =
    "[[reasons]]\nname = \"bad\"\ncertainty = \"impossible\"\nsays = \"s\"\nsource = \"s\"\n";

/// The first fault of a manifest that begins with a good header, as (line, part of the message).
fn check(rest: &str, expected: Option<(usize, &str)>) {
    let found = read(&format!("{HEADER}{rest}"));
    match (found, expected) {
        (Ok(_), None) => {}
        (Err(faults), Some((line, says))) => {
            assert_eq!(faults[0].line, line, "{faults:?}");
            assert!(faults[0].says.contains(says), "{faults:?}");
        }
        (found, expected) => panic!("{rest}\nexpected {expected:?}, found {found:?}"),
    }
}

#[test]
fn good_manifests_are_read() {
    check("", None);
    check(REASON, None);
    check("[wants]\nstream-head = 1024\nreplies = true\nfuel-per-packet = 1\npayload-bytes = 1500\n", None);
    check("[classes.query]\nper-source = 2\nper-player = 3\n", None);
    check("[[flags]]\nname = \"query\"\nenv = \"ENABLE_QUERY\"\nsays = \"s\"\n", None);
    check("[[games]]\nname = \"A game\"\nanything = [1]\n", None);
    let shape = "[[shapes]]\nreason = \"bad\"\ntransport = \"tcp\"\ntcp-flags = { mask = 0x3f, value = 3 }\n\
                 bytes = [{ offset = 4, hex = \"ff 00\", mask = \"ffff\" }]\npayload-bytes = { min = 0, max = 0 }\n";
    check(&format!("{REASON}{shape}"), None);
}

#[test]
fn faults_are_named_with_their_line() {
    check("nmae = 1\n", Some((6, "unknown field")));
    check("[wants]\nstream-head = 1025\n", Some((7, "1024")));
    check("[wants]\nfuel-per-packet = 0\n", Some((7, "fuel")));
    check(&REASON.replace("bad", "Bad"), Some((7, "kebab")));
    check(&REASON.replace("bad", "bad--x"), Some((7, "kebab")));
    check(&REASON.replace("impossible", "certain"), Some((8, "unknown variant")));
    check(&format!("{REASON}{REASON}"), Some((12, "exists already")));
    check(&REASON.replace("source = \"s\"", "source = \"\""), Some((10, "where this fact")));
    check("[classes.chat]\nper-source = 2\nper-player = 3\n", Some((6, "classes are")));
    check("[classes.play]\nper-source = 0\nper-player = 3\n", Some((7, "rate of 0")));
    check("[[shapes]]\nreason = \"none\"\ntransport = \"udp\"\nsource-port = 1\n", Some((7, "no reason")));
    let shape = "[[shapes]]\nreason = \"bad\"\ntransport = \"udp\"\n";
    check(&format!("{REASON}{shape}"), Some((12, "every packet")));
    check(&format!("{REASON}{shape}without-options = true\n"), Some((12, "only TCP")));
    check(&format!("{REASON}{shape}bytes = [{{ hex = \"0\" }}]\n"), Some((14, "pairs")));
    check(&format!("{REASON}{shape}bytes = [{{ hex = \"00\", mask = \"ffff\" }}]\n"), Some((14, "as long")));
    check(&format!("{REASON}{shape}payload-bytes = {{ min = 2, max = 1 }}\n"), Some((14, "above")));
    let unusual = REASON.replace("impossible", "unusual");
    check(&format!("{unusual}{shape}source-port = 1\n"), Some((12, "only what is `impossible`")));
}

#[test]
fn the_sixty_fifth_flag_is_a_fault() {
    let flags = |count: usize| {
        (0..count).map(|at| format!("[[flags]]\nname = \"f{at}\"\nsays = \"s\"\n")).collect::<String>()
    };
    check(&flags(64), None);
    check(&flags(65), Some((6 + 64 * 3 + 1, "64")));
}

#[test]
fn another_contract_is_a_fault() {
    let faults = read(&HEADER.replace("contract = \"1\"", "contract = \"2\"")).expect_err("contract 2");
    assert_eq!(faults, [Fault { line: 3, says: "this SDK speaks contract \"1\"".to_owned() }]);
}
