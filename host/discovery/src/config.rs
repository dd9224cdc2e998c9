//! What an operator may choose, already checked.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ftagent_core::service::Path;
use ftagent_core::service::Role;
use ftagent_core::service::Transport;

/// Which containers are game servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Containers {
    /// Those that Wings made: label `ContainerType=server_process`, of Pterodactyl or Pelican.
    #[default]
    Panel,
    /// All that publish a port.
    Published,
}

/// A service that the operator wrote down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticService {
    /// The server's name; without one the found server keeps its name, and a new one is called after its port.
    pub server: Option<String>,
    /// The address; none stands for every address of the node.
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// The transport.
    pub transport: Transport,
    /// The game's id, alias or title.
    pub game: String,
    /// What the port is for, where the game does not say it.
    pub role: Option<Role>,
    /// The plugin that judges it, instead of the game's.
    pub plugin: Option<String>,
    /// Switches of the plugin, by name.
    pub flags: Vec<String>,
    /// Where its packets go; a found service of the same port knows better.
    pub path: Path,
}

/// How to look.
#[derive(Clone, Debug)]
pub struct Config {
    /// Docker's socket.
    pub socket: PathBuf,
    /// Which containers count.
    pub containers: Containers,
    /// Services that the operator wrote down.
    pub services: Vec<StaticService>,
    /// How long a stopped server stays known.
    pub keep_stopped: Duration,
    /// How often to look although nothing was said.
    pub refresh: Duration,
    /// Whether Docker writes ip6tables rules. Nothing in its API says so; without a word here it is taken to do so
    /// from version 27 on, where that is the default.
    pub ip6tables: Option<bool>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/var/run/docker.sock"),
            containers: Containers::default(),
            services: Vec::new(),
            keep_stopped: Duration::from_secs(600),
            refresh: Duration::from_secs(5),
            ip6tables: None,
        }
    }
}
