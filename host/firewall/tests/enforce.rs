//! Packets of real sockets through the real kernel: who is let through and who is dropped, and where.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rig;

use ftagent_core::effect::BucketLimit;
use ftagent_core::effect::CrowdLimit;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Grain;
use ftagent_core::effect::Lane;
use ftagent_core::effect::Scope;
use ftagent_core::effect::SecondTry;
use ftagent_core::effect::ShapeDrop;
use ftagent_core::manifest::BytesAt;
use ftagent_core::manifest::Shape;
use ftagent_core::service::Path;
use ftagent_core::service::ServiceKey;
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

/// As tight as can be.
fn crowd(service: ServiceKey) -> Effect {
    let (packets_per_second, burst, for_ms, reason) = (1, 1, 600_000, "test/crowd".into());
    Effect::CrowdLimit(CrowdLimit { service, packets_per_second, burst, for_ms, reason })
}

/// Later than any test asks again.
fn second_try(service: ServiceKey) -> Effect {
    let (after_ms, within_ms, for_ms, reason) = (59_000, 60_000, 600_000, "test/tries".into());
    Effect::SecondTry(SecondTry { service, after_ms, within_ms, for_ms, reason })
}

fn bucket(service: ServiceKey) -> Effect {
    let (packets_per_second, burst, for_ms, reason) = (1, 1, 600_000, "test/buckets".into());
    let grain = Grain::Source;
    Effect::BucketLimit(BucketLimit { service, grain, packets_per_second, burst, for_ms, reason })
}

fn leased_source_is_dropped_in_docker_user(backend: &'static str) {
    Rig::new(backend).run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            let attacker = rig.client(at.attacker, 0);
            assert_eq!(delivered(&attacker, at.server, &server, 100), 100, "before the lease");
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(udp(at.server)), 60_000)]).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 100), 0, "leased");
            assert_eq!(delivered(&attacker, at.neighbour, &neighbour, 100), 100, "the neighbour");
            let player = rig.client(at.player, 0);
            assert_eq!(delivered(&player, at.server, &server, 100), 100, "a player");

            let counts = counts(&mut wall, rig, udp(at.server));
            assert_eq!((counts.seen.packets, counts.by_lease.packets), (300, 100));
            assert_eq!((counts.marked.packets, counts.early.packets), (100, 0));
            let six = if v6 { "6" } else { "" };
            let tables = rig.tables(six);
            let rules = rig::sh(&format!("{tables} -nvxL FTAGENT; {tables} -S DOCKER-USER"));
            let drop = rules.lines().find(|line| line.contains("DROP")).unwrap();
            assert_eq!(drop.split_whitespace().next(), Some("100"), "{rules}");
            assert!(
                rules.contains("-N DOCKER-USER\n-A DOCKER-USER -j FTAGENT\n-A DOCKER-USER -s "),
                "{rules}"
            );
        }
        rig.tick_for(&mut wall, 1_200);
        let status = wall.status(rig.now());
        assert_eq!(status.leases.len(), 2);
        assert!(
            status.paths.iter().all(|path| path.docker_user && path.early_because.is_empty()),
            "{status:#?}"
        );
        assert!(status.paths.iter().all(|path| path.counts.docker_user_dropped == 100), "{status:#?}");
    });
}

#[test]
fn a_leased_source_is_dropped_in_docker_user_of_iptables_nft() {
    leased_source_is_dropped_in_docker_user("nft");
}

#[test]
fn a_leased_source_is_dropped_in_docker_user_of_iptables_legacy() {
    leased_source_is_dropped_in_docker_user("legacy");
}

#[test]
fn tcp_of_a_leased_source_does_not_connect() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let _server = rig.tcp_server(v6);
            let service = ServiceKey { transport: Transport::Tcp, ..udp(at.server) };
            assert!(rig.connects(at.attacker, at.server));
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(service), 60_000)]).unwrap();
            assert!(!rig.connects(at.attacker, at.server));
            assert!(rig.connects(at.player, at.server));
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(service), 0)]).unwrap();
            assert!(rig.connects(at.attacker, at.server), "taken back");
        }
    });
}

#[test]
fn a_local_service_is_dropped_early() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Local);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, attacker) = (rig.server(v6, false), rig.client(at.attacker, 0));
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(udp(at.server)), 60_000)]).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 100), 0);
            let counts = counts(&mut wall, rig, udp(at.server));
            assert_eq!((counts.marked.packets, counts.early.packets), (0, 100));
        }
    });
}

