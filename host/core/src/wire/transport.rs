//! TCP (RFC 9293), UDP (RFC 768), and ICMP as far as that it is there.

use super::Malformed;
use super::Packet;
use super::Tcp;
use super::Upper;
use super::be16;
use super::be32;
use super::ip::Datagram;
use super::ip::LATER;
use super::ip::MORE;

const TCP_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
const ICMP_HEADER_BYTES: usize = 4;

/// Bits of `tcp-options` in the contract.
mod option {
    pub(super) const UNKNOWN: u16 = 1 << 14;
    pub(super) const MALFORMED: u16 = 1 << 15;
}

/// Reads what stands above IP.
#[inline(always)]
pub(super) fn read<'a>(datagram: &Datagram<'a>) -> Result<Packet<'a>, Malformed> {
    if datagram.fragment & LATER != 0 {
        return Ok(packet(datagram, Upper::LaterFragment, 0));
    }
    match datagram.protocol {
        6 => tcp(datagram),
        17 => udp(datagram),
        1 | 58 if datagram.bytes.len() < ICMP_HEADER_BYTES => Err(Malformed::CutIcmp),
        1 | 58 => {
            Ok(Packet { icmp_type: datagram.bytes[0], ..packet(datagram, Upper::Icmp, ICMP_HEADER_BYTES) })
        }
        _ => Ok(packet(datagram, Upper::Other, 0)),
    }
}

/// A packet without ports whose payload starts after `header_bytes`.
#[inline(always)]
fn packet<'a>(datagram: &Datagram<'a>, upper: Upper, header_bytes: usize) -> Packet<'a> {
    Packet {
        source: datagram.source,
        destination: datagram.destination,
        source_port: 0,
        destination_port: 0,
        ip_id: datagram.ip_id,
        ttl: datagram.ttl,
        fragment: datagram.fragment,
        upper,
        protocol: datagram.protocol,
        icmp_type: 0,
        payload: datagram.bytes.get(header_bytes..).unwrap_or_default(),
        payload_bytes: datagram.wire_bytes.saturating_sub(header_bytes).min(u32::MAX as usize) as u32,
    }
}

#[inline(always)]
fn tcp<'a>(datagram: &Datagram<'a>) -> Result<Packet<'a>, Malformed> {
    let bytes = datagram.bytes;
    if datagram.wire_bytes < TCP_HEADER_BYTES || bytes.len() < TCP_HEADER_BYTES {
        return Err(Malformed::CutTcp);
    }
    let header_bytes = usize::from(bytes[12] >> 4) * 4;
    if header_bytes < TCP_HEADER_BYTES || header_bytes > datagram.wire_bytes {
        return Err(Malformed::TcpDataOffset);
    }
    let upper = Tcp {
        sequence: be32(bytes, 4),
        acknowledgement: be32(bytes, 8),
        flags: bytes[13],
        window: be16(bytes, 14),
        options: options(&bytes[TCP_HEADER_BYTES..bytes.len().min(header_bytes)], bytes.len() < header_bytes),
    };
    let mut packet = packet(datagram, Upper::Tcp(upper), header_bytes);
    packet.source_port = be16(bytes, 0);
    packet.destination_port = be16(bytes, 2);
    Ok(packet)
}

/// Which options are there. Where the capture cut the list, its end is nobody's fault.
fn options(list: &[u8], cut: bool) -> u16 {
    let wrong = if cut { 0 } else { option::MALFORMED };
    let mut seen = 0;
    let mut rest = list;
    while let [kind, behind @ ..] = rest {
        let bit = match kind {
            0 => return seen,
            1 => {
                rest = behind;
                continue;
            }
            2 => 1 << 0,
            3 => 1 << 1,
            4 => 1 << 2,
            5 => 1 << 3,
            8 => 1 << 4,
            34 => 1 << 5,
            19 | 29 => 1 << 6,
            _ => option::UNKNOWN,
        };
        seen |= bit;
        let Some(&length) = behind.first() else { return seen | wrong };
        if length < 2 {
            return seen | option::MALFORMED;
        }
        match rest.get(usize::from(length)..) {
            Some(next) => rest = next,
            None => return seen | wrong,
        }
    }
    seen
}

#[inline(always)]
fn udp<'a>(datagram: &Datagram<'a>) -> Result<Packet<'a>, Malformed> {
    let bytes = datagram.bytes;
    if datagram.wire_bytes < UDP_HEADER_BYTES || bytes.len() < UDP_HEADER_BYTES {
        return Err(Malformed::CutUdp);
    }
    // 0 stands for a jumbogram (RFC 2675); a first fragment says the length of the whole datagram.
    let said = usize::from(be16(bytes, 4));
    let whole = datagram.fragment & MORE == 0;
    if said != 0 && (said < UDP_HEADER_BYTES || (whole && said > datagram.wire_bytes)) {
        return Err(Malformed::UdpLength);
    }
    let length = if said == 0 { datagram.wire_bytes } else { said.min(datagram.wire_bytes) };
    let mut packet = packet(datagram, Upper::Udp, UDP_HEADER_BYTES);
    packet.payload_bytes = (length - UDP_HEADER_BYTES) as u32;
    packet.payload = packet.payload.get(..length - UDP_HEADER_BYTES).unwrap_or(packet.payload);
    packet.source_port = be16(bytes, 0);
    packet.destination_port = be16(bytes, 2);
    Ok(packet)
}
