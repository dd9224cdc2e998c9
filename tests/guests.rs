//! Misbehaving plugins, as real components: whatever one does costs its own opinion and nothing else.
//!
//! A guest is a folder in `tests/guests/`: `guest.wat` holds its `classify` on top of `prelude.wat`, and
//! `component.wat` is the component around both. `expect.txt` says what must become of it: `refused: ` and how the
//! refusal begins, `no opinion: ` and why, or `answers`. `manifest.toml` replaces the usual manifest (empty: there is
//! none), `extra.wat` adds to the component, `export.txt` renames its function, `guest.bin` replaces all of it.
//! A new guest is a new folder; nothing here changes. No compiler for wasm is needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ftagent_core::question::Answer;
use ftagent_core::question::Batch;
use ftagent_core::question::FlowRow;
use ftagent_core::question::NoOpinion;
use ftagent_core::question::PacketRow;
use ftagent_core::question::SourceRow;
use ftagent_core::time::Instant;
use ftagent_sandbox::Config;
use ftagent_sandbox::Plugin;
use ftagent_sandbox::Refusal;
use ftagent_sandbox::Sandbox;
use ftagent_sandbox::StartError;
use ftagent_sandbox::State;
use ftagent_sandbox::inspect;

const MANIFEST: &str = r#"
name = "guest"
version = "0.1.0"
contract = "1"
license = "MIT"
summary = "A guest of the tests"

[[reasons]]
name = "because"
certainty = "unusual"
says = "The only reason it has"
source = "tests/guests"
"#;

/// An hour between two batches: no quarantine lasts that long.
const HOUR_MS: u64 = 3_600_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests")
}

fn text(guest: &str, file: &str) -> Option<String> {
    fs::read_to_string(folder().join(guest).join(file)).ok()
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the guests' folder").map(|entry| entry.expect("an entry"));
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> =
        folders.map(|entry| entry.file_name().into_string().expect("plain names")).collect();
    names.sort();
    names
}

fn component(guest: &str) -> Vec<u8> {
    if let Ok(bytes) = fs::read(folder().join(guest).join("guest.bin")) {
        return bytes;
    }
    let code = text(guest, "guest.wat").expect("a guest has `guest.wat` or `guest.bin`");
    let manifest = text(guest, "manifest.toml").unwrap_or_else(|| MANIFEST.to_owned());
    let module = format!("(core module $guest\n{}\n{code})", include_str!("guests/prelude.wat"));
    let wat = include_str!("guests/component.wat")
        .replace("{{module}}", &module)
        .replace("{{extra}}", text(guest, "extra.wat").as_deref().unwrap_or_default())
        .replace("{{export}}", text(guest, "export.txt").as_deref().unwrap_or("classify").trim());
    let mut bytes = wat::parse_str(&wat).unwrap_or_else(|cause| panic!("{guest}: {cause}"));
    if !manifest.is_empty() {
        append_section(&mut bytes, "ftagent:manifest", manifest.as_bytes());
    }
    bytes
}

/// A custom section: 0, its size, its name's size, its name, its content. Sizes are LEB128.
fn append_section(component: &mut Vec<u8>, name: &str, content: &[u8]) {
    let size = |mut rest: usize| {
        let mut bytes = Vec::new();
        loop {
            let low = u8::try_from(rest & 0x7f).expect("seven bits");
            rest >>= 7;
            bytes.push(if rest == 0 { low } else { low | 0x80 });
            if rest == 0 {
                return bytes;
            }
        }
    };
    let body = [size(name.len()), name.as_bytes().to_vec(), content.to_vec()].concat();
    component.push(0);
    component.extend(size(body.len()));
    component.extend(body);
}

fn sandbox() -> Sandbox {
    Sandbox::new(&Config { seats: 64, ..Config::default() }).expect("a sandbox")
}

fn load(sandbox: &Sandbox, guest: &str) -> Arc<Plugin> {
    sandbox.load(&component(guest)).unwrap_or_else(|refusal| panic!("{guest}: {refusal}"))
}

/// So many packets, each of its own flow, two flows a source, with notes that show who is who.
fn batch(packets: u32) -> Batch {
    Batch {
        sources: (0..packets.div_ceil(2))
            .map(|at| SourceRow { note: 1_000 + u64::from(at), flows: 2, ..SourceRow::default() })
            .collect(),
        flows: (0..packets)
            .map(|at| FlowRow { note: 2_000 + u64::from(at), source: at / 2, ..FlowRow::default() })
            .collect(),
        packets: (0..packets)
            .map(|at| PacketRow { flow: at, sample_rate: 1, ..PacketRow::default() })
            .collect(),
        payloads: vec![0xab; packets as usize * 64],
    }
}

fn assert_keeps_notes(guest: &str, batch: &Batch, answer: &Answer) {
    assert_eq!(answer.opinions.len(), batch.packets.len(), "{guest}");
    assert!(answer.flow_notes.iter().eq(batch.flows.iter().map(|row| &row.note)), "{guest}: flow notes");
    assert!(
        answer.source_notes.iter().eq(batch.sources.iter().map(|row| &row.note)),
        "{guest}: source notes"
    );
}

