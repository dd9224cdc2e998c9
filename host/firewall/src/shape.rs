//! Shapes as rules: the header and payload bytes that nftables compares without a plugin.
//!
//! nftables has no arithmetic, so a TCP payload length becomes one rule for each header length; IPv4 options and
//! IPv6 extension headers are left to the plugins.

use std::fmt::Write as _;

use ftagent_core::manifest::BytesAt;
use ftagent_core::manifest::Shape;
use ftagent_core::service::Transport;

use crate::key::Family;
use crate::limits;

/// The name of a distinct shape: a hash of what it matches, the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShapeId(u64);

impl ShapeId {
    /// Of this shape (FNV-1a over its fields).
    pub fn of(shape: &Shape) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |bytes: &[u8]| {
            for &byte in bytes {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        eat(format!("{shape:?}").as_bytes());
        Self(hash)
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok())?.map(Self)
    }
}

impl std::fmt::Display for ShapeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a shape cannot become a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatchable {
    /// It has no field, or one that many players share alone (port, time to live, window).
    TooWide,
    /// A compare of no bytes or more than 16, or a mask of another length.
    Compare,
    /// Fields of TCP at a UDP shape.
    Transport,
}

/// The matches of one shape, one text a rule; any of them is enough.
pub fn matches(shape: &Shape, family: Family) -> Result<Vec<String>, Unmatchable> {
    let tcp_fields = shape.tcp_flags.is_some() || shape.without_options;
    if shape.transport == Transport::Udp && (tcp_fields || shape.window.is_some()) {
        return Err(Unmatchable::Transport);
    }
    let narrow = !shape.bytes.is_empty() || shape.payload_bytes.is_some() || tcp_fields;
    let narrow_together = shape.window.is_some() && (shape.ttl.is_some() || shape.source_port.is_some());
    if !narrow && !narrow_together {
        return Err(Unmatchable::TooWide);
    }
    let mut common = String::new();
    if let Some(port) = shape.source_port {
        let _ = write!(common, " @th,0,16 {port}");
    }
    if let Some((mask, value)) = shape.tcp_flags {
        let _ = write!(common, " @th,104,8 & {mask:#04x} == {:#04x}", value & mask);
    }
    if let Some(window) = shape.window {
        let _ = write!(common, " @th,112,16 {window}");
    }
    if let Some(ttl) = &shape.ttl {
        // The ninth byte of an IPv4 header, the eighth of an IPv6 header.
        let at = if family == Family::V4 { 64 } else { 56 };
        let (first, last) = (*ttl.start(), *ttl.end());
        let _ = if first == last {
            write!(common, " @nh,{at},8 {first}")
        } else {
            write!(common, " @nh,{at},8 {first}-{last}")
        };
    }
    for bytes in &shape.bytes {
        common.push_str(&compare(shape.transport, bytes)?);
    }
    let lengths = lengths(shape, family);
    Ok(lengths.into_iter().map(|length| format!("{length}{common}").trim_start().to_owned()).collect())
}

/// One masked compare of payload bytes.
fn compare(transport: Transport, bytes: &BytesAt) -> Result<String, Unmatchable> {
    let len = bytes.value.len();
    if len == 0 || len > limits::COMPARE_BYTES_MAX || bytes.mask.len() != len {
        return Err(Unmatchable::Compare);
    }
    // The payload of UDP lies at a fixed place behind the transport header, which every kernel can load.
    let (base, offset_bits) = match transport {
        Transport::Udp => ("th", 64 + u32::from(bytes.offset) * 8),
        Transport::Tcp => ("ih", u32::from(bytes.offset) * 8),
    };
    let hex = |of: &mut dyn Iterator<Item = u8>| {
        of.fold(String::from("0x"), |text, byte| format!("{text}{byte:02x}"))
    };
    let value = hex(&mut bytes.value.iter().zip(&bytes.mask).map(|(value, mask)| value & mask));
    let load = format!(" @{base},{offset_bits},{}", len * 8);
    if bytes.mask.iter().all(|&mask| mask == 0xff) {
        return Ok(format!("{load} {value}"));
    }
    let mask = hex(&mut bytes.mask.iter().copied());
    Ok(format!("{load} & {mask} == {value}"))
}

