//! Attackers: generators of hostile traffic, bounded in packets and in time, that send only from the attackers'
//! namespace of a lab and only to an address of its node.
//!
//! The shapes are those of `wire-rules` sections 5 and 6, as they were captured or described by operators. Every
//! generator tells afterwards what it really sent and when, so that a test never has to believe its own plan.

mod bots;
mod connect;
mod pace;
mod packet;
pub(crate) mod random;
mod reflection;
mod send;
mod shape;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::anyhow;
use anyhow::ensure;

use crate::Lab;
use crate::address;
use crate::namespace;

pub use reflection::REFLECTORS;
pub use reflection::Reflector;

/// What an attack consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vector {
    /// SYNs with window 0, no options and a TTL of 242 or 244: a captured flood on port 25565.
    SynFlood,
    /// SYNs with ECE and CWR, window 65535 and no options: a captured flood on port 30120.
    SynEcnFlood,
    /// SYN-ACKs from web servers that were asked in the node's name.
    SynAckReflection,
    /// ACK and PSH segments that belong to no connection.
    AckFlood,
    /// Minecraft pings of nothing: real connections that send empty frames.
    NullPing,
    /// Minecraft: real connections with a handshake that has no body.
    BadHandshake,
    /// Minecraft: real connections with a valid handshake and a login under a random name.
    JoinFlood,
    /// Minecraft: real connections that ask for the status and never read it.
    StatusFlood,
    /// Real connections that say nothing.
    SlowConnect,
    /// RakNet unconnected pings.
    RakNetPing,
    /// RakNet open connection request 1, padded to an MTU.
    RakNetOpen1,
    /// RakNet open connection request 2, for half-open connections.
    RakNetOpen2,
    /// A2S info requests of 25 bytes, one a source.
    A2sInfo,
    /// A2S player requests.
    A2sPlayer,
    /// Source `qconnect` requests.
    QConnect,
    /// Quake 3 and FiveM `getstatus`.
    GetStatus,
    /// Replies of open reflectors, one or all in turn.
    Reflection(Option<Reflector>),
    /// Datagrams without a payload.
    EmptyUdp,
    /// Random payloads of up to that many bytes.
    RandomUdp(u16),
    /// First and following fragments of UDP datagrams that are never complete.
    Fragments,
    /// ICMP echo requests.
    Icmp,
    /// Bots with valid openings and then junk: Minecraft Java logins, then frames of noise.
    JavaJunk,
    /// The same over RakNet: the whole exchange, then noise.
    RakNetJunk,
}

impl Vector {
    /// Whether its bots play by the rules at first and then send junk; `packets` and rates count junk.
    #[must_use]
    pub fn opens_validly(self) -> bool {
        matches!(self, Self::JavaJunk | Self::RakNetJunk)
    }

    /// Whether it makes real TCP connections; `packets` and rates then count connections.
    #[must_use]
    pub fn connects(self) -> bool {
        matches!(
            self,
            Self::NullPing | Self::BadHandshake | Self::JoinFlood | Self::StatusFlood | Self::SlowConnect
        )
    }
}

/// Whom an attack claims to come from, or does come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// A random address of the forged range for every packet; what is sent back reaches nobody.
    Forged,
    /// That many real addresses in turn, which answer as real hosts do; most of them of one network.
    Bots(u16),
    /// The same, spread over 128 networks (IPv4 only; of IPv6 they are as the others).
    Scattered(u16),
    /// That many forged addresses, each always with the same source port: a flood that was warmed up.
    Pool(u16),
    /// One fixed address, e.g. a player's in whose name is forged.
    As(IpAddr),
}

impl Sources {
    /// How many real addresses they are.
    pub(crate) const fn real(self) -> Option<u16> {
        match self {
            Self::Bots(count) | Self::Scattered(count) if count > 0 => Some(count),
            _ => None,
        }
    }

    /// Real address number `number`, if they have such.
    pub(crate) fn bot(self, number: u64, is_v6: bool) -> Option<IpAddr> {
        let number = (number % u64::from(self.real()?)) as u16;
        Some(match self {
            _ if is_v6 => address::bot_v6(number).into(),
            Self::Scattered(_) => address::scattered_bot(number).into(),
            _ => address::bot(number).into(),
        })
    }
}

/// How an attack's rate goes over its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pattern {
    /// The same all the time.
    #[default]
    Steady,
    /// On for so long at the beginning of each period.
    Pulses {
        /// Milliseconds of a pulse.
        on_ms: u64,
        /// Milliseconds from the beginning of one to the beginning of the next.
        every_ms: u64,
    },
    /// From nothing to the full rate, evenly.
    Ramp,
}

/// The bounds of an attack; whichever is reached first ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At most so many packets.
    pub packets: u64,
    /// At most so long.
    pub lasting: Duration,
    /// At this rate.
    pub packets_per_second: u64,
}

