//! What people say: blocks and allowances by hand, lists, modes of the node and of single services.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rig;

use std::net::IpAddr;
use std::sync::Arc;

use ftagent_core::effect::CrowdLimit;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Notice;
use ftagent_core::effect::Scope;
use ftagent_core::incident::Incident;
use ftagent_core::incident::Target;
use ftagent_core::service::Path;
use ftagent_core::service::Service;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_firewall::FirewallError;
use ftagent_firewall::Mode;
use ftagent_firewall::Wall;
use ipnet::IpNet;
use rig::Rig;
use rig::addresses;
use rig::counts;
use rig::delivered;
use rig::lease;
use rig::open;
use rig::services;
use rig::udp;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn one(ip: IpAddr) -> IpNet {
    ip.into()
}

fn why(refused: Result<(), FirewallError>) -> String {
    match refused {
        Err(FirewallError::Refused(says)) => says,
        other => panic!("{other:?}"),
    }
}

#[test]
fn m16_a_neighbour_in_the_providers_network_can_be_blocked() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            let attacker = rig.client(at.attacker, 0);
            // The attacker of IPv4 is in the /24 of the node's own 198.51.100.1.
            let until = rig.now().plus_millis(60_000);
            wall.block(one(at.attacker), until, "a bad neighbour", rig.now()).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 50), 0);
            assert_eq!(delivered(&attacker, at.neighbour, &neighbour, 50), 0, "the whole node");
            assert_eq!(delivered(&rig.client(at.player, 0), at.server, &server, 50), 50);
            let seen = counts(&mut wall, rig, udp(at.server));
            assert_eq!((seen.by_lease.packets, seen.marked.packets), (50, 50));
            let nobodys = std::net::UdpSocket::bind((at.server, 9)).unwrap();
            nobodys.set_nonblocking(true).unwrap();
            attacker.send_to(b"x", (at.server, 9)).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(nobodys.recv(&mut [0]).is_err(), "a port of the node itself");
            let status = wall.status(rig.now());
            let block = status.blocks.iter().find(|block| block.network == one(at.attacker)).unwrap();
            assert_eq!(block.note, "a bad neighbour");
            assert!((55..=60).contains(&block.seconds_left.unwrap()));
            assert!(wall.unblock(one(at.attacker), rig.now()).unwrap());
            assert!(!wall.unblock(one(at.attacker), rig.now()).unwrap());
            assert_eq!(delivered(&attacker, at.server, &server, 50), 50);
        }
        rig.tick_for(&mut wall, 1_200);
        assert!(!rig.on_node("nft list table inet ftagent").contains("set manual_"), "forgotten");
    });
}

#[test]
fn m17_m23_networks_of_the_node_are_refused_whole_with_the_reason() {
    Rig::new("nft").run(|rig| {
        rig.on_node("ip link add docker9 type bridge");
        rig.on_node("ip addr add 198.18.0.1/16 dev docker9");
        rig.on_node("ip -6 addr add 2001:db8:77::1/64 dev docker9 nodad");
        rig.on_node("ip link set docker9 up");
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let until = rig.now().plus_millis(60_000);
        for (network, expected) in [
            ("198.18.200.7/32", "198.18.0.0/16, which is guarded: it is a network of this node"),
            ("198.18.0.0/17", "198.18.0.0/16, which is guarded"),
            ("2001:db8:77::9/128", "2001:db8:77::/64, which is guarded"),
            ("203.0.113.10/32", "203.0.113.10/32 is guarded: it is an address of this node"),
            ("203.0.113.0/24", "touches 203.0.113.1"),
            ("2001:db8:1::/48", "touches 2001:db8:1::1"),
            ("127.0.0.1/32", "loopback"),
            ("0.0.0.0/32", "unspecified"),
            ("255.255.255.255/32", "broadcast"),
            ("192.168.7.0/24", "private"),
            ("fd12::/16", "private"),
            ("64.0.0.0/7", "wider than /8"),
            ("2000::/15", "wider than /16"),
        ] {
            let says = why(wall.block(net(network), until, "", rig.now()));
            assert!(says.contains(expected), "{network}: {says}");
        }
        for network in ["198.19.0.0/16", "8.0.0.0/8", "2400::/16", "203.0.113.12/32"] {
            wall.block(net(network), until, "", rig.now()).unwrap();
        }
        assert_eq!(wall.status(rig.now()).blocks.len(), 4);
        assert_eq!(wall.tick(rig.now()).problems, []);
    });
}

