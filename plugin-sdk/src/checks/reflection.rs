//! Answers of services that attackers make answer to a victim, by the source port AND what the payload says.
//!
//! Never by the source port alone: clients and NATs may use any of these ports. Marks that stand without a port are
//! long enough that no game's client sends them.
//!
//! Sources: the list of CISA TA14-017A; captured reflections (BACnet and DHDiscover to port 30120, DNS, IKE on 4500,
//! SNMP); measured answers (openarena, Luanti 5.6, Mumble 1.3, RakNet pong); for the others the protocol's own
//! specification, named beside the check. Echo (7) is left out: its answer is whatever was asked.

use crate::packet::Packet;
use crate::payload::Payload;

/// RakNet's offline message mark (wiki.bedrock.dev/servers/raknet).
const RAKNET_MAGIC: [u8; 16] = [0, 255, 255, 0, 254, 254, 254, 254, 253, 253, 253, 253, 18, 52, 86, 120];

/// Text services answer with at least this much printable text.
const TEXT_BYTES: usize = 32;

/// Whose answer a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reflector {
    /// Quote of the day (RFC 865).
    Qotd = 1,
    /// Character generator (RFC 864).
    CharGen,
    /// RFC 1035.
    Dns,
    /// RFC 1350.
    Tftp,
    /// Portmap (RFC 1833).
    Portmap,
    /// NTP modes 6 and 7 (RFC 9327).
    Ntp,
    /// RFC 1002.
    NetBios,
    /// RFC 3416.
    Snmp,
    /// X display manager.
    Xdmcp,
    /// Connectionless LDAP (RFC 1798).
    Cldap,
    /// Service location (RFC 2608).
    Slp,
    /// Key exchange (RFC 2408).
    Ike,
    /// Routing information, version 1 (RFC 1058).
    Rip,
    /// Remote management of servers.
    Ipmi,
    /// OpenVPN's first answer.
    OpenVpn,
    /// Microsoft SQL server browser.
    MsSql,
    /// Citrix ICA browser.
    Citrix,
    /// UPnP discovery.
    Ssdp,
    /// Digi device discovery.
    Digi,
    /// Apple Remote Desktop.
    AppleRemote,
    /// Remote desktop over UDP.
    Rdp,
    /// RFC 8489.
    Stun,
    /// WS-Discovery.
    WsDiscovery,
    /// RFC 3261.
    Sip,
    /// Sentinel licence server.
    Sentinel,
    /// Multicast DNS (RFC 6762).
    Mdns,
    /// RFC 7252.
    CoAp,
    /// Ubiquiti discovery.
    Ubiquiti,
    /// TP-240 test facility.
    Tp240,
    /// memcached.
    Memcached,
    /// Source server query.
    SourceQuery,
    /// Quake 3 family, FiveM among them.
    Quake3,
    /// SA-MP query.
    Samp,
    /// GameSpy 1.
    GameSpy,
    /// MTA's server list query.
    Ase,
    /// RakNet pong.
    RakNet,
    /// Luanti.
    Luanti,
    /// Mumble ping.
    Mumble,
    /// Plex discovery.
    Plex,
    /// Jenkins discovery.
    Jenkins,
    /// Dahua discovery.
    DhDiscover,
    /// Building automation.
    BacNet,
    /// Crestron control.
    Crestron,
    /// BitTorrent's table of peers (BEP 5).
    BitTorrent,
    /// A DTLS server's first answer (RFC 6347 4.2.1).
    Dtls,
    /// QUIC version negotiation (RFC 9000 17.2.1).
    Quic,
}

/// Whose answer this datagram to the server is, if nobody at the server asked: where the server already sent to
/// this client, the answer may be wanted (STUN for a voice server, a list server's word).
pub fn unasked(packet: &Packet<'_>) -> Option<Reflector> {
    if packet.two_way() { None } else { answer(packet) }
}

/// Whose answer this datagram to the server is by its looks, asked for or not.
pub fn answer(packet: &Packet<'_>) -> Option<Reflector> {
    if !packet.is_udp() || !packet.is_to_server() || packet.is_later_fragment() {
        return None;
    }
    let payload = packet.payload();
    let known = match packet.client_port() {
        port @ 0..1024 => from_system_port(port, &payload),
        port => from_user_port(port, &payload),
    };
    known.or_else(|| from_any_port(&payload))
}

