//! What comes to the node without being for a service: which addresses, how many ports, and which of it answers the
//! node's own questions.

use crate::hash::HashKey;
use crate::limits::OWN_CONVERSATIONS;
use crate::time::Instant;
use crate::wire::Address;
use crate::wire::Packet;
use crate::wire::Upper;
use crate::wire::tcp_flag;

/// Addresses told apart in a second; further ones share the last place.
const ADDRESSES: usize = 8;
/// Of 100 packets so many go to one address: that is the target.
const MOST_PERCENT: u64 = 80;
/// Of 64 bits so many different ports: a carpet.
const MANY_PORTS: u32 = 16;
/// A conversation is remembered for so long after the node last spoke in it.
const CONVERSATION_MS: u64 = 120_000;
/// From this port on the kernel chooses the ports of its own questions (Linux `ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

/// Packets of this second and the last one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nobody {
    second: u64,
    addresses: [[(Address, u64); ADDRESSES]; 2],
    ports: [u64; 2],
    /// The last protocol without a name.
    pub(crate) protocol: u8,
    /// What the node asked, by hash: when it spoke last.
    own: Vec<(u32, Instant)>,
}

impl Nobody {
    /// One packet that nobody owns.
    pub(crate) fn add(&mut self, packet: &Packet<'_>, at: Instant, weight: u32) {
        let second = at.as_micros() / 1_000_000;
        if second != self.second {
            let next = second == self.second + 1;
            let addresses = std::mem::take(&mut self.addresses[0]);
            self.addresses[1] = if next { addresses } else { Default::default() };
            self.ports = [0, if next { self.ports[0] } else { 0 }];
            self.second = second;
        }
        let places = &mut self.addresses[0];
        let known = places.iter().position(|place| place.0 == packet.destination || place.1 == 0);
        let place = &mut places[known.unwrap_or(ADDRESSES - 1)];
        *place = (packet.destination, place.1 + u64::from(weight));
        if matches!(packet.upper, Upper::Tcp(_) | Upper::Udp) {
            self.ports[0] |= 1 << (packet.destination_port.wrapping_mul(40_503) >> 10);
        }
        if packet.upper == Upper::Other {
            self.protocol = packet.protocol;
        }
    }

    /// The address that nearly all of it goes to.
    pub(crate) fn address(&self) -> Option<Address> {
        let all: u64 = self.addresses.iter().flatten().map(|place| place.1).sum();
        let most = self.addresses.iter().flatten().max_by_key(|place| place.1)?;
        let here: u64 =
            self.addresses.iter().flatten().filter(|place| place.0 == most.0).map(|place| place.1).sum();
        (all > 0 && here * 100 >= all * MOST_PERCENT).then_some(most.0)
    }

    /// Whether many different ports were asked.
    pub(crate) fn many_ports(&self) -> bool {
        (self.ports[0] | self.ports[1]).count_ones() >= MANY_PORTS
    }

    /// The node itself says something: what it asks for is no attack when it comes.
    pub(crate) fn own_words(&mut self, packet: &Packet<'_>, at: Instant, key: HashKey) {
        let asks = match packet.upper {
            Upper::Tcp(tcp) if tcp.flags & tcp_flag::RST != 0 => false,
            Upper::Tcp(tcp) if tcp.flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN => true,
            Upper::Tcp(_) | Upper::Udp => {
                packet.source_port >= EPHEMERAL && packet.destination_port < EPHEMERAL
            }
            Upper::Icmp => true,
            Upper::LaterFragment | Upper::Other => false,
        };
        if !asks {
            return;
        }
        if self.own.is_empty() {
            self.own = vec![(0, Instant::START); OWN_CONVERSATIONS];
        }
        let (slot, tag) = conversation(packet.source, packet.destination, ports(packet), key);
        self.own[slot] = (tag, at);
    }

    /// Whether a packet answers what the node itself asked.
    pub(crate) fn is_answer(&self, packet: &Packet<'_>, at: Instant, key: HashKey) -> bool {
        if self.own.is_empty() {
            return false;
        }
        let (own, theirs) = (packet.destination, packet.source);
        let ports = (packet.destination_port, packet.source_port);
        let (slot, tag) = conversation(own, theirs, ports, key);
        let (known, spoke) = self.own[slot];
        known == tag && at.millis_since(spoke) < CONVERSATION_MS
    }
}

fn ports(packet: &Packet<'_>) -> (u16, u16) {
    (packet.source_port, packet.destination_port)
}

fn conversation(own: Address, theirs: Address, ports: (u16, u16), key: HashKey) -> (usize, u32) {
    let ports = u64::from(ports.0) << 16 | u64::from(ports.1);
    let hash = key.hash([own.low, own.high, theirs.low, theirs.high, ports]);
    (hash as usize % OWN_CONVERSATIONS, (hash >> 32) as u32 | 1)
}