#[test]
fn a_high_drop_rate_switches_to_early_and_back() {
    Rig::new("nft").run(|rig| {
        let mut config = rig.config(Mode::Enforce);
        config.early_rates.service_per_second = 200;
        let mut wall = Wall::open(config, rig.now()).unwrap();
        wall.set_services(&services(Path::Forwarded), rig.now()).unwrap();
        let at = addresses(false);
        let (server, attacker) = (rig.server(false, false), rig.client(at.attacker, 0));
        wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(udp(at.server)), 60_000)]).unwrap();
        rig.tick_for(&mut wall, 200);
        assert_eq!(delivered(&attacker, at.server, &server, 300), 0);
        rig.tick_for(&mut wall, 200);
        assert_eq!(delivered(&attacker, at.server, &server, 300), 0);
        let before = counts(&mut wall, rig, udp(at.server));
        assert_eq!((before.marked.packets, before.early.packets), (300, 300));
        rig.tick_for(&mut wall, 5_600);
        assert_eq!(delivered(&attacker, at.server, &server, 100), 0);
        let after = counts(&mut wall, rig, udp(at.server));
        assert_eq!((after.marked.packets, after.early.packets), (400, 300));
    });
}

#[test]
fn lanes_pass_while_the_crowd_is_limited() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            let (player, attacker) = (rig.client(at.player, 40_000), rig.client(at.attacker, 0));
            let service = udp(at.server);
            let lane = |source_port, packets_per_second| {
                Effect::Lane(Lane {
                    source: at.player,
                    source_port,
                    service,
                    for_ms: 60_000,
                    packets_per_second,
                })
            };
            let crowd = |packets_per_second| {
                let (burst, for_ms, reason) = (5, 60_000, "test/crowd".into());
                Effect::CrowdLimit(CrowdLimit { service, packets_per_second, burst, for_ms, reason })
            };
            wall.apply(rig.now(), &[lane(Some(40_000), 1_000), lane(None, 20), crowd(1)]).unwrap();
            let passed = delivered(&attacker, at.server, &server, 100);
            assert!((5..=7).contains(&passed), "{passed} of the crowd");
            assert_eq!(delivered(&player, at.server, &server, 500), 500, "a lane");
            assert_eq!(delivered(&attacker, at.neighbour, &neighbour, 100), 100, "the neighbour");
            let other_port = rig.client(at.player, 0);
            let passed = delivered(&other_port, at.server, &server, 100);
            assert!((20..=24).contains(&passed), "{passed} on the smaller lane of the address");
            // A lane has a rate of its own.
            let passed = delivered(&player, at.server, &server, 2_000);
            assert!(passed < 1_700, "{passed} of 2000 on a lane for 1000");
            // A busy machine takes milliseconds to send a hundred packets: at this rate that is still no second's worth.
            wall.apply(rig.now(), &[crowd(2_000)]).unwrap();
            assert!(delivered(&attacker, at.server, &server, 100) < 100, "a burst of 5 only");
            wall.apply(rig.now(), &[crowd(2)]).unwrap();
            rig.tick_for(&mut wall, 1_100);
            let status = wall.status(rig.now());
            assert_eq!(
                status.measures.iter().filter(|measure| measure.packets_per_second == Some(2)).count(),
                1 + usize::from(v6)
            );
            let counts = counts(&mut wall, rig, service);
            assert!(counts.lane.packets >= 520 && counts.by_crowd.packets > 100, "{counts:?}");
        }
    });
}

#[test]
fn shapes_are_dropped_and_other_packets_are_not() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, stranger) = (rig.server(v6, false), rig.client(at.attacker, 0));
            let bytes = vec![BytesAt { offset: 2, value: b"#3".to_vec(), mask: vec![0, 0xff] }];
            let (tcp_flags, without_options, source_port) = (None, false, None);
            let shape = Shape {
                transport: Transport::Udp,
                payload_bytes: Some(10..=20),
                bytes,
                tcp_flags,
                without_options,
                source_port,
                ttl: None,
                window: None,
            };
            let drop = ShapeDrop {
                service: udp(at.server),
                shape,
                trial: false,
                for_ms: 2_000,
                reason: "test/shape".into(),
            };
            wall.apply(rig.now(), &[Effect::ShapeDrop(drop)]).unwrap();
            let check = |payload: &[u8], passed: usize| {
                let got = rig::delivered_of(&stranger, at.server, &server, 10, payload);
                assert_eq!(got, passed, "{payload:?}");
            };
            check(b"0123456789", 0);
            check(b"01x3456789", 0);
            check(b"0124456789", 10);
            check(b"012345678", 10);
            check(b"0123456789abcdefghijk", 10);
            let counts = counts(&mut wall, rig, udp(at.server));
            assert_eq!(counts.by_shape.packets, 20);
            rig.tick_for(&mut wall, 3_200);
            check(b"0123456789", 10);
            assert!(!rig.on_node("nft list table inet ftagent").contains("set shape_"), "forgotten");
        }
    });
}

