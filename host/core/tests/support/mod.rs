//! Frames made by hand and a toy plugin in plain Rust. Addresses are documentation ranges (RFC 5737, RFC 3849).
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ftagent_core::Engine;
use ftagent_core::PluginIndex;
use ftagent_core::Run;
use ftagent_core::effect::Effects;
use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use ftagent_core::manifest::Certainty;
use ftagent_core::manifest::Class;
use ftagent_core::manifest::ClassRate;
use ftagent_core::manifest::Manifest;
use ftagent_core::manifest::Reason;
use ftagent_core::manifest::ReasonShape;
use ftagent_core::manifest::Shape;
use ftagent_core::question::Answer;
use ftagent_core::question::Batch;
use ftagent_core::question::OpinionRow;
use ftagent_core::service::Judging;
use ftagent_core::service::Path;
use ftagent_core::service::Role;
use ftagent_core::service::Service;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::service::Transport;
use ftagent_core::time::Instant;

pub const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub const PORT: u16 = 30_000;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// One packet, to be turned into a frame.
#[derive(Clone, Debug)]
pub struct Made {
    pub at_ms: u64,
    pub from: (Ipv4Addr, u16),
    pub to: (Ipv4Addr, u16),
    /// Flags, sequence, acknowledgement; UDP without.
    pub tcp: Option<(u8, u32, u32)>,
    pub payload: Vec<u8>,
}

/// A datagram.
pub fn udp(at_ms: u64, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Made {
    Made { at_ms, from, to, tcp: None, payload: payload.to_vec() }
}

/// A segment.
pub fn tcp(
    at_ms: u64,
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    fields: (u8, u32, u32),
    payload: &[u8],
) -> Made {
    Made { at_ms, from, to, tcp: Some(fields), payload: payload.to_vec() }
}

impl Made {
    /// The bytes of an Ethernet frame.
    pub fn bytes(&self) -> Vec<u8> {
        let header = if self.tcp.is_some() { 20 } else { 8 };
        let total = (20 + header + self.payload.len()) as u16;
        let mut bytes = vec![0; 12];
        bytes.extend([8, 0, 0x45, 0]);
        bytes.extend(total.to_be_bytes());
        bytes.extend([0, 1, 0x40, 0, 64, if self.tcp.is_some() { 6 } else { 17 }, 0, 0]);
        bytes.extend(self.from.0.octets());
        bytes.extend(self.to.0.octets());
        bytes.extend(self.from.1.to_be_bytes());
        bytes.extend(self.to.1.to_be_bytes());
        match self.tcp {
            Some((flags, sequence, acknowledgement)) => {
                bytes.extend(sequence.to_be_bytes());
                bytes.extend(acknowledgement.to_be_bytes());
                bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            }
            None => {
                bytes.extend((8 + self.payload.len() as u16).to_be_bytes());
                bytes.extend([0, 0]);
            }
        }
        bytes.extend(&self.payload);
        bytes
    }
}

/// A frame of these bytes.
pub fn frame(at: Instant, bytes: &[u8]) -> Frame<'_> {
    Frame {
        at,
        link: Link::Ethernet,
        passage: Passage::Unknown,
        bytes,
        wire_bytes: bytes.len() as u32,
        sample_rate: 1,
    }
}

/// A service that is judged by the toy plugin.
pub fn service(port: u16, transport: Transport, judging: Judging) -> Service {
    Service {
        key: ServiceKey { ip: IpAddr::V4(SERVER), port, transport },
        server: "server-1".into(),
        game: "toy".into(),
        role: Role::Game,
        judging,
        path: Path::Forwarded,
        flags: 0,
    }
}

/// Both transports of [`PORT`], judged by the toy plugin, and UDP at the next port, which is the wrong transport.
pub fn services() -> Arc<Services> {
    let toy = || Judging::Plugin("toy".into());
    let all = [
        service(PORT, Transport::Udp, toy()),
        service(PORT, Transport::Tcp, toy()),
        service(PORT + 1, Transport::Udp, Judging::WrongTransport),
    ];
    Arc::new(Services::new(all, [IpAddr::V4(SERVER)]))
}

