//! The command line from outside: what it says, how it ends, and that every mistake is told so that it can be mended.
//! Nothing here needs a running agent or touches the machine's packet filter.

mod support;

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use ftagent_core::frame::Link;
use serde_json::Value;
use support::Ran;
use support::ftagent;
use support::number;
use support::packets::Conversation;
use support::packets::Packet;
use support::packets::flood;
use support::packets::forged;
use support::packets::hex;
use support::packets::pcap;
use support::packets::player;
use support::packets::server;
use support::packets::write_pcap;
use support::replay_with;
use support::root;
use support::run;

/// The commands that ask a running agent.
const ASKING: [&[&str]; 8] = [
    &["status"],
    &["status", "--json"],
    &["explain", "192.0.2.1"],
    &["mode", "enforce"],
    &["events", "--count", "1"],
    &["watch", "--count", "1"],
    &["blocks"],
    &["block", "198.51.100.7"],
];

const JAVA: &str = "25565/tcp=minecraft-java";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A status poll of one player, and how many packets that is.
fn poll() -> Vec<Packet> {
    let status = hex("0f002f093132372e302e302e3163dd01 0100");
    Conversation::tcp(100, player(1), 25_565).client(&status).server(b"{}").ack().packets
}

fn written(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let file = dir.join(name);
    std::fs::write(&file, bytes).expect("a temporary folder can be written");
    file
}

#[test]
fn help_names_every_command_and_every_exit_code() {
    let help = run(&["--help"]);
    let commands = [
        "run",
        "replay",
        "services",
        "status",
        "events",
        "watch",
        "incidents",
        "block",
        "allow",
        "unblock",
        "blocks",
        "explain",
        "doctor",
        "mode",
        "off",
        "on",
        "plugins",
        "config",
        "completions",
        "man",
        "exit-codes",
    ];
    for command in commands {
        let listed = help.fine().lines().any(|line| line.trim_start().split(' ').next() == Some(command));
        assert!(listed, "{command} is not in\n{}", help.out);
        let of_command = run(&["help", command]);
        assert!(of_command.fine().contains("Usage: ftagent"), "{of_command:?}");
        assert_eq!(run(&[command, "--help"]).fine().lines().next(), of_command.out.lines().next());
    }
    for page in [&help, &run(&["help", "exit-codes"]), &run(&["exit-codes"])] {
        for code in [0, 1, 2, 3, 4, 70] {
            let explained =
                page.fine().lines().any(|line| line.trim_start().starts_with(&format!("{code}  ")));
            assert!(explained, "{code} is not in\n{}", page.out);
        }
    }
    assert!(run(&["--version"]).fine().starts_with("ftagent "));
}

#[test]
fn what_is_printed_is_json_wherever_data_is_printed() {
    for command in ["services", "status", "doctor", "explain", "replay", "incidents", "blocks"] {
        assert!(run(&[command, "--help"]).fine().contains("--json"), "{command}");
    }
    for command in ["list", "inspect"] {
        assert!(run(&["plugins", command, "--help"]).fine().contains("--json"), "{command}");
    }
}

#[test]
fn completions_and_the_man_page_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert!(["replay", "doctor", "explain"].iter().all(|name| script.fine().contains(name)), "{shell}");
    }
    let dir = folder();
    let script = written(dir.path(), "ftagent.bash", run(&["completions", "bash"]).fine().as_bytes());
    Ran::of(Command::new("bash").arg("-n").arg(script)).fine();
    let page = run(&["man"]);
    for name in [".TH ftagent", "replay", "docker\\-socket", "Exit codes", "expect\\-clean"] {
        assert!(page.fine().contains(name), "no {name} in the man page");
    }
    run(&["completions", "tcsh"]).fails(2, &["tcsh"]);
}

