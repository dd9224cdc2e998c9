//! What others do to the firewall while we stand, and what is left when we go.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rig;

use std::net::UdpSocket;

use ftagent_core::effect::Effect;
use ftagent_core::effect::Lease;
use ftagent_core::effect::Scope;
use ftagent_core::service::Path;
use ftagent_firewall::FirewallError;
use ftagent_firewall::Mode;
use ftagent_firewall::Paths;
use ftagent_firewall::Wall;
use ftagent_firewall::doctor;
use rig::MARK;
use rig::Rig;
use rig::addresses;
use rig::delivered;
use rig::services;
use rig::udp;

/// A wall that blocks the attacker at the server, with the sockets to see it by.
struct Scene {
    wall: Wall,
    server: UdpSocket,
    attacker: UdpSocket,
}

impl Scene {
    fn new(rig: &Rig) -> Self {
        let mut wall = Wall::open(rig.config(Mode::Enforce), rig.now()).unwrap();
        wall.set_services(&services(Path::Forwarded), rig.now()).unwrap();
        rig.tick_for(&mut wall, 100);
        let at = addresses(false);
        let lease = Lease {
            source: at.attacker,
            prefix_bits: 128,
            scope: Scope::Service(udp(at.server)),
            for_ms: 600_000,
            reason: "test/test".into(),
        };
        wall.apply(rig.now(), &[Effect::Lease(lease)]).unwrap();
        Self { wall, server: rig.server(false, false), attacker: rig.client(at.attacker, 0) }
    }

    fn passed(&self) -> usize {
        delivered(&self.attacker, addresses(false).server, &self.server, 100)
    }

    /// Packets that were marked and dropped early since the last call.
    fn hooks(&mut self, rig: &Rig) -> (u64, u64) {
        let report = self.wall.tick(rig.now());
        let service = udp(addresses(false).server);
        let counts = report.services.iter().find(|(key, _)| *key == service).unwrap().1;
        (counts.marked.packets, counts.early.packets)
    }
}

fn rules(rig: &Rig, chain: &str) -> String {
    rig::sh(&format!("{} -S {chain}", rig.tables("")))
}

const FOREIGN: &str = "-A DOCKER-USER -s 192.0.2.99/32 -j DROP\n";

fn flushed_iptables_are_repaired(backend: &'static str) {
    Rig::new(backend).run(|rig| {
        let mut scene = Scene::new(rig);
        assert_eq!(scene.passed(), 0);
        rig::sh(&format!("{} -F", rig.tables("")));
        // FORWARD no longer leads to DOCKER-USER: our own table drops early within a second.
        let ticked = rig_tick(rig, &mut scene.wall, 1_000);
        assert_eq!(scene.passed(), 0);
        let (_, early) = scene.hooks(rig);
        assert_eq!(early, 100, "{ticked:?}");
        assert_eq!(rules(rig, "DOCKER-USER"), "-N DOCKER-USER\n-A DOCKER-USER -j FTAGENT\n");
        let problem = scene.wall.status(rig.now()).problems.remove(0);
        assert_eq!(problem.mend, "systemctl restart docker");
        // What a restart of dockerd does.
        rig::sh(&format!("{} -I FORWARD -j DOCKER-USER", rig.tables("")));
        rig_tick(rig, &mut scene.wall, 1_000);
        assert_eq!(scene.passed(), 0);
        assert_eq!(scene.hooks(rig), (200, 100));
        assert_eq!(scene.wall.status(rig.now()).problems, []);
    });
}

#[test]
fn flushed_iptables_nft_are_repaired() {
    flushed_iptables_are_repaired("nft");
}

#[test]
fn flushed_iptables_legacy_are_repaired() {
    flushed_iptables_are_repaired("legacy");
}

