//! Does live capture see each packet of the node once, in order, at the planned length, and count what it loses?
//!
//! Runs as root on a real kernel, in network namespaces that it makes and removes. Floods are at most 20,000
//! packets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod rig;

use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;
use std::time::Instant as Wall;

use etherparse::SlicedPacket;
use etherparse::TransportSlice;
use ftagent_capture::CapturePlan;
use ftagent_capture::LiveCapture;
use ftagent_capture::Options;
use ftagent_capture::Report;
use ftagent_capture::interfaces;
use ftagent_core::frame::Frame;
use ftagent_core::frame::Passage;
use ftagent_core::time::Instant;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::sendto;
use nix::sys::socket::socket;
use rig::FOREIGN_V4;
use rig::NODE_V4;
use rig::NODE_V6;
use rig::Rig;
use rig::inside;
use rig::ip;

/// One captured packet of TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    at: Instant,
    passage: Passage,
    ports: (u16, u16),
    /// SYN, ACK of a TCP header.
    syn_ack: (bool, bool),
    captured_bytes: usize,
    wire_bytes: u32,
    sample_rate: u32,
}

impl Seen {
    fn of(frame: &Frame<'_>) -> Option<Self> {
        // Cut frames are read as far as they go.
        let whole = SlicedPacket::from_ethernet(frame.bytes);
        let (ports, syn_ack) = match whole.ok().and_then(|packet| packet.transport) {
            Some(TransportSlice::Udp(udp)) => ((udp.source_port(), udp.destination_port()), (false, false)),
            Some(TransportSlice::Tcp(tcp)) => {
                ((tcp.source_port(), tcp.destination_port()), (tcp.syn(), tcp.ack()))
            }
            Some(_) => return None,
            None if frame.bytes.len() >= 38 && frame.bytes[12..14] == [8, 0] && frame.bytes[23] == 17 => {
                let port = |at: usize| u16::from_be_bytes([frame.bytes[at], frame.bytes[at + 1]]);
                ((port(34), port(36)), (false, false))
            }
            None => return None,
        };
        Some(Self {
            at: frame.at,
            passage: frame.passage,
            ports,
            syn_ack,
            captured_bytes: frame.bytes.len(),
            wire_bytes: frame.wire_bytes,
            sample_rate: frame.sample_rate,
        })
    }
}

fn small() -> Options {
    Options { block_bytes: 128 * 1024, ingress_blocks: 64, egress_blocks: 32, ..Options::default() }
}

fn own_plan() -> CapturePlan {
    let own: Vec<IpAddr> = [NODE_V4, NODE_V6].map(|address| address.parse().unwrap()).to_vec();
    CapturePlan { own, ..CapturePlan::default() }
}

fn open(rig: &Rig, plan: &CapturePlan, options: Options) -> LiveCapture {
    inside(&rig.node, || {
        let interface = interfaces::by_name("up0").unwrap();
        LiveCapture::open(&[interface], plan, options).unwrap()
    })
}

fn now() -> Instant {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Instant::from_micros(time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1_000)
}

/// Everything captured up to now, and 50 ms for a busy machine's timers.
fn drain(live: &mut LiveCapture) -> Vec<Seen> {
    let until = now().plus_millis(50);
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        let mut last_at = None;
        let mut each = |frame: &Frame<'_>| {
            last_at = Some(frame.at);
            seen.extend(Seen::of(frame));
        };
        let end = live.next_block(Duration::from_millis(5), &mut each).unwrap();
        assert!(last_at.is_none_or(|at| at <= end.now), "no later frame may be earlier than `now`");
        if end.now >= until {
            break;
        }
    }
    assert!(seen.is_sorted_by_key(|packet| packet.at), "times go backwards");
    seen
}

fn echo(client: &UdpSocket, server: &UdpSocket, to: SocketAddr, packets: u32) {
    let mut buffer = [0; 64];
    for number in 0..packets {
        client.send_to(&number.to_be_bytes(), to).unwrap();
        let (bytes, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..bytes], from).unwrap();
        client.recv_from(&mut buffer).unwrap();
    }
}

fn count(seen: &[Seen], passage: Passage, ports: (u16, u16)) -> usize {
    seen.iter().filter(|packet| packet.passage == passage && packet.ports == ports).count()
}

