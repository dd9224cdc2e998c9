//! Networks as operators write them, and those that no rule of ours may block.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A network, or a single address, which stands for itself. Bits behind the prefix are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpNet);

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let single = text.parse::<IpAddr>().map(IpNet::from);
        let network: IpNet = single
            .or_else(|_| text.parse())
            .map_err(|_| "neither an address nor a network such as 192.0.2.0/24")?;
        match network {
            // What arrives is IPv4, whatever the text looks like.
            IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => Err("write the IPv4 address itself"),
            network => Ok(Self(network.trunc())),
        }
    }
}

/// Whether two networks have an address in common.
pub(crate) fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// The shortest prefixes that may be blocked: shorter ones are half the world and surely a mistake.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;

/// Says why a network may not be blocked, if it may not: nothing that comes by an uplink has such a source, or it is
/// this node and its neighbours.
pub(crate) fn may_be_blocked(network: IpNet) -> Result<(), &'static str> {
    let shortest = if matches!(network, IpNet::V4(_)) { SHORTEST_V4 } else { SHORTEST_V6 };
    if network.prefix_len() < shortest {
        return Err("it is too large; the largest are /8 and, of IPv6, /16");
    }
    let reserved = RESERVED.iter().find(|(text, _)| {
        let reserved: IpNet = text.parse().expect("the table holds networks");
        overlap(&reserved, &network)
    });
    reserved.map_or(Ok(()), |(_, why)| Err(why))
}

/// RFC 6890 and its registries, as far as no stranger speaks from there.
const RESERVED: [(&str, &str); 15] = [
    ("0.0.0.0/8", "it is unspecified (RFC 791)"),
    ("10.0.0.0/8", "it is private (RFC 1918)"),
    ("127.0.0.0/8", "it is the node itself (loopback)"),
    ("169.254.0.0/16", "it is link-local (RFC 3927)"),
    ("172.16.0.0/12", "it is private (RFC 1918)"),
    ("192.168.0.0/16", "it is private (RFC 1918)"),
    ("224.0.0.0/4", "it is multicast (RFC 5771)"),
    ("255.255.255.255/32", "it is broadcast"),
    ("240.0.0.0/4", "it is reserved (RFC 1112)"),
    ("::/128", "it is unspecified"),
    ("::1/128", "it is the node itself (loopback)"),
    ("::ffff:0:0/96", "it is IPv4 in disguise; block the IPv4 network"),
    ("fc00::/7", "it is private (RFC 4193)"),
    ("fe80::/10", "it is link-local (RFC 4291)"),
    ("ff00::/8", "it is multicast (RFC 4291)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_read() {
        for (text, read) in [
            ("192.0.2.1", Some("192.0.2.1/32")),
            ("192.0.2.77/24", Some("192.0.2.0/24")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("2001:db8::1/32", Some("2001:db8::/32")),
            ("::ffff:192.0.2.1", None),
            ("", None),
            ("192.0.2", None),
            ("192.0.2.256", None),
            ("192.0.2.1/33", None),
            ("192.0.2.1/-1", None),
            ("192.0.2.1;reboot", None),
            ("$(reboot)", None),
            ("192.0.2.1\n", None),
            ("0x7f000001", None),
            ("2001:db8::/129", None),
            ("fe80::1%eth0", None),
        ] {
            let network = text.parse::<Network>().ok().map(|network| network.0.to_string());
            assert_eq!(network.as_deref(), read, "{text}");
        }
    }

    #[test]
    fn what_is_not_public_is_refused_with_the_reason() {
        for (text, why) in [
            ("198.51.100.7", None),
            ("8.0.0.0/8", None),
            ("2001:db8::/32", None),
            ("10.1.2.3", Some("private")),
            ("172.16.0.0/12", Some("private")),
            ("127.0.0.1", Some("loopback")),
            ("0.0.0.0", Some("unspecified")),
            ("255.255.255.255", Some("broadcast")),
            ("224.0.0.1", Some("multicast")),
            ("0.0.0.0/0", Some("too large")),
            ("::/0", Some("too large")),
            ("::1", Some("loopback")),
            ("fd00::1", Some("private")),
            ("fe80::1", Some("link-local")),
        ] {
            let network: Network = text.parse().expect("it is a network");
            let refused = may_be_blocked(network.0).err();
            assert_eq!(refused.is_some(), why.is_some(), "{text}: {refused:?}");
            assert!(refused.unwrap_or("").contains(why.unwrap_or("")), "{text}: {refused:?}");
        }
    }
}