/// Ticks without expecting that all is well.
fn rig_tick(rig: &Rig, wall: &mut Wall, ms: u64) -> Vec<String> {
    let end = std::time::Instant::now() + std::time::Duration::from_millis(ms);
    let mut repaired = Vec::new();
    while std::time::Instant::now() < end {
        repaired.extend(wall.tick(rig.now()).repaired);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    repaired
}

#[test]
fn a_flushed_ruleset_is_repaired() {
    Rig::new("nft").run(|rig| {
        let mut scene = Scene::new(rig);
        rig.on_node("nft flush ruleset");
        let repaired = rig_tick(rig, &mut scene.wall, 1_000);
        assert_eq!(repaired.len(), 1, "{repaired:?}");
        // Without DNAT the packets go to the node itself, where a socket would see them.
        let local = UdpSocket::bind((addresses(false).server, rig::PORT)).unwrap();
        local.set_nonblocking(true).unwrap();
        assert_eq!(delivered(&scene.attacker, addresses(false).server, &local, 100), 0);
        assert_eq!(scene.hooks(rig), (0, 100));
        assert!(!rig.listings().contains("DOCKER-USER"), "never made by us");
        drop(local);
        rig.docker_rules();
        rig_tick(rig, &mut scene.wall, 1_000);
        assert_eq!(scene.passed(), 0);
        assert_eq!(scene.hooks(rig), (100, 100));
        assert!(rules(rig, "DOCKER-USER").ends_with(&format!("-A DOCKER-USER -j FTAGENT\n{FOREIGN}")));
    });
}

#[test]
fn a_removed_jump_is_put_back_three_times() {
    Rig::new("nft").run(|rig| {
        let mut scene = Scene::new(rig);
        for round in 0..4 {
            rig::sh(&format!("{} -D DOCKER-USER -j FTAGENT", rig.tables("")));
            rig_tick(rig, &mut scene.wall, 1_000);
            let jump = rules(rig, "DOCKER-USER").contains("-A DOCKER-USER -j FTAGENT\n");
            assert_eq!(jump, round < 3, "round {round}");
            assert_eq!(scene.passed(), 0, "round {round}");
        }
        let status = scene.wall.status(rig.now());
        assert!(status.problems[0].says.contains("keeps changing DOCKER-USER"), "{:?}", status.problems);
        assert_eq!(scene.hooks(rig), (300, 100));
    });
}

#[test]
fn a_rule_before_our_jump_moves_the_jump_and_stays() {
    Rig::new("nft").run(|rig| {
        let mut scene = Scene::new(rig);
        rig::sh(&format!("{} -I DOCKER-USER -s 198.51.100.0/24 -j RETURN", rig.tables("")));
        rig_tick(rig, &mut scene.wall, 1_000);
        let expected = "-A DOCKER-USER -j FTAGENT\n-A DOCKER-USER -s 198.51.100.0/24 -j RETURN\n";
        assert_eq!(rules(rig, "DOCKER-USER"), format!("-N DOCKER-USER\n{expected}{FOREIGN}"));
        assert_eq!(scene.passed(), 0);
    });
}

#[test]
fn a_rule_that_erases_marks_makes_us_drop_early() {
    Rig::new("nft").run(|rig| {
        let mut scene = Scene::new(rig);
        rig::sh(&format!("{} -t mangle -A PREROUTING -j MARK --set-mark 1", rig.tables("")));
        rig_tick(rig, &mut scene.wall, 200);
        for _ in 0..2 {
            assert_eq!(scene.passed(), 100, "the mark is gone");
            rig_tick(rig, &mut scene.wall, 1_100);
        }
        assert_eq!(scene.passed(), 0);
        assert_eq!(scene.hooks(rig), (200, 100));
    });
}

#[test]
fn emptied_sets_are_filled_again() {
    Rig::new("nft").run(|rig| {
        let mut scene = Scene::new(rig);
        rig.on_node("nft flush set inet ftagent leases4");
        rig_tick(rig, &mut scene.wall, 1_000);
        assert_eq!(scene.passed(), 0);
        rig.on_node("nft flush chain inet ftagent measures4");
        rig_tick(rig, &mut scene.wall, 1_000);
        assert_eq!(scene.passed(), 0);
    });
}

#[test]
fn l12_a_restart_adopts_what_is_left() {
    Rig::new("nft").run(|rig| {
        let scene = Scene::new(rig);
        let Scene { wall, server, attacker } = scene;
        wall.close(true);
        let passed = || delivered(&attacker, addresses(false).server, &server, 100);
        assert_eq!(passed(), 0, "between two runs");
        let listed = rig.listings();
        let mut wall = Wall::open(rig.config(Mode::Enforce), rig.now()).unwrap();
        assert_eq!(passed(), 0, "before the services are known");
        wall.set_services(&services(Path::Forwarded), rig.now()).unwrap();
        rig.tick_for(&mut wall, 1_200);
        assert_eq!(passed(), 0);
        let timeless = |text: &str| {
            let lines = text.lines().filter(|line| !line.contains("expires")).map(str::to_owned);
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(timeless(&rig.listings()), timeless(&listed));
        let status = wall.status(rig.now());
        assert_eq!(status.leases.len(), 1);
        assert_eq!(status.leases[0].reason, "host/adopted");
        assert!((580..=600).contains(&status.leases[0].seconds_left));
    });
}

#[test]
fn a_table_that_is_not_ours_to_adopt_is_replaced() {
    Rig::new("nft").run(|rig| {
        rig.on_node("nft add table inet ftagent");
        rig.on_node("nft add set inet ftagent leases4 '{ type ipv4_addr; }'");
        let scene = Scene::new(rig);
        assert_eq!(scene.passed(), 0);
    });
}

fn off_leaves_the_listings_as_they_were(backend: &'static str) {
    Rig::new(backend).run(|rig| {
        let before = rig.listings();
        let mut scene = Scene::new(rig);
        assert_ne!(rig.listings(), before);
        let paths = Paths { state_dir: rig.config(Mode::Enforce).state_dir };
        let began = std::time::Instant::now();
        let lines = ftagent_firewall::off(&paths);
        assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert_eq!(rig.listings(), before);
        assert_eq!(scene.passed(), 100);
        rig_tick(rig, &mut scene.wall, 1_200);
        assert_eq!(rig.listings(), before, "a running daemon does not put it back");
        assert!(scene.wall.status(rig.now()).is_off);
        ftagent_firewall::on(&paths).unwrap();
        rig_tick(rig, &mut scene.wall, 300);
        assert_eq!(scene.passed(), 0, "a running daemon works again");
        ftagent_firewall::off(&paths);
        drop(scene.wall);
        let refused = Wall::open(rig.config(Mode::Enforce), rig.now()).unwrap_err();
        assert!(matches!(refused, FirewallError::Off), "{refused}");
        assert_eq!(ftagent_firewall::off(&paths).len(), 1, "nothing left to remove");
        assert_eq!(rig.listings(), before);
    });
}

#[test]
fn off_leaves_the_listings_of_iptables_nft_as_they_were() {
    off_leaves_the_listings_as_they_were("nft");
}

#[test]
fn off_leaves_the_listings_of_iptables_legacy_as_they_were() {
    off_leaves_the_listings_as_they_were("legacy");
}

#[test]
fn a_second_ftagent_is_refused_and_told_who_holds_the_lock() {
    Rig::new("nft").run(|rig| {
        let _first = Scene::new(rig);
        let second = Wall::open(rig.config(Mode::Enforce), rig.now()).unwrap_err();
        assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
    });
}

#[test]
fn doctor_says_what_is_wrong_and_what_mends_it() {
    Rig::new("nft").run(|rig| {
        let check = |name: &str| {
            let checks = doctor(MARK, Default::default());
            checks.into_iter().find(|check| check.name == name).unwrap()
        };
        assert_eq!(check("docker-user-v4").mend, "ftagent mode enforce");
        let _scene = Scene::new(rig);
        let all = doctor(MARK, Default::default());
        assert!(all.iter().all(|check| check.ok && check.mend.is_empty()), "{all:#?}");
        rig::sh(&format!("{} -D FORWARD -j DOCKER-USER", rig.tables("")));
        assert_eq!(check("docker-user-v4").mend, "systemctl restart docker");
        rig::sh(&format!("{} -A INPUT -m mark --mark {MARK} -j ACCEPT", rig.tables("")));
        assert!(!check("mark").ok);
    });
}

/// Prints what ticks cost the enforcer: `cargo test -p ftagent-firewall --test life figures -- --nocapture`.
#[test]
fn figures_of_ticks_with_many_services() {
    use ftagent_core::service::Judging;
    use ftagent_core::service::Role;
    use ftagent_core::service::Service;
    use ftagent_core::service::Services;
    for count in [50, 200] {
        Rig::new("nft").run(|rig| {
            let own = addresses(false).server;
            let service = |n: u16| Service {
                key: ftagent_core::service::ServiceKey { port: 20_000 + n, ..udp(own) },
                server: "server".into(),
                game: "unknown".into(),
                role: Role::Game,
                judging: Judging::Plugin("generic".into()),
                path: Path::Forwarded,
                flags: 0,
            };
            let services = Services::new((0..count).map(service), [own]);
            let mut now = rig.now();
            let mut wall = Wall::open(rig.config(Mode::Enforce), now).unwrap();
            wall.set_services(&services, now).unwrap();
            let mut times = Vec::new();
            let mut tallies = std::time::Duration::ZERO;
            for _ in 0..400 {
                now = now.plus_millis(50);
                let tick = std::time::Instant::now();
                assert_eq!(wall.tick(now).problems, []);
                times.push(tick.elapsed());
                let tally = std::time::Instant::now();
                assert_eq!(wall.tallies().services.len(), usize::from(count));
                tallies += tally.elapsed();
            }
            let sum: std::time::Duration = times.iter().sum();
            times.sort();
            println!(
                "{count} services, 400 ticks of 50 ms: {sum:?} together, the middle one {:?}, the slowest {:?}; \
                 tallies {:?} each",
                times[200],
                times[399],
                tallies / 400
            );
        });
    }
}