#[test]
fn each_packet_is_seen_once_with_its_direction() {
    let rig = Rig::new();
    let mut live = open(&rig, &own_plan(), small());
    let before = now();
    for (client, server) in
        [("0.0.0.0:4001", format!("{NODE_V4}:27015")), ("[::]:4002", format!("[{NODE_V6}]:27016"))]
    {
        let (client, listening) = (rig.udp(false, client), rig.udp(true, &server));
        echo(&client, &listening, server.parse().unwrap(), 100);
    }
    let foreign = rig.udp(false, "0.0.0.0:4003");
    for _ in 0..10 {
        foreign.send_to(b"not for the node itself", (FOREIGN_V4, 27015)).unwrap();
    }
    let seen = drain(&mut live);
    for ports in [(4001, 27015), (4002, 27016)] {
        assert_eq!(count(&seen, Passage::Ingress, ports), 100, "in {ports:?}");
        assert_eq!(count(&seen, Passage::Egress, (ports.1, ports.0)), 100, "out {ports:?}");
    }
    assert_eq!(seen.len(), 400, "nothing else, and nothing foreign");
    // Question and answer take turns, though they lie in different rings.
    for pair in seen.chunks(2) {
        assert_eq!([pair[0].passage, pair[1].passage], [Passage::Ingress, Passage::Egress]);
    }
    assert!(seen[0].at >= before && seen[399].at <= now(), "times are of the monotonic clock");
    assert!(seen.iter().all(|packet| packet.sample_rate == 1));
    assert_eq!(live.losses(), ftagent_capture::Losses::default());
}

#[test]
fn a_handshake_is_seen_in_order() {
    let rig = Rig::new();
    let mut live = open(&rig, &own_plan(), small());
    let listener = rig.listen(&format!("{NODE_V4}:25565"));
    for _ in 0..20 {
        let mut client = rig.connect(&format!("{NODE_V4}:25565"));
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
    }
    let seen = drain(&mut live);
    let syns: Vec<_> =
        seen.iter().filter(|packet| packet.syn_ack.0).map(|p| (p.passage, p.syn_ack.1)).collect();
    let turn = [(Passage::Ingress, false), (Passage::Egress, true)];
    assert_eq!(syns, turn.repeat(20), "each SYN is followed by its SYN-ACK");
}

#[test]
fn lengths_are_as_planned_and_a_new_plan_loses_nothing() {
    let rig = Rig::new();
    let plan = CapturePlan { per_port: vec![(27015, 300)], ..own_plan() };
    let other = CapturePlan { per_port: vec![(27016, 100)], ..own_plan() };
    let mut live = open(&rig, &plan, small());
    let _held = [rig.udp(true, &format!("{NODE_V4}:27015")), rig.udp(true, &format!("{NODE_V4}:27016"))];
    let client = rig.udp(false, "0.0.0.0:4001");
    let send = |port| client.send_to(&[7; 1000], (NODE_V4, port)).unwrap();
    send(27015);
    send(27016);
    let seen: Vec<_> = drain(&mut live).iter().map(|p| (p.ports.1, p.captured_bytes, p.wire_bytes)).collect();
    assert_eq!(seen, [(27015, 428, 1042), (27016, 128, 1042)]);

    for round in 0..500 {
        live.set_plan(if round % 2 == 0 { &other } else { &plan }).unwrap();
        send(27015);
    }
    live.set_plan(&other).unwrap();
    send(27016);
    let seen = drain(&mut live);
    assert_eq!(count(&seen, Passage::Ingress, (4001, 27015)), 500);
    assert_eq!(seen.last().map(|packet| packet.captured_bytes), Some(228));
}

#[test]
fn what_finds_the_ring_full_is_counted() {
    let rig = Rig::new();
    let options = Options { ingress_blocks: 2, ..small() };
    let mut live = open(&rig, &own_plan(), options);
    let _held = rig.udp(true, &format!("{NODE_V4}:27015"));
    let client = rig.udp(false, "0.0.0.0:4001");
    for _ in 0..20_000 {
        client.send_to(&[7; 200], (NODE_V4, 27015)).unwrap();
    }
    let seen = count(&drain(&mut live), Passage::Ingress, (4001, 27015)) as u64;
    let losses = live.losses();
    assert!(losses.ring_full > 10_000, "two small blocks cannot hold the burst: {losses:?}");
    assert_eq!(seen + losses.ring_full, 20_000, "{losses:?}");
    assert_eq!((losses.egress_ring_full, losses.damaged), (0, 0));
    assert!(losses.freezes > 0);
}

