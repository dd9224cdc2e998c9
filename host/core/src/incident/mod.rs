//! One attack from its first packet to the last, as people and programs are told of it.
//!
//! What must stay true: the record is a plain value that says where each number comes from. Packets, bytes and drops
//! are the kernel's; sources, vectors and shares are estimated from samples, and say so by their names.

pub(crate) mod desk;
pub(crate) mod mix;
pub(crate) mod nobody;
pub(crate) mod open;
mod reflection;
mod sentence;
pub(crate) mod vector;

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::service::ServiceKey;
use crate::tally::Amount;
use crate::time::Instant;

/// What is attacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// One service.
    Service(ServiceKey),
    /// One of the node's addresses: ports that nobody owns, fragments, protocols without ports.
    Address(IpAddr),
    /// Many addresses or ports at once.
    #[default]
    Node,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service(service) => service.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Node => f.write_str("the node"),
        }
    }
}

/// The coarse kind, as operators sort by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Not known (yet).
    #[default]
    Unknown,
    /// Connections asked for and not completed.
    Syn,
    /// Other TCP.
    Tcp,
    /// UDP that is nothing more special.
    Udp,
    /// Answers that somebody else was made to send.
    Reflection,
    /// Questions about the server.
    Query,
    /// Openings and joins of the game.
    Join,
    /// What the game itself sends while it is played, too much of it.
    Play,
    /// Fragments.
    Fragment,
    /// ICMP.
    Icmp,
    /// Another IP protocol.
    OtherProtocol,
    /// Many ports or addresses at once.
    Carpet,
    /// Several of these, each with a share of its own.
    MultiVector,
}

/// One vector of an attack and how much of it it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorShare {
    /// Kebab-case: `syn`, `syn-ack-reflection`, `dns-reflection`, `udp-random`, `query-flood`, ...
    pub vector: Arc<str>,
    /// Its family.
    pub family: Family,
    /// Per cent of the packets above the norm.
    pub share_percent: u8,
    /// What it was recognised by, as one clause.
    pub evidence: Arc<str>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Players would hardly notice.
    #[default]
    Low,
    /// The server would suffer without us.
    Medium,
    /// Other servers of the node would suffer too.
    High,
    /// No rule on this node can help: the link, the card or the kernel is full.
    Critical,
}

/// A source that sent much, estimated from samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopSource {
    /// Its address.
    pub source: IpAddr,
    /// Packets, estimated.
    pub packets: u64,
    /// Whether it completed an exchange that a forged source cannot. Others may be forged.
    pub proven: bool,
}

/// One thing that was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureTaken {
    /// Kebab-case: `shape`, `second-try`, `bucket-limit`, `crowd-limit`, `leases`, `prefix-leases`, `syn-proxy`.
    pub measure: Arc<str>,
    /// Why, as effects carry it.
    pub reason: Arc<str>,
    /// Since when.
    pub since: Instant,
    /// Until when, once it was taken back.
    pub until: Option<Instant>,
    /// Stronger measures that were considered, and why they were not taken; also why this one was withdrawn.
    pub because: Vec<Arc<str>>,
}

/// An incident. Times are of the caller's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Made on this node, counting on over restarts.
    pub id: u64,
    /// What is attacked.
    pub target: Target,
    /// The server, or `node`.
    pub server: Arc<str>,
    /// Its game's id, or `unknown`.
    pub game: Arc<str>,
    /// Further services that suffer the same attack.
    pub also: Vec<ServiceKey>,
    /// When its first packets came.
    pub opened_at: Instant,
    /// When it was last told of.
    pub changed_at: Instant,
    /// When it was over.
    pub closed_at: Option<Instant>,
    /// The coarse kind.
    pub family: Family,
    /// Its vectors, largest first.
    pub vectors: Vec<VectorShare>,
    /// How bad it is.
    pub severity: Severity,
    /// How sure that it is an attack, from 0 to 100.
    pub confidence: u8,
    /// One sentence for people.
    pub says: Arc<str>,
    /// The first reason that opened it: `plugin/reason` or `host/reason`.
    pub reason: Arc<str>,
    /// How often it fell silent and came back.
    pub pulses: u32,
    /// Normal packets a second here, as learnt.
    pub normal_pps: u64,
    /// Most packets in a second.
    pub peak_pps: u64,
    /// Most bits in a second.
    pub peak_bps: u64,
    /// Everything that came in while it was open, players included.
    pub seen: Amount,
    /// Dropped in `DOCKER-USER`.
    pub dropped_docker_user: Amount,
    /// Dropped early.
    pub dropped_early: Amount,
    /// Distinct sources, estimated to about one per cent.
    pub sources_estimated: u64,
    /// There are many sources, and most of them did nothing that a forged source cannot do.
    pub looks_forged: bool,
    /// Who sent most.
    pub top_sources: Vec<TopSource>,
    /// Players when it began.
    pub players_before: u32,
    /// Players now, or when it ended.
    pub players: u32,
    /// Flows that became proven or better while it was open.
    pub joined: u32,
    /// What was done about it.
    pub measures: Vec<MeasureTaken>,
    /// Packets a second, one number a second from the opening on; bounded, the oldest kept.
    pub pps_by_second: Vec<u32>,
}

impl Incident {
    /// Every service that is known to suffer it.
    pub fn services(&self) -> impl Iterator<Item = ServiceKey> {
        let target = match self.target {
            Target::Service(service) => Some(service),
            Target::Address(_) | Target::Node => None,
        };
        target.into_iter().chain(self.also.iter().copied())
    }
}
