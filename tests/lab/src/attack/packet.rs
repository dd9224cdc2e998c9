//! IPv4 and IPv6 packets as bytes, with right checksums, so that what should be dropped is dropped for its shape.

use std::net::IpAddr;
use std::net::SocketAddr;

/// TCP flags by their bits.
pub(crate) mod flag {
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
    pub(crate) const ECE: u8 = 0x40;
    pub(crate) const CWR: u8 = 0x80;
}

/// What follows the IP header.
pub(crate) enum Transport<'a> {
    Udp(&'a [u8]),
    Tcp {
        flags: u8,
        window: u16,
        sequence: u32,
        acknowledged: u32,
        options: &'a [u8],
        payload: &'a [u8],
    },
    Echo {
        id: u16,
        sequence: u16,
        payload: &'a [u8],
    },
    /// Bytes of a UDP datagram from its middle; ports are not in it.
    Rest(&'a [u8]),
}

/// A packet to be written.
pub(crate) struct Packet<'a> {
    pub(crate) source: IpAddr,
    pub(crate) source_port: u16,
    pub(crate) target: SocketAddr,
    pub(crate) ttl: u8,
    pub(crate) id: u16,
    /// Offset in units of eight bytes, and whether more follow.
    pub(crate) fragment: Option<(u16, bool)>,
    pub(crate) transport: Transport<'a>,
}

impl Packet<'_> {
    /// Writes the packet over what was in the buffer.
    pub(crate) fn write(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        let header = match (self.source, self.target.ip()) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                self.write_v4(source.octets(), target.octets(), buffer);
                20
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                self.write_v6(source.octets(), target.octets(), buffer);
                buffer.len()
            }
            _ => return,
        };
        self.write_transport(buffer);
        let length = buffer.len();
        if buffer[0] >> 4 == 4 {
            buffer[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        } else {
            buffer[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
        }
        self.checksum(buffer, header);
    }

    fn protocol(&self) -> u8 {
        match (&self.transport, self.target) {
            (Transport::Udp(_) | Transport::Rest(_), _) => 17,
            (Transport::Tcp { .. }, _) => 6,
            (Transport::Echo { .. }, SocketAddr::V4(_)) => 1,
            (Transport::Echo { .. }, SocketAddr::V6(_)) => 58,
        }
    }

    /// The kernel writes the header's checksum and leaves the rest alone.
    fn write_v4(&self, source: [u8; 4], target: [u8; 4], buffer: &mut Vec<u8>) {
        let (offset, more) = self.fragment.unwrap_or((0, false));
        buffer.extend([0x45, 0, 0, 0]);
        buffer.extend(self.id.to_be_bytes());
        buffer.extend((offset | u16::from(more) << 13).to_be_bytes());
        buffer.extend([self.ttl, self.protocol(), 0, 0]);
        buffer.extend(source);
        buffer.extend(target);
    }

    fn write_v6(&self, source: [u8; 16], target: [u8; 16], buffer: &mut Vec<u8>) {
        let next = if self.fragment.is_some() { 44 } else { self.protocol() };
        buffer.extend([0x60, 0, 0, 0, 0, 0, next, self.ttl]);
        buffer.extend(source);
        buffer.extend(target);
        if let Some((offset, more)) = self.fragment {
            buffer.extend([self.protocol(), 0]);
            buffer.extend((offset << 3 | u16::from(more)).to_be_bytes());
            buffer.extend(u32::from(self.id).to_be_bytes());
        }
    }

    fn write_transport(&self, buffer: &mut Vec<u8>) {
        match self.transport {
            Transport::Udp(payload) => {
                buffer.extend(self.source_port.to_be_bytes());
                buffer.extend(self.target.port().to_be_bytes());
                // A first fragment speaks of the whole datagram, which is longer than what is here.
                let length = if self.fragment.is_some() { 4_000 } else { payload.len() as u16 + 8 };
                buffer.extend(length.to_be_bytes());
                buffer.extend([0, 0]);
                buffer.extend(payload);
            }
            Transport::Tcp { flags, window, sequence, acknowledged, options, payload } => {
                buffer.extend(self.source_port.to_be_bytes());
                buffer.extend(self.target.port().to_be_bytes());
                buffer.extend(sequence.to_be_bytes());
                buffer.extend(acknowledged.to_be_bytes());
                buffer.extend([((20 + options.len()) as u8 / 4) << 4, flags]);
                buffer.extend(window.to_be_bytes());
                buffer.extend([0, 0, 0, 0]);
                buffer.extend(options);
                buffer.extend(payload);
            }
            Transport::Echo { id, sequence, payload } => {
                let kind = if self.target.is_ipv4() { 8 } else { 128 };
                buffer.extend([kind, 0, 0, 0]);
                buffer.extend(id.to_be_bytes());
                buffer.extend(sequence.to_be_bytes());
                buffer.extend(payload);
            }
            Transport::Rest(payload) => buffer.extend(payload),
        }
    }

    fn checksum(&self, buffer: &mut [u8], header: usize) {
        if self.fragment.is_some() {
            return;
        }
        let (at, pseudo) = match self.transport {
            Transport::Udp(_) => (6, true),
            Transport::Tcp { .. } => (16, true),
            Transport::Echo { .. } => (2, self.target.is_ipv6()),
            Transport::Rest(_) => return,
        };
        let mut sum = sum(&buffer[header..]);
        if pseudo {
            let addresses = if self.target.is_ipv4() { &buffer[12..20] } else { &buffer[8..40] };
            sum += self::sum(addresses) + u64::from(self.protocol()) + (buffer.len() - header) as u64;
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let sum = match !(sum as u16) {
            0 => 0xffff,
            sum => sum,
        };
        buffer[header + at..header + at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The sum of sixteen-bit words, not yet folded.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let whole: u64 = words.iter().map(|&word| u64::from(u16::from_be_bytes(word))).sum();
    whole + rest.first().map_or(0, |&last| u64::from(last) << 8)
}
