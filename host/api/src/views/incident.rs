//! Incidents as people and programs read them, in files too: wall-clock times, units in the names, plain words.

use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

/// How far an incident is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// It goes on.
    #[default]
    Open,
    /// It is over.
    Closed,
    /// The agent ended before it did; how it ended nobody saw.
    Interrupted,
}

impl std::fmt::Display for IncidentState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Interrupted => "interrupted",
        })
    }
}

/// One vector of an attack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorView {
    /// Kebab-case: `syn`, `dns-reflection`, `query-flood`, ...
    pub vector: String,
    /// Its family.
    pub family: String,
    /// Share of the packets above the norm.
    pub share_percent: u8,
    /// What it was recognised by.
    pub evidence: String,
}

/// A source that sent much, estimated from samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopSourceView {
    /// Its address.
    pub source: IpAddr,
    /// Packets, estimated.
    pub packets_estimated: u64,
    /// Whether it completed an exchange that a forged source cannot. Others may be forged.
    pub proven: bool,
}

/// One thing that was done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureTakenView {
    /// Kebab-case: `shape`, `second-try`, `crowd-limit`, `leases`, ...
    pub measure: String,
    /// Why.
    pub reason: String,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Until when, once it was taken back.
    pub until_unix_ms: Option<u64>,
    /// Stronger ones that were considered and why they were not taken; also why this one was withdrawn.
    pub because: Vec<String>,
}

/// An incident. Packets, bytes and drops are the kernel's; what is estimated from samples says so by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IncidentView {
    /// Made on this node, counting on over restarts.
    pub id: u64,
    /// How far it is.
    pub state: IncidentState,
    /// When its first packets came, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// When it was last told of.
    pub changed_unix_ms: u64,
    /// When it was over.
    pub ended_unix_ms: Option<u64>,
    /// From its first packets to its end, or to when it was last told of.
    pub lasted_ms: u64,
    /// The server, or `node`.
    pub server: String,
    /// Its game.
    pub game: String,
    /// What is attacked: a service, an address or the node.
    pub target: String,
    /// Further services that suffer the same attack.
    pub also: Vec<String>,
    /// The coarse kind.
    pub family: String,
    /// Its vectors, largest first.
    pub vectors: Vec<VectorView>,
    /// `low`, `medium`, `high`, or `critical` where no rule on this node can help.
    pub severity: String,
    /// How sure that it is an attack.
    pub confidence_percent: u8,
    /// One sentence.
    pub says: String,
    /// The first reason that opened it: `plugin/reason` or `host/reason`.
    pub reason: String,
    /// How often it fell silent and came back.
    pub pulses: u32,
    /// Normal here, as learnt.
    pub normal_packets_per_second: u64,
    /// Most packets in a second.
    pub peak_packets_per_second: u64,
    /// Most bits in a second.
    pub peak_bits_per_second: u64,
    /// Everything that came in while it was open, players included.
    pub seen_packets: u64,
    /// The same in bytes.
    pub seen_bytes: u64,
    /// Dropped in `DOCKER-USER`.
    pub dropped_docker_user_packets: u64,
    /// The same in bytes.
    pub dropped_docker_user_bytes: u64,
    /// Dropped early, at prerouting.
    pub dropped_early_packets: u64,
    /// The same in bytes.
    pub dropped_early_bytes: u64,
    /// Distinct sources, estimated to about one per cent.
    pub sources_estimated: u64,
    /// Most sources did nothing that a forged source cannot do.
    pub looks_forged: bool,
    /// Who sent most, largest first.
    pub top_sources: Vec<TopSourceView>,
    /// Players when it began.
    pub players_before: u32,
    /// Players now, or when it ended.
    pub players: u32,
    /// Flows that became proven or better while it was open.
    pub joined: u32,
    /// What was done about it.
    pub measures: Vec<MeasureTakenView>,
    /// Packets a second, one number a second from the opening on; bounded, the oldest kept.
    pub packets_per_second_by_second: Vec<u32>,
    /// What no rule on this node can mend, and what to give the provider.
    pub beyond_this_node: Option<String>,
}

impl IncidentView {
    /// Dropped anywhere.
    pub const fn dropped_packets(&self) -> u64 {
        self.dropped_docker_user_packets.saturating_add(self.dropped_early_packets)
    }
}
