//! Takes the snapshot of this thread's network namespace, from getifaddrs, `/proc` and `/sys/class/net`.
//!
//! `/sys` must belong to the same namespace, as it does after `ip netns exec`.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use ftagent_core::frame::Link;
use nix::ifaddrs::InterfaceAddress;
use nix::net::if_::InterfaceFlags;

use super::Interface;
use super::Kind;
use super::LinkSeen;
use super::Network;
use super::Snapshot;
use crate::error::CaptureError;

const SYSFS: &str = "/sys/class/net";

/// ARPHRD_ETHER, ARPHRD_LOOPBACK: both begin with an Ethernet header.
const ETHERNET_TYPES: [u32; 2] = [1, 772];

/// All interfaces, with their addresses and default routes.
///
/// # Errors
/// The kernel does not list them.
pub fn snapshot() -> Result<Snapshot, CaptureError> {
    let failed = |op: &str| {
        let op = op.to_owned();
        move |source| CaptureError::Interfaces { op, source }
    };
    let entries =
        nix::ifaddrs::getifaddrs().map_err(io::Error::from).map_err(failed("list the interfaces"))?;
    let mut found: BTreeMap<String, (InterfaceFlags, Vec<Network>)> = BTreeMap::new();
    for entry in entries {
        let (_, addresses) = found.entry(entry.interface_name.clone()).or_insert((entry.flags, Vec::new()));
        addresses.extend(network(&entry));
    }
    let routed = default_routes();
    let mut links = Vec::with_capacity(found.len());
    for (name, (flags, addresses)) in found {
        // An interface that disappears while it is looked at is left out.
        let Ok(interface) = by_name(&name) else { continue };
        let at = Path::new(SYSFS).join(&name);
        let master = link_name(&at.join("master"));
        links.push(LinkSeen {
            kind: kind(&at),
            up: flags.contains(InterfaceFlags::IFF_UP),
            loopback: flags.contains(InterfaceFlags::IFF_LOOPBACK),
            parent: parent(&at),
            master,
            addresses,
            default_route: routed.contains(&name),
            interface,
        });
    }
    Ok(Snapshot { links })
}

/// One interface by its name, for an operator who knows better than [`super::choose`].
///
/// # Errors
/// There is no such interface.
pub fn by_name(name: &str) -> Result<Interface, CaptureError> {
    let index = nix::net::if_::if_nametoindex(name).map_err(|error| CaptureError::Interfaces {
        op: format!("find the interface `{name}`"),
        source: error.into(),
    })?;
    let kind = fs::read_to_string(Path::new(SYSFS).join(name).join("type"));
    let kind = kind.ok().and_then(|text| text.trim().parse::<u32>().ok());
    let ethernet = kind.is_none_or(|kind| ETHERNET_TYPES.contains(&kind));
    let link = if ethernet { Link::Ethernet } else { Link::RawIp };
    Ok(Interface { name: name.to_owned(), index, link })
}

/// Whether an interface can carry packets now. What the kernel does not say (a tunnel has no such state) counts as up.
pub(crate) fn is_up(name: &str) -> bool {
    let state = fs::read_to_string(Path::new(SYSFS).join(name).join("operstate")).unwrap_or_default();
    !["down", "lowerlayerdown", "notpresent"].contains(&state.trim())
}

fn network(entry: &InterfaceAddress) -> Option<Network> {
    let storage = entry.address?;
    let mask = entry.netmask;
    if let Some(v4) = storage.as_sockaddr_in() {
        let ones = mask.and_then(|mask| mask.as_sockaddr_in().map(|mask| mask.ip().to_bits().count_ones()));
        return Some(Network { address: IpAddr::V4(v4.ip()), prefix_bits: ones.unwrap_or(32) as u8 });
    }
    let v6 = storage.as_sockaddr_in6()?;
    let ones = mask.and_then(|mask| mask.as_sockaddr_in6().map(|mask| mask.ip().to_bits().count_ones()));
    Some(Network { address: IpAddr::V6(v6.ip()), prefix_bits: ones.unwrap_or(128) as u8 })
}

fn kind(at: &Path) -> Kind {
    if at.join("bridge").exists() {
        return Kind::Bridge;
    }
    // A veth names no driver in sysfs; it alone is Ethernet, virtual, and linked to a number that is not its own
    // but to no interface below it (its peer is elsewhere or beside it).
    let virtual_device = !at.join("device").exists();
    let number = |file: &str| fs::read_to_string(at.join(file)).ok()?.trim().parse::<u32>().ok();
    let linked = number("iflink").zip(number("ifindex")).is_some_and(|(peer, own)| peer != own && peer != 0);
    if virtual_device && linked && parent(at).is_none() { Kind::Veth } else { Kind::Plain }
}

/// The interface below a VLAN or macvlan device. A bridge or bond is above its members instead: they name it
/// as their master.
fn parent(at: &Path) -> Option<String> {
    let mut below = fs::read_dir(at).ok()?.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_prefix("lower_").map(str::to_owned)
    });
    let parent = below.next()?;
    let its_master = link_name(&Path::new(SYSFS).join(&parent).join("master"));
    (its_master.as_deref() != at.file_name().and_then(|name| name.to_str())).then_some(parent)
}

fn link_name(link: &Path) -> Option<String> {
    fs::read_link(link).ok()?.file_name()?.to_str().map(str::to_owned)
}

/// Interfaces that a default route leads out of. A kernel without IPv6 has no second file.
fn default_routes() -> HashSet<String> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let mut names = HashSet::new();
    for line in read("/proc/thread-self/net/route").lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [name, "00000000", _, _, _, _, _, "00000000", ..] = fields.as_slice() {
            names.insert((*name).to_owned());
        }
    }
    for line in read("/proc/thread-self/net/ipv6_route").lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [target, "00", .., name] = fields.as_slice() else { continue };
        // The kernel's own reject route is a default route out of the loopback interface.
        if target.bytes().all(|byte| byte == b'0') && *name != "lo" {
            names.insert((*name).to_owned());
        }
    }
    names
}