#[test]
fn a_mistake_in_the_command_line_ends_with_2() {
    for (arguments, says) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["replay"], "<FILE>"),
        (&["mode", "attack"], "the modes are `observe`, `limit` and `enforce`"),
        (&["mode", "enforce", "--try", "ten"], "10m"),
        (&["explain", "example"], "example"),
        (&["status", "--frob"], "--frob"),
        (&["replay", "x", "--batch", "0"], "--batch"),
        (&["replay", "x", "--batch", "257"], "--batch"),
    ] {
        run(arguments).fails(2, &[says]);
    }
}

#[test]
fn mistakes_in_a_service_are_named_one_by_one() {
    for (service, says) in [
        ("25565", "=GAME"),
        ("25565=rust", "/tcp"),
        ("25565/sctp=rust", "neither `tcp` nor `udp`"),
        ("70000/tcp=rust", "no address and port"),
        ("0/tcp=rust", "port 0"),
        ("25565/tcp=", "no game"),
        ("nowhere:1/tcp=rust", "no address and port"),
        ("2001:db8::1:25565/tcp", "=GAME"),
    ] {
        run(&["replay", "x.pcap", "--service", service]).fails(2, &[says]);
    }
    let dir = folder();
    let file = dir.path().join("poll.pcap");
    write_pcap(&file, Link::Ethernet, &poll());
    replay_with(&file, &[], &[]).fails(2, &["no service", "hint: ", "--service"]);
}

#[test]
fn services_can_be_many_in_a_file() {
    let dir = folder();
    let capture = dir.path().join("poll.pcap");
    write_pcap(&capture, Link::Ethernet, &poll());
    let good = "[[services]]\nport = 25565\nprotocol = 'tcp'\ngame = 'minecraft-java'\n\
                [[services]]\naddress = '203.0.113.10'\nport = 19132\nprotocol = 'udp'\ngame = 'bedrock'\n";
    let services = written(dir.path(), "services.toml", good.as_bytes()).display().to_string();
    let report = replay_with(&capture, &[], &["--services", &services]).json(0);
    assert_eq!(report["flows"][0]["game"], "minecraft-java");
    let bad = written(dir.path(), "bad.toml", b"[[services]]\nport = 0\n").display().to_string();
    let ran = replay_with(&capture, &[], &["--services", &bad]);
    ran.fails(2, &["bad.toml:2:8", "no `protocol`", "no `game`"]);
}

#[test]
fn an_unknown_game_is_judged_by_generic_with_one_warning() {
    let dir = folder();
    let file = dir.path().join("poll.pcap");
    write_pcap(&file, Link::Ethernet, &poll());
    let ran = replay_with(&file, &["25565/tcp=minecraft-jav", "25566/tcp=minecraft-jav"], &[]);
    let warnings: Vec<_> = ran.err.lines().collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for text in ["warning: ", "`minecraft-jav`", "did you mean `minecraft-java`?", "`generic`"] {
        assert!(warnings[0].contains(text), "no {text} in {}", warnings[0]);
    }
    let report = ran.json(0);
    assert_eq!(report["flows"][0]["game"], "unknown");
    assert_eq!(number(&report, "packets.hostile"), 0);
    assert!(number(&report, "packets.genuine") > 0, "generic judges: {report:#}");
}

#[test]
fn replay_says_exactly_what_was_promised() {
    let dir = folder();
    let file = dir.path().join("poll.pcap");
    write_pcap(&file, Link::Ethernet, &poll());
    let report = replay_with(&file, &[JAVA], &[]).json(0);
    assert_eq!(report["schema"], 1);
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().expect("an object").keys().cloned().collect() };
    let packets = keys(&report["packets"]);
    for field in ["total", "malformed", "unmatched", "genuine", "hostile", "unknown"] {
        assert!(packets.contains(&field.to_owned()), "{field} is not in {packets:?}");
    }
    assert!(report["reasons"].is_object());
    let mut flow = keys(&report["flows"][0]);
    flow.sort();
    let mut promised = [
        "source",
        "source_port",
        "server",
        "server_port",
        "proto",
        "game",
        "packets",
        "genuine",
        "hostile",
        "unknown",
        "standing",
        "verdict",
        "reasons",
    ];
    promised.sort_unstable();
    assert_eq!(flow, promised);
    let flow = &report["flows"][0];
    let place =
        [&flow["source"], &flow["source_port"], &flow["server"], &flow["server_port"], &flow["proto"]];
    let wanted: [Value; 5] =
        ["192.0.2.1".into(), 50_001.into(), "203.0.113.10".into(), 25_565.into(), "tcp".into()];
    assert_eq!(place.map(Clone::clone), wanted);
    assert_eq!(number(&report, "packets.total"), poll().len() as u64);
    assert_eq!(number(&report, "packets.hostile"), 0);
    assert_eq!(flow["standing"], "proven");
}

