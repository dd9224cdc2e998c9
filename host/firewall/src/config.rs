//! What the wall must know before it stands.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;
use serde::Serialize;

use crate::FirewallError;
use crate::early::EarlyRates;
use crate::off;

/// Whether packets are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decide and count, drop nothing, touch no foreign chain.
    Observe,
    /// Drop shapes and what is over a limit; count leases, but block nobody other than by hand.
    Limit,
    /// Drop and limit.
    Enforce,
}

/// How Docker says that it makes its rules (`FirewallBackend.Driver` of its `/info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DockerBackend {
    /// It does not say; versions before 29 use iptables.
    #[default]
    Unknown,
    /// By iptables, with `DOCKER-USER`.
    Iptables,
    /// By nftables, which has no `DOCKER-USER`.
    Nftables,
}

/// A half of the wall that a demonstration leaves out, to show that it fails without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Nothing is put into `DOCKER-USER`, and nobody notices.
    Jump,
    /// Nothing is dropped early, whatever the rate and wherever packets go.
    Early,
}

/// What the wall must know.
#[derive(Clone, Debug)]
pub struct WallConfig {
    /// Observe or enforce.
    pub mode: Mode,
    /// Interfaces by which strangers come; nothing else is judged.
    pub uplinks: Vec<String>,
    /// Where the lock and the latch of `off` are.
    pub state_dir: PathBuf,
    /// One bit of the packet mark that is free on this node.
    pub mark_bit: u32,
    /// The operator's networks and the panel. What the node itself shows is added.
    pub guard: Vec<IpNet>,
    /// When to drop early.
    pub early_rates: EarlyRates,
    /// As Docker says.
    pub docker_backend: DockerBackend,
    /// Nothing, but in demonstrations.
    pub left_out: Option<LeftOut>,
}

impl WallConfig {
    /// Observe mode on these uplinks, all else by default.
    pub fn new(uplinks: impl IntoIterator<Item = String>) -> Self {
        Self {
            mode: Mode::Observe,
            uplinks: uplinks.into_iter().collect(),
            state_dir: off::Paths::default().state_dir,
            mark_bit: 0x4000_0000,
            guard: Vec::new(),
            early_rates: EarlyRates::default(),
            docker_backend: DockerBackend::Unknown,
            left_out: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), FirewallError> {
        if !self.mark_bit.is_power_of_two() {
            return Err(FirewallError::Config(format!("the mark {:#x} is not a single bit", self.mark_bit)));
        }
        // IFNAMSIZ is 16 with the ending zero; the rest would end the quotes of the script.
        let bad = |name: &&String| {
            name.is_empty()
                || name.len() > 15
                || name.contains(|c: char| c == '"' || c == '\\' || c.is_control())
        };
        match self.uplinks.iter().find(bad) {
            Some(name) => Err(FirewallError::Config(format!("{name:?} cannot be the name of an interface"))),
            None => Ok(()),
        }
    }
}
