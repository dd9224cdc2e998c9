//! IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200).

use super::Address;
use super::Malformed;
use super::be16;
use super::be32;
use super::be128;
use super::link::Inner;
use super::link::Version;
use crate::limits;

const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;
const LARGEST_PACKET_BYTES: usize = 65_535;

/// Don't-fragment, more-fragments and not-the-first in the contract's bits.
pub(super) const DONT: u8 = 1;
pub(super) const MORE: u8 = 2;
pub(super) const LATER: u8 = 4;

/// What an IP header carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'a> {
    pub(super) source: Address,
    pub(super) destination: Address,
    pub(super) ttl: u8,
    pub(super) ip_id: u16,
    pub(super) fragment: u8,
    /// The protocol behind the last header.
    pub(super) protocol: u8,
    pub(super) bytes: &'a [u8],
    /// Bytes behind the last header on the wire.
    pub(super) wire_bytes: usize,
}

/// Takes the IP headers off.
#[inline(always)]
pub(super) fn read<'a>(inner: &Inner<'a>) -> Result<Datagram<'a>, Malformed> {
    let Some(first) = inner.bytes.first() else {
        return Err(if inner.version == Version::V6 { Malformed::CutIpv6 } else { Malformed::CutIpv4 });
    };
    match (first >> 4, inner.version) {
        (4, Version::V4 | Version::Inside) => ipv4(inner),
        (6, Version::V6 | Version::Inside) => ipv6(inner),
        _ => Err(Malformed::IpVersion),
    }
}

#[inline(always)]
fn ipv4<'a>(inner: &Inner<'a>) -> Result<Datagram<'a>, Malformed> {
    let all = inner.bytes;
    if all.len() < IPV4_HEADER_BYTES {
        return Err(Malformed::CutIpv4);
    }
    let header_bytes = usize::from(all[0] & 0x0f) * 4;
    if header_bytes < IPV4_HEADER_BYTES {
        return Err(Malformed::Ipv4HeaderLength);
    }
    // A packet that the network card will still cut up says 0: then the frame says how long it is.
    let total_bytes = match usize::from(be16(all, 2)) {
        0 => inner.wire_bytes,
        said => said,
    };
    if total_bytes < header_bytes {
        return Err(Malformed::Ipv4TotalLength);
    }
    if total_bytes > inner.wire_bytes {
        return Err(Malformed::Ipv4BeyondFrame);
    }
    if all.len() < header_bytes {
        return Err(Malformed::CutIpv4);
    }
    let bytes = &all[header_bytes..all.len().min(total_bytes).max(header_bytes)];
    let wire_bytes = total_bytes - header_bytes;
    Ok(Datagram {
        source: Address::v4(be32(all, 12)),
        destination: Address::v4(be32(all, 16)),
        ttl: all[8],
        ip_id: be16(all, 4),
        fragment: fragment_v4(be16(all, 6), wire_bytes)?,
        protocol: all[9],
        bytes,
        wire_bytes,
    })
}

#[inline(always)]
fn fragment_v4(field: u16, wire_bytes: usize) -> Result<u8, Malformed> {
    let offset = usize::from(field & 0x1fff) * 8;
    if offset + wire_bytes > LARGEST_PACKET_BYTES {
        return Err(Malformed::FragmentBeyondEnd);
    }
    let dont = if field & 0x4000 != 0 { DONT } else { 0 };
    let more = if field & 0x2000 != 0 { MORE } else { 0 };
    Ok(dont | more | if offset > 0 { LATER } else { 0 })
}

fn ipv6<'a>(inner: &Inner<'a>) -> Result<Datagram<'a>, Malformed> {
    let all = inner.bytes;
    if all.len() < IPV6_HEADER_BYTES {
        return Err(Malformed::CutIpv6);
    }
    let on_wire = inner.wire_bytes - IPV6_HEADER_BYTES;
    // 0 stands for a jumbogram or for a packet that the network card will still cut up.
    let wire_bytes = match usize::from(be16(all, 4)) {
        0 => on_wire,
        said => said,
    };
    if wire_bytes > on_wire {
        return Err(Malformed::Ipv6BeyondFrame);
    }
    let end = all.len().min(IPV6_HEADER_BYTES + wire_bytes);
    let mut datagram = Datagram {
        source: Address::v6(be128(all, 8)),
        destination: Address::v6(be128(all, 24)),
        ttl: all[7],
        ip_id: 0,
        fragment: 0,
        protocol: all[6],
        bytes: &all[IPV6_HEADER_BYTES..end],
        wire_bytes,
    };
    extensions(&mut datagram)?;
    Ok(datagram)
}

/// Walks the extension headers up to the transport, or up to a fragment that has none.
fn extensions(datagram: &mut Datagram<'_>) -> Result<(), Malformed> {
    for _ in 0..=limits::IPV6_EXTENSIONS {
        let header = datagram.bytes;
        let header_bytes = match datagram.protocol {
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6: 8 bytes and 8 times the length.
            0 | 43 | 60 | 135 | 139 | 140 => {
                8 + usize::from(*header.get(1).ok_or(Malformed::CutExtension)?) * 8
            }
            44 => {
                if header.len() < 8 {
                    return Err(Malformed::CutExtension);
                }
                8
            }
            // Authentication header (RFC 4302): 4-byte words minus 2.
            51 => 8 + usize::from(*header.get(1).ok_or(Malformed::CutExtension)?) * 4,
            _ => return Ok(()),
        };
        if header.len() < header_bytes || datagram.wire_bytes < header_bytes {
            return Err(Malformed::CutExtension);
        }
        if datagram.protocol == 44 {
            let field = be16(header, 2);
            let behind = datagram.wire_bytes - 8;
            if usize::from(field & 0xfff8) + behind > LARGEST_PACKET_BYTES {
                return Err(Malformed::FragmentBeyondEnd);
            }
            datagram.fragment |= if field & 1 != 0 { MORE } else { 0 };
            datagram.fragment |= if field & 0xfff8 != 0 { LATER } else { 0 };
        }
        datagram.protocol = header[0];
        datagram.bytes = &header[header_bytes..];
        datagram.wire_bytes -= header_bytes;
        if datagram.fragment & LATER != 0 {
            return Ok(());
        }
    }
    Err(Malformed::TooManyExtensions)
}
