//! The stronger measures on the real kernel: second try, hashed buckets, merged leases, shapes on trial.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rig;

use std::net::IpAddr;
use std::time::Duration;
use std::time::Instant as Clock;

use ftagent_core::effect::BucketLimit;
use ftagent_core::effect::CrowdLimit;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Grain;
use ftagent_core::effect::Lane;
use ftagent_core::effect::Lease;
use ftagent_core::effect::Scope;
use ftagent_core::effect::SecondTry;
use ftagent_core::effect::ShapeDrop;
use ftagent_core::manifest::Shape;
use ftagent_core::service::Path;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Transport;
use ftagent_firewall::Mode;
use rig::Rig;
use rig::addresses;
use rig::counts;
use rig::delivered;
use rig::open;
use rig::udp;

const REASON: &str = "test/test";

fn second_try(service: ServiceKey, after_ms: u32, within_ms: u32) -> Effect {
    Effect::SecondTry(SecondTry { service, after_ms, within_ms, for_ms: 60_000, reason: REASON.into() })
}

fn bucket(service: ServiceKey, packets_per_second: u32, burst: u32) -> Effect {
    bucket_of(Grain::Source, service, packets_per_second, burst)
}

fn bucket_of(grain: Grain, service: ServiceKey, packets_per_second: u32, burst: u32) -> Effect {
    let reason = REASON.into();
    Effect::BucketLimit(BucketLimit { service, grain, packets_per_second, burst, for_ms: 60_000, reason })
}

fn crowd(service: ServiceKey, packets_per_second: u32, burst: u32) -> Effect {
    let reason = REASON.into();
    Effect::CrowdLimit(CrowdLimit { service, packets_per_second, burst, for_ms: 60_000, reason })
}

fn tcp(ip: IpAddr) -> ServiceKey {
    ServiceKey { transport: Transport::Tcp, ..udp(ip) }
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
fn a_second_try_of_udp_passes_after_a_moment_and_goes_on_passing() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            let lane = Lane {
                source: at.player,
                source_port: Some(40_000),
                service: udp(at.server),
                for_ms: 60_000,
                packets_per_second: 1_000,
            };
            wall.apply(rig.now(), &[second_try(udp(at.server), 400, 1_500), Effect::Lane(lane)]).unwrap();
            let joiner = rig.client(at.attacker, 0);
            assert_eq!(delivered(&joiner, at.server, &server, 1), 0, "a first try");
            assert_eq!(delivered(&joiner, at.server, &server, 20), 0, "too fresh");
            pause(300);
            assert_eq!(delivered(&joiner, at.server, &server, 50), 50, "a second try");
            // Each packet that passes renews, so that it outlasts the time from the first.
            for _ in 0..3 {
                pause(700);
                assert_eq!(delivered(&joiner, at.server, &server, 5), 5, "goes on");
            }
            pause(1_600);
            assert_eq!(delivered(&joiner, at.server, &server, 5), 0, "a first try again, too late");
            let other_port = rig.client(at.attacker, 0);
            assert_eq!(delivered(&other_port, at.server, &server, 5), 0, "another port is another one");
            let player = rig.client(at.player, 40_000);
            assert_eq!(delivered(&player, at.server, &server, 50), 50, "a lane");
            assert_eq!(delivered(&other_port, at.neighbour, &neighbour, 50), 50, "the neighbour");
            let counts = counts(&mut wall, rig, udp(at.server));
            assert_eq!((counts.by_second_try.packets, counts.marked.packets), (31, 31));
        }
        let status = wall.status(rig.now());
        assert_eq!(status.measures.iter().filter(|measure| measure.what == "second-try").count(), 2);
    });
}

#[test]
fn a_second_try_of_tcp_lets_clients_in_that_ask_again() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let _server = rig.tcp_server(v6);
            wall.apply(rig.now(), &[second_try(tcp(at.server), 300, 5_000)]).unwrap();
            // The kernel sends its SYN again after a second.
            let began = Clock::now();
            assert!(rig.connects_within(at.player, at.server, 3), "joins");
            let took = began.elapsed();
            assert!((900..2_500).contains(&took.as_millis()), "{took:?}");
            let counts = counts(&mut wall, rig, tcp(at.server));
            assert_eq!(counts.by_second_try.packets, 1, "only the first SYN");
            assert!(counts.seen.packets > 3, "the rest of the connection is no SYN");
        }
    });
}

