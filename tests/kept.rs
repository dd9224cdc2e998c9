//! What `ftagent run` keeps and tells over its life: incidents, what was learnt, modes, and what happens when the disk
//! is full or a file is damaged. Real network namespaces and the real kernel, as in `node`.
//!
//! Cases by their numbers: L lifecycle, C configuration, S security.

mod support;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ftagent_lab::Attack;
use ftagent_lab::attack::Vector;
use ftagent_lab::clock;
use serde_json::Value;
use support::Ran;
use support::node::Agent;
use support::node::Places;
use support::node::Stage;
use support::node::dropped;
use support::node::public;
use support::node::service;
use support::node::stage;
use support::number;

/// How long an incident may take to be over after its last packet, on a busy machine.
const CALM: Duration = Duration::from_secs(40);

/// A server of nobody's container, whose name wants to be a path.
const NAME: &str = "../../etc/passwd";

fn to() -> SocketAddr {
    public(27_015)
}

/// A configuration with one static server, and more lines.
fn config(stage: &Stage, more: &str) -> String {
    let file = stage.lab.dir().join("life.toml");
    let text = format!(
        "[[services]]\naddress = '203.0.113.10'\nport = 27015\nprotocol = 'tcp'\ngame = 'minecraft-java'\n\
         server = '{NAME}'\n{more}"
    );
    std::fs::write(&file, text).expect("the lab's folder can be written");
    file.display().to_string()
}

fn start(stage: &Stage, places: Places, more: &str, arguments: &[&str]) -> Agent {
    Agent::start(places, &[&["--config", &config(stage, more)], arguments].concat())
}

fn flood(stage: &Stage, packets: u64) {
    let attack = Attack::new(Vector::SynFlood, to()).packets(packets).per_second(4_000);
    attack.run(&stage.lab).expect("sent");
}

fn incidents(places: &Places, config: &str) -> Vec<Value> {
    let report = places.run(&["--config", config, "incidents", "--json"]).json(0);
    assert_eq!(number(&report, "unreadable_lines"), 0);
    report["incidents"].as_array().expect("a list").clone()
}