/// What bounds the payload length, one text a rule.
fn lengths(shape: &Shape, family: Family) -> Vec<String> {
    let Some(range) = &shape.payload_bytes else {
        return vec![if shape.without_options { " @th,96,4 5".to_owned() } else { String::new() }];
    };
    let between = |what: &str, header: u32| {
        let (first, last) = (u32::from(*range.start()) + header, u32::from(*range.end()) + header);
        let (first, last) = (first.min(0xffff), last.min(0xffff));
        if first == last { format!(" {what} {first}") } else { format!(" {what} {first}-{last}") }
    };
    match shape.transport {
        Transport::Udp => vec![between("udp length", 8)],
        Transport::Tcp => {
            let header_words = if shape.without_options { 5..=5 } else { 5..=15 };
            header_words
                .map(|words| match family {
                    Family::V4 => {
                        format!(" ip hdrlength 5 @th,96,4 {words}{}", between("ip length", 20 + words * 4))
                    }
                    Family::V6 => {
                        format!(" ip6 nexthdr 6 @th,96,4 {words}{}", between("ip6 length", words * 4))
                    }
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(transport: Transport) -> Shape {
        Shape {
            transport,
            payload_bytes: None,
            bytes: Vec::new(),
            tcp_flags: None,
            without_options: false,
            source_port: None,
            ttl: None,
            window: None,
        }
    }

    fn check(shape: &Shape, expected: &[&str]) {
        assert_eq!(matches(shape, Family::V4).unwrap(), expected);
        assert!(expected.len() <= limits::SHAPE_RULES_MAX);
    }

    #[test]
    fn shapes_become_matches() {
        let udp = shape(Transport::Udp);
        check(&Shape { payload_bytes: Some(0..=0), ..udp.clone() }, &["udp length 8"]);
        let magic = BytesAt { offset: 1, value: vec![0xff, 0x12], mask: vec![0xff, 0xf0] };
        check(
            &Shape { payload_bytes: Some(4..=9), bytes: vec![magic], source_port: Some(53), ..udp },
            &["udp length 12-17 @th,0,16 53 @th,72,16 & 0xfff0 == 0xff10"],
        );
        let tcp = shape(Transport::Tcp);
        check(
            &Shape { tcp_flags: Some((0x3f, 0x02)), without_options: true, ..tcp.clone() },
            &["@th,96,4 5 @th,104,8 & 0x3f == 0x02"],
        );
        check(
            &Shape { window: Some(1_024), ttl: Some(240..=244), ..tcp.clone() },
            &["@th,112,16 1024 @nh,64,8 240-244"],
        );
        check(
            &Shape { payload_bytes: Some(1..=1), without_options: true, ..tcp },
            &["ip hdrlength 5 @th,96,4 5 ip length 41"],
        );
        let far = Shape { ttl: Some(7..=7), payload_bytes: Some(0..=0), ..shape(Transport::Udp) };
        assert_eq!(matches(&far, Family::V6).unwrap(), ["udp length 8 @nh,56,8 7"]);
    }

    #[test]
    fn shapes_that_would_drop_players_are_refused() {
        let wide = Shape { source_port: Some(53), ..shape(Transport::Udp) };
        assert_eq!(matches(&wide, Family::V4), Err(Unmatchable::TooWide));
        let wide = Shape { ttl: Some(1..=9), source_port: Some(53), ..shape(Transport::Udp) };
        assert_eq!(matches(&wide, Family::V4), Err(Unmatchable::TooWide));
        let wide = Shape { window: Some(0), ..shape(Transport::Tcp) };
        assert_eq!(matches(&wide, Family::V4), Err(Unmatchable::TooWide));
        let window = Shape { window: Some(0), payload_bytes: Some(0..=0), ..shape(Transport::Udp) };
        assert_eq!(matches(&window, Family::V4), Err(Unmatchable::Transport));
        let long = BytesAt { offset: 0, value: vec![0; 17], mask: vec![0xff; 17] };
        let long = Shape { bytes: vec![long], ..shape(Transport::Udp) };
        assert_eq!(matches(&long, Family::V4), Err(Unmatchable::Compare));
        let flags = Shape { tcp_flags: Some((2, 2)), ..shape(Transport::Udp) };
        assert_eq!(matches(&flags, Family::V4), Err(Unmatchable::Transport));
    }
}
