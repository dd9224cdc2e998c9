//! Answers that somebody else was made to send: which source port, and how such an answer begins.
//!
//! Sources of the marks: the protocols' specifications, CISA TA14-017A for the list, and captured attacks for DNS,
//! SNMP, IKE, DHDiscover, BACnet and memcached. Both port and mark are needed: clients may use any port.

/// One protocol that is abused.
pub(crate) struct Reflector {
    /// Kebab-case, `…-reflection`.
    pub(crate) name: &'static str,
    /// Where its answers come from; inclusive.
    ports: (u16, u16),
    /// Whether a payload is such an answer.
    mark: fn(&[u8]) -> bool,
}

const fn at(name: &'static str, port: u16, mark: fn(&[u8]) -> bool) -> Reflector {
    Reflector { name, ports: (port, port), mark }
}

/// All of them, by port.
pub(crate) const ALL: [Reflector; 37] = [
    at("qotd-reflection", 17, is_text),
    at("chargen-reflection", 19, is_text),
    at("dns-reflection", 53, is_dns_answer),
    at("tftp-reflection", 69, |p| matches!(p, [0, 3 | 5, ..])),
    at("portmap-reflection", 111, |p| matches!(p, [_, _, _, _, 0, 0, 0, 1, ..])),
    at("ntp-reflection", 123, is_ntp_answer),
    at("netbios-reflection", 137, |p| matches!(p, [_, _, 0x84 | 0x85, ..])),
    at("snmp-reflection", 161, is_snmp_answer),
    at("xdmcp-reflection", 177, |p| p.starts_with(&[0, 1])),
    at("cldap-reflection", 389, is_cldap_answer),
    at("slp-reflection", 427, |p| p.starts_with(&[2, 2])),
    at("ike-reflection", 500, |p| matches!(p.get(17..19), Some([0x10 | 0x20, ..]))),
    at("rip-reflection", 520, |p| p.starts_with(&[2, 1])),
    at("ipmi-reflection", 623, |p| p.starts_with(&[6, 0, 0xff, 7])),
    at("openvpn-reflection", 1194, |p| matches!(p, [0x40 | 0x20..=0x2f, ..])),
    at("mssql-reflection", 1434, |p| matches!(p, [5, _, _, b'S', b'e', b'r', ..])),
    at("ssdp-reflection", 1900, |p| p.starts_with(b"HTTP/1.1 200") || p.starts_with(b"NOTIFY")),
    at("ard-reflection", 3283, |p| p.starts_with(&[0, 1]) && p.len() >= 60),
    at("rdp-reflection", 3389, |p| matches!(p, [0xff, 0xff, 0xff, 0xff, 0, ..])),
    at("stun-reflection", 3478, |p| matches!(p, [1, 1, _, _, 0x21, 0x12, 0xa4, 0x42, ..])),
    at("ws-discovery-reflection", 3702, is_xml),
    at("ike-reflection", 4500, |p| p.starts_with(&[0, 0, 0, 0]) && p.len() >= 28),
    at("sip-reflection", 5060, |p| p.starts_with(b"SIP/2.0")),
    at("sentinel-reflection", 5093, |p| p.starts_with(&[0x7a, 0])),
    at("mdns-reflection", 5353, |p| matches!(p, [0, 0, 0x84, 0, ..])),
    at("coap-reflection", 5683, |p| matches!(p, [0x50..=0x7f, 0x45, ..])),
    at("ubiquiti-reflection", 10_001, |p| p.starts_with(&[1, 0, 0])),
    at("memcached-reflection", 11_211, is_memcached_answer),
    at("raknet-reflection", 19_132, |p| {
        p.first() == Some(&0x1c) && p.get(17..21) == Some(&[0, 0xff, 0xff, 0])
    }),
    at("mta-reflection", 22_126, |p| p.starts_with(b"EYE")),
    Reflector { name: "source-query-reflection", ports: (27_015, 27_030), mark: is_source_answer },
    at("quake-reflection", 27_960, is_quake_answer),
    at("fivem-reflection", 30_120, is_quake_answer),
    Reflector { name: "plex-reflection", ports: (32_410, 32_414), mark: |p| p.starts_with(b"HTTP/1.0 200") },
    at("dhdiscover-reflection", 37_810, |p| matches!(p, [0x20, 0, 0, 0, b'D', b'H', b'I', b'P', ..])),
    at("bacnet-reflection", 47_808, |p| p.starts_with(&[0x81, 0x0a])),
    at("samp-reflection", 7_777, |p| p.starts_with(b"SAMP") && p.len() > 11),
];

