//! Every generator sends what it says: so many packets, of that shape, from those sources, within its bounds. What
//! arrives is read from the wire by a packet socket in the node's namespace. Needs root.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use ftagent_lab::Attack;
use ftagent_lab::Lab;
use ftagent_lab::Meter;
use ftagent_lab::address;
use ftagent_lab::attack::REFLECTORS;
use ftagent_lab::attack::Sources;
use ftagent_lab::attack::Vector;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockProtocol;
use nix::sys::socket::SockType;

/// Floods fill the queue that a processor keeps for all namespaces together, and what then arrives too much is lost.
/// Each test therefore has the machine to itself.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A test that failed while it held the machine leaves nothing behind that the next one could see.
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A packet as it arrived: everything from the IP header on.
type Packet = Vec<u8>;

/// What a tap holds unread, in bytes of the kernel's own accounting. It is read only once an attack has ended, and the 208
/// KiB of a socket nobody asked more for are exceeded by 48 long packets with the errors that answer them.
const TAP_BYTES: usize = 4 << 20;

/// Listens to all packets of a node.
fn tap(lab: &Lab) -> OwnedFd {
    let open = || {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        nix::sys::socket::socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthAll)
    };
    let tap = lab.node().within(open).expect("inside").expect("a packet socket");
    nix::sys::socket::setsockopt(&tap, nix::sys::socket::sockopt::RcvBufForce, &TAP_BYTES).expect("root");
    tap
}

/// What has arrived from attackers' addresses once so many have; on a busy machine the last ones take a moment.
fn heard(tap: &OwnedFd, expected: u64) -> Vec<Packet> {
    let mut packets = waiting(tap);
    let end = Instant::now() + Duration::from_secs(5);
    while (packets.len() as u64) < expected && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
        packets.extend(waiting(tap));
    }
    packets
}

/// What has arrived and was not yet read.
fn waiting(tap: &OwnedFd) -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut bytes = [0; 2_048];
    while let Ok(count) = nix::sys::socket::recv(tap.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
        let packet = &bytes[..count];
        let from_attackers = match packet[0] >> 4 {
            4 => packet[12] == 198,
            6 => {
                packet[8..14] == [0x20, 0x01, 0x0d, 0xb8, 0, 3]
                    || packet[8..14] == [0x20, 0x01, 0x0d, 0xb8, 0, 2]
            }
            _ => false,
        };
        if from_attackers {
            packets.push(packet.to_vec());
        }
    }
    packets
}

fn is_forged(packet: &[u8]) -> bool {
    if packet[0] >> 4 == 4 { packet[12..14] == [198, 18] } else { packet[12..14] == [0, 3] }
}

/// The sum of a transport header and its pseudo header is zero when its checksum is right.
fn checksum_is_right(packet: &[u8]) -> bool {
    let (header, protocol, addresses) =
        if packet[0] >> 4 == 4 { (20, packet[9], &packet[12..20]) } else { (40, packet[6], &packet[8..40]) };
    let body = &packet[header..];
    let mut sum = 0_u32;
    if protocol != 1 {
        sum += u32::from(protocol) + body.len() as u32;
        sum += addresses.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
    }
    sum += body
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&last| u32::from(last)))
        .sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum == 0xffff
}

/// Sends 48 packets of a vector, and each that arrives must satisfy `shape`, which sees what follows the IP header.
fn check(lab: &Lab, target: SocketAddr, vector: Vector, protocol: u8, shape: impl Fn(&[u8]) -> bool) {
    let tap = tap(lab);
    let sent = Attack::new(vector, target).packets(48).per_second(20_000).run(lab).expect("an attack");
    assert_eq!((sent.packets, sent.failed), (48, 0), "{vector:?}");
    assert!(sent.first_ms <= sent.last_ms && sent.bytes > 48 * 20, "{vector:?} {sent:?}");
    let packets = heard(&tap, sent.packets);
    assert_eq!(packets.len(), 48, "{vector:?}");
    for packet in packets {
        let (header, found) = if packet[0] >> 4 == 4 { (20, packet[9]) } else { (40, packet[6]) };
        assert!(is_forged(&packet), "{vector:?} {packet:x?}");
        assert_eq!(found, protocol, "{vector:?}");
        let fragment = packet[0] >> 4 == 4 && packet[6..8] != [0, 0] || found == 44;
        assert!(fragment || checksum_is_right(&packet), "{vector:?} {packet:x?}");
        assert!(shape(&packet[header..]), "{vector:?} {packet:x?}");
    }
}