fn no_opinion(written: &str) -> NoOpinion {
    match written {
        "trapped" => NoOpinion::Trapped,
        "out-of-fuel" => NoOpinion::OutOfFuel,
        "lied" => NoOpinion::Lied,
        other => panic!("`{other}` is no reason for having no opinion"),
    }
}

/// Runs one guest, three times over, next to one that behaves.
fn check(sandbox: &Sandbox, guest: &str) {
    let expected = text(guest, "expect.txt").expect("a guest has `expect.txt`");
    let expected = expected.trim();
    if let Some(begins) = expected.strip_prefix("refused: ") {
        let refusal = sandbox.load(&component(guest)).expect_err(guest);
        assert!(refusal.to_string().starts_with(begins), "{guest}: {refusal}");
        return;
    }
    let mut seat = load(sandbox, guest).seat().expect("a seat");
    let mut neighbour = load(sandbox, "judges-nothing").seat().expect("a seat");
    let batch = batch(64);
    let (failing, every) =
        match expected.strip_prefix("no opinion: ").map(|rest| rest.split_once(", on batch ")) {
            None => (None, u64::MAX),
            Some(None) => (expected.strip_prefix("no opinion: ").map(no_opinion), 1),
            Some(Some((why, every))) => (Some(no_opinion(why)), every.parse().expect("a number")),
        };
    let mut answer = Answer::default();
    for round in 1..=every.saturating_mul(3).min(12) {
        let now = Instant::from_millis(round * HOUR_MS);
        let outcome = seat.classify(now, &batch, &mut answer);
        match failing.filter(|_| round.is_multiple_of(every)) {
            Some(why) => assert_eq!(outcome, Err(why), "{guest}, batch {round}: {:?}", seat.health()),
            None => {
                assert_eq!(outcome, Ok(()), "{guest}, batch {round}: {:?}", seat.health());
                assert_keeps_notes(guest, &batch, &answer);
            }
        }
        let mut fine = Answer::default();
        neighbour.classify(now, &batch, &mut fine).expect("the neighbour is not concerned");
        assert_keeps_notes("judges-nothing", &batch, &fine);
    }
}

#[test]
fn every_guest_gets_what_it_deserves() {
    let sandbox = sandbox();
    let names = names();
    assert!(names.len() >= 30, "{} guests only", names.len());
    for guest in names {
        check(&sandbox, &guest);
    }
}

#[test]
fn the_last_answer_stays_where_there_is_no_opinion() {
    let mut seat = load(&sandbox(), "traps").seat().expect("a seat");
    let before = Answer { flow_notes: vec![7], ..Answer::default() };
    let mut answer = before.clone();
    seat.classify(Instant::START, &batch(1), &mut answer).expect_err("it traps");
    assert_eq!(answer, before);
}

#[test]
fn an_empty_batch_has_an_empty_answer() {
    let mut seat = load(&sandbox(), "judges-nothing").seat().expect("a seat");
    let mut answer = Answer { source_notes: vec![1], ..Answer::default() };
    seat.classify(Instant::START, &Batch::default(), &mut answer).expect("an answer");
    assert_eq!(answer, Answer::default());
}

#[test]
fn who_fails_repeatedly_is_left_alone_and_asked_again() {
    let mut seat = load(&sandbox(), "loops-for-ever").seat().expect("a seat");
    let (batch, mut answer) = (batch(4), Answer::default());
    let mut ask = |at_ms| {
        let outcome = seat.classify(Instant::from_millis(at_ms), &batch, &mut answer);
        (outcome.expect_err("it never answers"), seat.health().clone())
    };
    for at_ms in 0..3 {
        assert_eq!(ask(at_ms).0, NoOpinion::OutOfFuel);
    }
    let (why, health) = ask(1_001);
    assert_eq!((why, health.state, health.out_of_fuel), (NoOpinion::Quarantined, State::Quarantined, 3));
    assert_eq!(health.quarantined_until, Some(Instant::from_millis(1_002)));
    assert_eq!(health.last_error.as_deref(), Some("wasm trap: all fuel consumed by WebAssembly"));
    let (why, health) = ask(1_002);
    assert_eq!((why, health.quarantined_until), (NoOpinion::OutOfFuel, Some(Instant::from_millis(3_002))));
}

/// The quickest of a few batches of the good plugin, each right after a batch of every bad one.
fn quickest_ns(bad: &[&str]) -> u128 {
    let sandbox = sandbox();
    let mut bad: Vec<_> = bad.iter().map(|guest| load(&sandbox, guest).seat().expect("a seat")).collect();
    let mut good = load(&sandbox, "judges-nothing").seat().expect("a seat");
    let (batch, mut answer) = (batch(256), Answer::default());
    let rounds = (1..=40).map(|round| {
        let now = Instant::from_millis(round * HOUR_MS);
        for seat in &mut bad {
            seat.classify(now, &batch, &mut Answer::default()).expect_err("a bad one");
        }
        good.classify(now, &batch, &mut answer).expect("warm again after the others");
        let begin = std::time::Instant::now();
        good.classify(now, &batch, &mut answer).expect("a good one");
        begin.elapsed().as_nanos()
    });
    rounds.min().expect("forty rounds")
}