/// Packets that the node dropped, whatever the reason.
fn by_hand(status: &Value) -> u64 {
    let paths = status["firewall"]["paths"].as_array().into_iter().flatten();
    paths
        .flat_map(|path| ["marked", "early"].map(|hook| path["counts"][hook]["packets"].as_u64()))
        .flatten()
        .sum()
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("it can be read").flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

/// L1: opened, told of, closed, each once. L2: one incident as long as the flood lasts. L12 and the log: what was
/// open when the agent was killed is interrupted, and numbers count on. S10, C4: names and modes of the files.
#[test]
fn l01_an_incident_is_told_once_kept_and_shown_with_and_without_an_agent() {
    let stage = stage();
    let agent = start(&stage, stage.places(), "", &["--enforce"]);
    let file = config(&stage, "");
    assert_eq!(incidents(&agent.places, &file), Vec::<Value>::new());
    let begun = clock::now_ms();
    let flooding = Attack::new(Vector::SynFlood, to()).packets(24_000).per_second(4_000);
    let flooding = flooding.start(&stage.lab).expect("it starts");
    agent.event("incident-opened", begun, |_| true);
    // While it goes on.
    let open = agent.wait_for("open in the status", Duration::from_secs(5), |status| {
        status["incidents"].as_array().and_then(|open| open.first().cloned())
    });
    assert_eq!((&open["state"], &open["server"]), (&"open".into(), &NAME.into()));
    let text = agent.places.run(&["--config", &file, "incidents"]);
    assert!(text.fine().contains("open") && text.out.contains("203.0.113.10:27015/tcp"), "{}", text.out);
    let shown = agent.places.run(&["--config", &file, "status"]);
    assert!(shown.fine().contains("attack 1 on 203.0.113.10:27015/tcp"), "{}", shown.out);
    flooding.finish().expect("sent");
    let closed = clock::wait_for(CALM, || agent.events("incident-closed", begun).pop()).expect("it is over");

    let opened = agent.events("incident-opened", begun);
    assert_eq!(opened.len(), 1, "one constant flood, one incident: {opened:#?}");
    assert_eq!(agent.events("incident-closed", begun).len(), 1);
    let ids: Vec<_> = ["incident-opened", "incident-changed", "incident-closed"]
        .iter()
        .flat_map(|what| agent.events(what, begun))
        .map(|(at_ms, said)| (at_ms, number(&said, "incident.id")))
        .collect();
    assert!(ids.iter().all(|(_, id)| *id == 1), "{ids:?}");
    assert!(ids.iter().all(|(at_ms, _)| (opened[0].0..=closed.0).contains(at_ms)), "{ids:?}");

    let one = agent.wait_for("the end in the log", Duration::from_secs(5), |_| {
        incidents(&agent.places, &file).pop().filter(|one| one["state"] == "closed")
    });
    assert!(one["ended_unix_ms"].is_u64() && number(&one, "lasted_ms") >= 5_000, "{one:#}");
    let show = agent.places.run(&["--config", &file, "incidents", "show", "1"]);
    for part in
        ["incident 1: 203.0.113.10:27015/tcp (closed", "says", NAME, "dropped", "players", "opened by"]
    {
        assert!(show.fine().contains(part), "no `{part}` in\n{}", show.out);
    }
    agent.places.run(&["--config", &file, "incidents", "show", "99"]).fails(2, &["no incident 99", "hint: "]);

    // It comes back soon: one incident in pulses. Killed in the middle: without an agent the log is read, and says
    // that nobody saw the end.
    let begun = clock::now_ms();
    flood(&stage, 8_000);
    let (_, again) = agent.event("incident-opened", begun, |_| true);
    let numbers = again["incident"]["id"].as_u64().expect("a number");
    agent.wait_for("it in the log", Duration::from_secs(5), |_| {
        let last = incidents(&agent.places, &file).pop()?;
        (number(&last, "id") == numbers && last["state"] == "open").then_some(())
    });
    let state = agent.places.state();
    for file in files(&state) {
        let name = file.strip_prefix(&state).expect("it is below").display().to_string();
        let known = ["compiled/", "modes.mp", "learnt.mp", "blocks.mp", "incidents/log.jsonl", "lock"];
        // Recordings are named by numbers only.
        let recording = name.strip_prefix("incidents/").and_then(|name| name.strip_suffix(".pcapng"));
        let recording = recording.is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
        let known = recording || known.iter().any(|known| name.starts_with(known));
        assert!(known, "an unknown file: {name}");
        let mode = file.metadata().expect("it is there").permissions().mode();
        assert!(name.starts_with("compiled/") || name == "lock" || mode & 0o077 == 0, "{name}: {mode:o}");
    }
    let places = agent.kill();
    let after = incidents(&places, &file).pop().expect("it is known");
    assert_eq!((&after["state"], number(&after, "id")), (&"interrupted".into(), numbers));
    let agent = start(&stage, places, "", &[]);
    let begun = clock::now_ms();
    flood(&stage, 8_000);
    agent.event("incident-opened", begun, |said| said["incident"]["id"] == numbers + 1);
    let before = incidents(&agent.places, &file).into_iter().find(|one| one["id"] == numbers);
    assert_eq!(before.expect("it is kept")["state"], "interrupted");
}

/// What was learnt comes back; a damaged file, or one of a newer ftagent, is a fresh start with one warning.
#[test]
fn b11_what_was_learnt_is_written_at_the_end_and_read_at_the_start() {
    let stage = stage();
    let agent = start(&stage, stage.places(), "", &[]);
    let places = agent.stop();
    let (learnt, aside) = (places.state().join("learnt.mp"), places.state().join("learnt.mp.corrupt"));
    assert!(learnt.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o777 == 0o600));
    let agent = start(&stage, places, "", &[]);
    assert!(!agent.log().contains("starting afresh"), "{}", agent.log());
    let places = agent.stop();
    std::fs::write(&learnt, b"\x63 of tomorrow").expect("it is ours");
    let agent = start(&stage, places, "", &[]);
    assert_eq!(agent.log().matches("starting afresh").count(), 1, "{}", agent.log());
    assert!(agent.log().contains("version 99") && aside.exists());
    let places = agent.stop();
    assert!(learnt.exists() && aside.exists());
    // Modes as well.
    std::fs::write(places.state().join("modes.mp"), b"nonsense").expect("it is ours");
    let agent = start(&stage, places, "", &[]);
    assert!(agent.log().contains("modes.mp.corrupt"), "{}", agent.log());
    assert_eq!(agent.status()["mode"]["node"], "observe");
}

