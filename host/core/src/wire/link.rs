//! Link headers: Ethernet with tags, Linux cooked captures, BSD loopback, raw IP.

use super::Malformed;
use super::be16;
use crate::frame::Frame;
use crate::frame::Link;
use crate::limits;

const ETHER_TYPE_IPV4: u16 = 0x0800;
const ETHER_TYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad and the older double tag.
const ETHER_TYPES_OF_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// Which IP version the link announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
    /// The first four bits say it.
    Inside,
}

/// What a link header carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner<'a> {
    pub(super) version: Version,
    pub(super) bytes: &'a [u8],
    /// Bytes on the wire from here on.
    pub(super) wire_bytes: usize,
}

/// Takes the link header off. `Ok(None)` is a sound frame without IP.
#[inline(always)]
pub(super) fn read<'a>(frame: &Frame<'a>) -> Result<Option<Inner<'a>>, Malformed> {
    match frame.link {
        Link::Ethernet => tagged(frame, 12),
        Link::LinuxCooked => tagged(frame, 14),
        Link::LinuxCooked2 => cooked2(frame),
        Link::Loopback => loopback(frame),
        Link::RawIp => Ok(inner(frame, Version::Inside, 0)),
    }
}

#[inline(always)]
fn inner<'a>(frame: &Frame<'a>, version: Version, at: usize) -> Option<Inner<'a>> {
    let bytes = frame.bytes.get(at..)?;
    let wire_bytes = (frame.wire_bytes as usize).saturating_sub(at).max(bytes.len());
    Some(Inner { version, bytes, wire_bytes })
}

/// An EtherType at `at`, perhaps behind tags.
#[inline(always)]
fn tagged<'a>(frame: &Frame<'a>, mut at: usize) -> Result<Option<Inner<'a>>, Malformed> {
    for _ in 0..=limits::VLAN_TAGS {
        if frame.bytes.len() < at + 2 {
            return Err(Malformed::CutLink);
        }
        match be16(frame.bytes, at) {
            ETHER_TYPE_IPV4 => return Ok(inner(frame, Version::V4, at + 2)),
            ETHER_TYPE_IPV6 => return Ok(inner(frame, Version::V6, at + 2)),
            tag if ETHER_TYPES_OF_TAGS.contains(&tag) => at += 4,
            _ => return Ok(None),
        }
    }
    Err(Malformed::TooManyTags)
}

fn cooked2<'a>(frame: &Frame<'a>) -> Result<Option<Inner<'a>>, Malformed> {
    const HEADER_BYTES: usize = 20;
    if frame.bytes.len() < HEADER_BYTES {
        return Err(Malformed::CutLink);
    }
    Ok(match be16(frame.bytes, 0) {
        ETHER_TYPE_IPV4 => inner(frame, Version::V4, HEADER_BYTES),
        ETHER_TYPE_IPV6 => inner(frame, Version::V6, HEADER_BYTES),
        _ => None,
    })
}

/// The family is in the byte order of the machine that captured, so either end may hold it.
fn loopback<'a>(frame: &Frame<'a>) -> Result<Option<Inner<'a>>, Malformed> {
    let Some(family) = frame.bytes.get(..4) else { return Err(Malformed::CutLink) };
    // 2 is IPv4 everywhere; IPv6 is 24 on NetBSD and OpenBSD, 28 on FreeBSD, 30 on macOS, 10 on Linux.
    let version = match family {
        [2, 0, 0, 0] | [0, 0, 0, 2] => Version::V4,
        [10 | 24 | 28 | 30, 0, 0, 0] | [0, 0, 0, 10 | 24 | 28 | 30] => Version::V6,
        _ => return Ok(None),
    };
    Ok(inner(frame, version, 4))
}
