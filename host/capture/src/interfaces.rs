//! By which interfaces the node's published ports are reached, so that each packet is counted once.
//!
//! [`choose`] is a pure function over a [`Snapshot`]; [`read`] takes the snapshot of this network namespace.
//! What must stay true: of interfaces that are stacked (bridge and bond over their members, VLAN and
//! macvlan over their parent) at most one is chosen, and the containers' side is never chosen.

mod read;

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use ftagent_core::frame::Link;

pub use read::by_name;
pub(crate) use read::is_up;
pub use read::snapshot;

/// An interface that can be captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, as in `ip link`.
    pub name: String,
    /// Its number in this network namespace.
    pub index: u32,
    /// How its frames begin: Ethernet, or IP at once (tunnels, PPP).
    pub link: Link,
}

/// An address and the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Any address of it.
    pub address: IpAddr,
    /// How many leading bits its addresses share.
    pub prefix_bits: u8,
}

impl Network {
    /// Whether an address is in this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32_u32.saturating_sub(self.prefix_bits.into());
                (ours.to_bits() ^ theirs.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128_u32.saturating_sub(self.prefix_bits.into());
                (ours.to_bits() ^ theirs.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// What an interface is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network card, a tunnel, or anything that needs no special treatment.
    Plain,
    /// A bridge.
    Bridge,
    /// One end of a virtual cable; usually the other end is in a container.
    Veth,
}

/// One interface as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSeen {
    /// Name, number and kind of its frames.
    pub interface: Interface,
    /// What it is made of.
    pub kind: Kind,
    /// Whether it was brought up.
    pub up: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// The bridge or bond that it is a member of.
    pub master: Option<String>,
    /// The interface that a VLAN or macvlan device sits on.
    pub parent: Option<String>,
    /// Its addresses with their prefixes.
    pub addresses: Vec<Network>,
    /// Whether a default route, IPv4 or IPv6, leads out of it.
    pub default_route: bool,
}

/// All interfaces of a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// In any order.
    pub links: Vec<LinkSeen>,
}

/// What discovery knows of the ports that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Addresses that ports are published on. Empty, or with an unspecified address (`0.0.0.0`, `::`), any.
    pub addresses: Vec<IpAddr>,
    /// The networks that containers have their addresses in.
    pub container_networks: Vec<Network>,
}

/// Why an interface was chosen or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Chosen: a port is published on this address of it.
    Publishes(IpAddr),
    /// Chosen: a default route leads out of it.
    DefaultRoute,
    /// Refused: it is down.
    Down,
    /// Refused: the node talks to itself there.
    Loopback,
    /// Refused: containers hang on it; their packets pass a chosen interface too.
    ContainerBridge,
    /// Refused: the node's end of a container's cable.
    ContainerCable,
    /// Refused: this bridge or bond has the addresses.
    MemberOf(String),
    /// Refused: the interface below is chosen and sees the same packets.
    SeenBelow(String),
    /// Refused: it has neither a default route nor an address that a port is published on.
    NothingPublished,
}

/// One interface and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which one.
    pub interface: Interface,
    /// The reason; it says whether it was chosen.
    pub why: Why,
}

impl Choice {
    /// Whether packets are captured there.
    pub fn chosen(&self) -> bool {
        matches!(self.why, Why::Publishes(_) | Why::DefaultRoute)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publishes(address) => write!(f, "ports are published on its address {address}"),
            Self::DefaultRoute => write!(f, "the default route leads out of it"),
            Self::Down => write!(f, "it is down"),
            Self::Loopback => write!(f, "it is the loopback interface"),
            Self::ContainerBridge => {
                write!(f, "it is a bridge of containers, whose packets are seen further out")
            }
            Self::ContainerCable => write!(f, "it is the node's end of a container's cable"),
            Self::MemberOf(master) => write!(f, "it is a member of `{master}`, which is looked at instead"),
            Self::SeenBelow(parent) => write!(f, "its packets are seen on `{parent}` already"),
            Self::NothingPublished => {
                write!(f, "no default route and no address that a port is published on")
            }
        }
    }
}

/// Says of each interface whether it is captured on and why, sorted by name.
pub fn choose(snapshot: &Snapshot, published: &Published) -> Vec<Choice> {
    let alone: Vec<(&LinkSeen, Why)> =
        snapshot.links.iter().map(|link| (link, by_itself(link, published))).collect();
    let chosen: HashSet<&str> = alone
        .iter()
        .filter(|(_, why)| matches!(why, Why::Publishes(_) | Why::DefaultRoute))
        .map(|(link, _)| link.interface.name.as_str())
        .collect();
    let mut choices: Vec<Choice> = alone
        .iter()
        .map(|(link, why)| {
            let why = match seen_below(snapshot, link, &chosen) {
                Some(parent) if chosen.contains(link.interface.name.as_str()) => Why::SeenBelow(parent),
                _ => why.clone(),
            };
            Choice { interface: link.interface.clone(), why }
        })
        .collect();
    choices.sort_by(|a, b| a.interface.name.cmp(&b.interface.name));
    choices
}

/// Whether an address can be reached from elsewhere at all. Private ranges can: providers translate them.
fn is_reachable(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

/// The verdict on one interface, but for those below it.
fn by_itself(link: &LinkSeen, published: &Published) -> Why {
    let reachable = || link.addresses.iter().map(|network| network.address).filter(|a| is_reachable(*a));
    if link.loopback {
        return Why::Loopback;
    }
    if !link.up {
        return Why::Down;
    }
    if let Some(master) = &link.master {
        return Why::MemberOf(master.clone());
    }
    if link.kind == Kind::Bridge && !link.default_route {
        let of_containers = reachable()
            .any(|address| published.container_networks.iter().any(|network| network.contains(address)));
        if of_containers || is_container_bridge(&link.interface.name) {
            return Why::ContainerBridge;
        }
    }
    if link.kind == Kind::Veth && reachable().next().is_none() {
        return Why::ContainerCable;
    }
    let any = published.addresses.is_empty() || published.addresses.iter().any(IpAddr::is_unspecified);
    if let Some(address) = reachable().find(|address| any || published.addresses.contains(address)) {
        return Why::Publishes(address);
    }
    if link.default_route { Why::DefaultRoute } else { Why::NothingPublished }
}

/// Names that Docker, Pterodactyl, Pelican, Podman, CNI and libvirt give their bridges.
fn is_container_bridge(name: &str) -> bool {
    let numbered = |prefix: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    // A network of the user's own: `br-` and twelve digits of its identifier, unlike an operator's `br-lan`.
    let of_docker = name
        .strip_prefix("br-")
        .is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    of_docker
        || name == "docker_gwbridge"
        || ["docker", "pterodactyl", "pelican", "podman", "cni-podman", "cni", "virbr", "lxdbr", "lxcbr"]
            .into_iter()
            .any(numbered)
}

/// The nearest chosen interface below this one.
fn seen_below(snapshot: &Snapshot, link: &LinkSeen, chosen: &HashSet<&str>) -> Option<String> {
    let mut parent = link.parent.as_deref()?;
    // As many steps as there are links, should the kernel ever describe a circle.
    for _ in 0..snapshot.links.len() {
        if chosen.contains(parent) {
            return Some(parent.to_owned());
        }
        let below = snapshot.links.iter().find(|other| other.interface.name == parent)?;
        parent = below.parent.as_deref()?;
    }
    None
}

#[cfg(test)]
mod tests;
