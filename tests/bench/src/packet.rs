//! Ethernet frames of conversations, as mainstream stacks write them.

use std::net::Ipv4Addr;

use ftagent_core::service::Transport;

const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// MSS, SACK permitted, timestamps, nothing, window scale: what Linux sends with a SYN.
const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
/// Timestamps, as Linux sends them with every segment.
const OPTIONS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];

/// One packet.
pub(crate) struct Packet<'a> {
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    /// Flags, sequence, acknowledgement; UDP without.
    tcp: Option<(u8, u32, u32)>,
    payload: &'a [u8],
}

impl Packet<'_> {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let options: &[u8] = match self.tcp {
            Some((flags, ..)) if flags & SYN != 0 => &SYN_OPTIONS,
            Some(_) => &OPTIONS,
            None => &[],
        };
        let header = if self.tcp.is_some() { 20 + options.len() } else { 8 };
        let total = (20 + header + self.payload.len()) as u16;
        out.extend([0x02, 0, 0, 0, 0, 0x10, 0x02, 0, 0, 0, 0, 0xfa, 8, 0, 0x45, 0]);
        out.extend(total.to_be_bytes());
        out.extend([0x12, 0x34, 0x40, 0, 57, if self.tcp.is_some() { 6 } else { 17 }, 0, 0]);
        out.extend(self.from.0.octets());
        out.extend(self.to.0.octets());
        out.extend(self.from.1.to_be_bytes());
        out.extend(self.to.1.to_be_bytes());
        match self.tcp {
            Some((flags, sequence, acknowledgement)) => {
                out.extend(sequence.to_be_bytes());
                out.extend(acknowledgement.to_be_bytes());
                out.extend([(header as u8 / 4) << 4, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
                out.extend(options);
            }
            None => {
                out.extend((8 + self.payload.len() as u16).to_be_bytes());
                out.extend([0, 0]);
            }
        }
        out.extend(self.payload);
    }
}

/// A conversation that goes on.
pub(crate) struct Talk {
    transport: Transport,
    client: (Ipv4Addr, u16),
    server: (Ipv4Addr, u16),
    shaken: u8,
    client_next: u32,
    server_next: u32,
    /// Packets so far, handshake not counted.
    pub(crate) said: usize,
}

impl Talk {
    pub(crate) fn new(transport: Transport, client: (Ipv4Addr, u16), server: (Ipv4Addr, u16)) -> Self {
        let begins = u32::from(client.0).wrapping_mul(0x85eb_ca6b);
        Self {
            transport,
            client,
            server,
            shaken: 0,
            client_next: begins,
            server_next: begins.rotate_left(16),
            said: 0,
        }
    }

    /// The next packet of a TCP handshake, and whether the server sends it.
    pub(crate) fn shake_hands(&mut self) -> Option<(bool, Packet<'static>)> {
        if self.transport == Transport::Udp || self.shaken == 3 {
            return None;
        }
        self.shaken += 1;
        let (out, flags) = [(false, SYN), (true, SYN | ACK), (false, ACK)][usize::from(self.shaken - 1)];
        let packet = self.packet(!out, flags, &[]);
        match self.shaken {
            1 => self.client_next = self.client_next.wrapping_add(1),
            2 => self.server_next = self.server_next.wrapping_add(1),
            _ => {}
        }
        Some((out, packet))
    }

    /// The next packet with this payload; an empty one acknowledges.
    pub(crate) fn say<'a>(&mut self, to_server: bool, payload: &'a [u8]) -> Packet<'a> {
        let flags = if payload.is_empty() { ACK } else { ACK | PSH };
        let packet = self.packet(to_server, flags, payload);
        let next = if to_server { &mut self.client_next } else { &mut self.server_next };
        *next = next.wrapping_add(payload.len() as u32);
        self.said += 1;
        packet
    }

    fn packet<'a>(&self, to_server: bool, flags: u8, payload: &'a [u8]) -> Packet<'a> {
        let (from, to, sequence, acknowledged) = if to_server {
            (self.client, self.server, self.client_next, self.server_next)
        } else {
            (self.server, self.client, self.server_next, self.client_next)
        };
        let acknowledgement = if flags & ACK == 0 { 0 } else { acknowledged };
        let tcp = (self.transport == Transport::Tcp).then_some((flags, sequence, acknowledgement));
        Packet { from, to, tcp, payload }
    }
}
