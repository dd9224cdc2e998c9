//! The cases that a wall must stand, by their numbers: mitigation (M), life (L) and orders from outside (S).

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
use ftagent_core::effect::SynProxy;
use ftagent_core::manifest::BytesAt;
use ftagent_core::manifest::Shape;
use ftagent_core::service::Path;
use ftagent_core::service::Service;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::service::Transport;
use ftagent_firewall::Mode;
use ftagent_firewall::Wall;
use rig::Rig;
use rig::addresses;
use rig::counts;
use rig::delivered;
use rig::lease;
use rig::open;
use rig::services;
use rig::udp;

fn tcp(ip: IpAddr) -> ServiceKey {
    ServiceKey { transport: Transport::Tcp, ..udp(ip) }
}

/// One effect of each kind at these services, for so long, with this text as the reason of all.
fn every_effect(udp: ServiceKey, tcp: ServiceKey, source: IpAddr, for_ms: u32, reason: &str) -> Vec<Effect> {
    let shape = Shape {
        transport: Transport::Udp,
        payload_bytes: Some(0..=9),
        bytes: vec![BytesAt { offset: 0, value: b"\"; }\n".to_vec(), mask: vec![0xff; 5] }],
        tcp_flags: None,
        without_options: false,
        source_port: Some(53),
        ttl: Some(1..=255),
        window: None,
    };
    let reason = || reason.into();
    let (packets_per_second, burst) = (77, 9);
    let lease =
        |scope, prefix_bits| Effect::Lease(Lease { source, prefix_bits, scope, for_ms, reason: reason() });
    let drop = |trial| ShapeDrop {
        service: udp,
        shape: Shape { source_port: Some(53 + u16::from(trial)), ..shape.clone() },
        trial,
        for_ms,
        reason: reason(),
    };
    vec![
        lease(Scope::Service(udp), 128),
        lease(Scope::Node, 128),
        Effect::Lane(Lane { source, source_port: Some(7), service: udp, for_ms, packets_per_second }),
        Effect::Lane(Lane { source, source_port: None, service: udp, for_ms, packets_per_second }),
        Effect::ShapeDrop(drop(false)),
        Effect::ShapeDrop(drop(true)),
        Effect::SecondTry(SecondTry {
            service: udp,
            after_ms: 300,
            within_ms: 5_000,
            for_ms,
            reason: reason(),
        }),
        Effect::BucketLimit(BucketLimit {
            service: udp,
            grain: Grain::Source,
            packets_per_second,
            burst,
            for_ms,
            reason: reason(),
        }),
        Effect::CrowdLimit(CrowdLimit { service: udp, packets_per_second, burst, for_ms, reason: reason() }),
        Effect::SynProxy(SynProxy {
            service: tcp,
            segment_bytes: 1_440,
            window_scale: 7,
            for_ms,
            reason: reason(),
        }),
    ]
}

#[test]
fn m01_nothing_of_ten_thousand_packets_reaches_the_container() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, attacker) = (rig.server(v6, false), rig.client(at.attacker, 0));
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(udp(at.server)), 60_000)]).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 10_000), 0);
            let counts = counts(&mut wall, rig, udp(at.server));
            assert_eq!(counts.marked.packets + counts.early.packets, 10_000);
        }
    });
}

#[test]
fn m02_a_block_of_ipv6_is_read_back_from_the_kernel() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let at = addresses(true);
        wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(udp(at.server)), 60_000)]).unwrap();
        let listed = rig.on_node("nft list set inet ftagent leases6");
        assert!(listed.contains("2001:db8:b:: . 2001:db8:1::10 . 25565 . udp"), "{listed}");
        assert!(wall.status(rig.now()).leases[0].in_kernel);
    });
}