/// Every vector that needs no connection, and what its packets must look like after the IP header.
#[test]
fn packets_look_as_described() {
    let _alone = alone();
    let lab = Lab::new().expect("a lab");
    let magic = b"\x00\xff\xff\x00\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78";
    for node in [IpAddr::from(address::NODE), IpAddr::from(address::NODE_V6)] {
        let at = |port| SocketAddr::new(node, port);
        let tcp = |flags: u8, window: u16, words: u8| {
            move |tcp: &[u8]| tcp[13] == flags && tcp[14..16] == window.to_be_bytes() && tcp[12] >> 4 == words
        };
        check(&lab, at(25565), Vector::SynFlood, 6, tcp(0x02, 0, 5));
        check(&lab, at(30120), Vector::SynEcnFlood, 6, tcp(0xc2, 65_535, 5));
        check(&lab, at(25565), Vector::SynAckReflection, 6, tcp(0x12, 64_240, 6));
        check(&lab, at(25565), Vector::AckFlood, 6, tcp(0x18, 512, 5));
        check(&lab, at(19132), Vector::RakNetPing, 17, |udp| {
            udp[8] == 1 && &udp[17..33] == magic && udp.len() == 41
        });
        check(&lab, at(19132), Vector::RakNetOpen1, 17, |udp| {
            udp[8] == 5 && &udp[9..25] == magic && udp[25] == 11
        });
        check(&lab, at(19132), Vector::RakNetOpen2, 17, |udp| {
            udp[8] == 7 && &udp[9..25] == magic && udp.len() == 42
        });
        check(&lab, at(27015), Vector::A2sInfo, 17, |udp| {
            &udp[8..] == b"\xff\xff\xff\xffTSource Engine Query\0"
        });
        check(&lab, at(27015), Vector::A2sPlayer, 17, |udp| udp.len() == 17 && udp[12] == b'U');
        check(&lab, at(27015), Vector::QConnect, 17, |udp| udp.len() == 31 && &udp[12..22] == b"qconnect0x");
        check(&lab, at(30120), Vector::GetStatus, 17, |udp| udp[12..].starts_with(b"getstatus"));
        check(&lab, at(19132), Vector::EmptyUdp, 17, |udp| udp.len() == 8);
        check(&lab, at(19132), Vector::RandomUdp(512), 17, |udp| (9..=520).contains(&udp.len()));
        for &reflector in REFLECTORS {
            check(&lab, at(19132), Vector::Reflection(Some(reflector)), 17, |udp| {
                udp[..2] == reflector.port.to_be_bytes() && udp[8..].starts_with(reflector.head)
            });
        }
        let v6 = node.is_ipv6();
        check(&lab, at(1), Vector::Fragments, if v6 { 44 } else { 17 }, |rest| rest.len() >= 512);
        check(&lab, at(1), Vector::Icmp, if v6 { 58 } else { 1 }, |echo| echo[0] == if v6 { 128 } else { 8 });
    }
}

#[test]
fn sources_are_as_asked_for() {
    let _alone = alone();
    let lab = Lab::new().expect("a lab");
    let target = SocketAddr::from((address::NODE, 19132));
    let tap = tap(&lab);
    let attack = Attack::new(Vector::RakNetPing, target).packets(60).per_second(20_000);
    let bots = [[198, 51, 100, 1], [198, 51, 100, 2], [198, 51, 100, 3]];
    let scattered = [[198, 19, 0, 1], [198, 19, 1, 1], [198, 19, 2, 1]];
    for (from, expected) in [(Sources::Bots(3), bots), (Sources::Scattered(3), scattered)] {
        attack.from(from).run(&lab).expect("an attack");
        let mut sources: Vec<[u8; 4]> =
            heard(&tap, 60).iter().map(|packet| [packet[12], packet[13], packet[14], packet[15]]).collect();
        assert_eq!(sources.len(), 60);
        sources.sort_unstable();
        sources.dedup();
        assert_eq!(sources, expected);
    }
    attack.from(Sources::As("198.19.7.7".parse().expect("an address"))).run(&lab).expect("an attack");
    assert!(heard(&tap, 60).iter().all(|packet| packet[12..16] == [198, 19, 7, 7]));
}

