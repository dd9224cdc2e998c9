//! Where the layers of a captured frame begin, so that payload can be cut and addresses replaced. What is cut off or
//! makes no sense ends where the captured bytes end; nothing here judges.

use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;

/// VLAN tags that are passed over, as the engine does.
const VLAN_TAGS_MAX: usize = 4;
/// IPv6 extension headers that are passed over, as the engine does.
const EXTENSIONS_MAX: usize = 8;

/// IP protocol numbers (IANA).
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;

/// What the bytes behind the IP header are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inner {
    Tcp,
    Udp,
    /// Its first eight bytes say what it is; behind them it quotes packets.
    Icmp,
    /// A later fragment or another protocol: all of it is payload.
    Other,
}

/// Offsets into the captured bytes, none behind their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layers {
    pub(crate) v6: bool,
    pub(crate) ip_at: usize,
    pub(crate) inner_at: usize,
    pub(crate) inner: Inner,
    pub(crate) payload_at: usize,
}

/// Where the payload begins behind the headers of a frame that carries IP; at most the number of captured bytes.
pub fn payload_at(frame: &Frame<'_>) -> Option<usize> {
    layers(frame).map(|layers| layers.payload_at)
}

/// The layers of a frame that carries IP.
pub(crate) fn layers(frame: &Frame<'_>) -> Option<Layers> {
    let bytes = frame.bytes;
    let ip_at = ip_at(frame)?;
    let (v6, inner_at, protocol) = match bytes.get(ip_at)? >> 4 {
        4 => {
            let header = bytes.get(ip_at..ip_at + 20)?;
            let later = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
            let inner_at = ip_at + usize::from(header[0] & 0xf).max(5) * 4;
            (false, inner_at, if later { None } else { Some(header[9]) })
        }
        6 => {
            bytes.get(ip_at..ip_at + 40)?;
            let (inner_at, protocol) = behind_extensions(bytes, ip_at);
            (true, inner_at, protocol)
        }
        _ => return None,
    };
    let (inner, header_bytes) = match protocol {
        Some(TCP) => (Inner::Tcp, bytes.get(inner_at + 12).map_or(20, |b| usize::from(b >> 4).max(5) * 4)),
        Some(UDP) => (Inner::Udp, 8),
        Some(ICMP | ICMP6) => (Inner::Icmp, 8),
        _ => (Inner::Other, 0),
    };
    let payload_at = (inner_at + header_bytes).min(bytes.len());
    Some(Layers { v6, ip_at, inner_at: inner_at.min(bytes.len()), inner, payload_at })
}

fn ip_at(frame: &Frame<'_>) -> Option<usize> {
    let bytes = frame.bytes;
    let ethertype = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    match frame.link {
        Link::RawIp => Some(0),
        Link::Loopback => Some(4),
        Link::LinuxCooked2 => Some(20),
        Link::LinuxCooked => Some(16),
        Link::Ethernet => {
            let mut at = 12;
            for _ in 0..=VLAN_TAGS_MAX {
                match ethertype(at)? {
                    0x8100 | 0x88a8 | 0x9100 => at += 4,
                    0x0800 | 0x86dd => return Some(at + 2),
                    _ => return None,
                }
            }
            None
        }
    }
}

/// Where the extension headers of an IPv6 packet end, and what follows; `None` for a later fragment or nonsense.
fn behind_extensions(bytes: &[u8], ip_at: usize) -> (usize, Option<u8>) {
    let (mut next, mut at) = (bytes[ip_at + 6], ip_at + 40);
    for _ in 0..EXTENSIONS_MAX {
        let Some(header) = bytes.get(at..at + 8) else { return (at, None) };
        match next {
            // Hop-by-hop, routing, destination options.
            0 | 43 | 60 => at += (usize::from(header[1]) + 1) * 8,
            44 => {
                at += 8;
                if u16::from_be_bytes([header[2], header[3]]) & 0xfff8 != 0 {
                    return (at, None);
                }
            }
            other => return (at, Some(other)),
        }
        next = header[0];
    }
    (at, None)
}