#[test]
fn m03_fifty_sources_at_a_thousand_services_are_one_set_and_no_rule() {
    Rig::new("nft").run(|rig| {
        for v6 in [false, true] {
            let at = addresses(v6);
            let template = Service::clone(services(Path::Forwarded).iter().next().unwrap());
            let of = |port| Service { key: ServiceKey { port, ..udp(at.server) }, ..template.clone() };
            let thousand = Services::new((20_000..21_000).map(of), [at.server]);
            let mut wall = Wall::open(rig.config(Mode::Enforce), rig.now()).unwrap();
            wall.set_services(&thousand, rig.now()).unwrap();
            let rules = || rig.on_node("nft -s list table inet ftagent").matches(" goto ").count();
            let before = rules();
            let effects: Vec<_> = (0..50)
                .map(|n| {
                    let service = ServiceKey { port: 20_000 + n * 20, ..udp(at.server) };
                    lease(rig::far(v6, n), Scope::Service(service), 60_000)
                })
                .collect();
            let began = Clock::now();
            wall.apply(rig.now(), &effects).unwrap();
            let took = began.elapsed();
            println!("50 sources blocked at 1,000 services in {took:?}");
            assert!(took < Duration::from_millis(500), "{took:?}");
            assert_eq!(rules(), before);
            assert_eq!(wall.status(rig.now()).leases.iter().filter(|lease| lease.in_kernel).count(), 50);
            wall.close(false);
        }
    });
}

#[test]
fn m04_leases_are_ended_by_the_kernel() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, attacker) = (rig.server(v6, false), rig.client(at.attacker, 0));
            let many: Vec<_> = (0..1_000)
                .map(|n| lease(rig::far(v6, n), Scope::Service(udp(at.server)), 1_000))
                .chain([lease(at.attacker, Scope::Service(udp(at.server)), 1_000)])
                .collect();
            wall.apply(rig.now(), &many).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 10), 0);
            std::thread::sleep(Duration::from_millis(1_100));
            assert_eq!(delivered(&attacker, at.server, &server, 10), 10, "nobody ticked");
            let began = Clock::now();
            assert_eq!(wall.tick(rig.now()).problems, []);
            println!("the tick that forgets 1,001 leases took {:?}", began.elapsed());
            assert_eq!(wall.status(rig.now()).leases_total, 0);
        }
    });
}

#[test]
fn m05_two_verdicts_on_one_source_hold_and_end_apart() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, attacker) = (rig.server(v6, false), rig.client(at.attacker, 0));
            let _tcp_server = rig.tcp_server(v6);
            let on = |service, for_ms| lease(at.attacker, Scope::Service(service), for_ms);
            wall.apply(rig.now(), &[on(udp(at.server), 60_000), on(tcp(at.server), 60_000)]).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 10), 0);
            assert!(!rig.connects(at.attacker, at.server));
            wall.apply(rig.now(), &[on(udp(at.server), 0)]).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 10), 10);
            assert!(!rig.connects(at.attacker, at.server), "the other holds");
        }
    });
}

/// Makes the kernel refuse leases of IPv6: the set is not there.
fn break_leases(rig: &Rig) {
    rig.nft("flush chain inet ftagent measures6\ndelete set inet ftagent leases6\n");
}

#[test]
fn m06_m07_m08_what_the_kernel_refuses_is_shown_so_and_tried_again() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let [four, six] = [false, true].map(addresses);
        break_leases(rig);
        let effects = [four, six].map(|at| lease(at.attacker, Scope::Service(udp(at.server)), 60_000));
        wall.apply(rig.now(), &effects).unwrap();
        let status = wall.status(rig.now());
        let held: Vec<_> =
            status.leases.iter().map(|lease| (lease.source.is_ipv6(), lease.in_kernel)).collect();
        assert_eq!(held, [(false, true), (true, false)], "one of two");
        assert!(status.problems[0].says.contains("the kernel refused"), "{:?}", status.problems);
        let began = Clock::now();
        while !wall.status(rig.now()).leases.iter().all(|lease| lease.in_kernel) {
            wall.tick(rig.now());
            assert!(began.elapsed() < Duration::from_secs(2));
            std::thread::sleep(Duration::from_millis(50));
        }
        let (server, attacker) = (rig.server(true, false), rig.client(six.attacker, 0));
        assert_eq!(delivered(&attacker, six.server, &server, 10), 0);
        rig.tick_for(&mut wall, 100);
    });
}

