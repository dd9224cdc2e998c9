//! What is protected: a service is one (ip, port, protocol) of one server, and never a container id.
//!
//! The table is immutable; whoever knows better hands in a new one.

use std::collections::HashMap;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

/// The two transports that game servers publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

impl Transport {
    /// The IP protocol number (IANA "Protocol Numbers").
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// `tcp` or `udp`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The identity of a service. Two servers may use one port on two addresses of a node, so the address belongs
/// to it; an unspecified address (`0.0.0.0`, `::`) stands for every address of the node of that family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// The public address.
    pub ip: IpAddr,
    /// The public port.
    pub port: u16,
    /// The transport.
    pub transport: Transport,
}

impl std::fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addr = std::net::SocketAddr::new(self.ip, self.port);
        write!(f, "{addr}/{}", self.transport.name())
    }
}

/// What a port is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Role {
    /// Nobody said.
    #[default]
    Unknown = 0,
    /// The game itself.
    Game = 1,
    /// Server lists and monitors.
    Query = 2,
    /// Remote control.
    Rcon = 3,
    /// Voice or television.
    Voice = 4,
    /// A web page or an API.
    Http = 5,
    /// File transfer.
    File = 6,
    /// Announcements.
    Beacon = 7,
}

/// Where the packets of a service go after routing, which decides where they can be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Forwarded to a container after DNAT: they pass `DOCKER-USER`.
    Forwarded,
    /// Delivered to a socket of the node (host network, docker-proxy): they never pass `DOCKER-USER`.
    Local,
}

/// How the packets of a service are judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judging {
    /// A plugin of this name knows the protocol.
    Plugin(Arc<str>),
    /// The game uses no such transport on this port (panels publish both): whatever comes is hostile.
    WrongTransport,
}

/// One protected port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its identity.
    pub key: ServiceKey,
    /// The server it belongs to: on a panel its uuid.
    pub server: Arc<str>,
    /// The game's id (`minecraft-java`), or `unknown`.
    pub game: Arc<str>,
    /// What the port is for.
    pub role: Role,
    /// Who judges its packets.
    pub judging: Judging,
    /// Where its packets go.
    pub path: Path,
    /// Switches for the plugin, bit i for the i-th flag of its manifest.
    pub flags: u64,
}

/// All services at one moment, and the addresses that are the node's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    services: Vec<Arc<Service>>,
    by_key: HashMap<ServiceKey, usize>,
    own: HashSet<IpAddr>,
    proxied: HashSet<ServiceKey>,
    limited: HashSet<ServiceKey>,
    observed: HashSet<ServiceKey>,
}

impl Services {
    /// A table of `services` on a node with the addresses `own`. Of two with the same key the first stays.
    pub fn new(services: impl IntoIterator<Item = Service>, own: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut table = Self { own: own.into_iter().collect(), ..Self::default() };
        for service in services {
            let next = table.services.len();
            let at = *table.by_key.entry(service.key).or_insert(next);
            if at == next {
                table.services.push(Arc::new(service));
            }
        }
        table
    }

    /// The same table, where the kernel may answer SYNs for these services under attack if nothing weaker helps.
    pub fn with_syn_proxy(mut self, services: impl IntoIterator<Item = ServiceKey>) -> Self {
        self.proxied.extend(services);
        self
    }

    /// Whether the kernel may answer SYNs for this service.
    pub fn may_proxy(&self, key: &ServiceKey) -> bool {
        self.proxied.contains(key)
    }

    /// The same table, where no address is blocked for these services: they are in mode `limit`.
    pub fn with_limited(mut self, services: impl IntoIterator<Item = ServiceKey>) -> Self {
        self.limited.extend(services);
        self
    }

    /// The same table, where nothing that is asked for these services is done, only counted: they are in mode `observe`.
    pub fn with_observed(mut self, services: impl IntoIterator<Item = ServiceKey>) -> Self {
        self.observed.extend(services);
        self
    }

    /// Whether what is asked for this service is only counted.
    pub fn only_counts(&self, key: &ServiceKey) -> bool {
        self.observed.contains(key)
    }

    /// Whether addresses may be blocked for this service.
    pub fn may_lease(&self, key: &ServiceKey) -> bool {
        !self.limited.contains(key)
    }

    /// The service at this address and port: an exact match first, then one on every address.
    pub fn find(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        let at = self.by_key.get(key).or_else(|| {
            let any = match key.ip {
                IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
            };
            self.by_key.get(&ServiceKey { ip: any, ..*key })
        })?;
        self.services.get(*at)
    }

    /// Whether the node owns this address, so that a packet to it is ours even if nobody's port is asked.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.own.contains(&ip)
    }

    /// The node's own addresses.
    pub fn own(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.own.iter().copied()
    }

    /// All services, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }
}
