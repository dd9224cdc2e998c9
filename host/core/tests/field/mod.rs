//! A battlefield for the engine: a server, players, newcomers and floods on made packet times, and a wall that does
//! what the kernel does with what the engine asks for, in the kernel's order, and counts as it counts.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

mod wall;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Roster;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Effects;
use ftagent_core::effect::Notice;
use ftagent_core::incident::Incident;
use ftagent_core::manifest::Class;
use ftagent_core::manifest::ClassRate;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::service::Transport;
use ftagent_core::tally::Tallies;
use ftagent_core::time::Instant;

use super::support;
use super::support::ACK;
use super::support::PORT;
use super::support::PSH;
use super::support::SERVER;
use super::support::SYN;
pub use wall::Wall;

/// A client's address and port.
pub type End = (Ipv4Addr, u16);

/// One packet of a client.
#[derive(Clone, Debug)]
pub struct Sent {
    pub from: End,
    pub port: u16,
    pub tcp: Option<(u8, u32, u32)>,
    pub ttl: u8,
    pub window: u16,
    /// TCP options: none, or a segment size.
    pub options: bool,
    pub payload: Vec<u8>,
}

/// A datagram to the server.
pub fn datagram(from: End, payload: &[u8]) -> Sent {
    Sent { from, port: PORT, tcp: None, ttl: 57, window: 0, options: false, payload: payload.to_vec() }
}

/// A segment to the server, as a real system sends it.
pub fn segment(from: End, fields: (u8, u32, u32), payload: &[u8]) -> Sent {
    let window = if fields.0 & SYN != 0 { 64_240 } else { 502 };
    Sent { window, options: true, tcp: Some(fields), ..datagram(from, payload) }
}

impl Sent {
    pub fn service(&self) -> ServiceKey {
        let transport = if self.tcp.is_some() { Transport::Tcp } else { Transport::Udp };
        ServiceKey { ip: IpAddr::V4(SERVER), port: self.port, transport }
    }

    fn bytes(&self) -> Vec<u8> {
        let made = match self.tcp {
            Some(fields) => support::tcp(0, self.from, (SERVER, self.port), fields, &self.payload),
            None => support::udp(0, self.from, (SERVER, self.port), &self.payload),
        };
        let mut bytes = made.bytes();
        bytes[14 + 8] = self.ttl;
        if self.tcp.is_some() {
            bytes[14 + 20 + 14..][..2].copy_from_slice(&self.window.to_be_bytes());
            if self.options {
                bytes[14 + 20 + 12] = 0x60;
                let total = u16::from_be_bytes([bytes[16], bytes[17]]) + 4;
                bytes[16..18].copy_from_slice(&total.to_be_bytes());
                bytes.splice(54..54, [2, 4, 5, 0xb4]);
            }
        }
        bytes
    }
}

/// What sends packets at its own times.
pub trait Actor {
    /// What it sends in this millisecond.
    fn sends(&mut self, at_ms: u64) -> Vec<Sent>;
    /// One of its packets reached the server; what the server answers is returned.
    fn arrives(&mut self, at_ms: u64, sent: &Sent) -> Option<support::Made>;
    /// What it is told of a packet that did not arrive: nothing, but tests count.
    fn lost(&mut self, _sent: &Sent) {}
}

/// Somebody who joins over UDP or TCP and then plays, and asks again each second as real clients do.
#[derive(Clone, Debug)]
pub struct Client {
    pub end: End,
    pub tcp: bool,
    pub from_ms: u64,
    /// Plays at this pace.
    pub every_ms: u64,
    /// First word of an opening; `o` is one that the plugin knows.
    pub opening: &'static [u8],
    /// First word of play.
    pub play: &'static [u8],
    pub stage: u8,
    pub tried_ms: Option<u64>,
    pub tries: u32,
    pub joined_ms: Option<u64>,
    pub sent: u64,
    pub lost: u64,
    /// A bot: once it has joined it comes again from its next port, and its losses do not count.
    pub rejoins: bool,
}

impl Client {
    pub fn new(number: u32, tcp: bool, from_ms: u64) -> Self {
        let end =
            (Ipv4Addr::from_bits(0xc633_6400 + number % 256 + number / 256 * 65_536), 40_000 + number as u16);
        Self::at(end, tcp, from_ms)
    }

    pub fn at(end: End, tcp: bool, from_ms: u64) -> Self {
        Self {
            end,
            tcp,
            from_ms,
            every_ms: 50,
            opening: b"opening",
            play: b"play",
            stage: 0,
            tried_ms: None,
            tries: 0,
            joined_ms: None,
            sent: 0,
            lost: 0,
            rejoins: false,
        }
    }

