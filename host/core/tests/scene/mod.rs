//! Attacks and players in made packet times: what the tests of detection, baselines and classification share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

#[path = "../support/mod.rs"]
pub mod support;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Roster;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Effects;
use ftagent_core::effect::Notice;
use ftagent_core::frame::Passage;
use ftagent_core::incident::Incident;
use ftagent_core::service::Judging;
use ftagent_core::service::Service;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::service::Transport;
use ftagent_core::tally::Amount;
use ftagent_core::tally::ServiceTally;
use ftagent_core::tally::Tallies;
use ftagent_core::time::Instant;
pub use support::PORT;
pub use support::SERVER;

/// The same port on another address of the node.
pub const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);

/// An engine, what it asked for, and what its kernel counted.
pub struct Scene {
    pub engine: Engine,
    pub effects: Effects,
    /// What the kernel has counted.
    pub counted: Tallies,
}

/// A game that nobody understands on `port` of `ip`.
pub fn opaque(ip: Ipv4Addr, port: u16, transport: Transport, server: &str) -> Service {
    let mut service = support::service(port, transport, Judging::Plugin("none".into()));
    service.key.ip = IpAddr::V4(ip);
    service.server = server.into();
    service
}

/// UDP at [`PORT`], of the server.
pub fn key() -> ServiceKey {
    ServiceKey { ip: IpAddr::V4(SERVER), port: PORT, transport: Transport::Udp }
}

impl Scene {
    /// The services of [`support::services`].
    pub fn new() -> Self {
        Self::with(support::services(), EngineConfig::default())
    }

    pub fn of(services: Vec<Service>) -> Self {
        let own = [IpAddr::V4(SERVER), IpAddr::V4(OTHER)];
        Self::with(Arc::new(Services::new(services, own)), EngineConfig::default())
    }

    pub fn with(services: Arc<Services>, config: EngineConfig) -> Self {
        let roster = Arc::new(Roster::new(vec![Arc::new(support::manifest())]));
        let engine = Engine::new(config, roster, services);
        Self { engine, effects: Effects::default(), counted: Tallies::default() }
    }

    /// One frame that stands for `weight`.
    pub fn frame(&mut self, at_us: u64, bytes: &[u8], weight: u32, passage: Passage) {
        let mut frame = support::frame(Instant::from_micros(at_us), bytes);
        (frame.sample_rate, frame.passage) = (weight, passage);
        self.engine.frame(&frame, &mut self.effects);
        while let Some(plugin) = self.engine.full() {
            support::answer(&mut self.engine, plugin, &mut self.effects);
        }
    }

    /// `pps` for `for_ms`, as frames that stand for `weight` each; `make` knows the number of each.
    pub fn flood(&mut self, from_ms: u64, for_ms: u64, pps: u64, weight: u32, make: impl Fn(u32) -> Vec<u8>) {
        let frames = pps * for_ms / 1_000 / u64::from(weight);
        for number in 0..frames {
            let at_us = from_ms * 1_000 + number * for_ms * 1_000 / frames;
            self.frame(at_us, &make(number as u32), weight, Passage::Ingress);
        }
        self.rest(from_ms + for_ms);
    }

    /// `players` of a game, whom the server answers: `pps` each way and each, for `for_ms`. Each stands for `weight`.
    pub fn play(&mut self, from_ms: u64, for_ms: u64, players: u32, pps: u64, weight: u32) {
        self.play_at((SERVER, PORT), (from_ms, for_ms), (0, players), pps, weight);
    }

    /// The same, at a service, and from a numbered player on.
    pub fn play_at(
        &mut self,
        service: (Ipv4Addr, u16),
        (from_ms, for_ms): (u64, u64),
        (first, players): (u32, u32),
        pps: u64,
        weight: u32,
    ) {
        let rounds = pps * for_ms / 1_000;
        for round in 0..rounds {
            for player in first..first + players {
                let client =
                    (Ipv4Addr::from_bits(0xc000_0200 + player / 200), 40_000 + (player % 200) as u16);
                let span_us = for_ms * 1_000 / rounds;
                let at_us = from_ms * 1_000
                    + round * span_us
                    + u64::from(player - first) * span_us / u64::from(players);
                let asked = support::udp(0, client, service, b"xplay").bytes();
                self.frame(at_us, &asked, weight, Passage::Ingress);
                let answered = support::udp(0, service, client, b"yplay").bytes();
                self.frame(at_us + 1, &answered, 1, Passage::Egress);
            }
        }
        self.rest(from_ms + for_ms);
    }

    /// Everything is answered, and time has come to `at_ms`.
    pub fn rest(&mut self, at_ms: u64) {
        support::flush(&mut self.engine, &mut self.effects);
        self.engine.tick(Instant::from_millis(at_ms), &mut self.effects);
    }

    /// The kernel counts `pps` of `bytes` each at a service for so long; it is read each `tick_ms`.
    pub fn count(
        &mut self,
        service: ServiceKey,
        from_ms: u64,
        for_ms: u64,
        tick_ms: u64,
        (pps, bytes): (u64, u64),
    ) {
        for tick in 1..=for_ms / tick_ms {
            let tally = self.tally(service);
            let packets = pps * tick * tick_ms / 1_000 - pps * (tick - 1) * tick_ms / 1_000;
            tally.seen.packets += packets;
            tally.seen.bytes += packets * bytes;
            self.read(from_ms + tick * tick_ms);
        }
    }