#[test]
fn m09_m10_the_same_verdict_again_renews_and_stacks_nothing() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for (v6, digit) in [(false, '4'), (true, '6')] {
            let at = addresses(v6);
            let on = |for_ms| lease(at.attacker, Scope::Service(udp(at.server)), for_ms);
            wall.apply(rig.now(), &[on(5_000), on(5_000)]).unwrap();
            wall.apply(rig.now(), &[on(60_000), on(60_000), on(60_000)]).unwrap();
            let listed = rig.on_node(&format!("nft list set inet ftagent leases{digit}"));
            assert_eq!(listed.matches("expires").count(), 1, "{listed}");
            assert!(listed.contains("timeout 1m") || listed.contains("timeout 59s"), "{listed}");
            assert_eq!(wall.status(rig.now()).leases_total, 1 + usize::from(v6));
        }
    });
}

#[test]
fn m11_a_rate_stands_in_the_kernel() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let effects = every_effect(udp(at.server), tcp(at.server), rig::far(v6, 1), 60_000, "test/test");
            wall.apply(rig.now(), &effects).unwrap();
        }
        let listed = rig.on_node("nft list table inet ftagent");
        assert_eq!(listed.matches("limit rate over 77/second burst 9 packets").count(), 2, "buckets");
        assert_eq!(listed.matches("rate over 77/second burst 9 packets").count(), 4, "and crowds");
        assert!(listed.matches("limit rate 77/second burst 77 packets").count() >= 4, "lanes");
    });
}

#[test]
fn m12_at_the_end_everything_goes_and_one_failure_stops_no_other() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let of = |for_ms| {
            let all = [false, true].map(|v6| {
                let at = addresses(v6);
                every_effect(udp(at.server), tcp(at.server), rig::far(v6, 1), for_ms, "test/test")
            });
            all.concat()
        };
        wall.apply(rig.now(), &of(60_000)).unwrap();
        assert_eq!(wall.tick(rig.now()).problems, []);
        break_leases(rig);
        let effects = of(0);
        wall.apply(rig.now(), &effects).unwrap();
        let status = wall.status(rig.now());
        assert_eq!((status.leases_total, status.measures.len(), status.lanes_total), (0, 0, 0));
        let left = |text: &str| text.matches("expires").count();
        let listed = rig.on_node("nft list table inet ftagent");
        let without_armed = || rig.on_node("nft list table inet ftagent");
        assert!(!listed.contains("trial_203") && !listed.contains("elements = { 192.0.0.1"), "{listed}");
        let end = Clock::now() + Duration::from_millis(1_500);
        while Clock::now() < end {
            wall.tick(rig.now());
            std::thread::sleep(Duration::from_millis(50));
        }
        // What is left are the services in `armed` (8, and the node's 2), and SYN proxies for some seconds.
        assert_eq!(left(&without_armed()), 12, "{}", without_armed());
        rig.tick_for(&mut wall, 100);
    });
}

#[test]
fn m13_without_a_network_everything_goes_as_well() {
    for backend in ["nft", "legacy"] {
        Rig::new(backend).run(|rig| {
            let before = rig.listings();
            let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
            for v6 in [false, true] {
                let at = addresses(v6);
                let effects =
                    every_effect(udp(at.server), tcp(at.server), rig::far(v6, 1), 60_000, "test/test");
                wall.apply(rig.now(), &effects).unwrap();
            }
            assert_ne!(rig.listings(), before);
            rig.on_node("ip link set up0 down");
            wall.tick(rig.now());
            wall.close(false);
            assert_eq!(rig.listings(), before);
        });
    }
}