#[test]
fn sampled_packets_stand_for_the_others() {
    let rig = Rig::new();
    let options = Options { packets_per_second_max: 1_000, ..small() };
    let mut live = open(&rig, &own_plan(), options);
    let client = rig.udp(false, "0.0.0.0:4001");
    // As many flows as packets, so that chance weighs little: the sum is within 9 % two times in three.
    for port in 10_000..30_000_u16 {
        client.send_to(&[7; 20], (NODE_V4, port)).unwrap();
    }
    let seen = drain(&mut live);
    let kept = seen.iter().filter(|packet| packet.passage == Passage::Ingress).count() as u64;
    let incoming = seen.iter().filter(|packet| packet.passage == Passage::Ingress);
    let stands_for: u64 = incoming.map(|packet| u64::from(packet.sample_rate)).sum();
    let losses = live.losses();
    assert_eq!(kept + losses.sampled_away, 20_000, "{losses:?}");
    assert!(kept < 10_000, "{kept} kept");
    assert!((13_000..27_000).contains(&stands_for), "{kept} packets stand for {stands_for}");
}

/// Sends a frame as it is out of a device of this namespace.
fn send_raw(device: &str, frame: &[u8]) {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let all = nix::ifaddrs::getifaddrs().unwrap();
    let of_device = all.filter(|entry| entry.interface_name == device).find_map(|entry| entry.address);
    let address = *of_device.unwrap().as_link_addr().expect("the link-layer address comes first");
    let sent = sendto(socket.as_raw_fd(), frame, &address, MsgFlags::empty()).unwrap();
    assert_eq!(sent, frame.len());
}

/// No kernel module for VLAN devices is needed: the tags are written by hand, none, one and two of them.
#[test]
fn tagged_packets_are_seen_on_the_card() {
    let rig = Rig::new();
    let mut live = open(&rig, &own_plan(), small());
    let tags: [&[u8]; 3] = [&[], &[0x81, 0, 0, 5], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 5]];
    for tags in tags {
        let frame = |source: [u8; 4], destination: [u8; 4]| {
            // IPv4 of 35 bytes with UDP from port 4001 to 27015; the tap does not check sums.
            let ip = [&[0x45, 0, 0, 35, 0, 0, 0, 0, 64, 17, 0, 0][..], &source, &destination].concat();
            let udp = [&[0x0f, 0xa1, 0x69, 0x87, 0, 15, 0, 0][..], b"payload"].concat();
            [&[0xff; 6], &[2; 6], tags, &[8, 0], &ip, &udp].concat()
        };
        let (node, client, foreign) = ([10, 200, 0, 1], [10, 200, 0, 2], [10, 200, 9, 9]);
        inside(&rig.client, || {
            send_raw("cl0", &frame(client, node));
            send_raw("cl0", &frame(client, foreign));
        });
        inside(&rig.node, || {
            send_raw("up0", &frame(node, client));
            send_raw("up0", &frame(foreign, client));
        });
    }
    let seen = drain(&mut live);
    assert_eq!(count(&seen, Passage::Ingress, (4001, 27015)), 3);
    assert_eq!(count(&seen, Passage::Egress, (4001, 27015)), 3);
}

/// Reads until a report arrives, at most ten seconds.
fn next_report(live: &mut LiveCapture) -> Report {
    let start = Wall::now();
    while start.elapsed() < Duration::from_secs(10) {
        live.next_block(Duration::from_millis(20), &mut |_| {}).unwrap();
        if let Some(report) = live.take_reports().into_iter().next() {
            return report;
        }
    }
    panic!("no report in ten seconds");
}