/// `limit` drops and limits, and asks for no lease; a server's mode in the configuration goes before the node's. C8: what
/// is changed live is remembered, and never written into the operator's file.
#[test]
fn c08_a_mode_of_a_server_is_configured_changed_live_and_followed() {
    let stage = stage();
    let agent =
        start(&stage, stage.places(), &format!("[servers.'{NAME}']\nmode = 'limit'\n"), &["--enforce"]);
    let mode = |status: &Value| service(status, to(), "tcp").map(|service| service["mode"].clone());
    assert_eq!(mode(&agent.status()), Some("limit".into()));
    let file = stage.lab.dir().join("life.toml");
    let written = std::fs::read(&file).expect("it is there");
    agent.mode(&["observe", "--server", NAME]);
    let becomes = |wanted: &str| {
        agent.wait_for(wanted, Duration::from_secs(3), |status| {
            (mode(status) == Some(wanted.into())).then_some(())
        });
    };
    becomes("observe");
    agent.mode(&["follow", "--server", NAME]);
    becomes("limit");
    assert!(agent.mode(&["limit"]).contains("limit mode"));
    let places = agent.stop();
    assert_eq!(std::fs::read(&file).expect("it is there"), written, "the operator's file is the operator's");
    let agent = start(&stage, places, "", &[]);
    assert_eq!(agent.status()["mode"]["node"], "limit");
    flood(&stage, 8_000);
    agent.wait_for("dropping", Duration::from_secs(5), |status| (dropped(status) > 0).then_some(()));
    assert_eq!(agent.events("lease", 0), Vec::new());
}

/// Blocks by hand drop, are guarded, remembered with their ends, and taken back. M23: what is ours is refused.
#[test]
fn m23_what_is_blocked_by_hand_is_dropped_remembered_and_taken_back() {
    let stage = stage();
    let agent = start(&stage, stage.places(), "", &["--enforce"]);
    let run = |agent: &Agent, arguments: &[&str]| agent.places.run(arguments);
    for (network, why) in
        [("203.0.113.10", "203.0.113.10"), ("203.0.113.0/24", "203.0.113"), ("10.1.2.3", "private")]
    {
        let refused = run(&agent, &["block", network]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains(why), "{refused:?}");
    }
    assert!(run(&agent, &["block", "198.18.0.0/16", "--for", "10m"]).fine().contains("198.18.0.0/16"));
    let before = by_hand(&agent.status());
    // Far too few to be an attack: dropped because somebody said so.
    Attack::new(Vector::SynFlood, to()).packets(50).per_second(50).run(&stage.lab).expect("sent");
    agent.wait_for("dropped by hand", Duration::from_secs(5), |_| {
        (by_hand(&agent.status()) >= before + 50).then_some(())
    });
    let places = agent.kill();
    let agent = start(&stage, places, "", &[]);
    let listed = run(&agent, &["blocks", "--json"]).json(0);
    assert_eq!(listed["blocks"][0]["prefix"], "198.18.0.0/16", "{listed:#}");
    assert!((1..600).contains(&number(&listed["blocks"][0], "seconds_left")), "{listed:#}");
    assert!(run(&agent, &["allow", "198.18.0.0/16"]).fine().contains("allow"));
    assert!(!run(&agent, &["unblock", "198.18.0.0/16"]).fine().contains("198.18"));
    run(&agent, &["unblock", "198.18.0.0/16"]).fails(2, &["nothing was said"]);
}