#[test]
fn a_lease_on_the_node_blocks_every_port() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            let attacker = rig.client(at.attacker, 0);
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Node, 60_000)]).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 10), 0);
            assert_eq!(delivered(&attacker, at.neighbour, &neighbour, 10), 0);
            let nobodys = std::net::UdpSocket::bind((at.server, 9)).unwrap();
            nobodys.set_nonblocking(true).unwrap();
            attacker.send_to(b"x", (at.server, 9)).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(nobodys.recv(&mut [0]).is_err(), "a port of the node itself");
        }
    });
}

#[test]
fn m18_a_guarded_source_is_never_blocked() {
    Rig::new("nft").run(|rig| {
        let mut config = rig.config(Mode::Enforce);
        config.guard = ["198.51.100.64/26", "2001:db8:b::/64"].map(|network| network.parse().unwrap()).into();
        let mut wall = Wall::open(config, rig.now()).unwrap();
        wall.set_services(&services(Path::Forwarded), rig.now()).unwrap();
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, guarded) = (rig.server(v6, false), rig.client(at.attacker, 0));
            let scope = Scope::Service(udp(at.server));
            let effects = [
                lease(at.attacker, scope, 60_000),
                lease(at.attacker, Scope::Node, 60_000),
                crowd(udp(at.server)),
                second_try(udp(at.server)),
                bucket(udp(at.server)),
            ];
            wall.apply(rig.now(), &effects).unwrap();
            assert_eq!(delivered(&guarded, at.server, &server, 100), 100);
            let status = wall.status(rig.now());
            assert_eq!(status.leases_total, 0);
            assert_eq!(status.refused["guarded"], 2 * (1 + u64::from(v6)));
        }
    });
}

#[test]
fn observe_mode_decides_and_drops_nothing() {
    Rig::new("nft").run(|rig| {
        let before = rig.listings();
        let mut wall = open(rig, Mode::Observe, Path::Forwarded);
        let scenes = [false, true].map(|v6| {
            let at = addresses(v6);
            let (server, attacker) = (rig.server(v6, false), rig.client(at.attacker, 0));
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(udp(at.server)), 60_000)]).unwrap();
            (at.server, server, attacker)
        });
        let passed = || {
            let of = scenes.each_ref();
            of.map(|(to, server, attacker)| delivered(attacker, *to, server, 100))
        };
        assert_eq!(passed(), [100, 100]);
        for (to, ..) in &scenes {
            let seen = counts(&mut wall, rig, udp(*to));
            assert_eq!((seen.by_lease.packets, seen.marked.packets, seen.early.packets), (100, 0, 0));
        }
        let listed = rig.listings();
        assert!(!listed.contains("FTAGENT"), "no jump in a foreign chain");
        wall.set_mode(Mode::Enforce, rig.now()).unwrap();
        assert_eq!(passed(), [0, 0], "live");
        wall.set_mode(Mode::Observe, rig.now()).unwrap();
        assert_eq!(passed(), [100, 100]);
        assert_eq!(rig.listings(), listed);
        wall.close(false);
        assert_eq!(rig.listings(), before);
    });
}

#[test]
fn l12_without_us_nothing_is_dropped_after_eleven_seconds() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let scenes = [false, true].map(|v6| {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            let (attacker, stranger) = (rig.client(at.attacker, 0), rig.client(at.player, 0));
            let limited = udp(at.neighbour);
            let effects = [
                lease(at.attacker, Scope::Service(udp(at.server)), 600_000),
                lease(at.attacker, Scope::Node, 600_000),
                crowd(limited),
                second_try(limited),
                bucket(limited),
            ];
            wall.apply(rig.now(), &effects).unwrap();
            (at, server, neighbour, attacker, stranger)
        });
        let passed = || {
            let of = scenes.each_ref();
            of.map(|(at, server, neighbour, attacker, stranger)| {
                let blocked = delivered(attacker, at.server, server, 100);
                (blocked, delivered(stranger, at.neighbour, neighbour, 100))
            })
        };
        assert_eq!(passed(), [(0, 0); 2]);
        std::thread::sleep(std::time::Duration::from_secs(11));
        assert_eq!(passed(), [(100, 100); 2]);
        // And with us again it is as before.
        rig.tick_for(&mut wall, 100);
        assert_eq!(passed(), [(0, 0); 2]);
    });
}

#[test]
fn a_flood_of_fragments_is_limited_per_address() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            let stranger = rig.client(at.attacker, 0);
            let large = [7; 2_000];
            assert_eq!(rig::delivered_of(&stranger, at.server, &server, 100, &large), 100, "a few fragments");
            let passed = rig::delivered_of(&stranger, at.server, &server, 1_500, &large);
            assert!(passed < 1_000, "{passed} of 1500 packets of two fragments");
            assert_eq!(
                rig::delivered_of(&stranger, at.neighbour, &neighbour, 100, &large),
                100,
                "the neighbour"
            );
            let node = wall.tick(rig.now()).node[usize::from(v6)];
            assert_eq!(node.fragments.packets, 3_400);
            assert!(node.fragments_over.packets > 1_000, "{node:?}");
        }
    });
}