#[test]
fn an_interface_may_go_down_away_and_by_another_name() {
    let rig = Rig::new();
    inside(&rig.node, || {
        let interface = interfaces::by_name("up0").unwrap();
        let mut live = LiveCapture::open(&[interface], &own_plan(), small()).unwrap();
        let name = |name: &str| name.to_owned();
        let sees_packets = |live: &mut LiveCapture| {
            let (client, server) =
                (rig.udp(false, "0.0.0.0:4001"), rig.udp(true, &format!("{NODE_V4}:27015")));
            drain(live);
            echo(&client, &server, format!("{NODE_V4}:27015").parse().unwrap(), 5);
            assert_eq!(drain(live).iter().filter(|packet| packet.ports.1 == 27015).count(), 5);
        };
        ip(&format!("-n {} link set up0 down", rig.node));
        assert_eq!(next_report(&mut live), Report::Down { interface: name("up0") });
        ip(&format!("-n {} link set up0 up", rig.node));
        sees_packets(&mut live);

        ip(&format!("-n {} link set up0 down", rig.node));
        assert_eq!(next_report(&mut live), Report::Down { interface: name("up0") });
        ip(&format!("-n {} link set up0 name wan0", rig.node));
        ip(&format!("-n {} link set wan0 up", rig.node));
        assert_eq!(next_report(&mut live), Report::Renamed { from: name("up0"), to: name("wan0") });
        sees_packets(&mut live);

        ip(&format!("-n {} link set wan0 down", rig.node));
        assert_eq!(next_report(&mut live), Report::Down { interface: name("wan0") });
        ip(&format!("-n {} link del wan0", rig.node));
        let lost = next_report(&mut live);
        assert_eq!(lost, Report::Lost { interface: name("wan0"), why: name("it was removed") });
        assert!(live.interfaces().all(|(_, watched)| !watched));
        rig.cable();
        ip(&format!("-n {} link set up0 down", rig.node));
        ip(&format!("-n {} link set up0 name wan0", rig.node));
        ip(&format!("-n {} link set wan0 up", rig.node));
        assert_eq!(next_report(&mut live), Report::Reopened { interface: name("wan0") });
        sees_packets(&mut live);
    });
}

#[test]
fn a_missing_interface_is_refused() {
    let missing = interfaces::by_name("ftagent-none0").unwrap_err().to_string();
    assert!(missing.starts_with("failed to find the interface `ftagent-none0`: "), "{missing}");
    let rig = Rig::new();
    let gone = interfaces::Interface {
        name: "gone0".to_owned(),
        index: 4_242,
        link: ftagent_core::frame::Link::Ethernet,
    };
    let refused =
        inside(&rig.node, || LiveCapture::open(&[gone], &own_plan(), small())).unwrap_err().to_string();
    assert!(refused.starts_with("failed to bind the packet socket on interface `gone0`: "), "{refused}");
}

/// The reader needs `/sys` of the namespace, which `ip netns exec` provides; so this test runs itself in there.
#[test]
fn the_snapshot_tells_uplink_bridge_cable_and_stacked_apart() {
    const INSIDE: &str = "FTAGENT_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        let choices = interfaces::choose(&interfaces::snapshot().unwrap(), &interfaces::Published::default());
        let told: Vec<String> =
            choices.iter().map(|choice| format!("{}: {}", choice.interface.name, choice.why)).collect();
        assert_eq!(
            told,
            [
                "docker0: it is a bridge of containers, whose packets are seen further out",
                "inside0: it is a member of `docker0`, which is looked at instead",
                "lo: it is the loopback interface",
                "loose0: it is the node's end of a container's cable",
                "stacked0: its packets are seen on `up0` already",
                "up0: ports are published on its address 10.200.0.1",
            ]
        );
        let up0 = interfaces::snapshot().unwrap().links.into_iter().find(|link| link.interface.name == "up0");
        assert!(up0.unwrap().default_route);
        return;
    }
    let rig = Rig::new();
    let (node, client) = (&rig.node, &rig.client);
    for command in [
        "link add docker0 type bridge".to_owned(),
        "link set docker0 up".to_owned(),
        "addr add 172.17.0.1/16 dev docker0".to_owned(),
        format!("link add inside0 type veth peer name eth0 netns {client}"),
        "link set inside0 master docker0 up".to_owned(),
        format!("link add loose0 type veth peer name eth1 netns {client}"),
        "link set loose0 up".to_owned(),
        "link add link up0 name stacked0 type macvlan mode private".to_owned(),
        "link set stacked0 up".to_owned(),
        "addr add 10.201.0.1/24 dev stacked0".to_owned(),
        format!("route add default via {}", rig::CLIENT_V4),
    ] {
        ip(&format!("-n {node} {command}"));
    }
    let itself = std::env::current_exe().unwrap();
    let done = Command::new("ip")
        .args(["netns", "exec", node])
        .arg(itself)
        .args(["--exact", "the_snapshot_tells_uplink_bridge_cable_and_stacked_apart", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr) + String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}
