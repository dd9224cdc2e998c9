//! What the engine asks of the world. Plain values that can be written down (`rmp-serde`), small and closed: a
//! sandbox escape could ask for a bounded lease and nothing more.
//!
//! Every measure has an end. Asking again for the same thing renews it; nothing else keeps it alive.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::incident::Incident;
use crate::manifest::Shape;
use crate::service::ServiceKey;
use crate::time::Instant;

/// Where a lease applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One service.
    Service(ServiceKey),
    /// Everything on the node.
    Node,
}

/// A block of one proven hostile source, for a while. IPv6 sources stand for their /64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who.
    pub source: IpAddr,
    /// How much of the address counts: 32 and 128 for one address; less where many leases of one network are merged.
    pub prefix_bits: u8,
    /// Where.
    pub scope: Scope,
    /// For how long.
    pub for_ms: u32,
    /// Why: `plugin/reason` or `host/reason`.
    pub reason: Arc<str>,
}

/// A player's lane: packets of this flow pass whatever strangers do, up to a rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// The player's address.
    pub source: IpAddr,
    /// The player's port; `None` for the smaller lane of the same address.
    pub source_port: Option<u16>,
    /// The service.
    pub service: ServiceKey,
    /// For how long.
    pub for_ms: u32,
    /// Up to this rate.
    pub packets_per_second: u32,
}

/// A limit on all who have no lane at a service, as a crowd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrowdLimit {
    /// The service.
    pub service: ServiceKey,
    /// What they may send together.
    pub packets_per_second: u32,
    /// How many at once.
    pub burst: u32,
    /// For how long.
    pub for_ms: u32,
    /// Why.
    pub reason: Arc<str>,
}

/// A shape that no client of this game sends is dropped at a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeDrop {
    /// The service.
    pub service: ServiceKey,
    /// The shape.
    pub shape: Shape,
    /// Count only: a shape that was found, not declared, must first show what it hits.
    pub trial: bool,
    /// For how long.
    pub for_ms: u32,
    /// Why.
    pub reason: Arc<str>,
}

/// Strangers pass at their second try: the same addresses and ports asking again after a moment, as TCP and RakNet
/// clients do and forged sources do not. Of TCP it concerns SYNs only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondTry {
    /// The service.
    pub service: ServiceKey,
    /// A try sooner than this after the first is none.
    pub after_ms: u32,
    /// Nor one later than this.
    pub within_ms: u32,
    /// For how long.
    pub for_ms: u32,
    /// Why.
    pub reason: Arc<str>,
}

/// What of their addresses tells strangers from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grain {
    /// The source: an IPv4 address, an IPv6 /64.
    #[default]
    Source,
    /// Its network: IPv4 /24, IPv6 /48.
    Network,
}

/// A limit on strangers by hashed source or network: a bounded number of buckets that forged sources cannot fill up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketLimit {
    /// The service.
    pub service: ServiceKey,
    /// Who shares a bucket.
    pub grain: Grain,
    /// What all sources of one bucket may send together.
    pub packets_per_second: u32,
    /// How many at once.
    pub burst: u32,
    /// For how long.
    pub for_ms: u32,
    /// Why.
    pub reason: Arc<str>,
}

/// The kernel answers SYNs for the server and hands over completed handshakes only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SynProxy {
    /// The service; TCP.
    pub service: ServiceKey,
    /// Maximum segment size that is announced for the server.
    pub segment_bytes: u16,
    /// Window scale that is announced for the server.
    pub window_scale: u8,
    /// For how long.
    pub for_ms: u32,
    /// Why.
    pub reason: Arc<str>,
}

/// A change that people and logs want to know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Notice {
    /// The first hostile opinion at a service since it was last calm.
    FirstHostile { service: ServiceKey, source: IpAddr, reason: Arc<str> },
    /// An attack has begun.
    IncidentOpened(Arc<Incident>),
    /// More is known of it.
    IncidentChanged(Arc<Incident>),
    /// It is over.
    IncidentClosed(Arc<Incident>),
}

/// One thing that the engine asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Block a source for a while.
    Lease(Lease),
    /// Keep a player's lane open.
    Lane(Lane),
    /// Limit the strangers of a service.
    CrowdLimit(CrowdLimit),
    /// Drop a shape at a service.
    ShapeDrop(ShapeDrop),
    /// Let strangers pass at their second try.
    SecondTry(SecondTry),
    /// Limit strangers by hashed source or network.
    BucketLimit(BucketLimit),
    /// Let the kernel answer SYNs.
    SynProxy(SynProxy),
    /// Tell people.
    Notice(Notice),
}

/// The effects of one step, in order, each with the packet time that caused it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What was asked for and when.
    pub asked: Vec<(Instant, Effect)>,
}

impl Effects {
    /// Asks for one more thing.
    pub fn ask(&mut self, at: Instant, effect: Effect) {
        self.asked.push((at, effect));
    }
}
