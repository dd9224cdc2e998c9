//! Traffic in memory: conversations of real clients from `traffic/*.txt`, spread over many flows, and floods.
//!
//! A file has conversations that begin with `--- tcp|udp PORT weight N`; a line is `>` or `<` and the payload in
//! hexadecimal (`MAGIC` and `INFO` spelled out, `*n` pads with zeros to n bytes, none at all is an acknowledgement);
//! what stands below `round` is repeated for as long as the flow lasts. Frames are cut as live capture cuts them.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use ftagent_core::service::Judging;
use ftagent_core::service::Path;
use ftagent_core::service::Role;
use ftagent_core::service::Service;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::service::Transport;
use ftagent_core::time::Instant;
use ftagent_plugin::testing::hex;

use crate::packet;

/// The address of all servers.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// Servers of each game, ten ports apart.
pub(crate) const SERVERS: u16 = 8;

const MAGIC: &str = "00ffff00fefefefefdfdfdfd12345678";
const INFO: &str = "ffffffff54536f7572636520456e67696e6520517565727900";

const FILES: [(&str, &str); 6] = [
    ("minecraft-java", include_str!("../traffic/minecraft-java.txt")),
    ("minecraft-bedrock", include_str!("../traffic/minecraft-bedrock.txt")),
    ("rust", include_str!("../traffic/rust.txt")),
    ("fivem", include_str!("../traffic/fivem.txt")),
    ("source-query", include_str!("../traffic/source-query.txt")),
    ("generic", include_str!("../traffic/generic.txt")),
];

/// One packet of a conversation.
#[derive(Clone, Debug)]
struct Line {
    to_server: bool,
    payload: Vec<u8>,
}

/// What one client and its server say.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) game: &'static str,
    pub(crate) transport: Transport,
    pub(crate) port: u16,
    weight: u32,
    once: Vec<Line>,
    round: Vec<Line>,
}

impl Conversation {
    /// The packet of this number, handshake not counted; `None` when all is said.
    fn line(&self, number: usize) -> Option<&Line> {
        self.once.get(number).or_else(|| {
            let further = number.checked_sub(self.once.len())?;
            self.round.get(further.checked_rem(self.round.len())?)
        })
    }
}

/// All conversations of all games.
pub(crate) fn conversations() -> anyhow::Result<Vec<Conversation>> {
    let mut all = Vec::new();
    for (game, text) in FILES {
        for part in text.split("--- ").skip(1) {
            all.push(conversation(game, part).with_context(|| format!("traffic/{game}.txt"))?);
        }
    }
    Ok(all)
}

fn conversation(game: &'static str, text: &str) -> anyhow::Result<Conversation> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let head: Vec<&str> = lines.next().context("no head")?.split_whitespace().collect();
    let &[transport, port, _, weight] = head.as_slice() else { anyhow::bail!("head {head:?}") };
    let mut found = Conversation {
        game,
        transport: if transport == "tcp" { Transport::Tcp } else { Transport::Udp },
        port: port.parse()?,
        weight: weight.parse()?,
        once: Vec::new(),
        round: Vec::new(),
    };
    let mut in_round = false;
    for line in lines {
        if line == "round" {
            in_round = true;
            continue;
        }
        let said = Line { to_server: line.starts_with('>'), payload: payload(&line[1..])? };
        if in_round { found.round.push(said) } else { found.once.push(said) }
    }
    Ok(found)
}

fn payload(text: &str) -> anyhow::Result<Vec<u8>> {
    let text = text.replace("MAGIC", MAGIC).replace("INFO", INFO);
    let (text, pad_to) = text.split_once('*').unwrap_or((&text, "0"));
    let mut bytes = hex(text);
    bytes.resize(bytes.len().max(pad_to.parse()?), 0);
    Ok(bytes)
}

/// Both transports of every server of every game.
pub(crate) fn services(conversations: &[Conversation]) -> Arc<Services> {
    let mut services = Vec::new();
    for conversation in conversations {
        for server in 0..SERVERS {
            for transport in [Transport::Tcp, Transport::Udp] {
                let port = conversation.port + server * 10;
                services.push(Service {
                    key: ServiceKey { ip: IpAddr::V4(SERVER), port, transport },
                    server: format!("{}-{server}", conversation.game).into(),
                    game: conversation.game.into(),
                    role: Role::Game,
                    judging: Judging::Plugin(conversation.game.into()),
                    path: Path::Forwarded,
                    flags: 0,
                });
            }
        }
    }
    Arc::new(Services::new(services, [IpAddr::V4(SERVER)]))
}

/// An address of its own for each number below 2^24, in no order.
pub(crate) fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 | (number.wrapping_mul(0x9e37_79b1) & 0x00ff_ffff))
}