#[test]
fn replay_tells_people_what_it_found() {
    let dir = folder();
    let file = dir.path().join("flood.pcap");
    let to = server(25_565);
    let empty = flood(100, 400, 400, |n, at| Packet::udp(at, forged(n), to, b""));
    write_pcap(&file, Link::Ethernet, &support::packets::in_order([poll(), empty]));
    let ran =
        run(&["replay", "--service", JAVA, "--service", "25565/udp=unknown", &file.display().to_string()]);
    let text = ran.out.clone();
    assert_eq!(ran.code, 0, "{ran:?}");
    let parts =
        ["genuine", "hostile", "why hostile", "generic/empty-datagram", "noisiest", "incident 1 opens at"];
    for part in parts.iter().chain(&["would have been dropped or limited", "minecraft-java", "198.18."]) {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let clean = replay_with(&file, &["25565/udp=unknown"], &["--expect-clean"]);
    assert_eq!(clean.code, 1, "something was hostile");
}

#[test]
fn the_bound_on_flows_is_stated_when_it_is_reached() {
    let dir = folder();
    let (file, to) = (dir.path().join("many.pcap"), server(27_015));
    write_pcap(&file, Link::RawIp, &flood(0, 10_050, 100_000, |n, at| Packet::udp(at, forged(n), to, b"hi")));
    let services = ["27015/udp=counter-strike-2"];
    let report = replay_with(&file, &services, &[]).json(0);
    assert_eq!(report["flows"].as_array().map(Vec::len), Some(10_000));
    assert_eq!((number(&report, "flows_not_listed"), number(&report, "flows_listed_max")), (50, 10_000));
    assert_eq!(number(&report, "packets.total"), 10_050);
    let text = run(&["replay", "--service", services[0], &file.display().to_string()]);
    assert!(
        text.fine().contains("50 flows are counted above but not listed (at most 10,000 are)"),
        "{text:?}"
    );
}

#[test]
fn a_file_that_is_no_capture_is_refused() {
    let dir = folder();
    let absent = dir.path().join("absent.pcap");
    replay_with(&absent, &[JAVA], &[]).fails(3, &["absent.pcap", "No such file"]);
    let directory = dir.path().to_path_buf();
    replay_with(&directory, &[JAVA], &[]).fails(3, &["Is a directory"]);
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", b"hello, this is no capture at all"),
        ("short", &[0xd4, 0xc3]),
        ("gzip-of-text", &support::packets::gzip(b"hello")),
    ] {
        let file = written(dir.path(), name, bytes);
        replay_with(&file, &[JAVA], &[]).fails(3, &[name, "not a capture"]);
    }
    let mut usb = pcap(Link::Ethernet, &poll());
    usb[20] = 189;
    let file = written(dir.path(), "usb", &usb);
    replay_with(&file, &[JAVA], &[]).fails(3, &["link type 189", "can be read"]);
}