#[test]
fn only_what_comes_by_an_uplink_is_judged() {
    Rig::new("nft").run(|rig| {
        let mut config = rig.config(Mode::Enforce);
        config.uplinks = vec!["other0".to_owned()];
        let mut wall = Wall::open(config, rig.now()).unwrap();
        wall.set_services(&services(Path::Forwarded), rig.now()).unwrap();
        let at = addresses(false);
        let (server, attacker) = (rig.server(false, false), rig.client(at.attacker, 0));
        wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(udp(at.server)), 60_000)]).unwrap();
        // Without an uplink there, the attacker's network is one of the node's own, which the guard spares.
        assert_eq!(wall.status(rig.now()).leases_total, 0);
        assert_eq!(delivered(&attacker, at.server, &server, 100), 100);
        assert_eq!(counts(&mut wall, rig, udp(at.server)).seen.packets, 0);
    });
}

#[test]
fn dockers_nftables_backend_has_no_docker_user_so_packets_are_dropped_early() {
    Rig::new("nft").run(|rig| {
        let mut config = rig.config(Mode::Enforce);
        config.docker_backend = ftagent_firewall::DockerBackend::Nftables;
        let old = || ["", "6"].map(|six| rig::sh(&format!("{} -S", rig.tables(six))));
        let before = old();
        let mut wall = Wall::open(config, rig.now()).unwrap();
        wall.set_services(&services(Path::Forwarded), rig.now()).unwrap();
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, attacker) = (rig.server(v6, false), rig.client(at.attacker, 0));
            let (neighbour, stranger) = (rig.server(v6, true), rig.client(at.player, 0));
            let effects =
                [lease(at.attacker, Scope::Service(udp(at.server)), 60_000), second_try(udp(at.neighbour))];
            wall.apply(rig.now(), &effects).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 100), 0);
            assert_eq!(delivered(&stranger, at.neighbour, &neighbour, 100), 0);
            let report = wall.tick(rig.now());
            let seen = [at.server, at.neighbour]
                .map(|ip| report.services.iter().find(|(key, _)| *key == udp(ip)).unwrap().1.early.packets);
            assert_eq!(seen, [100, 100]);
            let status = wall.status(rig.now());
            assert!(status.services.iter().all(|service| service.drops_early));
            let because = &status.paths[usize::from(v6)].early_because;
            assert_eq!(because, &["Docker uses nftables and has no DOCKER-USER"]);
        }
        assert_eq!(old(), before, "an old DOCKER-USER is left alone");
    });
}

#[test]
fn tallies_are_exact_for_each_service_and_the_node_and_count_fragments() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let before = wall.tallies();
        let (mut sent, mut fragments) = (0, 0);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            let attacker = rig.client(at.attacker, 0);
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(udp(at.server)), 60_000)]).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 70), 0);
            assert_eq!(rig::delivered_of(&attacker, at.neighbour, &neighbour, 30, &[7; 2_000]), 30);
            wall.tick(rig.now());
            let tallies = wall.tallies();
            let of = |key| tallies.services.iter().find(|(found, _)| *found == key).unwrap().1;
            let (server, neighbour) = (of(udp(at.server)), of(udp(at.neighbour)));
            let header = if v6 { 48 } else { 28 };
            assert_eq!((server.seen.packets, server.seen.bytes), (70, 70 * (16 + header)));
            assert_eq!((server.lease, server.docker_user), (server.seen, server.seen));
            assert_eq!(server.dropped(), server.seen);
            assert_eq!((neighbour.seen.packets, neighbour.dropped().packets), (30, 0), "defragmented");
            let fragmented = tallies.fragments.iter().find(|(ip, _)| *ip == at.neighbour).unwrap().1;
            assert_eq!(fragmented.packets, 60);
            sent += 70 + 60;
            fragments += fragmented.packets;
            // Neighbour discovery is counted at the node too.
            let node = tallies.node.packets - before.node.packets;
            assert!((sent..sent + 40).contains(&node), "{node} at the node, {sent} sent");
        }
        assert_eq!(wall.tallies().fragments.iter().map(|(_, amount)| amount.packets).sum::<u64>(), fragments);
        // What is served anew goes on growing.
        wall.set_services(&services(Path::Forwarded), rig.now()).unwrap();
        wall.tick(rig.now());
        assert_eq!(wall.tallies().fragments.iter().map(|(_, amount)| amount.packets).sum::<u64>(), fragments);
    });
}