#[test]
fn second_tries_have_room_for_so_many_and_the_rest_goes_on_to_the_crowd() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for (v6, digit) in [(false, '4'), (true, '6')] {
            let at = addresses(v6);
            let server = rig.server(v6, false);
            // A set of three instead of half a million.
            let key = if v6 { "ipv6_addr" } else { "ipv4_addr" };
            let flow = format!("{key} . inet_service . {key} . inet_service . inet_proto");
            let ip = if v6 { "ip6" } else { "ip" };
            let set = format!("small{digit} {{ type {flow}; flags dynamic,timeout; size 3; }}");
            wall.apply(rig.now(), &[second_try(udp(at.server), 2_000, 9_000), crowd(udp(at.server), 1, 2)]).unwrap();
            let name = format!("try_2000_9000_{digit}");
            let flow = format!("{ip} saddr . th sport . {ip} daddr . th dport . meta l4proto");
            let script = format!(
                "add set inet ftagent {set}\nflush chain inet ftagent {name}\n\
                 add rule inet ftagent {name} add @small{digit} {{ {flow} timeout 9s }} goto hit_second_try{digit}\n"
            );
            rig.nft(&script);
            let strangers: Vec<_> = (0..10).map(|_| rig.client(at.attacker, 0)).collect();
            let passed: usize = strangers.iter().map(|one| delivered(one, at.server, &server, 1)).sum();
            assert!((2..=4).contains(&passed), "{passed}: a burst of 2 and what a second brings");
            let text = rig.on_node(&format!("nft -j list set inet ftagent small{digit}"));
            assert_eq!(text.matches("\"expires\"").count(), 3, "{text}");
            wall.apply(rig.now(), &[crowd(udp(at.server), 1, 0)]).unwrap();
        }
    });
}

#[test]
fn buckets_limit_each_hashed_source_and_spare_the_others() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            let (one, other) = (rig.client(at.attacker, 0), rig.client(at.player, 0));
            wall.apply(rig.now(), &[bucket(udp(at.server), 5, 10)]).unwrap();
            let passed = delivered(&one, at.server, &server, 200);
            assert!((10..=12).contains(&passed), "{passed} of one source");
            let same_source = rig.client(at.attacker, 0);
            assert!(delivered(&same_source, at.server, &server, 50) <= 3, "another port is the same bucket");
            let passed = delivered(&other, at.server, &server, 200);
            assert!((10..=12).contains(&passed), "{passed} of another source");
            assert_eq!(delivered(&one, at.neighbour, &neighbour, 200), 200, "the neighbour");
            let before = counts(&mut wall, rig, udp(at.server));
            assert!(before.by_bucket.packets > 400, "{before:?}");
            assert_eq!(before.by_bucket, before.marked);
            // A new rate is another set; the old one goes.
            wall.apply(rig.now(), &[bucket(udp(at.server), 1_000, 1_000)]).unwrap();
            assert_eq!(delivered(&one, at.server, &server, 200), 200);
            rig.tick_for(&mut wall, 1_200);
            let table = rig.on_node("nft list table inet ftagent");
            let digit = if v6 { '6' } else { '4' };
            assert!(table.contains(&format!("set bucket_1000_1000_{digit}")), "{table}");
            assert!(
                !table.contains(&format!("bucket_5_10_{digit}"))
                    && !table.contains(&format!("buckets_5_10_{digit}"))
            );
        }
    });
}

#[test]
fn buckets_of_networks_are_shared_by_a_network_and_by_no_other() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let server = rig.server(v6, false);
            let [one, same, other] = [7, 200, 300].map(|number| rig.far_client(v6, number));
            wall.apply(rig.now(), &[bucket_of(Grain::Network, udp(at.server), 5, 10)]).unwrap();
            let passed = delivered(&one, at.server, &server, 200);
            assert!((10..=12).contains(&passed), "{passed} of one source");
            assert!(delivered(&same, at.server, &server, 50) <= 3, "its neighbour is in the same bucket");
            let passed = delivered(&other, at.server, &server, 200);
            assert!((10..=12).contains(&passed), "{passed} of another network");
            let measures = wall.status(rig.now()).measures;
            assert!(measures.iter().any(|measure| measure.what == "network-bucket"), "{measures:?}");
            // By source again: the buckets of networks go.
            wall.apply(rig.now(), &[bucket(udp(at.server), 5, 10)]).unwrap();
            assert!((10..=12).contains(&delivered(&same, at.server, &server, 50)));
            rig.tick_for(&mut wall, 1_200);
            let table = rig.on_node("nft list table inet ftagent");
            assert!(!table.contains(if v6 { "netbuckets_5_10_6" } else { "netbuckets_5_10_4" }), "{table}");
        }
    });
}

#[test]
fn merged_leases_block_their_network_and_no_other() {
    Rig::new("nft").run(|rig| {
        let mut config = rig.config(Mode::Enforce);
        config.guard = vec!["2001:db8:a::/64".parse().unwrap()];
        let mut wall = ftagent_firewall::Wall::open(config, rig.now()).unwrap();
        wall.set_services(&rig::services(Path::Forwarded), rig.now()).unwrap();
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            // The rig's own gateway lies in the /24 of its clients, so another one stands for the botnet.
            let bot = rig.far_client(v6, 7);
            let other = rig.far_client(v6, 300);
            let lease = |source, prefix_bits, scope| {
                Effect::Lease(Lease { source, prefix_bits, scope, for_ms: 60_000, reason: REASON.into() })
            };
            let bits = if v6 { 48 } else { 24 };
            let source = rig::far(v6, 200);
            wall.apply(rig.now(), &[lease(source, bits, Scope::Service(udp(at.server)))]).unwrap();
            assert_eq!(delivered(&bot, at.server, &server, 20), 0, "in the network");
            assert_eq!(delivered(&other, at.server, &server, 20), 20, "outside");
            assert_eq!(delivered(&bot, at.neighbour, &neighbour, 20), 20, "the neighbour");
            wall.apply(rig.now(), &[lease(source, bits, Scope::Node)]).unwrap();
            assert_eq!(delivered(&bot, at.neighbour, &neighbour, 20), 0, "on the node");
            let status = wall.status(rig.now());
            assert!(
                status.leases.iter().any(|lease| lease.prefix_bits == bits && lease.scope == Scope::Node)
            );
            // Someone guarded in the same network forbids it.
            wall.apply(rig.now(), &[lease(at.player, bits, Scope::Node)]).unwrap();
            assert_eq!(wall.status(rig.now()).refused["guarded"], 1 + u64::from(v6));
        }
    });
}

