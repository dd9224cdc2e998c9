//! Traffic that nobody here made: real servers and real clients through the running agent in enforce mode, recorded
//! on the way, and then replayed whole, one packet in ten, and cut into small segments. Not one packet of it may be
//! called hostile.
//!
//! Minecraft Java (npm minecraft-protocol; mcstatus), Minecraft Bedrock (npm bedrock-protocol; mcstatus), Source
//! queries (python-a2s), and BZFlag from Debian, whose server no plugin of ours knows. Needs root, docker.io, node,
//! Python, tcpdump and Debian's bzflag; the first run downloads what is pinned in `tests/clients`.

mod support;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Stdio;
use std::time::Duration;

use ftagent_capture::CaptureFile;
use ftagent_capture::write::PcapWriter;
use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use ftagent_core::time::Instant;
use ftagent_lab::Clients;
use ftagent_lab::address;
use ftagent_lab::clients::Game;
use ftagent_lab::clients::Players;
use ftagent_lab::clock;
use serde_json::Value;
use support::node::Stage;
use support::node::dropped;
use support::node::service;
use support::number;
use support::replay;

/// How long everybody plays.
const PLAYING: Duration = Duration::from_secs(12);

/// Where each game is served, and what it is known as.
const JAVA: u16 = 25_565;
const BEDROCK: u16 = 19_132;
const SOURCE: u16 = 27_015;
const BZFLAG: u16 = 5_154;
const SERVICES: [&str; 4] = [
    "203.0.113.10:25565/tcp=minecraft-java",
    "203.0.113.10:19132/udp=minecraft-bedrock",
    "203.0.113.10:27015/udp=counter-strike-global-offensive",
    "203.0.113.10:5154/tcp=bzflag",
];

fn public(port: u16) -> SocketAddr {
    SocketAddr::from((address::NODE, port))
}

/// tcpdump at the uplink; ended by a signal so that its file is complete.
struct Recording {
    process: Child,
    file: PathBuf,
}

impl Recording {
    fn start(stage: &Stage) -> Self {
        // Kept below cargo's products, to look into what was called hostile.
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real.pcap");
        let _ = std::fs::remove_file(&file);
        let mut tcpdump = stage.lab.node().command("tcpdump");
        // Root keeps its rights: the folder belongs to it.
        tcpdump.args(["-Z", "root", "-i", "uplink", "-U", "-n", "-s", "0", "-w"]).arg(&file);
        let process = tcpdump.arg("tcp or udp").stderr(Stdio::null()).spawn().expect("tcpdump is installed");
        let begun = clock::wait_for(Duration::from_secs(10), || file.exists().then_some(()));
        begun.expect("tcpdump writes its file");
        std::thread::sleep(Duration::from_secs(1));
        Self { process, file }
    }

