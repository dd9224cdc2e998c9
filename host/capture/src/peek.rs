//! The addresses and ports of a frame, as far as sampling needs them: never an error, never past the end.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use ftagent_core::frame::Link;

/// Who speaks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peek {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// 0 where there are none or a fragment hides them.
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
}

impl Peek {
    /// The two ends in an order that both directions share.
    pub(crate) fn ends(&self) -> [(IpAddr, u16); 2] {
        let mut ends = [(self.source, self.source_port), (self.destination, self.destination_port)];
        ends.sort_unstable();
        ends
    }

    /// Reads a frame; `None` if it is cut before its addresses or no IP packet.
    pub(crate) fn of(link: Link, bytes: &[u8]) -> Option<Self> {
        let packet = if link == Link::Ethernet { behind_ethernet(bytes)? } else { bytes };
        match packet.first()? >> 4 {
            4 => Self::v4(packet),
            6 => Self::v6(packet),
            _ => None,
        }
    }

    fn v4(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<20>()?;
        let header_bytes = usize::from(header[0] & 0x0f) * 4;
        // More fragments, or not the first: all of a datagram must look alike.
        let whole = header[6] & 0x3f == 0 && header[7] == 0;
        let source = Ipv4Addr::from(*header[12..].first_chunk::<4>()?);
        let destination = Ipv4Addr::from(*header[16..].first_chunk::<4>()?);
        let transport = if whole { packet.get(header_bytes..) } else { None };
        Some(Self::with_ports(source.into(), destination.into(), header[9], transport))
    }

    fn v6(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<40>()?;
        let source = Ipv6Addr::from(*header[8..].first_chunk::<16>()?);
        let destination = Ipv6Addr::from(*header[24..].first_chunk::<16>()?);
        Some(Self::with_ports(source.into(), destination.into(), header[6], packet.get(40..)))
    }

    fn with_ports(source: IpAddr, destination: IpAddr, protocol: u8, transport: Option<&[u8]>) -> Self {
        let ports = match (protocol, transport.and_then(<[u8]>::first_chunk::<4>)) {
            (6 | 17, Some([a, b, c, d])) => (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])),
            _ => (0, 0),
        };
        Self { source, destination, protocol, source_port: ports.0, destination_port: ports.1 }
    }
}

/// What follows an Ethernet header and at most two tags.
fn behind_ethernet(bytes: &[u8]) -> Option<&[u8]> {
    let mut type_at = 12;
    while type_at < 20 && matches!(bytes.get(type_at..type_at + 2)?, [0x81, 0x00] | [0x88, 0xa8]) {
        type_at += 4;
    }
    bytes.get(type_at + 2..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..96)) {
            for link in [Link::Ethernet, Link::RawIp] {
                let _ = Peek::of(link, &bytes);
            }
        }
    }

    #[test]
    fn both_directions_have_the_same_ends() {
        let mut packet = [0_u8; 28];
        packet[0] = 0x45;
        packet[9] = 17;
        packet[12..20].copy_from_slice(&[192, 0, 2, 1, 198, 51, 100, 2]);
        packet[20..24].copy_from_slice(&[0x12, 0x34, 0x63, 0xdd]);
        let there = Peek::of(Link::RawIp, &packet).unwrap();
        packet[12..20].copy_from_slice(&[198, 51, 100, 2, 192, 0, 2, 1]);
        packet[20..24].copy_from_slice(&[0x63, 0xdd, 0x12, 0x34]);
        let back = Peek::of(Link::RawIp, &packet).unwrap();
        assert_eq!(there.ends(), back.ends());
        assert_eq!(there.destination_port, 0x63dd);
    }
}
