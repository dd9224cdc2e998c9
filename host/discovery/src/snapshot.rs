//! What is published: everything that is known of the node's servers at one moment.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ftagent_core::service::Services;
use ipnet::IpNet;

/// How it stands with Docker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Docker {
    /// Nobody asked yet.
    #[default]
    NotAsked,
    /// It answers.
    Connected,
    /// It does not; what was known of its servers still stands in the snapshot.
    Unreachable {
        /// Why, for people.
        why: String,
    },
}

/// Whether a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its container runs.
    Running,
    /// It does not, since then; it stays known for a while, and so do its services unless another server takes them.
    Stopped {
        /// When that was seen.
        since: Instant,
    },
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its container's name; on a panel its uuid.
    pub id: Arc<str>,
    /// Whether it runs.
    pub state: State,
    /// The panel that made it (`Pterodactyl`, `Pelican`), as its label says.
    pub panel: Option<Arc<str>>,
    /// The game's id, or `unknown`.
    pub game: Arc<str>,
    /// Whether a mark told the game; hints alone leave doubt.
    pub certain: bool,
    /// Why it is this game, for people.
    pub evidence: Vec<String>,
    /// Whether it shares the node's network.
    pub on_host_network: bool,
    /// Its addresses in container networks.
    pub addresses: Vec<IpAddr>,
    /// Its services; what the operator wrote down is already in them.
    pub services: Vec<Arc<ftagent_core::service::Service>>,
}

/// A network in which containers live.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerNetwork {
    /// Its name in Docker.
    pub name: String,
    /// `bridge`, `macvlan`, ...
    pub driver: String,
    /// The bridge's interface, where it is one.
    pub interface: Option<String>,
    /// Its address ranges.
    pub subnets: Vec<IpNet>,
    /// The node's own addresses in it.
    pub gateways: Vec<IpAddr>,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What is odd.
    pub says: String,
    /// What would mend it.
    pub hint: Option<String>,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All known servers, by name.
    pub servers: Vec<Server>,
    /// Their services, the operator's first, then those of running servers, then those of stopped ones; and the
    /// node's own addresses.
    pub services: Arc<Services>,
    /// All container networks, by name.
    pub networks: Vec<ContainerNetwork>,
    /// How it stands with Docker.
    pub docker: Docker,
    /// Docker's version, once known.
    pub docker_version: Option<String>,
    /// Docker's firewall driver as `/info` tells it from 28.1 on: `iptables`, `iptables+firewalld`, `nftables`.
    pub firewall_backend: Option<String>,
    /// Oddities, without repetitions.
    pub findings: Vec<Finding>,
}

impl Snapshot {
    /// The server of this name.
    pub fn server(&self, id: &str) -> Option<&Server> {
        self.servers.iter().find(|server| *server.id == *id)
    }
}