#[test]
fn the_others_keep_their_speed() {
    let alone = quickest_ns(&[]);
    let bad = ["traps", "recurses", "allocates-until-refused", "too-many-opinions", "returns-a-gigabyte"];
    let beside = quickest_ns(&bad);
    assert!(beside < alone * 3 + 5_000, "{alone} ns alone, {beside} ns beside {bad:?}");
}

#[test]
fn a_batch_of_the_worst_ends_soon() {
    let sandbox = sandbox();
    for guest in ["loops-for-ever", "allocates-for-ever", "fills-memory", "recurses", "returns-all-memory"] {
        let mut seat = load(&sandbox, guest).seat().expect("a seat");
        let begin = std::time::Instant::now();
        seat.classify(Instant::START, &batch(256), &mut Answer::default()).expect_err(guest);
        let took = begin.elapsed();
        assert!(took < Duration::from_millis(500), "{guest} took {took:?}");
    }
}

#[test]
fn seats_beyond_the_pool_are_refused_and_come_back() {
    let sandbox = Sandbox::new(&Config { seats: 2, ..Config::default() }).expect("a sandbox");
    let plugin = load(&sandbox, "judges-nothing");
    let first = plugin.seat().expect("the first");
    let _second = plugin.seat().expect("the second");
    assert!(matches!(plugin.seat(), Err(Refusal::CannotStart { .. })));
    drop(first);
    plugin.seat().expect("the place of the first");
}

#[test]
fn a_manifest_may_stand_within_the_module() {
    let bytes = component("no-manifest");
    assert!(matches!(sandbox().load(&bytes), Err(Refusal::NoManifest)));
    let escaped = MANIFEST.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let module = format!(
        "(core module $guest\n{}\n{}\n(@custom \"ftagent:manifest\" \"{escaped}\"))",
        include_str!("guests/prelude.wat"),
        text("judges-nothing", "guest.wat").expect("its code"),
    );
    let wat = include_str!("guests/component.wat")
        .replace("{{module}}", &module)
        .replace("{{extra}}", "")
        .replace("{{export}}", "classify");
    let mut bytes = wat::parse_str(&wat).expect("a component");
    let plugin = sandbox().load(&bytes).expect("a plugin");
    assert_eq!(&*plugin.manifest().name, "guest");
    append_section(&mut bytes, "ftagent:manifest", b"");
    assert!(matches!(sandbox().load(&bytes), Err(Refusal::ManyManifests { count: 2 })));
}

#[test]
fn what_was_refused_can_still_be_looked_into() {
    let found = inspect(&component("imports-a-function"));
    assert_eq!(found.imports, ["clock"]);
    assert_eq!(found.type_names.first().map(String::as_str), Some("ftagent:plugin/rows@1.0.0"));
    assert_eq!(found.contract.as_deref(), Some("1"));
    assert_eq!(found.manifest.map(|manifest| manifest.name.to_string()).as_deref(), Some("guest"));
    assert_eq!(found.exports.iter().map(|export| export.name.as_str()).collect::<Vec<_>>(), ["classify"]);
    assert!(matches!(found.refusal, Some(Refusal::Imports { .. })));
    let found = inspect(b"\0asm");
    assert!(matches!(found.refusal, Some(Refusal::NotAComponent { .. })));
    assert_eq!((found.bytes, found.contract), (4, None));
}

#[test]
fn every_cut_and_every_flipped_byte_is_refused_or_harmless() {
    let sandbox = sandbox();
    let whole = component("judges-nothing");
    for end in (0..whole.len()).step_by(7) {
        let found = inspect(&whole[..end]);
        assert!(found.refusal.is_some(), "cut at {end}");
    }
    for at in (0..whole.len()).step_by(41) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        if let Ok(plugin) = sandbox.load(&bytes) {
            let mut seat = plugin.seat().expect("a seat");
            let _either = seat.classify(Instant::START, &batch(3), &mut Answer::default());
        }
    }
}

#[test]
fn compiled_code_is_kept_in_a_folder_that_is_ours_alone() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("compiled-{}", std::process::id()));
    let config = Config { cache: Some(folder.clone()), seats: 4 };
    for _ in 0..2 {
        load(&Sandbox::new(&config).expect("a sandbox"), "judges-nothing");
    }
    let mode = fs::metadata(&folder).expect("it was made").permissions().mode() & 0o7777;
    let kept = fs::read_dir(&folder).expect("it was made").count();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("to open it to others");
    let opened = Sandbox::new(&config).err();
    // The cache's own thread may still be writing beside us.
    let gone = (0..100).any(|_| fs::remove_dir_all(&folder).is_ok() || !folder.exists());
    assert!(gone, "{} is left", folder.display());
    assert_eq!((mode, kept > 0), (0o700, true));
    assert!(matches!(opened, Some(StartError::CacheNotOurs { .. })), "{opened:?}");
}