/// An attack that is planned and not yet begun.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    pub(crate) vector: Vector,
    pub(crate) target: SocketAddr,
    pub(crate) sources: Sources,
    pub(crate) bounds: Bounds,
    pub(crate) pattern: Pattern,
    /// So many ports in turn, from the target's on.
    pub(crate) ports: u16,
    /// From the players' namespace: whoever shares an address with players must get his answers.
    pub(crate) beside_players: bool,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sent {
    /// Packets, or connections that were opened.
    pub packets: u64,
    /// Bytes of IP packets, or of payload for connections.
    pub bytes: u64,
    /// Packets that the kernel refused, or connections that were not opened.
    pub failed: u64,
    /// When the first one was sent, on the monotonic clock.
    pub first_ms: u64,
    /// When the last one was sent.
    pub last_ms: u64,
}

impl Sent {
    /// The rate that was reached.
    #[must_use]
    pub fn packets_per_second(&self) -> u64 {
        self.packets * 1_000 / (self.last_ms - self.first_ms).max(1)
    }
}

impl Attack {
    /// An attack with small bounds: 10,000 packets at 1,000 a second, for at most 10 s, from forged sources or, where
    /// it makes connections, from 200 real ones.
    #[must_use]
    pub fn new(vector: Vector, target: SocketAddr) -> Self {
        let sources =
            if vector.connects() || vector.opens_validly() { Sources::Bots(200) } else { Sources::Forged };
        let bounds = Bounds { packets: 10_000, lasting: Duration::from_secs(10), packets_per_second: 1_000 };
        let pattern = Pattern::default();
        Self { vector, target, sources, bounds, pattern, ports: 1, beside_players: false }
    }

    /// At most so many packets.
    #[must_use]
    pub fn packets(mut self, packets: u64) -> Self {
        self.bounds.packets = packets;
        self
    }

    /// At most so long.
    #[must_use]
    pub fn lasting(mut self, lasting: Duration) -> Self {
        self.bounds.lasting = lasting;
        self
    }

    /// At this rate.
    #[must_use]
    pub fn per_second(mut self, packets_per_second: u64) -> Self {
        self.bounds.packets_per_second = packets_per_second.max(1);
        self
    }

    /// From these sources.
    #[must_use]
    pub fn from(mut self, sources: Sources) -> Self {
        self.sources = sources;
        self
    }

    /// With its rate going so over its time.
    #[must_use]
    pub fn pattern(mut self, pattern: Pattern) -> Self {
        self.pattern = pattern;
        self
    }

    /// At so many ports in turn, from the target's on; for packets that are made by hand.
    #[must_use]
    pub fn over_ports(mut self, ports: u16) -> Self {
        self.ports = ports.max(1);
        self
    }

    /// From the players' namespace, for attackers who share an address with players.
    #[must_use]
    pub fn beside_players(mut self) -> Self {
        self.beside_players = true;
        self
    }

    /// Begins it on a thread in the attackers' namespace.
    pub fn start(self, lab: &Lab) -> anyhow::Result<Running> {
        let ours = crate::address::is_nodes(self.target.ip());
        ensure!(ours, "{} is no address of the lab's node: nothing else is ever attacked", self.target);
        let forged = matches!(self.sources, Sources::Forged | Sources::Pool(_));
        let answers = self.vector.connects() || self.vector.opens_validly();
        ensure!(!(answers && forged), "a forged source cannot open a connection");
        let progress = Arc::new(Progress::default());
        let from = if self.beside_players { lab.players() } else { lab.attackers() };
        let (seen, path, held) = (Arc::clone(&progress), from.path(), lab.clone());
        let thread = std::thread::spawn(move || {
            namespace::move_thread(&path)?;
            let sent = match self.vector {
                vector if vector.connects() => connect::run(&self, &seen),
                vector if vector.opens_validly() => bots::run(&self, &seen),
                _ => send::run(&self, &seen),
            };
            drop(held);
            sent
        });
        Ok(Running { progress, thread: Some(thread) })
    }

    /// Begins it and waits for its end.
    pub fn run(self, lab: &Lab) -> anyhow::Result<Sent> {
        self.start(lab)?.finish()
    }
}

/// What a running attack shares with whoever watches it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Set by the watcher; the generator ends within milliseconds.
    pub(crate) stop: AtomicBool,
    /// Packets sent so far; only the generator writes it.
    pub(crate) packets: AtomicU64,
}

/// An attack that goes on; it is stopped when dropped.
#[derive(Debug)]
pub struct Running {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<anyhow::Result<Sent>>>,
}

impl Running {
    /// Packets sent so far.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.progress.packets.load(Ordering::Relaxed)
    }

    /// Stops it before its bounds are reached.
    pub fn stop(self) -> anyhow::Result<Sent> {
        self.progress.stop.store(true, Ordering::Relaxed);
        self.finish()
    }

    /// Waits until a bound is reached.
    pub fn finish(mut self) -> anyhow::Result<Sent> {
        let thread = self.thread.take().expect("it is taken only here and in drop");
        thread.join().map_err(|_| anyhow!("the attacker's thread panicked"))?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.progress.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