/// S14: one who connects and says nothing keeps nobody waiting.
#[test]
fn s14_idle_connections_do_not_keep_others_from_their_answers() {
    let stage = stage();
    let agent = start(&stage, stage.places(), "", &[]);
    let socket = agent.places.state().parent().expect("a folder").join("run/agent.sock");
    let idle: Vec<_> = (0..64).map(|_| UnixStream::connect(&socket).expect("it listens")).collect();
    let begun = clock::now_ms();
    assert_eq!(agent.status()["pid"], agent.pid());
    assert!(clock::now_ms() - begun < 2_000);
    drop(idle);
}

/// S11, S15: no order and no report comes in over a network; the agent has packet sockets, netlink and its Unix socket.
#[test]
fn s11_s15_nothing_listens_on_the_network() {
    let stage = stage();
    let agent = start(&stage, stage.places(), "", &["--enforce"]);
    let process = PathBuf::from(format!("/proc/{}", agent.pid()));
    let mut sockets = Vec::new();
    for descriptor in std::fs::read_dir(process.join("fd")).expect("it runs").flatten() {
        let Ok(target) = std::fs::read_link(descriptor.path()) else { continue };
        let target = target.display().to_string();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        sockets.extend(inode.map(str::to_owned));
    }
    let of_kind = |kind: &str| {
        let table = std::fs::read_to_string(process.join("net").join(kind)).unwrap_or_default();
        let words: Vec<_> = table.split_whitespace().map(str::to_owned).collect();
        sockets.iter().filter(|inode| words.contains(inode)).count()
    };
    assert!(of_kind("packet") > 0 && of_kind("unix") > 0, "the tables can be read");
    for kind in ["tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6"] {
        assert_eq!(of_kind(kind), 0, "{kind}");
    }
}

/// L13: twenty incidents leave no thread and no descriptor behind.
#[test]
fn l13_incidents_leave_no_threads_and_no_descriptors_behind() {
    const PORTS: u16 = 20;
    let stage = stage();
    let more: String = (1..=PORTS)
        .map(|n| {
            let port = 28_000 + n;
            format!("[[services]]\naddress = '203.0.113.10'\nport = {port}\nprotocol = 'tcp'\ngame = 'minecraft-java'\n")
        })
        .collect();
    let agent = start(&stage, stage.places(), &more, &["--enforce"]);
    let of_process =
        |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", agent.pid())).expect("it runs").count();
    // One first, so that everything that is made once has been made.
    flood(&stage, 4_000);
    let (threads, descriptors) = (of_process("task"), of_process("fd"));
    let begun = clock::now_ms();
    for n in 1..=PORTS {
        let attack = Attack::new(Vector::SynFlood, public(28_000 + n)).packets(2_000).per_second(5_000);
        attack.run(&stage.lab).expect("sent");
    }
    let opened = agent.events("incident-opened", begun).len();
    assert!(opened >= 1, "nothing was opened");
    println!("{opened} incidents: {threads} threads, {descriptors} descriptors before");
    let settled = clock::wait_for(CALM, || {
        (of_process("task") <= threads && of_process("fd") <= descriptors).then_some(())
    });
    assert!(settled.is_some(), "now {} threads, {} descriptors", of_process("task"), of_process("fd"));
}

