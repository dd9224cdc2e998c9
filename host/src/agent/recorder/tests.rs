//! The recorder beside a real engine: what it hands to the writer, and what reaches the disk.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::sync_channel;

use ftagent_capture::CaptureFile;
use ftagent_capture::Ended;
use ftagent_core::EngineConfig;
use ftagent_core::NoOpinion;
use ftagent_core::Roster;
use ftagent_core::effect::Effects;
use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use ftagent_core::incident::Incident;
use ftagent_core::incident::Target;
use ftagent_core::manifest::Manifest;
use ftagent_core::service::Judging;
use ftagent_core::service::Path;
use ftagent_core::service::Service;
use ftagent_core::service::Services;

use super::*;
use crate::config::ForensicsConfig;

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 42;
const GAME: u16 = 30_000;
const WRONG: u16 = 30_001;
const RCON: u16 = 30_002;
const NAMELESS: u16 = 30_003;

fn service(port: u16, role: Role, judging: Judging) -> Service {
    Service {
        key: key(port),
        server: format!("server-{port}").as_str().into(),
        game: "toy".into(),
        role,
        judging,
        path: Path::Forwarded,
        flags: 0,
    }
}

fn key(port: u16) -> ServiceKey {
    ServiceKey { ip: IpAddr::V4(SERVER), port, transport: Transport::Udp }
}

fn manifest() -> Manifest {
    Manifest {
        name: "toy".into(),
        version: "1.0.0".into(),
        contract: 1,
        license: "MIT".into(),
        authors: Vec::new(),
        summary: "toy".into(),
        payload_bytes: 8,
        stream_head: 0,
        replies: false,
        fuel_per_packet: 1_000,
        reasons: Vec::new(),
        rates: Vec::new(),
        flags: Vec::new(),
        shapes: Vec::new(),
        games: Vec::new(),
    }
}

/// An engine with a recorder whose messages come here.
struct Rig {
    engine: Engine,
    recorder: Recorder,
    messages: Receiver<Message>,
    effects: Effects,
}

impl Rig {
    fn new(pcap: Pcap) -> Self {
        let toy = || Judging::Plugin("toy".into());
        let services = Services::new(
            [
                service(GAME, Role::Game, toy()),
                service(WRONG, Role::Game, Judging::WrongTransport),
                service(RCON, Role::Rcon, toy()),
                service(NAMELESS, Role::Unknown, toy()),
            ],
            [IpAddr::V4(SERVER)],
        );
        let roster = Arc::new(Roster::new(vec![Arc::new(manifest())]));
        let mut engine = Engine::new(EngineConfig::default(), roster, Arc::new(services));
        let (sender, messages) = sync_channel(limits::WAITING);
        let mut recorder = Recorder::new(pcap, sender);
        recorder.tick(&mut engine, Instant::START);
        Self { engine, recorder, messages, effects: Effects::default() }
    }

    /// One packet of 20 bytes of payload to or from a port, and the answer to it.
    fn packet(&mut self, at_us: u64, port: u16, reply: bool) {
        let client = Ipv4Addr::from_bits(0xc000_0200 | at_us as u32 & 0xff);
        let bytes = if reply {
            datagram((SERVER, port), (client, 40_000))
        } else {
            datagram((client, 40_000), (SERVER, port))
        };
        let at = Instant::from_micros(at_us);
        let wire_bytes = bytes.len() as u32;
        let passage = if reply { Passage::Egress } else { Passage::Ingress };
        let frame = Frame { at, link: Link::Ethernet, passage, bytes: &bytes, wire_bytes, sample_rate: 1 };
        self.engine.frame(&frame, &mut self.effects);
        self.recorder.frame(&mut self.engine, &frame);
        while let Some(plugin) = self.engine.pending() {
            self.engine.answer(plugin, Err(NoOpinion::Missing), &mut self.effects);
        }
        self.recorder.judge(&mut self.engine);
        self.effects.asked.clear();
        if at_us.is_multiple_of(10_000) {
            self.recorder.tick(&mut self.engine, at);
        }
    }

