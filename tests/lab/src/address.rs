//! The addresses of a lab: documentation ranges (RFC 5737, RFC 3849) and the benchmark range (RFC 2544). None of
//! them is routed anywhere in the world.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

/// The node's first public address.
pub const NODE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The node's second public address: a neighbour may use the same port there.
pub const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);
/// The node's first public IPv6 address.
pub const NODE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
/// The node's second public IPv6 address.
pub const NEIGHBOUR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x11);
/// The node's gateway, which is the players' side of the wire.
pub const PLAYERS_GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The attackers' side of the wire.
pub const ATTACKERS_GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 250);
/// The players' side of the wire, IPv6.
pub const PLAYERS_GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// The attackers' side of the wire, IPv6.
pub const ATTACKERS_GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x250);

/// Where players come from: any address of it may be bound in the players' namespace.
pub const PLAYERS_RANGE: &str = "192.0.2.0/24";
/// Where many players come from, who join during a scenario.
pub const NEWCOMERS_RANGE: &str = "198.19.128.0/17";
/// Where attackers with real addresses come from (a botnet of few): they answer.
pub const BOTS_RANGE: &str = "198.51.100.0/24";
/// Where attackers with real addresses come from (a botnet of many): they answer.
pub const MANY_BOTS_RANGE: &str = "198.19.0.0/17";
/// Where forged packets claim to come from: what is sent back is routed there and never answered.
pub const FORGED_RANGE: &str = "198.18.0.0/16";
/// Players, IPv6.
pub const PLAYERS_RANGE_V6: &str = "2001:db8:1::/64";
/// Those of them who join during a scenario.
pub const NEWCOMERS_RANGE_V6: &str = "2001:db8:1::1000/116";
/// Attackers with real addresses, IPv6.
pub const BOTS_RANGE_V6: &str = "2001:db8:2::/64";
/// Forged sources, IPv6.
pub const FORGED_RANGE_V6: &str = "2001:db8:3::/48";

/// Who attacks from a player's address, forged or shared, does it from these source ports, as `nft` writes them.
/// Players never use them, so that the meters can tell the two.
pub const MISUSED_PORTS: &str = "1024-44999";
/// The first port of players.
pub const PLAYERS_PORTS_BEGIN: u16 = 45_000;

/// Player number `n`'s own address.
#[must_use]
pub fn player(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, n)
}

/// Newcomer number `n`'s own address.
#[must_use]
pub fn newcomer(n: u16) -> Ipv4Addr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(198, 19, 128 | high & 0x7f, low)
}

/// Player number `n`'s own IPv6 address.
#[must_use]
pub fn player_v6(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, n)
}

/// Real attacker `n` of the few or, from 254 on, of the many.
#[must_use]
pub fn bot(n: u16) -> Ipv4Addr {
    if n < 254 {
        Ipv4Addr::new(198, 51, 100, n as u8 + 1)
    } else {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(198, 19, high & 0x7f, low)
    }
}

/// Real attacker `n` of the many, dealt out over 128 networks (/24) in turn.
#[must_use]
pub fn scattered_bot(n: u16) -> Ipv4Addr {
    Ipv4Addr::new(198, 19, (n & 0x7f) as u8, (n >> 7) as u8 + 1)
}

/// Real attacker `n`, IPv6: all of one /64.
#[must_use]
pub fn bot_v6(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, n + 1)
}

/// Whether an address is one that players come from.
#[must_use]
pub fn is_players(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            [a, b, c] == [192, 0, 2] || [a, b, c >> 7] == [198, 19, 1]
        }
        std::net::IpAddr::V6(v6) => v6.segments()[..4] == [0x2001, 0xdb8, 1, 0],
    }
}

/// Whether it is the node's, its gateways', its containers' or one that never leaves its link.
#[must_use]
pub fn is_infrastructure(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            [a, b, c] == [203, 0, 113] || [a, b >> 4] == [172, 1] || v4.is_unspecified() || v4.is_loopback()
        }
        std::net::IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            let own = v6.segments()[..4] == [0x2001, 0xdb8, 0, 0];
            own || first & 0xffc0 == 0xfe80 || first & 0xfe00 == 0xfc00 || v6.is_unspecified()
        }
    }
}

/// Whether an address is one of the node's.
#[must_use]
pub fn is_nodes(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => v4 == NODE || v4 == NEIGHBOUR,
        std::net::IpAddr::V6(v6) => v6 == NODE_V6 || v6 == NEIGHBOUR_V6,
    }
}