/// A disk that takes nothing is said once, changes nothing of the protection, and heals.
#[test]
fn a_full_disk_is_said_once_and_protection_goes_on() {
    let stage = stage();
    let places = stage.places();
    // A small disk of its own, in a mount namespace that ends with the agent.
    let agent = Agent::start_on_small_disk(places, &["--config", &config(&stage, ""), "--enforce"]);
    let root = PathBuf::from(format!("/proc/{}/root", agent.pid()));
    let state = root.join(agent.places.state().strip_prefix("/").expect("it is absolute"));
    let filler = state.join("filler");
    let mut file = std::fs::File::create(&filler).expect("there is room");
    while std::io::Write::write_all(&mut file, &[0; 4_096]).is_ok() {}
    while std::io::Write::write_all(&mut file, b"0").is_ok() {}
    let before = dropped(&agent.status());
    let begun = clock::now_ms();
    flood(&stage, 12_000);
    let (_, said) = agent.event("problem", begun, |said| said["says"].to_string().contains("incident log"));
    assert!(said["says"].to_string().contains("No space left"), "{said}");
    agent.wait_for("dropping", Duration::from_secs(5), |status| (dropped(status) > before).then_some(()));
    agent.wait_for("the problem", Duration::from_secs(3), |status| {
        status["problems"].to_string().contains("protection goes on").then_some(())
    });
    let changed = agent.places.run(&["mode", "limit"]);
    assert!(changed.err.contains("not remembered"), "{changed:?}");
    assert_eq!(agent.events("problem", begun).len(), 1, "said once");
    drop(file);
    std::fs::remove_file(&filler).expect("it is ours");
    agent.wait_for("healed", Duration::from_secs(12), |status| {
        (!status["problems"].to_string().contains("protection goes on")).then_some(())
    });
}

/// What no rule here can mend is said, with what to give the provider.
#[test]
fn a_full_link_is_said_with_what_to_tell_the_provider() {
    let stage = stage();
    let agent = start(&stage, stage.places(), "[capture]\nlink-mbit = 1\n", &["--enforce"]);
    let begun = clock::now_ms();
    let flooding = Attack::new(Vector::SynFlood, to()).lasting(Duration::from_secs(5)).per_second(4_000);
    let flooding = flooding.start(&stage.lab).expect("it starts");
    let (_, said) = agent.event("beyond-this-node", begun, |_| true);
    let says = said["says"].to_string();
    for part in ["no rule on this node can help", "uplink is", "% full", "203.0.113.10:27015/tcp", "provider"]
    {
        assert!(says.contains(part), "no `{part}` in {says}");
    }
    flooding.finish().expect("sent");
    let file = config(&stage, "");
    let kept = agent.wait_for("kept", Duration::from_secs(10), |_| {
        incidents(&agent.places, &file).pop().filter(|one| one["beyond_this_node"].is_string())
    });
    assert_eq!(kept["severity"], "critical");
}

/// C12: the view watches and changes nothing; on something that is no terminal it prints plain lines.
#[test]
fn c12_watch_prints_plain_lines_where_there_is_no_terminal() {
    let stage = stage();
    let agent = start(&stage, stage.places(), "", &["--enforce"]);
    flood(&stage, 8_000);
    let ran = agent.places.run(&["watch", "--count", "2"]);
    for part in [
        "203.0.113.10:27015/tcp",
        "in/s",
        "DOCKER-USER",
        "early",
        "reached",
        "players",
        "their drops",
        "joined",
        "cpu",
        "link",
    ] {
        assert!(ran.fine().contains(part), "no `{part}` in\n{}", ran.out);
    }
    assert_eq!(ran.out.matches("cpu").count(), 2, "one block a second:\n{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "no control sequences");
}

/// C12: on a terminal it draws, the printed key quits, and the terminal is given back.
#[test]
fn c12_watch_draws_on_a_terminal_and_q_quits() {
    let stage = stage();
    let agent = start(&stage, stage.places(), "", &[]);
    let watch = agent.places.command(&["watch"]);
    let words: Vec<_> =
        [watch.get_program()].into_iter().chain(watch.get_args()).map(|w| w.to_string_lossy()).collect();
    // A terminal of its own, on which somebody types after two seconds.
    let line =
        format!("(sleep 2; printf q; sleep 5) | timeout 20 script -qec '{}' /dev/null", words.join(" "));
    let begun = clock::now_ms();
    let ran = Ran::of(Command::new("sh").args(["-c", &line]));
    assert!(ran.code == 0 && clock::now_ms() - begun < 15_000, "{ran:?}");
    let (taken, given_back) = (ran.out.find("\u{1b}[?1049h"), ran.out.rfind("\u{1b}[?1049l"));
    assert!(taken.is_some() && taken < given_back, "{ran:?}");
    assert!(ran.out.contains("q quits") && ran.out.contains("27015"), "{ran:?}");
    assert_eq!(agent.status()["pid"], agent.pid());
}