    fn opened(&mut self, id: u64, target: Target, at_us: u64) {
        let opened_at = Instant::from_micros(at_us);
        let incident = Incident { id, target, opened_at, ..Incident::default() };
        self.recorder.notice(&self.engine, &Notice::IncidentOpened(Arc::new(incident)));
    }

    fn closed(&mut self, id: u64) {
        let incident = Incident { id, ..Incident::default() };
        self.recorder.notice(&self.engine, &Notice::IncidentClosed(Arc::new(incident)));
    }

    /// What came for a recording so far.
    fn kept(&mut self, at_us: u64) -> Vec<(u64, Kept)> {
        self.recorder.tick(&mut self.engine, Instant::from_micros(at_us));
        let mut kept = Vec::new();
        while let Ok(message) = self.messages.try_recv() {
            if let Message::Packets { id, packets } = message {
                kept.extend(packets.into_iter().map(|packet| (id, packet)));
            }
        }
        kept
    }
}

fn datagram(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    bytes.extend([8, 0, 0x45, 0, 0, 48, 0, 1, 0x40, 0, 64, 17, 0, 0]);
    bytes.extend(from.0.octets());
    bytes.extend(to.0.octets());
    bytes.extend(from.1.to_be_bytes());
    bytes.extend(to.1.to_be_bytes());
    bytes.extend([0, 28, 0, 0]);
    bytes.extend([b'x'; 20]);
    bytes
}

fn port_of(kept: &Kept) -> u16 {
    let port = |at: usize| u16::from_be_bytes([kept.bytes[at], kept.bytes[at + 1]]);
    if kept.says.judgement == "reply" { port(34) } else { port(36) }
}

#[test]
fn l14_two_incidents_at_once_keep_their_own_packets_from_before_and_during() {
    let mut rig = Rig::new(Pcap::Heads);
    for at_ms in 0..100 {
        rig.packet(at_ms * 1_000, GAME, at_ms % 10 == 0);
        rig.packet(at_ms * 1_000 + 1, WRONG, false);
    }
    rig.opened(1, Target::Service(key(GAME)), 100_000);
    for at_ms in 100..200 {
        rig.packet(at_ms * 1_000, GAME, false);
        rig.packet(at_ms * 1_000 + 1, WRONG, false);
    }
    rig.opened(2, Target::Service(key(WRONG)), 200_000);
    for at_ms in 200..300 {
        rig.packet(at_ms * 1_000, GAME, false);
        rig.packet(at_ms * 1_000 + 1, WRONG, false);
    }
    let kept = rig.kept(300_000);
    for (id, port, says) in
        [(1, GAME, "unknown - stranger"), (2, WRONG, "hostile host/wrong-transport stranger")]
    {
        let own: Vec<_> = kept.iter().filter(|(of, _)| *of == id).map(|(_, kept)| kept).collect();
        assert!(own.iter().all(|kept| port_of(kept) == port), "incident {id}");
        assert!(own.windows(2).all(|pair| pair[0].at <= pair[1].at), "in order");
        let before = own.iter().filter(|kept| kept.at < Instant::from_millis(100)).count();
        assert_eq!(before, 100, "incident {id} from before");
        assert!(own.len() > 150, "incident {id} while it is open: {}", own.len());
        let spoken = own.iter().filter(|kept| kept.says.to_string().starts_with(says)).count();
        assert!(spoken > 100, "incident {id}: {}", own[0].says);
    }
    let replies = kept.iter().filter(|(_, kept)| kept.says.judgement == "reply").count();
    assert_eq!(replies, 10);
    assert_eq!(rig.recorder.lost(), 0);
}