    /// What it says at its stage.
    fn word(&self, at_ms: u64) -> Sent {
        let number = (at_ms / self.every_ms) as u32;
        let mut play = self.play.to_vec();
        play.extend((0..number % 24).map(|byte| (number.wrapping_mul(2_654_435_761) >> (byte % 24)) as u8));
        match (self.tcp, self.stage) {
            (false, 0) => datagram(self.end, self.opening),
            (false, 1) => datagram(self.end, b"echo"),
            (false, _) => datagram(self.end, &play),
            (true, 0) => segment(self.end, (SYN, 100, 0), b""),
            (true, 1) => segment(self.end, (PSH | ACK, 101, 901), b"e"),
            (true, _) => segment(self.end, (PSH | ACK, 102 + number, 901), &play),
        }
    }
}

impl Actor for Client {
    fn sends(&mut self, at_ms: u64) -> Vec<Sent> {
        if at_ms < self.from_ms {
            return Vec::new();
        }
        if self.rejoins && self.stage >= 2 {
            self.end.1 = 1_024 + (self.end.1 + 1) % 60_000;
            (self.stage, self.tried_ms, self.tries) = (0, None, 0);
        }
        if self.stage < 2 {
            // RFC 6298: 1 s, then doubled; datagram clients ask each second. No two clocks go alike.
            let wait = if self.tcp { 1_000 << self.tries.saturating_sub(1).min(5) } else { 1_000 };
            let wait = wait + u64::from(self.end.0.to_bits() ^ u32::from(self.end.1)) * 31 % 97;
            if self.tried_ms.is_some_and(|last| at_ms - last < wait) {
                return Vec::new();
            }
            (self.tried_ms, self.tries) = (Some(at_ms), self.tries + 1);
        } else if !(at_ms + u64::from(self.end.1)).is_multiple_of(self.every_ms) {
            return Vec::new();
        }
        self.sent += u64::from(self.stage >= 2);
        vec![self.word(at_ms)]
    }

    fn arrives(&mut self, at_ms: u64, sent: &Sent) -> Option<support::Made> {
        let (server, to) = ((SERVER, sent.port), self.end);
        if self.stage < 2 && sent.payload == self.word(at_ms).payload {
            self.stage += 1;
            (self.tried_ms, self.tries) = (None, 0);
            if self.stage == 2 {
                self.joined_ms = Some(at_ms);
            }
            return Some(match (self.tcp, self.stage) {
                (true, 1) => support::tcp(at_ms, server, to, (SYN | ACK, 900, 101), b""),
                (true, _) => support::tcp(at_ms, server, to, (ACK, 901, 102), b""),
                (false, _) => support::udp(at_ms, server, to, b"answer"),
            });
        }
        None
    }

    fn lost(&mut self, _sent: &Sent) {
        self.lost += u64::from(self.stage >= 2);
    }
}

/// A flood: so many packets a millisecond, made by number.
pub struct Flood {
    pub from_ms: u64,
    pub until_ms: u64,
    pub a_ms: u32,
    pub make: Box<dyn FnMut(u32) -> Sent>,
    number: u32,
    pub sent: u64,
    pub arrived: u64,
    /// Arrived since so many milliseconds after its beginning.
    pub arrived_late: u64,
}

impl Flood {
    pub fn new(from_ms: u64, until_ms: u64, a_ms: u32, make: impl FnMut(u32) -> Sent + 'static) -> Self {
        let make = Box::new(make);
        Self { from_ms, until_ms, a_ms, make, number: 0, sent: 0, arrived: 0, arrived_late: 0 }
    }
}

impl Actor for Flood {
    fn sends(&mut self, at_ms: u64) -> Vec<Sent> {
        if at_ms < self.from_ms || at_ms >= self.until_ms {
            return Vec::new();
        }
        let first = self.number;
        self.number += self.a_ms;
        self.sent += u64::from(self.a_ms);
        (first..self.number).map(|number| (self.make)(number)).collect()
    }

    fn arrives(&mut self, at_ms: u64, _sent: &Sent) -> Option<support::Made> {
        self.arrived += 1;
        self.arrived_late += u64::from(at_ms >= self.from_ms + 2_000);
        None
    }
}

/// Everything together.
pub struct Field {
    pub engine: Engine,
    pub effects: Effects,
    obeyed: usize,
    pub wall: Wall,
    pub now_ms: u64,
    pub clients: Vec<Client>,
    pub floods: Vec<Flood>,
}

impl Field {
    pub fn new() -> Self {
        Self::with((*support::services()).clone())
    }

    pub fn with(services: Services) -> Self {
        let mut manifest = support::manifest();
        let rate = |class| ClassRate { class, per_source: 20, per_player: 20 };
        manifest.rates.extend([Class::Opening, Class::Join].map(rate));
        let roster = Arc::new(Roster::new(vec![Arc::new(manifest)]));
        let engine = Engine::new(EngineConfig::default(), roster, Arc::new(services));
        let (effects, wall) = (Effects::default(), Wall::default());
        Self { engine, effects, obeyed: 0, wall, now_ms: 1_000, clients: Vec::new(), floods: Vec::new() }
    }