#[test]
fn each_bound_ends_an_attack() {
    let _alone = alone();
    let lab = Lab::new().expect("a lab");
    let target = SocketAddr::from((address::NODE, 19132));
    let attack = Attack::new(Vector::EmptyUdp, target);
    let begun = Instant::now();
    let sent = attack.packets(1_000_000).lasting(Duration::from_millis(300)).run(&lab).expect("an attack");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!((100..=310).contains(&sent.packets), "{sent:?} at 1,000 a second for 300 ms");
    let running = attack.packets(1_000_000).lasting(Duration::from_secs(60)).start(&lab).expect("an attack");
    std::thread::sleep(Duration::from_millis(100));
    assert!(running.packets() > 0);
    running.stop().expect("it ends");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn bots_open_real_connections_and_say_their_words() {
    let _alone = alone();
    let lab = Lab::new().expect("a lab");
    let target = SocketAddr::from((address::NODE, 25565));
    let listener =
        lab.node().within(|| std::net::TcpListener::bind(target)).expect("inside").expect("a port");
    let words: [(Vector, &[u8]); 5] = [
        (Vector::NullPing, &[0; 32]),
        (Vector::BadHandshake, &[1, 0]),
        (Vector::StatusFlood, b"\x17\x00\xfd\x05\x10play.example.org\x63\xdd\x01\x01\x00"),
        (Vector::JoinFlood, b"\x17\x00\xfd\x05\x10play.example.org\x63\xdd\x02\x1d\x00\x0bBot"),
        (Vector::SlowConnect, b""),
    ];
    for (vector, begins) in words {
        let running = Attack::new(vector, target).packets(20).per_second(500).start(&lab).expect("an attack");
        let mut sources = Vec::new();
        for _ in 0..20 {
            let (mut stream, source) = listener.accept().expect("a bot");
            let mut said = vec![0; begins.len()];
            std::io::Read::read_exact(&mut stream, &mut said).expect("its words");
            assert_eq!(said, begins, "{vector:?}");
            sources.push(source.ip());
        }
        let sent = running.finish().expect("it ends");
        assert_eq!((sent.packets, sent.failed), (20, 0), "{vector:?}");
        sources.sort_unstable();
        sources.dedup();
        assert!(sources.len() > 10, "{vector:?} came from {sources:?}");
    }
    drop(listener);
    let refused = Attack::new(Vector::JoinFlood, target).packets(20).run(&lab).expect("an attack");
    assert_eq!((refused.packets, refused.failed), (0, 20));
}

/// The rate that the demo's heaviest phase needs. Run with `--release`; a build without optimisation is let off.
#[test]
fn udp_floods_reach_a_hundred_thousand_packets_a_second() {
    let _alone = alone();
    let lab = Lab::new().expect("a lab");
    let meter = Meter::install(&lab.node().path()).expect("a meter");
    let target = SocketAddr::from((address::NODE, 19132));
    for vector in [Vector::RakNetPing, Vector::A2sInfo, Vector::EmptyUdp, Vector::RandomUdp(64)] {
        let before = meter.read().expect("counters");
        let attack = Attack::new(vector, target).packets(300_000).per_second(1_000_000);
        let sent = attack.lasting(Duration::from_secs(3)).run(&lab).expect("an attack");
        let arrived = (meter.read().expect("counters") - before).attackers;
        println!(
            "{vector:?}: {} packets/s, {arrived} of {} arrived",
            sent.packets_per_second(),
            sent.packets
        );
        assert!(arrived * 100 >= sent.packets * 99, "{vector:?}: {arrived} of {} arrived", sent.packets);
        let least = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
        assert!(sent.packets_per_second() >= least, "{vector:?}: {sent:?}");
    }
}
