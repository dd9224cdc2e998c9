//! The forms of questions and answers. Units are in the names.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

/// `observe` counts what would be dropped, `enforce` drops it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decide and count; drop nothing.
    #[default]
    Observe,
    /// Drop and limit.
    Enforce,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Observe => "observe",
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
    /// `observe` or `enforce`.
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
    /// Hostile reasons and how often.
    pub reasons: BTreeMap<String, u64>,
    /// The services.
    pub services: Vec<ServiceView>,
    /// The plugins.
    pub plugins: Vec<PluginView>,
    /// What the firewall says of itself.
    pub firewall: Value,
    /// What does not work, and how to mend it.
    pub problems: Vec<String>,
}

/// Something happened. One JSON object a line in `ftagent events`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds of CLOCK_MONOTONIC, so that events can be compared with other measurements on the node.
    pub at_ms: u64,
    /// `first-hostile`, `incident-opened`, `incident-closed`, `first-drop`, `lease`, `lease-ends`, `mode`, `plugin`,
    /// `services`, `problem`.
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