#[test]
fn m18_who_is_listed_is_never_blocked() {
    Rig::new("nft").run(|rig| {
        let mut wall = Wall::open(rig.config(Mode::Enforce), rig.now()).unwrap();
        let [four, six] = [addresses(false), addresses(true)];
        let (allowed, denied) = ([one(four.player), net("2001:db8:a::/48")], [net("2001:db8:b::/48")]);
        let refused = wall.set_lists(&denied, &allowed, rig.now()).unwrap();
        assert_eq!(refused, Vec::<String>::new());
        wall.set_services(&services(Path::Forwarded), rig.now()).unwrap();
        let until = rig.now().plus_millis(60_000);
        for at in [four, six] {
            let v6 = at.player.is_ipv6();
            let server = rig.server(v6, false);
            let player = rig.client(at.player, 0);
            let scope = Scope::Service(udp(at.server));
            let reason = "test/crowd".into();
            let (service, packets_per_second, burst, for_ms) = (udp(at.server), 1, 1, 60_000);
            let limit = CrowdLimit { service, packets_per_second, burst, for_ms, reason };
            let effects = [
                lease(at.player, scope, 60_000),
                lease(at.player, Scope::Node, 60_000),
                Effect::CrowdLimit(limit),
            ];
            wall.apply(rig.now(), &effects).unwrap();
            assert_eq!(delivered(&player, at.server, &server, 100), 100);
            let says = why(wall.block(one(at.player), until, "", rig.now()));
            assert!(says.contains("allowed by hand"), "{says}");
            assert_eq!(wall.status(rig.now()).leases_total, 0);
        }
        // Around someone allowed a block is possible, and he still passes, limits and all, as long as it was said.
        let (server, attacker) = (rig.server(true, false), rig.client(six.attacker, 0));
        assert_eq!(delivered(&attacker, six.server, &server, 20), 0, "of the deny list");
        assert!(!wall.unblock(denied[0], rig.now()).unwrap(), "the list stays");
        wall.allow(one(six.attacker), rig.now().plus_millis(1_000), "a test", rig.now()).unwrap();
        assert_eq!(delivered(&attacker, six.server, &server, 20), 20, "allowed");
        assert_eq!(wall.status(rig.now()).allowed.len(), 3);
        rig.tick_for(&mut wall, 1_200);
        assert_eq!(delivered(&attacker, six.server, &server, 20), 0, "its time is over");
        wall.allow(one(six.attacker), rig.now().plus_millis(60_000), "a test", rig.now()).unwrap();
        assert!(wall.disallow(one(six.attacker), rig.now()).unwrap());
        assert_eq!(delivered(&attacker, six.server, &server, 20), 0, "taken back");
        assert!(!wall.disallow(one(four.player), rig.now()).unwrap(), "the list stays");
    });
}