    fn stop(mut self) -> PathBuf {
        let pid = i32::try_from(self.process.id()).expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT)
            .expect("it runs");
        self.process.wait().expect("it ran");
        std::mem::take(&mut self.file)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Lets everybody play under an enforcing agent; returns the recording.
fn play(stage: &Stage, clients: &Clients) -> PathBuf {
    let games =
        [(Game::Java, JAVA), (Game::Bedrock, BEDROCK), (Game::Source, SOURCE), (Game::BzFlag, BZFLAG)];
    let servers: Vec<_> = games
        .iter()
        .map(|&(game, port)| clients.serve(&stage.docker, game, public(port)).expect("a server"))
        .collect();
    let agent = stage.agent(&["--enforce"]);
    for (port, protocol, game) in [
        (JAVA, "tcp", "minecraft-java"),
        (BEDROCK, "udp", "minecraft-bedrock"),
        (SOURCE, "udp", "counter-strike-global-offensive"),
        (BZFLAG, "tcp", "unknown"),
    ] {
        agent.wait_for(game, Duration::from_secs(10), |status| {
            service(status, public(port), protocol).filter(|service| service["game"] == game).map(|_| ())
        });
    }
    let recording = Recording::start(stage);
    let sources = [21, 22, 23].map(|n| IpAddr::from(address::player(n)));
    let named = |name, sources| Players { name, sources };
    let mut players = Vec::new();
    for (game, port) in games {
        let who = if game == Game::Java { &sources[..] } else { &sources[..1] };
        let joined = if game == Game::Source {
            clients.play(&stage.lab, game, public(port), named("Player", who))
        } else {
            clients.join(&stage.lab, game, public(port), named("Player", who))
        };
        players.push((game, joined.expect("they join")));
    }
    let from_ms = clock::now_ms();
    let monitors = [("java", JAVA), ("bedrock", BEDROCK), ("a2s", SOURCE)]
        .map(|(kind, port)| (kind, clients.query(&stage.lab, kind, public(port), 8).expect("a monitor")));
    std::thread::sleep(PLAYING);
    for (kind, mut monitor) in monitors {
        monitor.wait(Duration::from_secs(30)).expect("it ends");
        let answers = monitor.health(0, u64::MAX);
        assert_eq!((answers.echoes, answers.lost), (8, 0), "{kind}: {:?}", monitor.events());
    }
    for (game, player) in &players {
        let health = player.health(from_ms, clock::now_ms());
        println!("{game:?}: {health:?}");
        assert!(health.echoes >= 5 && health.lost == 0 && health.disconnected == 0, "{game:?}: {health:?}");
    }
    let status = agent.wait_for("judged", Duration::from_secs(5), |status| {
        (number(&status["packets"], "genuine") > 500).then(|| status.clone())
    });
    for service in status["services"].as_array().expect("a list") {
        assert_eq!(service["hostile"], 0, "{service}\n{:#}", status["reasons"]);
    }
    assert_eq!(status["reasons"], serde_json::json!({}));
    assert_eq!(dropped(&status), 0, "nothing of the players was dropped");
    assert_eq!(status["firewall"]["leases"], Value::Array(Vec::new()));
    assert!(agent.events("incident-opened", 0).is_empty(), "nobody attacked");
    let settled =
        |port, protocol| number(service(&status, public(port), protocol).expect("known"), "players");
    assert_eq!(settled(JAVA, "tcp"), 3, "three play Java");
    assert_eq!(settled(BEDROCK, "udp"), 1, "one plays Bedrock");
    drop(players);
    agent.stop();
    drop(servers);
    recording.stop()
}

/// One captured frame.
struct Kept {
    at: Instant,
    bytes: Vec<u8>,
}

fn read(file: &Path) -> Vec<Kept> {
    let mut capture = CaptureFile::open(file).expect("tcpdump wrote it");
    let mut frames = Vec::new();
    while let Some(frame) = capture.next_frame() {
        assert_eq!(frame.link, Link::Ethernet);
        frames.push(Kept { at: frame.at, bytes: frame.bytes.to_vec() });
    }
    frames
}

fn write<'k>(file: &Path, frames: impl Iterator<Item = &'k Kept>) -> u64 {
    let sink = std::io::BufWriter::new(std::fs::File::create(file).expect("the lab's folder can be written"));
    let mut writer =
        PcapWriter::new(sink, Link::Ethernet, u64::MAX).expect("the lab's folder can be written");
    let mut written = 0;
    for kept in frames {
        let frame = Frame {
            at: kept.at,
            link: Link::Ethernet,
            passage: Passage::Unknown,
            bytes: &kept.bytes,
            wire_bytes: kept.bytes.len() as u32,
            sample_rate: 1,
        };
        assert!(writer.frame(&frame).expect("the lab's folder can be written"));
        written += 1;
    }
    written
}

