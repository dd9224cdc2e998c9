//! Finding those who must never be blocked, besides what the operator names: the node itself, its container
//! networks, gateways, resolvers, sources that foreign ACCEPT rules name, and whoever is logged in by SSH.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;

use crate::docker_user;
use crate::key::Family;
use crate::netlink::Netlink;

/// `TCP_ESTABLISHED` in /proc/net/tcp.
const ESTABLISHED: &str = "01";
/// A foreign ACCEPT rule for a wider network than this names no one in particular.
const WIDEST_V4: u8 = 8;
/// See [`WIDEST_V4`].
const WIDEST_V6: u8 = 16;

/// All networks that this node shows. Foreign rules are read by programs, so they are asked for separately.
pub(crate) fn networks(uplinks: &[String]) -> Vec<(IpNet, &'static str)> {
    let mut found = interfaces(uplinks);
    let mut add =
        |networks: Vec<IpNet>, why| found.extend(networks.into_iter().map(|network| (network, why)));
    add(gateways(), "it is a gateway of this node");
    for file in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        add(resolvers(&fs::read_to_string(file).unwrap_or_default()), "it is a resolver of this node");
    }
    add(ssh_peers(), "someone is logged in from there by SSH");
    found
}

/// Every own address, and the whole network of every interface that is no uplink: containers live there.
fn interfaces(uplinks: &[String]) -> Vec<(IpNet, &'static str)> {
    let mut found = Vec::new();
    for interface in getifaddrs().into_iter().flatten() {
        let ip_of = |address: &nix::sys::socket::SockaddrStorage| {
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        };
        let Some(ip) = interface.address.as_ref().and_then(ip_of) else { continue };
        found.push((IpNet::from(ip), "it is an address of this node"));
        let mask = interface.netmask.as_ref().and_then(ip_of);
        if !uplinks.contains(&interface.interface_name)
            && let Some(network) = mask.and_then(|mask| IpNet::with_netmask(ip, mask).ok())
        {
            found.push((network.trunc(), "it is a network of this node, where containers live"));
        }
    }
    found
}

/// Routers of this namespace.
fn gateways() -> Vec<IpNet> {
    let v4 = fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    let v4 = v4.lines().skip(1).filter_map(|line| {
        let gateway = u32::from_str_radix(line.split_whitespace().nth(2)?, 16).ok()?;
        // The kernel prints the word as it lies in memory.
        (gateway != 0).then(|| IpAddr::V4(Ipv4Addr::from(gateway.to_ne_bytes())))
    });
    let v6 = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    let v6 = v6.lines().filter_map(|line| {
        let gateway = u128::from_str_radix(line.split_whitespace().nth(4)?, 16).ok()?;
        (gateway != 0).then(|| IpAddr::V6(Ipv6Addr::from(gateway)))
    });
    v4.chain(v6).map(IpNet::from).collect()
}

fn resolvers(text: &str) -> Vec<IpNet> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = servers.filter_map(|rest| rest.trim().split('%').next()?.parse::<IpAddr>().ok());
    addresses.map(IpNet::from).collect()
}

/// Whoever has a connection to the SSH server now.
fn ssh_peers() -> Vec<IpNet> {
    let config = fs::read_to_string("/etc/ssh/sshd_config").unwrap_or_default();
    let named =
        config.lines().filter_map(|line| line.trim().strip_prefix("Port ")?.trim().parse::<u16>().ok());
    let ports: HashSet<u16> = named.chain([22]).collect();
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/thread-self/net/{name}")));
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    let peers: HashSet<_> = lines.filter_map(|line| ssh_peer(line, &ports)).collect();
    peers.into_iter().map(IpNet::from).collect()
}

/// The remote address of a line of /proc/net/tcp, if it is an established connection to one of these ports.
fn ssh_peer(line: &str, ports: &HashSet<u16>) -> Option<IpAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let port = u16::from_str_radix(local.split_once(':')?.1, 16).ok()?;
    if state != ESTABLISHED || !ports.contains(&port) {
        return None;
    }
    let words = remote.split_once(':')?.0;
    let mut octets = [0_u8; 16];
    for (at, word) in octets.chunks_mut(4).zip(0..words.len() / 8) {
        let word = u32::from_str_radix(words.get(word * 8..word * 8 + 8)?, 16).ok()?;
        at.copy_from_slice(&word.to_ne_bytes());
    }
    match words.len() {
        8 => Some(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into()),
        32 => Some(Ipv6Addr::from(octets).to_canonical()),
        _ => None,
    }
}

/// Sources that foreign rules accept by name.
pub(crate) fn accepted_sources(netlink: &mut Netlink) -> Vec<(IpNet, &'static str)> {
    let of = |family| parse_accepted(&docker_user::saved(family, netlink));
    let accepted = Family::BOTH.into_iter().flat_map(of);
    accepted.map(|network| (network, "a rule of this node accepts it by name")).collect()
}

fn parse_accepted(saved: &str) -> Vec<IpNet> {
    let rules = saved.lines().filter(|line| line.ends_with("-j ACCEPT") && !line.starts_with("-A DOCKER"));
    let sources = rules.filter_map(|rule| {
        let before = rule.split(" -s ").next()?;
        let network: IpNet = rule.split(" -s ").nth(1)?.split(' ').next()?.parse().ok()?;
        let widest = if network.addr().is_ipv4() { WIDEST_V4 } else { WIDEST_V6 };
        (!before.ends_with('!') && network.prefix_len() >= widest).then_some(network)
    });
    sources.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_that_are_accepted_by_name_are_found() {
        let saved = "-A INPUT -s 198.51.100.0/24 -p tcp -j ACCEPT\n-A INPUT ! -s 192.0.2.0/24 -j ACCEPT\n\
            -A INPUT -s 0.0.0.0/1 -j ACCEPT\n-A DOCKER -s 172.18.0.0/16 -j ACCEPT\n-A INPUT -s 192.0.2.1/32 -j DROP\n";
        assert_eq!(parse_accepted(saved), ["198.51.100.0/24".parse::<IpNet>().unwrap()]);
    }

    #[test]
    fn peers_of_ssh_are_read_in_both_families() {
        let ports = HashSet::from([22]);
        let v4 = "   0: 0100007F:0016 070200C0:D431 01 00000000:00000000";
        assert_eq!(ssh_peer(v4, &ports), Some("192.0.2.7".parse().unwrap()));
        let mapped =
            "   1: 0000000000000000FFFF00000A7100CB:0016 0000000000000000FFFF0000070200C0:D431 01 0:0";
        assert_eq!(ssh_peer(mapped, &ports), Some("192.0.2.7".parse().unwrap()));
        let listening = "   0: 00000000:0016 00000000:0000 0A 00000000:00000000";
        assert_eq!(ssh_peer(listening, &ports), None);
    }

    #[test]
    fn resolvers_are_read() {
        assert_eq!(resolvers("# x\nnameserver 192.0.2.53\nsearch a\n").len(), 1);
    }
}