#[test]
fn m15_what_a_container_sends_is_never_blocked() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, outside) = (rig.server(v6, false), rig.client(at.attacker, 0));
            let container = server.local_addr().unwrap().ip();
            wall.apply(rig.now(), &[lease(container, Scope::Node, 60_000)]).unwrap();
            assert_eq!(wall.status(rig.now()).leases_total, 0, "guarded");
            let to = outside.local_addr().unwrap();
            outside.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            for _ in 0..100 {
                server.send_to(b"out", to).unwrap();
            }
            assert_eq!((0..100).filter(|_| outside.recv(&mut [0; 9]).is_ok()).count(), 100);
            assert_eq!(counts(&mut wall, rig, udp(at.server)).seen.packets, 0);
        }
    });
}

#[test]
fn m19_more_sources_than_fit_are_counted_and_merged_ones_still_go_in() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let most = ftagent_firewall::limits::LEASES_MAX as u32;
        for v6 in [false, true] {
            let at = addresses(v6);
            let source = |n: u32| {
                let [a, b, c, d] = (0x0b00_0000 + n).to_be_bytes();
                let pair = |high, low| u16::from_be_bytes([high, low]);
                if v6 {
                    IpAddr::from([0x2001, 0xdb9, pair(a, b), pair(c, d), 0, 0, 0, 1])
                } else {
                    IpAddr::from([a, b, c, d])
                }
            };
            let on = |n| lease(source(n), Scope::Service(udp(at.server)), 60_000);
            let all: Vec<_> = (0..most + 4).map(on).collect();
            let began = Clock::now();
            wall.apply(rig.now(), &all).unwrap();
            println!("{} leases in {:?}", most + 4, began.elapsed());
            let status = wall.status(rig.now());
            assert_eq!(status.refused["full"], 4 * (1 + u64::from(v6)));
            assert_eq!(status.leases_total, (most as usize + 1) * (1 + usize::from(v6)) - 1);
            // The engine merges them then, which has a set of its own.
            let (prefix_bits, scope) = (if v6 { 48 } else { 24 }, Scope::Service(udp(at.server)));
            let (for_ms, reason) = (60_000, "test/merged".into());
            let merged = Lease { source: source(most + 3), prefix_bits, scope, for_ms, reason };
            wall.apply(rig.now(), &[Effect::Lease(merged)]).unwrap();
            assert_eq!(wall.tick(rig.now()).problems, []);
        }
    });
}

#[test]
fn m20_m21_the_set_follows_its_sources_and_hits_one_service_only() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            for n in 0..3 {
                let attacker = rig.far_client(v6, 256 * n);
                assert_eq!(delivered(&attacker, at.server, &server, 5), 5);
                let source = rig::far(v6, 256 * n);
                wall.apply(rig.now(), &[lease(source, Scope::Service(udp(at.server)), 60_000)]).unwrap();
                assert_eq!(delivered(&attacker, at.server, &server, 5), 0);
                assert_eq!(delivered(&attacker, at.neighbour, &neighbour, 5), 5, "it plays there");
            }
        }
    });
}

#[test]
fn l11_a_clean_stop_leaves_nothing() {
    for backend in ["nft", "legacy"] {
        Rig::new(backend).run(|rig| {
            let before = rig.listings();
            let loose = || rig.on_node("cat /proc/sys/net/netfilter/nf_conntrack_tcp_loose");
            let had = loose();
            let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
            for v6 in [false, true] {
                let at = addresses(v6);
                let effects =
                    every_effect(udp(at.server), tcp(at.server), rig::far(v6, 1), 60_000, "test/test");
                wall.apply(rig.now(), &effects).unwrap();
                let until = rig.now().plus_millis(60_000);
                wall.block(at.attacker.into(), until, "by hand", rig.now()).unwrap();
            }
            rig.tick_for(&mut wall, 1_100);
            assert_eq!(wall.close(false).len(), 6);
            assert_eq!((rig.listings(), loose()), (before, had));
        });
    }
}