#[test]
fn u25_l16_a_flood_is_sampled_to_its_end() {
    let mut rig = Rig::new(Pcap::Heads);
    rig.opened(1, Target::Node, 0);
    let mut kept = Vec::new();
    // 30,000 packets in ten seconds.
    for number in 0..30_000 {
        rig.packet(number * 333, WRONG, false);
        if number % 300 == 0 {
            kept.extend(rig.kept(number * 333));
        }
    }
    kept.extend(rig.kept(10_000_000));
    for second in 0..9 {
        let within = kept.iter().filter(|(_, kept)| kept.at.as_micros() / 1_000_000 == second).count();
        assert!((40..400).contains(&within), "{within} packets in second {second}");
    }
    let stand_for: u32 = kept.iter().map(|(_, kept)| kept.says.stands_for).sum();
    assert!((29_000..=30_000).contains(&stand_for), "all are counted: {stand_for}");
    rig.closed(1);
    rig.packet(10_100_000, WRONG, false);
    assert_eq!(rig.kept(10_200_000).len(), 0, "closed is closed");
}

#[test]
fn ports_for_credentials_are_never_kept_and_payload_only_where_a_plugin_reads_it() {
    for pcap in [Pcap::Heads, Pcap::Full] {
        let mut rig = Rig::new(pcap);
        for at_ms in 0..20 {
            for port in [GAME, RCON, NAMELESS, 9] {
                rig.packet(at_ms * 1_000, port, false);
                rig.packet(at_ms * 1_000, port, true);
            }
        }
        rig.opened(1, Target::Node, 20_000);
        let kept = rig.kept(20_000);
        let longest = |port: u16, reply: bool| {
            let of_it = kept.iter().map(|(_, kept)| kept).filter(|kept| port_of(kept) == port);
            of_it.filter(|kept| (kept.says.judgement == "reply") == reply).map(|kept| kept.bytes.len()).max()
        };
        let whole = pcap == Pcap::Full;
        assert_eq!(longest(GAME, false), Some(HEADERS + if whole { 20 } else { 8 }));
        assert_eq!(longest(GAME, true), Some(HEADERS + if whole { 20 } else { 0 }));
        assert_eq!(longest(NAMELESS, false), Some(HEADERS), "nobody said what it is for");
        assert_eq!(longest(9, false), Some(HEADERS), "nobody's port");
        assert_eq!((longest(RCON, false), longest(RCON, true)), (None, None));
    }
}

#[test]
fn without_files_a_recording_by_hand_still_works_and_ends_by_itself() {
    let mut rig = Rig::new(Pcap::Off);
    rig.packet(0, GAME, false);
    rig.opened(1, Target::Node, 0);
    assert_eq!(rig.kept(0).len(), 0);
    let (blocks, _received) = tokio::sync::mpsc::channel(1);
    let recording = |number| Recording {
        number,
        services: vec![key(GAME)],
        seconds: 1,
        comment: String::new(),
        anonymiser: None,
        blocks: blocks.clone(),
    };
    for (number, begun) in [(1, true), (2, true), (3, true), (4, true), (5, false)] {
        assert_eq!(rig.recorder.record(&mut rig.engine, Instant::START, recording(number)), begun);
    }
    let mut kept = Vec::new();
    for at_ms in 1..1_500 {
        rig.packet(at_ms * 1_000, GAME, false);
        rig.packet(at_ms * 1_000, WRONG, false);
        if at_ms % 100 == 0 {
            kept.extend(rig.kept(at_ms * 1_000));
        }
    }
    kept.extend(rig.kept(1_500_000));
    assert!(kept.iter().all(|(_, kept)| port_of(kept) == GAME));
    // Each of the four has the second's packets, up to the next look at the clock.
    assert!((4 * 990..=4 * 1_010).contains(&kept.len()), "{}", kept.len());
    rig.packet(1_600_000, GAME, false);
    assert_eq!(rig.kept(1_600_000).len(), 0);
    assert!(rig.engine.placed().is_none(), "nobody listens any more");
}