/// The toy plugin's manifest.
pub fn manifest() -> Manifest {
    let reason = |name: &str, certainty| Reason {
        name: name.into(),
        certainty,
        says: "toy".into(),
        source: "toy".into(),
    };
    let shape = Shape {
        transport: Transport::Udp,
        payload_bytes: Some(1..=1),
        bytes: Vec::new(),
        tcp_flags: None,
        without_options: false,
        source_port: None,
        ttl: None,
        window: None,
    };
    Manifest {
        name: "toy".into(),
        version: "1.0.0".into(),
        contract: 1,
        license: "MIT".into(),
        authors: Vec::new(),
        summary: "toy".into(),
        payload_bytes: 64,
        stream_head: 32,
        replies: true,
        fuel_per_packet: 1_000,
        reasons: vec![
            reason("impossible-toy", Certainty::Impossible),
            reason("unusual-toy", Certainty::Unusual),
            reason("too-many-toys", Certainty::Rate),
        ],
        rates: vec![ClassRate { class: Class::Play, per_source: 200, per_player: 200 }],
        flags: Vec::new(),
        shapes: vec![ReasonShape { reason: 1, shape }],
        games: Vec::new(),
    }
}

/// Judges by the first payload byte: `!` impossible, `?` unusual, `*` too many, `p` play, `e` echoed, `o` opening;
/// and remembers in its notes everything that it was shown, so that a difference anywhere comes out.
pub fn classify(batch: &Batch) -> Answer {
    let mut flow_notes: Vec<u64> = batch.flows.iter().map(|flow| flow.note).collect();
    let mut source_notes: Vec<u64> = batch.sources.iter().map(|source| source.note).collect();
    let mix = |note: u64, fact: u64| (note ^ fact).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) + 1;
    let mut opinions = Vec::new();
    for row in &batch.packets {
        let flow = &batch.flows[row.flow as usize];
        let payload = &batch.payloads[row.payload_start as usize..][..row.payload_captured as usize];
        let head = &batch.payloads[row.head_start as usize..][..usize::from(row.head_bytes)];
        let facts = [
            row.age_us,
            u64::from(row.number),
            u64::from(row.stream_offset),
            u64::from(row.tcp_flags) << 8 | u64::from(row.direction),
            u64::from(row.flow_state) << 8 | u64::from(row.head_flags),
            head.iter().chain(payload).fold(0, |sum, byte| sum * 31 % 1_000_003 + u64::from(*byte)),
            u64::from(batch.sources[flow.source as usize].flows),
        ];
        let note = &mut flow_notes[row.flow as usize];
        *note = facts.into_iter().fold(*note, mix);
        let source = &mut source_notes[flow.source as usize];
        *source = mix(*source, *note);
        let (judgement, class, reason, proof) = match payload.first().filter(|_| row.direction == 0) {
            Some(b'!') => (2, Class::None, 1, 0),
            Some(b'?') => (2, Class::None, 2, 0),
            Some(b'*') => (2, Class::Query, 3, 0),
            Some(b'p') => (1, Class::Play, 0, 0),
            Some(b'e') => (1, Class::Join, 0, 1),
            Some(b'o') => (1, Class::Opening, 0, 0),
            _ => (0, Class::None, 0, 0),
        };
        let class = class as u8;
        let detail = (*note ^ *source) as u32;
        opinions.push(OpinionRow { detail, reason, judgement, class, proof, ..OpinionRow::default() });
    }
    Answer { opinions, flow_notes, source_notes }
}

/// Answers a batch; returns the opinions.
pub fn answer(engine: &mut Engine, plugin: PluginIndex, effects: &mut Effects) -> Vec<OpinionRow> {
    let answer = classify(engine.batch(plugin));
    engine.answer(plugin, Ok(&answer), effects);
    answer.opinions
}

/// Hands in one frame and answers what must be answered; returns the opinions.
pub fn step(engine: &mut Engine, at: Instant, bytes: &[u8], effects: &mut Effects) -> Vec<OpinionRow> {
    engine.frame(&frame(at, bytes), effects);
    let mut opinions = Vec::new();
    while let Some(plugin) = engine.full() {
        opinions.extend(answer(engine, plugin, effects));
    }
    opinions
}

/// Hands in a run and answers what must be answered in between; returns the opinions.
pub fn step_run(engine: &mut Engine, run: &mut Run, effects: &mut Effects) -> Vec<OpinionRow> {
    engine.look_ahead(run);
    let mut opinions = Vec::new();
    let mut at = 0;
    while at < run.len() {
        at = engine.run(run, at, effects);
        while let Some(plugin) = engine.full() {
            opinions.extend(answer(engine, plugin, effects));
        }
    }
    run.clear();
    opinions
}

/// Answers everything that waits.
pub fn flush(engine: &mut Engine, effects: &mut Effects) -> Vec<OpinionRow> {
    let mut opinions = Vec::new();
    while let Some(plugin) = engine.pending() {
        opinions.extend(answer(engine, plugin, effects));
    }
    opinions
}
