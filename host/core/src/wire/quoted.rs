//! The packet that an ICMP error quotes: its IP header and at least eight bytes behind it (RFC 792; RFC 4443, 2.4).

use super::Address;
use super::Packet;
use super::Upper;
use super::be16;
use super::be32;
use super::be128;
use crate::flow::FlowKey;
use crate::service::Transport;

/// Between the part of the ICMP header that every message has and the quoted packet.
const REST_OF_HEADER_BYTES: usize = 4;
const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;

/// The flow whose server's packet an ICMP error was sent for; nothing where this is no such error, or quotes what
/// has no ports.
pub(crate) fn flow_of_error(packet: &Packet<'_>) -> Option<FlowKey> {
    let errors: &[u8] = match (packet.upper, packet.protocol) {
        // Destination unreachable, time exceeded, parameter problem.
        (Upper::Icmp, 1) => &[3, 11, 12],
        // The same with packet too big.
        (Upper::Icmp, 58) => &[1, 2, 3, 4],
        _ => return None,
    };
    if !errors.contains(&packet.icmp_type) {
        return None;
    }
    let quoted = packet.payload.get(REST_OF_HEADER_BYTES..)?;
    let (source, destination, protocol, ports) = match quoted.first()? >> 4 {
        4 => {
            let header_bytes = usize::from(quoted[0] & 0x0f) * 4;
            let header = quoted.get(..IPV4_HEADER_BYTES.max(header_bytes))?;
            let later = be16(header, 6) & 0x1fff != 0;
            let ports = quoted.get(header_bytes..).filter(|_| !later)?;
            (Address::v4(be32(header, 12)), Address::v4(be32(header, 16)), header[9], ports)
        }
        6 => {
            let (header, ports) = quoted.split_at_checked(IPV6_HEADER_BYTES)?;
            (Address::v6(be128(header, 8)), Address::v6(be128(header, 24)), header[6], ports)
        }
        _ => return None,
    };
    let transport = match protocol {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        _ => return None,
    };
    let ports = ports.get(..4)?;
    Some(FlowKey {
        client: destination,
        server: source,
        client_port: be16(ports, 2),
        server_port: be16(ports, 0),
        transport,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(protocol: u8, icmp_type: u8, payload: &[u8]) -> Packet<'_> {
        Packet {
            source: Address::v4(1),
            destination: Address::v4(2),
            source_port: 0,
            destination_port: 0,
            ip_id: 0,
            ttl: 64,
            fragment: 0,
            upper: Upper::Icmp,
            protocol,
            icmp_type,
            payload,
            payload_bytes: payload.len() as u32,
        }
    }

    /// An error behind its first four bytes: unused, then the header, then both ports, length and checksum.
    fn quoting(header: &[u8]) -> Vec<u8> {
        [&[0; 4], header, &[0x63, 0xdd, 0x9c, 0x40, 0, 8, 0, 0]].concat()
    }

    #[test]
    fn every_cut_of_a_quoted_packet_is_none_until_its_ports_are_there() {
        let mut v4 = [0; 20];
        (v4[0], v4[9]) = (0x45, 17);
        v4[12..20].copy_from_slice(&[203, 0, 113, 10, 192, 0, 2, 1]);
        let mut v6 = [0; 40];
        (v6[0], v6[6], v6[23], v6[39]) = (0x60, 6, 1, 2);
        let of = |server, client, transport| FlowKey {
            client,
            server,
            client_port: 40_000,
            server_port: 25_565,
            transport,
        };
        let v4_flow = of(Address::v4(0xcb00_710a), Address::v4(0xc000_0201), Transport::Udp);
        let v6_flow = of(Address::v6(1), Address::v6(2), Transport::Tcp);
        for (protocol, icmp_type, header, flow) in [(1, 3, &v4[..], v4_flow), (58, 1, &v6[..], v6_flow)] {
            let payload = quoting(header);
            let ports_end = payload.len() - 4;
            for cut in 0..=payload.len() {
                let wanted = (cut >= ports_end).then_some(flow);
                assert_eq!(flow_of_error(&error(protocol, icmp_type, &payload[..cut])), wanted, "{cut}");
            }
            assert_eq!(flow_of_error(&error(protocol, 8, &payload)), None, "no error");
        }
        v4[6..8].copy_from_slice(&[0, 1]);
        assert_eq!(flow_of_error(&error(1, 3, &quoting(&v4))), None, "a later fragment has no ports");
        (v4[0], v4[7]) = (0x4f, 0);
        assert_eq!(
            flow_of_error(&error(1, 3, &quoting(&v4))),
            None,
            "its header is longer than what is there"
        );
    }
}