/// The reflector whose answer this is, as its place in [`ALL`].
pub(crate) fn find(source_port: u16, payload: &[u8]) -> Option<usize> {
    let near = match source_port {
        0..=5 => return None,
        ..=5_683 | 7_777 | 10_001 | 11_211 | 19_132 | 22_126 => true,
        27_015..=27_030 | 27_960 | 30_120 | 32_410..=32_414 | 37_810 | 47_808 => true,
        _ => false,
    };
    if !near {
        return None;
    }
    let by_port = |reflector: &Reflector| {
        (reflector.ports.0..=reflector.ports.1).contains(&source_port) && (reflector.mark)(payload)
    };
    ALL.iter().position(by_port).or_else(|| {
        // A payload that says for sure what it is counts for more than the port.
        let name = match payload {
            _ if is_monlist(payload) => "ntp-reflection",
            _ if is_memcached_answer(payload) => "memcached-reflection",
            _ if is_cldap_answer(payload) => "cldap-reflection",
            _ => return None,
        };
        ALL.iter().position(|reflector| reflector.name == name)
    })
}

/// A response (QR) with answers, or an error, to one question.
fn is_dns_answer(p: &[u8]) -> bool {
    matches!(p, [_, _, flags, _, 0, 0 | 1, ..] if flags & 0x80 != 0)
}

/// Mode 7 (monlist) or mode 6 responses.
fn is_ntp_answer(p: &[u8]) -> bool {
    match p {
        _ if is_monlist(p) => true,
        // Mode 6 of version 1 to 4, a response.
        [first, second, ..] => first & 7 == 6 && matches!(first >> 3 & 7, 1..=4) && second & 0x80 != 0,
        _ => false,
    }
}

/// The answer of implementation 3 to request 42 (`MON_GETLIST_1`).
fn is_monlist(p: &[u8]) -> bool {
    matches!(p, [first, _, 3, 0x2a, ..] if first & 0x87 == 0x87)
}

/// A BER sequence that holds a version and a community.
fn is_snmp_answer(p: &[u8]) -> bool {
    p.first() == Some(&0x30) && p[..p.len().min(8)].windows(2).any(|two| two == [2, 1])
}

/// An LDAP message with a search result.
fn is_cldap_answer(p: &[u8]) -> bool {
    let behind_length = match p {
        [0x30, 0x84, _, _, _, _, rest @ ..] | [0x30, 0x82, _, _, rest @ ..] => rest,
        [0x30, _, rest @ ..] => rest,
        _ => return false,
    };
    matches!(behind_length, [2, 1, _, 0x64 | 0x65, ..] | [2, 2, _, _, 0x64 | 0x65, ..])
}

/// The frame header of the UDP form, and a word of the text protocol behind it.
fn is_memcached_answer(p: &[u8]) -> bool {
    let words = p.get(8..).unwrap_or_default();
    let word = [&b"VALUE "[..], b"STAT ", b"END", b"ERROR"].iter().any(|word| words.starts_with(word));
    matches!(p, [_, _, _, _, _, _, 0, 0, ..]) && word
}

/// What Source servers say to a question.
fn is_source_answer(p: &[u8]) -> bool {
    matches!(p, [0xff, 0xff, 0xff, 0xff, b'I' | b'D' | b'E' | b'A', ..])
}

fn is_quake_answer(p: &[u8]) -> bool {
    let words = p.strip_prefix(&[0xff; 4]).unwrap_or_default();
    words.starts_with(b"statusResponse") || words.starts_with(b"infoResponse")
}

fn is_xml(p: &[u8]) -> bool {
    p.starts_with(b"<?xml") || p.starts_with(b"<SOAP") || p.starts_with(b"<s:Env")
}

/// Printable to its first 16 bytes.
fn is_text(p: &[u8]) -> bool {
    p.len() >= 16 && p.iter().take(16).all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n'))
}