#[derive(Clone, Copy)]
struct Entry {
    at_us: u64,
    start: usize,
    captured: u16,
    wire: u16,
    out: bool,
}

/// Captured frames, one behind the other in memory as in a ring.
#[derive(Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Frames {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The frames of this range, `later_us` later than they were made.
    pub(crate) fn iter(
        &self,
        range: std::ops::Range<usize>,
        later_us: u64,
    ) -> impl Iterator<Item = Frame<'_>> {
        self.entries[range].iter().map(move |entry| Frame {
            at: Instant::from_micros(entry.at_us + later_us),
            link: Link::Ethernet,
            passage: if entry.out { Passage::Egress } else { Passage::Ingress },
            bytes: &self.bytes[entry.start..][..usize::from(entry.captured)],
            wire_bytes: u32::from(entry.wire),
            sample_rate: 1,
        })
    }

    /// Copies the frames of this range to where another block was.
    pub(crate) fn copy_into(&self, range: std::ops::Range<usize>, block: &mut Self) {
        block.bytes.clear();
        block.entries.clear();
        for entry in &self.entries[range] {
            let start = block.bytes.len();
            block.bytes.extend_from_slice(&self.bytes[entry.start..][..usize::from(entry.captured)]);
            block.entries.push(Entry { start, ..*entry });
        }
    }

    fn push(&mut self, at_us: u64, out: bool, snap: usize, packet: &packet::Packet<'_>) {
        let start = self.bytes.len();
        packet.write(&mut self.bytes);
        let wire = self.bytes.len() - start;
        self.bytes.truncate(start + wire.min(snap));
        let captured = (self.bytes.len() - start) as u16;
        self.entries.push(Entry { at_us, start, captured, wire: wire as u16, out });
    }
}

/// Bytes of each frame that live capture keeps: headers, and what the game's plugin wants.
pub(crate) type Snap<'a> = &'a dyn Fn(&str) -> usize;

/// `flows` conversations at once, each with `packets` packets at most, 50 in a second.
pub(crate) fn mix(conversations: &[&Conversation], flows: u32, packets: usize, snap: Snap<'_>) -> Frames {
    let weights: u32 = conversations.iter().map(|conversation| conversation.weight).sum();
    let choose = |flow: u32| {
        let mut at = flow % weights;
        conversations
            .iter()
            .find(|conversation| {
                let found = at < conversation.weight;
                at = at.saturating_sub(conversation.weight);
                found
            })
            .expect("smaller than the sum")
    };
    let mut turns: Vec<(u64, u32)> = Vec::new();
    for flow in 0..flows {
        // Spread over a second, so that flows begin all the time and interleave.
        let begins_us = u64::from(flow.wrapping_mul(0x9e37_79b1) >> 12);
        turns.extend((0..packets as u64).map(|packet| (begins_us + packet * 20_000, flow)));
    }
    turns.sort_unstable();
    let mut talks: Vec<packet::Talk> = (0..flows)
        .map(|flow| {
            let conversation = choose(flow);
            let port = conversation.port + (flow / weights) as u16 % SERVERS * 10;
            let client = (address(flow), 1_024 + (flow.wrapping_mul(0x9e37_79b1) >> 16) as u16 % 60_000);
            packet::Talk::new(conversation.transport, client, (SERVER, port))
        })
        .collect();
    let mut frames = Frames::default();
    for (at_us, flow) in turns {
        let (conversation, talk) = (choose(flow), &mut talks[flow as usize]);
        let snap = snap(conversation.game);
        if let Some((out, packet)) = talk.shake_hands() {
            frames.push(at_us, out, snap, &packet);
            continue;
        }
        let Some(line) = conversation.line(talk.said) else { continue };
        let packet = talk.say(line.to_server, &line.payload);
        frames.push(at_us, !line.to_server, snap, &packet);
    }
    frames
}

/// First packets of the conversations by turns, each from an address of its own, a million a second; numbers from
/// `first` on, so that several calls make different ones.
pub(crate) fn forged(conversations: &[Conversation], first: u32, packets: u32, snap: Snap<'_>) -> Frames {
    let mut frames = Frames::default();
    let ports = u32::from(SERVERS) * conversations.len() as u32;
    for number in first..first + packets {
        let conversation = &conversations[number as usize % conversations.len()];
        let server = (number % ports / conversations.len() as u32) as u16;
        let client = (address(number), 1_024 | number as u16);
        let target = (SERVER, conversation.port + server * 10);
        let mut talk = packet::Talk::new(conversation.transport, client, target);
        let (_, packet) =
            talk.shake_hands().unwrap_or_else(|| (false, talk.say(true, &conversation.once[0].payload)));
        frames.push(u64::from(number), false, snap(conversation.game), &packet);
    }
    frames
}