    /// A field with so many who play for long, both ways, over one transport.
    pub fn with_players(count: u32, tcp: bool) -> Self {
        let mut field = Self::new();
        field.clients =
            (0..count).map(|number| Client::new(number, tcp, 1_000 + u64::from(number) * 20)).collect();
        field.run(20_000);
        field
    }

    /// Hands in one packet as capture sees it; returns whether the wall lets it through.
    pub fn send(&mut self, sent: &Sent) -> bool {
        let at = Instant::from_millis(self.now_ms);
        support::step(&mut self.engine, at, &sent.bytes(), &mut self.effects);
        self.obey();
        self.wall.passes(self.now_ms, sent)
    }

    /// A packet of the server.
    pub fn answer(&mut self, made: &support::Made) {
        let at = Instant::from_millis(self.now_ms);
        support::step(&mut self.engine, at, &made.bytes(), &mut self.effects);
    }

    fn obey(&mut self) {
        for (_, effect) in &self.effects.asked[self.obeyed..] {
            self.wall.obey(self.now_ms, effect);
        }
        self.obeyed = self.effects.asked.len();
    }

    /// Time goes on to `until_ms`.
    pub fn run(&mut self, until_ms: u64) {
        while self.now_ms < until_ms {
            self.now_ms += 1;
            let at_ms = self.now_ms;
            let mut clients = std::mem::take(&mut self.clients);
            for client in &mut clients {
                self.act(client);
                // The server tells players of the world twenty times a second, asked or not.
                if client.stage >= 2
                    && (at_ms + 27 + u64::from(client.end.1)).is_multiple_of(50)
                    && !client.tcp
                {
                    self.answer(&support::udp(at_ms, (SERVER, PORT), client.end, b"world"));
                }
            }
            self.clients = clients;
            let mut floods = std::mem::take(&mut self.floods);
            floods.iter_mut().for_each(|flood| self.act(flood));
            self.floods = floods;
            if at_ms.is_multiple_of(50) {
                self.tick();
            }
        }
    }

    /// What has waited is answered, and the kernel's counters are handed in.
    fn tick(&mut self) {
        support::flush(&mut self.engine, &mut self.effects);
        let at = Instant::from_millis(self.now_ms);
        let services = self.wall.tallies.iter().map(|(key, tally)| (*key, *tally)).collect();
        let counted = Tallies { services, ..Tallies::default() };
        self.engine.tallies(at, &counted, &mut self.effects);
        self.obey();
    }

    fn act(&mut self, actor: &mut impl Actor) {
        for sent in actor.sends(self.now_ms) {
            if !self.send(&sent) {
                actor.lost(&sent);
            } else if let Some(answer) = actor.arrives(self.now_ms, &sent) {
                self.answer(&answer);
            }
        }
    }

    /// Effects of one kind, with their times.
    pub fn asked(&self, wanted: impl Fn(&Effect) -> bool) -> Vec<(u64, &Effect)> {
        let asked = self.effects.asked.iter().filter(|(_, effect)| wanted(effect));
        asked.map(|(at, effect)| (at.as_micros() / 1_000, effect)).collect()
    }

    pub fn leases(&self) -> Vec<(u64, &Effect)> {
        self.asked(|effect| matches!(effect, Effect::Lease(lease) if lease.for_ms > 0))
    }

    pub fn second_tries(&self) -> Vec<(u64, &Effect)> {
        self.asked(|effect| matches!(effect, Effect::SecondTry(tries) if tries.for_ms > 0))
    }

    /// The last record of an incident that was told, or that of the one that is open.
    pub fn incident(&self) -> Arc<Incident> {
        let told = self.effects.asked.iter().rev().find_map(|(_, effect)| match effect {
            Effect::Notice(Notice::IncidentClosed(incident)) => Some(Arc::clone(incident)),
            _ => None,
        });
        let open = self.engine.incidents().first().cloned();
        open.or(told).expect("there was an incident")
    }

    /// Packets that playing players sent, and how many of them were lost.
    pub fn players(&self) -> (u64, u64) {
        let sums =
            self.clients.iter().filter(|client| !client.rejoins).map(|client| (client.sent, client.lost));
        sums.fold((0, 0), |(sent, lost), (more, gone)| (sent + more, lost + gone))
    }

    /// What was said about an answer, for people.
    pub fn steps(&self, transport: Transport) -> Vec<String> {
        let key = ServiceKey { ip: IpAddr::V4(SERVER), port: PORT, transport };
        let steps = self.engine.steps(&key).into_iter();
        steps
            .map(|step| {
                let at_ms = step.at.as_micros() / 1_000;
                format!("{at_ms} {} {}: {}", step.measure.name(), step.came.name(), step.says)
            })
            .collect()
    }
}

/// Numbers that look random.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// A source that nobody has.
    pub fn forged(&mut self) -> End {
        (Ipv4Addr::from_bits(0x0a00_0000 | self.roll(1 << 24) as u32), 1_024 + self.roll(60_000) as u16)
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.roll(256) as u8).collect()
    }
}