#[test]
fn s01_s02_no_text_reaches_a_program() {
    let texts = [
        "; nft flush ruleset",
        "$(touch /tmp/ftagent-was-here)",
        "`id`",
        "| sh",
        "&& iptables -F",
        "\nadd rule inet filter input drop",
        "\"}; delete table inet filter; {\"",
        "# comment",
        "' OR '1'='1",
        "../../etc/passwd",
        "\0nul",
        "%s%n%x",
        "\u{202e}right to left",
    ];
    Rig::new("nft").run(|rig| {
        let before = rig.listings();
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let at = addresses(false);
        let quiet = |rig: &Rig| rig.on_node("nft -s list ruleset");
        let effects = every_effect(udp(at.server), tcp(at.server), rig::far(false, 1), 60_000, "plain");
        wall.apply(rig.now(), &effects).unwrap();
        let rules = |text: String| {
            let kept = text.lines().filter(|line| !line.contains("expires") && !line.contains("packets "));
            kept.map(str::to_owned).collect::<Vec<_>>()
        };
        let expected = rules(quiet(rig));
        for text in texts {
            let effects = every_effect(udp(at.server), tcp(at.server), rig::far(false, 1), 60_000, text);
            wall.apply(rig.now(), &effects).unwrap();
            let until = rig.now().plus_millis(60_000);
            wall.block("9.9.9.9/32".parse().unwrap(), until, text, rig.now()).unwrap();
            assert_eq!(wall.tick(rig.now()).problems, []);
            assert!(wall.unblock("9.9.9.9/32".parse().unwrap(), rig.now()).unwrap());
            rig.tick_for(&mut wall, 0);
            let mut config = rig.config(Mode::Enforce);
            config.uplinks = vec![format!("up{text}\"")];
            config.state_dir.push("other");
            Wall::open(config, rig.now()).unwrap_err();
        }
        rig.tick_for(&mut wall, 1_100);
        assert_eq!(rules(quiet(rig)), expected);
        wall.close(false);
        assert_eq!(rig.listings(), before);
    });
}

#[test]
fn s03_no_effect_changes_what_is_not_ours() {
    Rig::new("nft").run(|rig| {
        rig.nft("add table inet filter\nadd chain inet filter input { type filter hook input priority 0; policy accept; }\n");
        let foreign = |rig: &Rig| {
            let listed = rig.listings();
            let start = listed.find("table inet ftagent").unwrap();
            let end = listed[start..].find("\n}\n").unwrap() + start;
            format!("{}{}", &listed[..start], &listed[end..])
        };
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let before = foreign(rig);
        for for_ms in [1, 60_000, u32::MAX, 0] {
            for v6 in [false, true] {
                let at = addresses(v6);
                // What is nobody's service, and addresses that mean something else.
                for ip in [at.server, "0.0.0.0".parse().unwrap(), "::".parse().unwrap(), "255.255.255.255".parse().unwrap()] {
                    for source in [rig::far(v6, 1), "127.0.0.1".parse().unwrap(), "ff02::1".parse().unwrap()] {
                        let effects = every_effect(udp(ip), tcp(ip), source, for_ms, "test/test");
                        wall.apply(rig.now(), &effects).unwrap();
                    }
                }
            }
            assert_eq!(foreign(rig), before);
        }
        let blocks = wall.status(rig.now()).leases;
        assert!(blocks.iter().all(|lease| !lease.source.is_loopback() && !lease.source.is_multicast()), "{blocks:?}");
    });
}

#[test]
fn s07_an_order_of_several_is_checked_whole_before_it_is_done() {
    Rig::new("nft").run(|rig| {
        let wall = open(rig, Mode::Enforce, Path::Forwarded);
        let order = ["9.9.9.9/32", "203.0.113.10/32", "2400::/12", "2400:1::/32"];
        let found: Vec<_> = order.map(|text| wall.check_block(text.parse().unwrap()).is_ok()).into();
        assert_eq!(found, [true, false, false, true]);
        assert_eq!(wall.status(rig.now()).blocks, []);
    });
}