/// What came before the damage is judged, and both the exit code and a warning say that there was damage.
#[test]
fn what_came_before_the_damage_is_judged() {
    let dir = folder();
    let packets = poll();
    let whole = pcap(Link::Ethernet, &packets);
    let first = 24 + 16 + packets[0].frame(Link::Ethernet).len();
    let damaged = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    for (name, bytes, judged, says) in [
        ("cut-in-packet", whole[..whole.len() - 5].to_vec(), packets.len() - 1, "cut off"),
        ("cut-in-header", whole[..first + 7].to_vec(), 1, "cut off"),
        ("four-gigabytes", damaged(first + 8, &[0xff; 4]), 1, "damaged"),
        ("more-than-wire", damaged(first + 8, &[0xff, 0xff, 3, 0]), 1, "c"),
        (
            "gzip-cut",
            {
                let z = support::packets::gzip(&whole);
                z[..z.len() - 9].to_vec()
            },
            0,
            "c",
        ),
    ] {
        let file = written(dir.path(), name, &bytes);
        let ran = replay_with(&file, &[JAVA], &[]);
        ran.fails(1, &["warning: ", name, says, "what came before was judged"]);
        let report = ran.json(1);
        assert!(number(&report, "packets.total") >= judged as u64, "{name}: {report:#}");
        assert_ne!(report["ended"], "the capture is complete", "{name}");
    }
}

/// Whatever the bytes are, the answer is an answer: no crash, no hang, no bug.
#[test]
fn hostile_captures_end_with_an_answer() {
    let dir = folder();
    let whole = pcap(Link::Ethernet, &poll());
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for number in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            let at = 4 + random() as usize % (bytes.len() - 4);
            bytes[at] = random() as u8;
        }
        let file = written(dir.path(), &format!("{number}.pcap"), &bytes);
        let ran = replay_with(&file, &[JAVA, "25565/udp=unknown"], &[]);
        assert!([0, 1, 3].contains(&ran.code), "{number}: {ran:?}");
        if ran.code < 3 {
            let report = ran.json(ran.code);
            assert!(report["packets"]["total"].is_u64(), "{number}");
        }
    }
}

#[test]
fn all_mistakes_of_a_configuration_are_reported_at_once_with_their_places() {
    let dir = folder();
    let text = "mod = 'enforce'\n\
                interfaces = 'eth0'\n\
                [capture]\n\
                ring-mib = 0\n\
                [firewall]\n\
                mark-bit = 40\n\
                never-block = ['192.0.2.0/24', 'home']\n\
                [[services]]\n\
                port = 70000\n\
                protocol = 'tpc'\n\
                [servers.lobby]\n\
                mode = 'on'\n";
    let file = written(dir.path(), "config.toml", text.as_bytes());
    let name = file.display().to_string();
    let places = [
        ("1:1", "there is no setting `mod` here"),
        ("2:14", "`interfaces` is a list"),
        ("4:12", "`ring-mib` is a whole number from 1 to 1024"),
        ("6:12", "`mark-bit`"),
        ("7:32", "192.0.2.0/24"),
        ("8:1", "this service has no `game`"),
        ("9:8", "`port` is a whole number from 1 to 65535"),
        ("10:12", "`protocol` is one of `tcp`, `udp`"),
        ("12:8", "`mode` is one of `observe`, `limit`, `enforce`"),
    ];
    // A check answers no; whoever wanted to work with it made a mistake.
    for (arguments, code) in [(&["config", "check"][..], 1), (&["config", "show"], 2), (&["services"], 2)] {
        let ran = run(&[&["--config", &name], arguments].concat());
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{ran:?}");
        for (place, says) in places {
            let at = ran.err.find(&format!("{name}:{place}"));
            assert!(at.is_some(), "{place} is not in\n{}", ran.err);
            assert!(ran.err.contains(says), "`{says}` is not in\n{}", ran.err);
        }
        assert_eq!(ran.err.matches("--> ").count(), places.len(), "{}", ran.err);
        assert!(ran.err.contains("did you mean `mode`?") && ran.err.contains("did you mean `tcp`?"));
    }
    let broken = written(dir.path(), "broken.toml", b"mode = \n[capture\n").display().to_string();
    run(&["--config", &broken, "config", "check"]).fails(1, &["broken.toml:1:"]);
    run(&["--config", "/nowhere/config.toml", "config", "check"]).fails(1, &["/nowhere/config.toml"]);
}