/// Cuts the bytes of an IPv4 TCP segment with a payload into segments of at most `bytes`, for the first 64 bytes; the
/// rest follows in one. Everything else stays as it is.
fn split(kept: &Kept, bytes: usize) -> Vec<Kept> {
    let whole = || vec![Kept { at: kept.at, bytes: kept.bytes.clone() }];
    let frame = &kept.bytes;
    if frame.len() < 54 || frame[12..14] != [8, 0] || frame[23] != 6 {
        return whole();
    }
    let transport = 14 + usize::from(frame[14] & 15) * 4;
    let payload = transport + usize::from(frame[transport + 12] >> 4) * 4;
    let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    if end <= payload || end > frame.len() {
        return whole();
    }
    let sequence = frame[transport + 4..transport + 8].try_into().expect("four bytes");
    let sequence = u32::from_be_bytes(sequence);
    let (mut cuts, mut at): (Vec<usize>, usize) = (Vec::new(), payload);
    while at < end {
        cuts.push(at);
        at = if at - payload < 64 { (at + bytes).min(end) } else { end };
    }
    cuts.push(end);
    let part = |pair: &[usize]| {
        let mut bytes = [&frame[..payload], &frame[pair[0]..pair[1]]].concat();
        let total = (bytes.len() - 14) as u16;
        bytes[16..18].copy_from_slice(&total.to_be_bytes());
        let moved = sequence.wrapping_add((pair[0] - payload) as u32);
        bytes[transport + 4..transport + 8].copy_from_slice(&moved.to_be_bytes());
        Kept { at: kept.at, bytes }
    };
    cuts.windows(2).map(part).collect()
}

/// Nothing in this capture is hostile, and nobody would be blocked by name for it. Sixty segments at one moment, where
/// there was one, may still be too many for strangers.
fn assert_not_hostile(what: &str, file: &Path) -> Value {
    let report = replay(file, &SERVICES);
    let packets = &report["packets"];
    println!("{what}: {packets}");
    assert_eq!(number(packets, "hostile"), 0, "{what}: {:#}", report["reasons"]);
    assert_eq!(number(packets, "malformed"), 0, "{what}: {:#}", report["malformed"]);
    let measures = report["would_enforce"].as_array().into_iter().flatten();
    let named: Vec<_> = measures.filter(|measure| !measure["source"].is_null()).collect();
    assert!(named.is_empty(), "{what}: {named:?}");
    report
}

/// The same, and nothing at all would be dropped or limited.
fn assert_clean(what: &str, file: &Path) -> Value {
    let report = assert_not_hostile(what, file);
    assert_eq!(report["would_enforce"], Value::Array(Vec::new()), "{what}");
    report
}

#[test]
fn real_players_are_never_hostile() {
    let clients = Clients::fetch_default().expect("downloads");
    let stage = Stage::new();
    let recording = play(&stage, &clients);
    let frames = read(&recording);
    let report = assert_clean("whole", &recording);
    assert!(number(&report, "packets.genuine") > 500, "{:#}", report["packets"]);
    for port in [JAVA, BEDROCK, SOURCE, BZFLAG] {
        let flows = report["flows"].as_array().into_iter().flatten();
        let judged: u64 =
            flows.filter(|flow| flow["server_port"] == port).map(|flow| number(flow, "genuine")).sum();
        assert!(judged > 0, "nothing at port {port} was judged genuine");
    }
    let part = stage.lab.dir().join("part.pcap");
    for first in 0..10 {
        write(&part, frames.iter().skip(first).step_by(10));
        assert_clean(&format!("every tenth from {first}"), &part);
    }
    for bytes in [1, 3, 10] {
        let cut: Vec<_> = frames.iter().flat_map(|kept| split(kept, bytes)).collect();
        let written = write(&part, cut.iter());
        assert!(written > frames.len() as u64, "something was cut");
        assert_not_hostile(&format!("in segments of {bytes}"), &part);
        write(&part, cut.iter().step_by(10));
        assert_not_hostile(&format!("every tenth in segments of {bytes}"), &part);
    }
}
