//! The SYN proxy in front of a container, with real clients and forged SYNs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rig;

use std::io::Read as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::time::Duration;

use ftagent_core::effect::Effect;
use ftagent_core::effect::SynProxy;
use ftagent_core::service::Path;
use ftagent_core::service::Service;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::service::Transport;
use ftagent_firewall::Mode;
use ftagent_firewall::Paths;
use ftagent_firewall::Wall;
use rig::PORT;
use rig::Rig;
use rig::addresses;
use rig::open;
use rig::raw::Raw;
use rig::raw::SYN;
use rig::udp;
use rig::within;

fn proxy(ip: IpAddr, for_ms: u32) -> Effect {
    let service = ServiceKey { transport: Transport::Tcp, ..udp(ip) };
    let (segment_bytes, window_scale, reason) = (1_440, 7, "test/test".into());
    Effect::SynProxy(SynProxy { service, segment_bytes, window_scale, for_ms, reason })
}

/// A server that gives back what it gets, as long as the test lives.
fn echo(rig: &Rig, v6: bool) {
    let listener: TcpListener = rig.tcp_server(v6);
    std::thread::spawn(move || {
        for stream in listener.incoming().take(200) {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut buffer = [0; 4_096];
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..len]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn join(rig: &Rig, to: IpAddr) -> Option<TcpStream> {
    within(&rig.players, || {
        let stream = TcpStream::connect_timeout(&SocketAddr::new(to, PORT), Duration::from_secs(3)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        Some(stream)
    })
}

/// Whether much is given back unharmed.
fn plays(stream: &mut TcpStream) -> bool {
    let sent: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
    let mut got = vec![0; sent.len()];
    stream.write_all(&sent).is_ok() && stream.read_exact(&mut got).is_ok() && got == sent
}

fn loose(rig: &Rig) -> String {
    rig.on_node("cat /proc/sys/net/netfilter/nf_conntrack_tcp_loose").trim().to_owned()
}

/// Sends forged SYNs for so long, at most so many, and says how many there were.
fn flood(rig: &Rig, to: Ipv4Addr, for_ms: u64, most: u32) -> u32 {
    within(&rig.players, || {
        let raw = Raw::open();
        let end = std::time::Instant::now() + Duration::from_millis(for_ms);
        let mut sent = 0;
        while sent < most && std::time::Instant::now() < end {
            let from = Ipv4Addr::from(0x0b00_0000 + sent.wrapping_mul(2_654_435_761) % 0x0100_0000);
            raw.send(from, to, SYN, sent);
            sent += 1;
        }
        sent
    })
}

#[test]
fn players_join_under_forged_syns_and_what_was_changed_is_given_back() {
    Rig::new("nft").run(|rig| {
        // Answers to forged sources have a way to go.
        rig.on_node("ip route add default via 198.51.100.100");
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let before = loose(rig);
        [false, true].into_iter().for_each(|v6| echo(rig, v6));
        let servers = [false, true].map(|v6| addresses(v6).server);
        let mut earlier = join(rig, servers[0]).unwrap();
        wall.apply(rig.now(), &servers.map(|server| proxy(server, 60_000))).unwrap();
        assert_eq!(loose(rig), "0");
        assert!(plays(&mut earlier), "who was there before");
        let mut playing: Vec<_> = servers.iter().map(|server| join(rig, *server).unwrap()).collect();
        assert!(playing.iter_mut().all(plays));

        let IpAddr::V4(target) = servers[0] else { unreachable!("the first is of IPv4") };
        let (sent, joined) = std::thread::scope(|scope| {
            let flood = scope.spawn(|| flood(rig, target, 2_000, 200_000));
            let joined = (0..20).filter(|n| {
                let stream = join(rig, servers[n % 2]);
                std::thread::sleep(Duration::from_millis(40));
                stream.is_some_and(|mut stream| plays(&mut stream))
            });
            let joined = joined.count();
            (flood.join().unwrap(), joined)
        });
        println!("{joined} of 20 joined under {sent} forged SYNs in 2 s");
        assert_eq!(joined, 20, "under {sent} forged SYNs");
        let tracked = rig.on_node("cat /proc/sys/net/netfilter/nf_conntrack_count");
        let tracked: u32 = tracked.trim().parse().unwrap();
        assert!(tracked < 1_000, "{tracked} connections tracked");
        assert!(playing.iter_mut().all(plays), "who plays goes on");
        assert_eq!(wall.status(rig.now()).measures.iter().filter(|one| one.what == "syn-proxy").count(), 2);

        // Taken back: new ones go the usual way, who plays goes on, the node has its value again.
        wall.apply(rig.now(), &servers.map(|server| proxy(server, 0))).unwrap();
        assert!(plays(&mut join(rig, servers[0]).unwrap()));
        rig.tick_for(&mut wall, 11_500);
        assert_eq!(loose(rig), before);
        assert!(!rig.on_node("nft list table inet ftagent").contains("chain proxies"));
        assert!(playing.iter_mut().all(plays), "who plays goes on without the chain");
        assert!(plays(&mut earlier));
        assert_eq!(servers.map(|server| join(rig, server).is_some_and(|mut one| plays(&mut one))), [true; 2]);
    });
}

#[test]
fn a_server_on_the_node_itself_is_proxied_too() {
    Rig::new("nft").run(|rig| {
        for v6 in [false, true] {
            let own = addresses(v6).server;
            let key = ServiceKey { ip: own, port: 7_777, transport: Transport::Tcp };
            let template = Service::clone(rig::services(Path::Local).iter().next().unwrap());
            let services = Services::new([Service { key, ..template }], [own]);
            let mut wall = Wall::open(rig.config(Mode::Enforce), rig.now()).unwrap();
            wall.set_services(&services, rig.now()).unwrap();
            let listener = TcpListener::bind((own, key.port)).unwrap();
            let (segment_bytes, window_scale, for_ms, reason) = (1_440, 7, 60_000, "test/test".into());
            let proxy = SynProxy { service: key, segment_bytes, window_scale, for_ms, reason };
            wall.apply(rig.now(), &[Effect::SynProxy(proxy)]).unwrap();
            let mut client = within(&rig.players, || {
                TcpStream::connect_timeout(&SocketAddr::new(own, key.port), Duration::from_secs(3)).unwrap()
            });
            let mut server = listener.accept().unwrap().0;
            client.write_all(b"hello").unwrap();
            let mut got = [0; 5];
            server.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"hello");
            let handled = rig.on_node("cat /proc/net/stat/synproxy");
            assert!(
                handled.lines().skip(1).any(|line| line.split_whitespace().nth(3) != Some("00000000")),
                "{handled}"
            );
            wall.close(false);
        }
    });
}

#[test]
fn off_and_the_next_start_give_back_what_the_proxy_changed() {
    Rig::new("nft").run(|rig| {
        let server = addresses(false).server;
        let config = rig.config(Mode::Enforce);
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let before = loose(rig);
        assert_eq!(before, "1");
        wall.apply(rig.now(), &[proxy(server, 60_000)]).unwrap();
        assert_eq!(loose(rig), "0");
        let lines = ftagent_firewall::off(&Paths { state_dir: config.state_dir.clone() });
        assert!(lines.iter().any(|line| line.contains("tcp_loose")), "{lines:?}");
        assert_eq!(loose(rig), before);
        ftagent_firewall::on(&Paths { state_dir: config.state_dir.clone() }).unwrap();
        drop(wall);

        // Killed while it stood, and its elements have run out before the next start.
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        wall.apply(rig.now(), &[proxy(server, 60_000)]).unwrap();
        drop(wall);
        assert_eq!(loose(rig), "0");
        for set in ["set inet ftagent proxied4", "map inet ftagent proxies4"] {
            rig.on_node(&format!("nft flush {set}"));
        }
        let wall = open(rig, Mode::Enforce, Path::Forwarded);
        assert_eq!(loose(rig), before, "at the next start");
        drop(wall);

        // Killed and started at once: it goes on, and the old value is still known.
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        wall.apply(rig.now(), &[proxy(server, 60_000)]).unwrap();
        drop(wall);
        echo(rig, false);
        let wall = open(rig, Mode::Enforce, Path::Forwarded);
        assert_eq!(loose(rig), "0");
        assert!(plays(&mut join(rig, server).unwrap()));
        wall.close(false);
        assert_eq!(loose(rig), before, "by a clean stop");
    });
}

#[test]
fn in_observe_mode_no_syn_is_taken_away() {
    Rig::new("nft").run(|rig| {
        let server = addresses(false).server;
        let mut wall = open(rig, Mode::Observe, Path::Forwarded);
        echo(rig, false);
        wall.apply(rig.now(), &[proxy(server, 60_000)]).unwrap();
        assert_eq!(loose(rig), "1");
        assert!(plays(&mut join(rig, server).unwrap()));
        wall.set_mode(Mode::Enforce, rig.now()).unwrap();
        assert_eq!(loose(rig), "0");
        assert!(plays(&mut join(rig, server).unwrap()));
        // Killed: its SYNs go the usual way, although the rest still stands.
        std::thread::sleep(Duration::from_secs(11));
        assert!(plays(&mut join(rig, server).unwrap()));
        wall.set_mode(Mode::Observe, rig.now()).unwrap();
        assert_eq!(loose(rig), "1");
    });
}