#[test]
fn what_is_shown_is_a_configuration_without_mistakes() {
    let dir = folder();
    let text = "mode = 'enforce'\n[[services]]\nport = 9000\nprotocol = 'udp'\ngame = 'rust'\n[servers.a]\nmode = 'observe'\n";
    let first = written(dir.path(), "first.toml", text.as_bytes()).display().to_string();
    let shown = run(&["--config", &first, "config", "show"]).fine().to_owned();
    for line in
        ["mode = \"enforce\"", "port = 9000", "game = \"rust\"", "ring-mib = ", "early-per-service = "]
    {
        assert!(shown.contains(line), "no `{line}` in\n{shown}");
    }
    let second = written(dir.path(), "second.toml", shown.as_bytes()).display().to_string();
    assert!(run(&["--config", &second, "config", "check"]).fine().contains("no mistakes"));
    let again = run(&["--config", &second, "config", "show"]).fine().to_owned();
    let settings = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(settings(&again), settings(&shown));
    // A flag wins over the file.
    let flagged = run(&["--config", &first, "--plugins-dir", "/elsewhere", "config", "show"]);
    assert!(flagged.fine().contains("plugins-dir = \"/elsewhere\""), "{flagged:?}");
}

#[test]
fn plugins_are_listed_without_an_agent() {
    let report = run(&["plugins", "list", "--json"]).json(0);
    assert_eq!(report["schema"], 1);
    let plugins = report["plugins"].as_array().expect("a list");
    let mut names: Vec<_> = plugins.iter().map(|plugin| plugin["name"].as_str().expect("a name")).collect();
    names.sort_unstable();
    assert_eq!(names, ["fivem", "generic", "minecraft-bedrock", "minecraft-java", "rust", "source-query"]);
    for plugin in plugins {
        assert_eq!(
            (&plugin["health"], &plugin["origin"]),
            (&"healthy".into(), &"built-in".into()),
            "{plugin}"
        );
        assert!(plugin["bytes"].as_u64().is_some_and(|bytes| (1_000..=200_000).contains(&bytes)), "{plugin}");
    }
    let text = run(&["plugins", "list"]);
    assert!(names.iter().all(|name| text.out.contains(name)), "{text:?}");
}

#[test]
fn a_good_component_is_inspected() {
    let file = root().join("plugins/prebuilt/minecraft-java.wasm").display().to_string();
    let report = run(&["plugins", "inspect", "--json", &file]).json(0);
    assert_eq!(report["schema"], 1);
    assert_eq!(report["imports"], Value::Array(Vec::new()), "a plugin imports nothing");
    assert_eq!(report["refused"], Value::Null);
    assert_eq!(report["manifest"]["name"], "minecraft-java");
    let bytes = std::fs::metadata(&file).expect("it is there").len();
    assert_eq!(report["bytes"], bytes);
    assert!(report["contract"].as_str().is_some_and(|contract| contract.contains('1')), "{report:#}");
    let text = run(&["plugins", "inspect", &file]);
    for part in ["imports   nothing", "contract", "digest", "null-ping", "impossible", "minecraft-java"] {
        assert!(text.fine().contains(part), "no `{part}` in\n{}", text.out);
    }
}