    /// The same, all of it in players' lanes.
    pub fn count_lanes(
        &mut self,
        service: ServiceKey,
        from_ms: u64,
        for_ms: u64,
        tick_ms: u64,
        (pps, bytes): (u64, u64),
    ) {
        for tick in 1..=for_ms / tick_ms {
            self.tally(service).lane.packets += pps * tick_ms / 1_000;
            self.count(service, from_ms + (tick - 1) * tick_ms, tick_ms, tick_ms, (pps, bytes));
        }
    }

    /// The counters of a service, to be changed.
    pub fn tally(&mut self, service: ServiceKey) -> &mut ServiceTally {
        let known = self.counted.services.iter().position(|(key, _)| *key == service);
        let at = known.unwrap_or_else(|| {
            self.counted.services.push((service, ServiceTally::default()));
            self.counted.services.len() - 1
        });
        &mut self.counted.services[at].1
    }

    /// The kernel's counters are read.
    pub fn read(&mut self, at_ms: u64) {
        self.engine.tallies(Instant::from_millis(at_ms), &self.counted, &mut self.effects);
    }

    /// What people were told: what, when in ms, and of what.
    pub fn told(&self) -> Vec<(&'static str, u64, Arc<Incident>)> {
        let notices = self.effects.asked.iter().filter_map(|(at, effect)| {
            let (what, incident) = match effect {
                Effect::Notice(Notice::IncidentOpened(incident)) => ("opened", incident),
                Effect::Notice(Notice::IncidentChanged(incident)) => ("changed", incident),
                Effect::Notice(Notice::IncidentClosed(incident)) => ("closed", incident),
                _ => return None,
            };
            Some((what, at.as_micros() / 1_000, Arc::clone(incident)))
        });
        notices.collect()
    }

    /// Those of one kind.
    pub fn of_kind(&self, kind: &str) -> Vec<(u64, Arc<Incident>)> {
        let told = self.told().into_iter().filter(|(what, _, _)| *what == kind);
        told.map(|(_, at_ms, incident)| (at_ms, incident)).collect()
    }

    /// The only incident that was opened: when.
    pub fn opened(&self) -> u64 {
        let opened = self.of_kind("opened");
        let says: Vec<_> = opened.iter().map(|(at_ms, incident)| (at_ms, &incident.says)).collect();
        assert_eq!(opened.len(), 1, "{says:?}");
        opened[0].0
    }

    /// The newest record of the only incident.
    pub fn record(&self) -> Arc<Incident> {
        self.opened();
        let open = self.engine.incidents();
        open.into_iter().next().unwrap_or_else(|| self.told().pop().expect("one was opened").2)
    }

    /// Nothing was told.
    pub fn is_quiet(&self) {
        let says: Vec<_> =
            self.told().iter().map(|told| (told.0, told.1, Arc::clone(&told.2.says))).collect();
        assert!(says.is_empty(), "{says:?}");
    }
}

/// A forged source of this number.
pub fn forged(number: u32) -> (Ipv4Addr, u16) {
    (Ipv4Addr::from_bits(0x0a00_0000 | number & 0x00ff_ffff), 1_025 + (number % 50_000) as u16)
}

/// A datagram of a forged source to a service.
pub fn junk(number: u32, payload: &[u8]) -> Vec<u8> {
    support::udp(0, forged(number), (SERVER, PORT), payload).bytes()
}

/// A segment of a forged source to a service.
pub fn segment(number: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    support::tcp(0, forged(number), (SERVER, PORT), (flags, number, 0), payload).bytes()
}

/// An IPv4 packet of any protocol; `fragment` is the field of RFC 791.
pub fn ip(number: u32, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = support::udp(0, forged(number), (SERVER, 0), b"").bytes();
    bytes.truncate(34);
    bytes.extend(payload);
    let total = (bytes.len() - 14) as u16;
    bytes[16..18].copy_from_slice(&total.to_be_bytes());
    bytes[20..22].copy_from_slice(&fragment.to_be_bytes());
    bytes[23] = protocol;
    bytes
}

/// An echo request of so many bytes.
pub fn ping(number: u32, bytes: usize) -> Vec<u8> {
    let mut echo = vec![8, 0, 0, 0, 0, 1, 0, 1];
    echo.resize(bytes.max(8), b'a');
    ip(number, 1, 0, &echo)
}

/// A datagram over IPv6 from a forged source.
pub fn udp6(number: u32, to: std::net::Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([17, 64]);
    let source =
        std::net::Ipv6Addr::from_bits(0x2001_0db8_0000_0000_0000_0000_0000_0000 | u128::from(number) << 40);
    bytes.extend(source.octets());
    bytes.extend(to.octets());
    bytes.extend(1_234u16.to_be_bytes());
    bytes.extend(PORT.to_be_bytes());
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

/// Packets of so many bytes each.
pub fn amount(packets: u64, bytes: u64) -> Amount {
    Amount { packets, bytes: packets * bytes }
}