fn from_system_port(port: u16, payload: &Payload<'_>) -> Option<Reflector> {
    let (reflector, fits) = match port {
        17 => (Reflector::Qotd, is_text(payload)),
        19 => (Reflector::CharGen, is_rotating_text(payload)),
        53 => (Reflector::Dns, is_dns_answer(payload)),
        // Data block 1 (RFC 1350 5) or an error of one of the eight kinds.
        69 => (
            Reflector::Tftp,
            payload.starts_with(&[0, 3, 0, 1])
                || payload.u32_be(0).is_some_and(|word| word & !7 == 0x0005_0000),
        ),
        // REPLY, accepted or denied (RFC 5531 9).
        111 => (Reflector::Portmap, payload.magic_at(4, &[0, 0, 0, 1, 0, 0, 0])),
        123 => (Reflector::Ntp, is_ntp_control(payload)),
        // Answers without questions (RFC 1002 4.2.13, 4.2.18).
        137 => (
            Reflector::NetBios,
            payload.magic_at(2, &[0x84, 0, 0, 0]) || payload.magic_at(2, &[0x85, 0x80, 0, 0]),
        ),
        161 => (Reflector::Snmp, is_snmp_answer(payload)),
        // Version 1, "willing" or "unwilling".
        177 => (Reflector::Xdmcp, matches!(payload.u32_be(0), Some(0x0001_0005 | 0x0001_0006))),
        // LDAPMessage in long form, then SearchResultEntry in long form.
        389 => (Reflector::Cldap, payload.starts_with(&[0x30, 0x84]) && payload.magic_at(9, &[0x64, 0x84])),
        443 => (Reflector::Quic, is_quic_negotiation(payload)),
        427 => (Reflector::Slp, payload.starts_with(&[2]) && matches!(payload.u8(1), Some(2 | 7 | 10))),
        500 => (Reflector::Ike, payload.magic_at(16, &[1, 0x10, 2, 0])),
        520 => (Reflector::Rip, payload.starts_with(&[2, 1, 0, 0, 0, 2])),
        623 => (Reflector::Ipmi, payload.starts_with(&[6, 0, 0xff, 7])),
        _ => return None,
    };
    if !fits && port == 443 && is_dtls_verify(payload) {
        return Some(Reflector::Dtls);
    }
    fits.then_some(reflector)
}

fn from_user_port(port: u16, payload: &Payload<'_>) -> Option<Reflector> {
    let len = payload.len();
    let (reflector, fits) = match port {
        // P_CONTROL_HARD_RESET_SERVER_V2 that acknowledges the client's packet 0.
        1194 => (Reflector::OpenVpn, payload.u8(0) == Some(0x40) && payload.magic_at(9, &[1, 0, 0, 0, 0])),
        1434 => (Reflector::MsSql, payload.u8(0) == Some(5) && payload.magic_at(3, b"ServerName;")),
        1604 => (Reflector::Citrix, payload.magic_at(4, &[2, 0xfd, 0xa8, 0xe3])),
        1900 => (Reflector::Ssdp, payload.starts_with(b"HTTP/1.1 200 OK")),
        2362 => (Reflector::Digi, payload.starts_with(b"DIGI")),
        3283 => (Reflector::AppleRemote, payload.starts_with(&[0, 1]) && (1000..1040).contains(&len)),
        // SYN and ACK among the flags of a padded packet ([MS-RDPEUDP] 2.2.2.1).
        3389 => (Reflector::Rdp, len > 1100 && payload.u16_be(6).is_some_and(|flags| flags & 5 == 5)),
        3478 | 3479 | 19_302 => {
            (Reflector::Stun, payload.starts_with(&[1, 1]) && payload.magic_at(4, &[0x21, 0x12, 0xa4, 0x42]))
        }
        3702 => (Reflector::WsDiscovery, is_soap(payload)),
        4500 => (Reflector::Ike, payload.starts_with(&[0; 4]) && payload.magic_at(20, &[1, 0x10, 2, 0])),
        5060 => (Reflector::Sip, payload.starts_with(b"SIP/2.0 ")),
        5093 => (Reflector::Sentinel, payload.starts_with(&[0x7a, 0]) && len > 100),
        5353 => (Reflector::Mdns, payload.starts_with(&[0, 0, 0x84, 0, 0, 0])),
        // Version 1, acknowledged or not, "content".
        5683 => (Reflector::CoAp, matches!(payload.u8(0), Some(0x50..=0x7f)) && payload.u8(1) == Some(0x45)),
        7777 => return from_7777(payload),
        10_001 => (Reflector::Ubiquiti, payload.starts_with(&[1, 0]) && length_at_2(payload, len, 4)),
        10_074 => (Reflector::Tp240, len > 200 && is_text(payload)),
        // Frame header: the reserved field is 0 (memcached doc/protocol.txt "UDP protocol").
        11_211 => {
            (Reflector::Memcached, payload.magic_at(6, b"\0\0VALUE ") || payload.magic_at(6, b"\0\0STAT "))
        }
        27_015..=27_030 => (
            Reflector::SourceQuery,
            payload.starts_with(&[0xff; 4]) && matches!(payload.u8(4), Some(0x41 | 0x44 | 0x45 | 0x49)),
        ),
        32_410 | 32_414 => (Reflector::Plex, payload.starts_with(b"HTTP/1.0 200 OK")),
        33_848 => (Reflector::Jenkins, payload.starts_with(b"<hudson>")),
        37_810 => (Reflector::DhDiscover, payload.starts_with(b"\x20\0\0\0DHIP")),
        41_794 => (Reflector::Crestron, payload.starts_with(&[0x15, 0, 0, 0, 1, 4])),
        47_808 => (Reflector::BacNet, payload.starts_with(&[0x81, 0x0a]) && length_at_2(payload, len, 0)),
        // Version 1.x.y first, then the number that was sent; 24 bytes.
        64_738 => (Reflector::Mumble, len == 24 && payload.starts_with(&[0, 1])),
        _ => return None,
    };
    fits.then_some(reflector)
}