#[test]
fn a_component_that_would_be_refused_says_why() {
    let dir = folder();
    let imports =
        wat::parse_str("(component (import \"wasi:clocks/monotonic-clock\" (func)))").expect("it is WAT");
    let module = wat::parse_str("(module)").expect("it is WAT");
    let empty = wat::parse_str("(component)").expect("it is WAT");
    for (name, bytes, says) in [
        ("text.wasm", b"hello".to_vec(), "component"),
        ("module.wasm", module, "component"),
        ("empty.wasm", empty, "manifest"),
        ("imports.wasm", imports, "import"),
    ] {
        let file = written(dir.path(), name, &bytes).display().to_string();
        run(&["plugins", "inspect", &file]).fails(4, &["error: ", name, "would be refused", says]);
        let report = run(&["plugins", "inspect", "--json", &file]).json(4);
        assert!(report["refused"].as_str().is_some_and(|why| why.contains(says)), "{report:#}");
        if name == "imports.wasm" {
            assert!(report["imports"].to_string().contains("wasi:clocks/monotonic-clock"), "{report:#}");
        }
    }
    let absent = dir.path().join("absent.wasm").display().to_string();
    run(&["plugins", "inspect", &absent]).fails(3, &["absent.wasm", "No such file"]);
}

#[test]
fn a_broken_file_in_the_plugins_folder_is_told_and_changes_nothing() {
    let dir = folder();
    let (plugins, capture) = (dir.path().join("plugins"), dir.path().join("poll.pcap"));
    std::fs::create_dir(&plugins).expect("a temporary folder can be written");
    written(&plugins, "broken.wasm", b"\0asm");
    write_pcap(&capture, Link::Ethernet, &poll());
    let folder = plugins.display().to_string();
    let ran = replay_with(&capture, &[JAVA], &["--plugins-dir", &folder]);
    assert!(ran.err.starts_with("warning: ") && ran.err.contains("broken.wasm"), "{ran:?}");
    assert!(number(&ran.json(0), "packets.genuine") > 0);
    let listed = run(&["plugins", "list", "--json", "--plugins-dir", &folder]).json(0);
    let refused: Vec<_> = listed["plugins"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|plugin| plugin["health"] == "refused")
        .collect();
    assert_eq!(refused.len(), 1, "{listed:#}");
}

#[test]
fn without_an_agent_the_commands_that_ask_one_say_how_to_start_it() {
    for arguments in ASKING {
        run(arguments).fails(3, &["no ftagent answers at", "agent.sock", "hint: ", "ftagent run"]);
    }
    let services = run(&["services", "--json"]);
    assert_eq!(services.json(0)["services"], Value::Array(Vec::new()));
    assert!(services.err.contains("no agent is running"), "{services:?}");
}

/// `ftagent` as a user without any rights.
fn nobody(arguments: &[&str]) -> Ran {
    let command = ftagent(arguments);
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
    Ran::of(setpriv.arg(command.get_program()).args(command.get_args()))
}

#[test]
fn without_rights_it_says_so_and_what_works_anyway() {
    nobody(&["run"]).fails(3, &["needs root", "hint: ", "ftagent replay"]);
    for switch in ["off", "on"] {
        nobody(&[switch]).fails(3, &["root", "hint: "]);
    }
    let dir = folder();
    // A capture that anybody may read, in a folder that anybody may enter.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let file = dir.path().join("poll.pcap");
    write_pcap(&file, Link::Ethernet, &poll());
    let ran = nobody(&["replay", "--json", "--service", JAVA, &file.display().to_string()]);
    assert!(number(&ran.json(0), "packets.genuine") > 0);
}

#[test]
fn a_closed_pipe_is_a_normal_end() {
    let line = format!("'{}' man | head -n 1; echo ${{PIPESTATUS[0]}}", support::FTAGENT);
    let ran = Ran::of(Command::new("bash").args(["-c", &line]));
    assert!(ran.out.ends_with("\n0\n") && ran.err.is_empty(), "{ran:?}");
}

#[test]
fn a_capture_can_come_from_standard_input() {
    let dir = folder();
    let file = dir.path().join("poll.pcap");
    write_pcap(&file, Link::Ethernet, &poll());
    let mut command = ftagent(&["replay", "--json", "--service", JAVA, "-"]);
    command.stdin(std::fs::File::open(&file).expect("it was written"));
    let output = command.output().expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(number(&report, "packets.total"), poll().len() as u64);
}