#[test]
fn blocks_are_adopted_after_a_restart_and_end_without_us() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let attackers = [false, true].map(|v6| addresses(v6).attacker);
        let until = rig.now().plus_millis(600_000);
        wall.block(one(attackers[0]), until, "", rig.now()).unwrap();
        wall.set_lists(&[one(attackers[1])], &[], rig.now()).unwrap();
        let sockets = [false, true].map(|v6| (rig.server(v6, false), rig.client(addresses(v6).attacker, 0)));
        let passed = || {
            [false, true].map(|v6| {
                let (server, attacker) = &sockets[usize::from(v6)];
                delivered(attacker, addresses(v6).server, server, 20)
            })
        };
        assert_eq!(passed(), [0, 0]);
        wall.close(true);
        assert_eq!(passed(), [0, 0], "between two runs");
        let mut wall = Wall::open(rig.config(Mode::Enforce), rig.now()).unwrap();
        wall.set_lists(&[one(attackers[1])], &[], rig.now()).unwrap();
        wall.set_services(&services(Path::Forwarded), rig.now()).unwrap();
        rig.tick_for(&mut wall, 1_200);
        assert_eq!(passed(), [0, 0]);
        assert_eq!(wall.status(rig.now()).blocks.len(), 2);
        // The list no longer says so; the block by hand stays.
        wall.set_lists(&[], &[], rig.now()).unwrap();
        assert_eq!(passed(), [0, 20]);
        wall.set_lists(&[one(attackers[1])], &[], rig.now()).unwrap();
        assert_eq!(passed(), [0, 0]);
        // Killed: what has no end in the kernel drops nothing either.
        std::thread::sleep(std::time::Duration::from_secs(11));
        assert_eq!(passed(), [20, 20]);
    });
}

#[test]
fn no_more_than_a_thousand_networks_are_blocked_by_hand() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        let until = rig.now().plus_millis(60_000);
        let listed: Vec<IpNet> = (0..1_030_u32)
            .map(|n| IpNet::new(IpAddr::V4((0x0808_0000 + n * 256).into()), 24).unwrap())
            .collect();
        let refused = wall.set_lists(&listed, &[], rig.now()).unwrap();
        assert_eq!(refused.len(), 6, "{refused:?}");
        assert!(refused[0].contains("1024 networks are blocked already"), "{refused:?}");
        let says = why(wall.block(net("9.9.9.9/32"), until, "", rig.now()));
        assert!(says.contains("the most"), "{says}");
        assert_eq!(wall.tick(rig.now()).problems, []);
    });
}

#[test]
fn m22_a_range_of_ports_is_one_service_for_each_port() {
    Rig::new("nft").run(|rig| {
        for v6 in [false, true] {
            let at = addresses(v6);
            let template = Service::clone(services(Path::Local).iter().next().unwrap());
            let key = |port| ServiceKey { port, ..udp(at.server) };
            let of = |port| Service { key: key(port), ..template.clone() };
            let range = Services::new((7_000..=7_002).map(of), [at.server]);
            let mut wall = Wall::open(rig.config(Mode::Enforce), rig.now()).unwrap();
            wall.set_services(&range, rig.now()).unwrap();
            let effects: Vec<_> =
                (7_000..=7_002).map(|port| lease(at.attacker, Scope::Service(key(port)), 60_000)).collect();
            wall.apply(rig.now(), &effects).unwrap();
            let attacker = rig.client(at.attacker, 0);
            let passed = (6_999..=7_003).filter(|&port| {
                let socket = std::net::UdpSocket::bind((at.server, port)).unwrap();
                socket.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
                attacker.send_to(b"x", (at.server, port)).unwrap();
                socket.recv(&mut [0]).is_ok()
            });
            assert_eq!(passed.collect::<Vec<_>>(), [6_999, 7_003]);
            wall.close(false);
        }
    });
}

#[test]
fn a_node_that_limits_drops_what_is_over_and_leases_nobody() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Limit, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, attacker) = (rig.server(v6, false), rig.client(at.attacker, 0));
            let service = udp(at.server);
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Service(service), 60_000)]).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 40), 40);
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Node, 60_000)]).unwrap();
            assert_eq!(delivered(&attacker, at.neighbour, &rig.server(v6, true), 40), 40);
            let seen = counts(&mut wall, rig, service);
            assert_eq!((seen.by_lease.packets, seen.marked.packets), (40, 0), "counted");
            let (packets_per_second, burst, for_ms, reason) = (1, 5, 60_000, "test/crowd".into());
            let limit = CrowdLimit { service, packets_per_second, burst, for_ms, reason };
            wall.apply(rig.now(), &[Effect::CrowdLimit(limit)]).unwrap();
            assert!(delivered(&attacker, at.server, &server, 40) <= 7, "limited");
            wall.block(one(at.attacker), rig.now().plus_millis(60_000), "", rig.now()).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 40), 0, "what a person says holds");
        }
    });
}