/// SA-MP's answer is longer than any of its requests (11 and 15 bytes); Unreal's query speaks GameSpy 1.
fn from_7777(payload: &Payload<'_>) -> Option<Reflector> {
    let samp = payload.starts_with(b"SAMP") && matches!(payload.u8(10), Some(b'i' | b'r' | b'c' | b'd'));
    if samp && payload.len() > 15 {
        return Some(Reflector::Samp);
    }
    payload.starts_with(b"\\gamename\\").then_some(Reflector::GameSpy)
}

fn from_any_port(payload: &Payload<'_>) -> Option<Reflector> {
    match payload.u8(0)? {
        0xff => {
            let answers = [&b"statusResponse"[..], b"infoResponse"];
            let fits = answers.iter().any(|word| payload.magic_at(4, word));
            (payload.starts_with(&[0xff; 4]) && fits).then_some(Reflector::Quake3)
        }
        b'E' => {
            let fits = payload.starts_with(b"EYE") && matches!(payload.u8(3), Some(b'1'..=b'3'));
            fits.then_some(Reflector::Ase)
        }
        0x1c => payload.magic_at(17, &RAKNET_MAGIC).then_some(Reflector::RakNet),
        // Only a server is peer 1.
        0x4f => payload.starts_with(&[0x4f, 0x45, 0x74, 3, 0, 1]).then_some(Reflector::Luanti),
        b'd' => payload.starts_with(b"d1:rd2:id20:").then_some(Reflector::BitTorrent),
        _ => None,
    }
}

/// QR, opcode "query", one question, at least one answer or an error (RFC 1035 4.1.1).
fn is_dns_answer(payload: &Payload<'_>) -> bool {
    let answers = payload.u8(2).is_some_and(|flags| flags & 0xf8 == 0x80)
        && payload.u8(3).is_some_and(|flags| flags & 0x40 == 0)
        && payload.u16_be(4) == Some(1);
    let count = payload.u16_be(6).unwrap_or(0).max(payload.u16_be(8).unwrap_or(0));
    answers && (1..=255).contains(&count)
}

/// Mode 7 of `monlist` (implementation 3, request 42), or an answer in mode 6.
fn is_ntp_control(payload: &Payload<'_>) -> bool {
    let Some(first) = payload.u8(0) else { return false };
    match first & 7 {
        7 => first & 0x80 != 0 && payload.magic_at(2, &[3, 0x2a]),
        6 => payload.u8(1).is_some_and(|second| second & 0x80 != 0 && second & 0x1f <= 12),
        _ => false,
    }
}

/// A message of version 1 or 2c with the community `public` and a response inside.
fn is_snmp_answer(payload: &Payload<'_>) -> bool {
    if payload.u8(0) != Some(0x30) {
        return false;
    }
    // The length takes one byte, or one more for each byte that its first one announces.
    let at = match payload.u8(1) {
        Some(0x81) => 3,
        Some(0x82) => 4,
        _ => 2,
    };
    payload.magic_at(at, &[2, 1])
        && payload.u8(at + 2).is_some_and(|version| version <= 1)
        && payload.magic_at(at + 3, b"\x04\x06public\xa2")
}

/// Long header and version 0: only servers negotiate.
fn is_quic_negotiation(payload: &Payload<'_>) -> bool {
    payload.u8(0).is_some_and(|first| first & 0x80 != 0) && payload.magic_at(1, &[0; 4])
}

/// HelloVerifyRequest in the first record.
fn is_dtls_verify(payload: &Payload<'_>) -> bool {
    payload.starts_with(&[0x16, 0xfe]) && payload.magic_at(3, &[0; 8]) && payload.u8(13) == Some(3)
}

fn is_soap(payload: &Payload<'_>) -> bool {
    [&b"<?xml"[..], b"<SOAP", b"<soap", b"<s:Env"].iter().any(|mark| payload.starts_with(mark))
}

/// Whether the two bytes at 2 say the datagram's length, less `header`.
fn length_at_2(payload: &Payload<'_>, len: usize, header: usize) -> bool {
    payload.u16_be(2).is_some_and(|said| usize::from(said) + header == len)
}

fn is_text(payload: &Payload<'_>) -> bool {
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~');
    payload.get(0..TEXT_BYTES).is_some_and(|text| text.iter().all(printable))
}

/// Each letter is followed by the next one, and the last by the first.
fn is_rotating_text(payload: &Payload<'_>) -> bool {
    let Some(text) = payload.get(0..TEXT_BYTES) else { return false };
    let follows = |pair: &[u8]| match pair {
        [b'~', next] => matches!(next, b' ' | b'!' | 0x7f),
        [before @ b' '..b'~', next] => *next == before + 1,
        _ => false,
    };
    text.windows(2).all(follows)
}
