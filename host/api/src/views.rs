//! The forms of questions and answers. Units are in the names.

mod block;
mod incident;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

pub use block::BlockChange;
pub use block::BlockView;
pub use block::Ruling;
pub use incident::IncidentState;
pub use incident::IncidentView;
pub use incident::MeasureTakenView;
pub use incident::TopSourceView;
pub use incident::VectorView;

/// `observe` counts what would be dropped, `limit` drops and limits but blocks nobody by address, `enforce` does all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decide and count; drop nothing.
    #[default]
    Observe,
    /// Drop shapes and limit strangers, but never block an address.
    Limit,
    /// Drop, limit and block.
    Enforce,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Observe => "observe",
            Self::Limit => "limit",
            Self::Enforce => "enforce",
        })
    }
}

/// A change of mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeChange {
    /// What to change to; none lets a server follow the node again.
    pub mode: Option<Mode>,
    /// One server only; none for the whole node.
    pub server: Option<String>,
    /// Go back after so many seconds unless confirmed by the same change without this.
    pub try_seconds: Option<u64>,
}

/// Which mode holds where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeView {
    /// For all servers that are not named below.
    pub node: Mode,
    /// Exceptions by server.
    pub servers: BTreeMap<String, Mode>,
    /// Seconds until the node's mode goes back, if it is only tried.
    pub reverts_in_seconds: Option<u64>,
    /// Why the last change holds only until the next start.
    pub not_remembered: Option<String>,
}

/// What the kernel counted at one service since the wall stands. In observe mode the reasons count what would have been
/// dropped, and both hooks stay at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TallyView {
    /// All that came in.
    pub seen_packets: u64,
    /// The same in bytes.
    pub seen_bytes: u64,
    /// Passed in a player's lane.
    pub lane_packets: u64,
    /// From blocked sources.
    pub lease_packets: u64,
    /// Of a shape that is dropped.
    pub shape_packets: u64,
    /// First tries, which are asked to come again.
    pub second_try_packets: u64,
    /// Over a hashed bucket's limit.
    pub bucket_packets: u64,
    /// Over the limit on strangers as a crowd.
    pub crowd_packets: u64,
    /// Dropped in `DOCKER-USER`.
    pub docker_user_packets: u64,
    /// Dropped early, at prerouting.
    pub early_packets: u64,
}

impl TallyView {
    /// Not dropped anywhere.
    pub const fn reached_packets(&self) -> u64 {
        self.seen_packets.saturating_sub(self.docker_user_packets.saturating_add(self.early_packets))
    }
}

/// A measure in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureView {
    /// `limit`, `shape`, ...
    pub measure: String,
    /// For a limit.
    pub packets_per_second: Option<u64>,
    /// Why.
    pub reason: String,
    /// How long still, unless it is asked for again.
    pub seconds_left: u64,
}

/// One protected port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// The server: on a panel its uuid.
    pub server: String,
    /// The public address.
    pub address: IpAddr,
    /// The public port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The game's id, or `unknown`.
    pub game: String,
    /// What the port is for.
    pub role: String,
    /// The plugin that judges, or `wrong-transport`.
    pub judged_by: String,
    /// `forwarded` or `local`.
    pub path: String,
    /// `observe`, `limit` or `enforce`.
    pub mode: Mode,
    /// Whether packets were seen, and how they were judged.
    pub packets: u64,
    /// Judged genuine.
    pub genuine: u64,
    /// Judged hostile.
    pub hostile: u64,
    /// Not judged.
    pub unknown: u64,
    /// Whether it is under attack now.
    pub under_attack: bool,
    /// Sources with the standing `player` or `settled`.
    pub players: u64,
    /// Packets of theirs that were dropped in the attack of now, estimated: what they sent, as far as it was sampled,
    /// less what the kernel let through in lanes, and never more than it dropped.
    #[serde(default)]
    pub players_dropped_estimated: u64,
    /// What the kernel counted.
    pub kernel: TallyView,
    /// The measures in force.
    pub measures: Vec<MeasureView>,
}

/// One plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Major version of the contract.
    pub contract: u16,
    /// `built-in` or the file it came from.
    pub origin: String,
    /// SHA-256 of the component.
    pub digest: String,
    /// Size of the component in bytes.
    pub bytes: u64,
    /// `healthy`, `quarantined` or `refused`.
    pub health: String,
    /// Why it is not healthy.
    pub trouble: Option<String>,
    /// Traps so far.
    pub traps: u64,
    /// Batches that ran out of fuel so far.
    pub out_of_fuel: u64,
    /// Answers of a wrong shape so far.
    pub lies: u64,
}

/// An interface that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceView {
    /// Its name.
    pub name: String,
    /// Why it was chosen.
    pub because: String,
}

/// What comes in by one link, over the last second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// The interface.
    pub name: String,
    /// What it carries, as the operator or the card says.
    pub mbit: Option<u64>,
    /// Received.
    pub received_bits_per_second: u64,
    /// How full that is.
    pub fill_percent: Option<u64>,
    /// Packets that the card had no room for.
    pub card_lost_packets_per_second: u64,
}

/// The node and ourselves, over the last second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Our own processor time, in per cent of one core.
    pub ftagent_cpu_percent: u64,
    /// Our own memory.
    pub ftagent_resident_bytes: u64,
    /// The links that are watched.
    pub links: Vec<LinkView>,
    /// Entries of the connection table.
    pub conntrack_entries: Option<u64>,
    /// How many it may have.
    pub conntrack_max: Option<u64>,
    /// How full it is.
    pub conntrack_percent: Option<u64>,
    /// Time that the busiest core spends on receiving packets.
    pub busiest_core_softirq_percent: u64,
    /// Packets that the kernel lost before any rule saw them.
    pub kernel_lost_packets_per_second: u64,
    /// What no rule on this node can mend, a clause each.
    pub full: Vec<String>,
}

/// The agent at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// When this was put together, in milliseconds of CLOCK_MONOTONIC.
    pub at_ms: u64,
    /// Observe or enforce.
    pub mode: ModeView,
    /// `af-packet` or what else captures.
    pub capture: String,
    /// What is watched.
    pub interfaces: Vec<InterfaceView>,
    /// Docker, as far as it answers.
    pub docker: Value,
    /// Packets judged, and what was lost, by cause.
    pub packets: Value,
    /// Hostile reasons as `plugin/reason` or `host/reason`, and how often.
    pub reasons: BTreeMap<String, u64>,
    /// The services.
    pub services: Vec<ServiceView>,
    /// The plugins.
    pub plugins: Vec<PluginView>,
    /// What the firewall says of itself.
    pub firewall: Value,
    /// The incidents that are open now.
    pub incidents: Vec<IncidentView>,
    /// The node and ourselves.
    pub node: NodeView,
    /// What does not work, and how to mend it.
    pub problems: Vec<String>,
}

/// Something happened. One JSON object a line in `ftagent events`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds of CLOCK_MONOTONIC, so that events can be compared with other measurements on the node.
    pub at_ms: u64,
    /// `first-hostile`, `incident-opened`, `incident-changed`, `incident-closed`, `first-drop`, `lease`, `lease-ends`,
    /// `mode`, `blocks`, `plugin`, `services`, `firewall`, `problem`, `beyond-this-node`.
    pub what: String,
    /// What it is about.
    #[serde(flatten)]
    pub about: BTreeMap<String, Value>,
}

/// An error as a client sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// For people.
    pub error: String,
}