#[test]
fn l15_rings_are_bounded_together_and_freed_when_they_are_old() {
    let mut rig = Rig::new(Pcap::Heads);
    for at_ms in 0..20_000 {
        rig.packet(at_ms * 1_000, GAME, false);
    }
    let most = limits::RING_PACKETS / limits::RING_STEP_PACKETS * Ring::step_bytes(limits::HEAD_BYTES);
    assert_eq!(rig.recorder.ring_bytes, most);
    rig.recorder.tick(&mut rig.engine, Instant::from_millis(51_000));
    assert_eq!(rig.recorder.ring_bytes, 0);
    rig.opened(1, Target::Node, 51_000_000);
    assert_eq!(rig.kept(51_000_000).len(), 0);
}

#[test]
fn what_is_kept_reaches_the_disk_with_its_comments_and_only_root_can_read_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let folder = dir.path().join("incidents");
    let (messages, thread) = start(folder.clone(), &ForensicsConfig::default()).expect("a thread");
    let mut rig = Rig::new(Pcap::Heads);
    rig.recorder.messages = messages;
    for at_ms in 0..50 {
        rig.packet(at_ms * 1_000, WRONG, false);
    }
    rig.opened(7, Target::Service(key(WRONG)), 50_000);
    rig.packet(60_000, WRONG, false);
    rig.closed(7);
    drop(rig);
    thread.join().expect("it does not panic");
    let path = folder.join("7.pcapng");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode();
    assert_eq!((mode(&path) & 0o777, mode(&folder) & 0o777), (0o600, 0o700));
    let mut file = CaptureFile::open(&path).expect("a capture");
    let mut wall = Vec::new();
    while let Some(frame) = file.next_frame() {
        assert_eq!(frame.bytes.len(), HEADERS);
        wall.push(frame.at);
        let says = file.comment();
        assert!(says.starts_with("hostile host/wrong-transport stranger "), "{says}");
        assert!(says.ends_with(" read=0 for=1"), "{says}");
    }
    assert_eq!((file.ended(), wall.len()), (Some(&Ended::Clean), 51));
    assert!(file.section_comment().contains("incident 7 on 203.0.113.10:30001/udp"));
    // Two messages, and the wall clock was asked anew.
    let gap_us = wall[50].micros_since(wall[49]);
    assert!((10_000..13_000).contains(&gap_us), "{gap_us}");
}

#[test]
fn what_a_packet_costs_is_said() {
    const PACKETS: u64 = 400_000;
    let bytes = datagram((Ipv4Addr::new(192, 0, 2, 1), 40_000), (SERVER, GAME));
    let mut nanos = [u128::MAX; 3];
    for round in 0..15 {
        let which = round % 3;
        // Nobody records; the ring only; the ring and an incident.
        let mut rig = Rig::new(if which == 0 { Pcap::Off } else { Pcap::Heads });
        if which == 2 {
            rig.opened(1, Target::Node, 0);
        }
        let begun = std::time::Instant::now();
        for number in 0..PACKETS {
            // A million packets a second.
            let at = Instant::from_micros(number);
            let wire_bytes = bytes.len() as u32;
            let (link, passage) = (Link::Ethernet, Passage::Ingress);
            let frame = Frame { at, link, passage, bytes: &bytes, wire_bytes, sample_rate: 1 };
            rig.engine.frame(&frame, &mut rig.effects);
            while let Some(plugin) = rig.engine.full() {
                rig.engine.answer(plugin, Err(NoOpinion::Missing), &mut rig.effects);
                rig.effects.asked.clear();
            }
            rig.recorder.frame(&mut rig.engine, &frame);
        }
        nanos[which] = nanos[which].min(begun.elapsed().as_nanos() / u128::from(PACKETS));
    }
    let [without, ring, incident] = nanos;
    println!(
        "engine and recorder, ns a packet, best of 5: without {without}, ring {ring}, and incident {incident}"
    );
}