#[test]
fn services_have_modes_of_their_own() {
    Rig::new("nft").run(|rig| {
        let mut wall = Wall::open(rig.config(Mode::Enforce), rig.now()).unwrap();
        let modes = [false, true].map(addresses).map(|at| (udp(at.server), Mode::Observe));
        wall.set_service_modes(modes, rig.now()).unwrap();
        wall.set_services(&services(Path::Forwarded), rig.now()).unwrap();
        rig.tick_for(&mut wall, 100);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, neighbour) = (rig.server(v6, false), rig.server(v6, true));
            let attacker = rig.client(at.attacker, 0);
            let effects = [udp(at.server), udp(at.neighbour)]
                .map(|key| lease(at.attacker, Scope::Service(key), 60_000));
            wall.apply(rig.now(), &effects).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 40), 40, "observed");
            assert_eq!(delivered(&attacker, at.neighbour, &neighbour, 40), 0, "enforced");
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Node, 60_000)]).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 40), 40, "a lease on the node");
            let seen = counts(&mut wall, rig, udp(at.server));
            assert_eq!((seen.by_lease.packets, seen.marked.packets, seen.early.packets), (80, 0, 0));
            let seen = counts(&mut wall, rig, udp(at.neighbour));
            assert_eq!((seen.by_lease.packets, seen.marked.packets), (40, 40));
            // Limited: leases are counted, the limit holds.
            wall.apply(rig.now(), &[lease(at.attacker, Scope::Node, 0)]).unwrap();
            wall.set_service_modes([(udp(at.server), Mode::Limit)], rig.now()).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 40), 40, "limited");
            let service = udp(at.server);
            let (packets_per_second, burst, for_ms, reason) = (1, 5, 60_000, "test/crowd".into());
            let limit = CrowdLimit { service, packets_per_second, burst, for_ms, reason };
            wall.apply(rig.now(), &[Effect::CrowdLimit(limit)]).unwrap();
            assert!(delivered(&attacker, at.server, &server, 40) <= 7);
            wall.set_service_modes([], rig.now()).unwrap();
            assert_eq!(delivered(&attacker, at.server, &server, 40), 0, "as the node");
            wall.set_service_modes(modes, rig.now()).unwrap();
        }
    });
}

#[test]
fn the_first_drop_is_told_by_the_kernels_time() {
    Rig::new("nft").run(|rig| {
        let mut wall = open(rig, Mode::Enforce, Path::Forwarded);
        for v6 in [false, true] {
            let at = addresses(v6);
            let (server, attacker) = (rig.server(v6, false), rig.client(at.attacker, 0));
            let service = udp(at.server);
            let incident = || Arc::new(Incident { target: Target::Service(service), ..Incident::default() });
            for round in 0..2 {
                let effects = [
                    Effect::Notice(Notice::IncidentOpened(incident())),
                    lease(at.attacker, Scope::Service(service), 60_000),
                ];
                wall.apply(rig.now(), &effects).unwrap();
                assert_eq!(wall.tick(rig.now()).dropped_first, [], "nothing yet, round {round}");
                let before = rig.now();
                attacker.send_to(b"x", (at.server, rig::PORT)).unwrap();
                let after = rig.now();
                std::thread::sleep(std::time::Duration::from_millis(60));
                assert_eq!(delivered(&attacker, at.server, &server, 20), 0);
                let told = wall.tick(rig.now()).dropped_first;
                assert_eq!(told.len(), 1, "{told:?}");
                let (found, when) = told[0];
                assert_eq!(found, service);
                let early = before.micros_since(when);
                let late = when.micros_since(after);
                println!("first drop told {early} us before it was sent, {late} us after");
                assert!(early < 12_000 && late < 12_000, "{early} us before, {late} us after");
                assert_eq!(wall.tick(rig.now()).dropped_first, [], "once");
                wall.apply(rig.now(), &[Effect::Notice(Notice::IncidentClosed(incident()))]).unwrap();
            }
        }
    });
}