fn shape() -> Shape {
    Shape {
        transport: Transport::Udp,
        payload_bytes: Some(10..=20),
        bytes: Vec::new(),
        tcp_flags: None,
        without_options: false,
        source_port: None,
        ttl: None,
        window: None,
    }
}

#[test]
fn a_shape_on_trial_counts_and_drops_only_afterwards() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, stranger) = (rig.server(v6, false), rig.client(at.attacker, 0));
            let service = udp(at.server);
            let drop = |trial, for_ms| {
                let reason = REASON.into();
                Effect::ShapeDrop(ShapeDrop { service, shape: shape(), trial, for_ms, reason })
            };
            wall.apply(rig.now(), &[drop(true, 60_000)]).unwrap();
            assert_eq!(delivered(&stranger, at.server, &server, 30), 30, "on trial");
            let seen = counts(&mut wall, rig, service);
            assert_eq!((seen.by_shape.packets, seen.marked.packets), (0, 0));
            let trials = wall.trials();
            let (found, found_shape, hit) = &trials[0];
            assert_eq!((*found, found_shape, hit.packets), (service, &shape(), 30));
            let status = wall.status(rig.now());
            let trial = status.measures.iter().find(|measure| measure.what == "trial").unwrap();
            assert_eq!(trial.hit.unwrap().packets, 30);
            wall.apply(rig.now(), &[drop(false, 60_000)]).unwrap();
            assert_eq!(delivered(&stranger, at.server, &server, 30), 0, "declared");
            assert_eq!(wall.trials(), []);
            wall.apply(rig.now(), &[drop(false, 0)]).unwrap();
            assert_eq!(delivered(&stranger, at.server, &server, 30), 30, "taken back");
        }
        rig.tick_for(&mut wall, 1_200);
        let table = rig.on_node("nft list table inet ftagent");
        assert!(!table.contains("map trial_") && !table.contains("set shape_"), "{table}");
    });
}

#[test]
fn shapes_know_the_time_to_live_and_the_window() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let server = rig.server(v6, false);
            let (near, far) = (rig.client(at.attacker, 0), rig.client(at.attacker, 0));
            rig::set_ttl(&far, v6, 200);
            let shape = Shape { ttl: Some(190..=210), ..shape() };
            let (service, reason) = (udp(at.server), REASON.into());
            let drop = ShapeDrop { service, shape, trial: false, for_ms: 60_000, reason };
            wall.apply(rig.now(), &[Effect::ShapeDrop(drop)]).unwrap();
            assert_eq!(delivered(&near, at.server, &server, 20), 20);
            assert_eq!(delivered(&far, at.server, &server, 20), 0);
            // No client has a window of 7 at the first SYN.
            let _server = rig.tcp_server(v6);
            let shape = Shape {
                transport: Transport::Tcp,
                payload_bytes: None,
                tcp_flags: Some((0x12, 0x02)),
                window: Some(7),
                ..self::shape()
            };
            let drop = ShapeDrop {
                service: tcp(at.server),
                shape,
                trial: false,
                for_ms: 60_000,
                reason: REASON.into(),
            };
            wall.apply(rig.now(), &[Effect::ShapeDrop(drop)]).unwrap();
            assert!(rig.connects(at.player, at.server));
        }
    });
}

#[test]
fn a_restart_adopts_second_tries_and_buckets_with_their_numbers() {
    Rig::new("nft").run(|rig| {
        let at = addresses(false);
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let effects = [second_try(udp(at.server), 400, 3_000), bucket(udp(at.neighbour), 5, 10)];
        wall.apply(rig.now(), &effects).unwrap();
        wall.close(true);
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let (server, neighbour) = (rig.server(false, false), rig.server(false, true));
        let stranger = rig.client(at.attacker, 0);
        assert_eq!(delivered(&stranger, at.server, &server, 5), 0);
        assert!(delivered(&stranger, at.neighbour, &neighbour, 100) <= 12);
        let whats: Vec<_> = wall.status(rig.now()).measures.iter().map(|measure| measure.what).collect();
        assert_eq!(whats, ["second-try", "bucket"]);
        // Whoever empties the chain of their rules is put right.
        rig.on_node("nft flush chain inet ftagent buckets4");
        rig.tick_for(&mut wall, 1_000);
        let other = rig.client(at.player, 0);
        assert!(delivered(&other, at.neighbour, &neighbour, 100) <= 12);
    });
}
