//! What is normal, by service, hour and player, and what an attack does not change: the cases of baselines and targets.

mod scene;

use ftagent_core::service::Transport;
use scene::PORT;
use scene::SERVER;
use scene::Scene;
use scene::forged;
use scene::junk;
use scene::key;
use scene::opaque;
use scene::support;

fn one() -> Scene {
    Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")])
}

/// An hour of normal load, read twice a second.
fn normal(scene: &mut Scene, from_ms: u64, for_ms: u64, pps: u64) {
    scene.count(key(), from_ms, for_ms, 500, (pps, 200));
}

/// What is told as normal when a flood comes at `at_ms`, and then it is calm again.
fn told_as_normal(scene: &mut Scene, at_ms: u64) -> u64 {
    scene.count(key(), at_ms, 1_000, 50, (50_000, 200));
    let normal_pps = scene.record().normal_pps;
    scene.count(key(), at_ms + 1_000, 10_000, 500, (100, 200));
    normal_pps
}

/// The rates of packets and bits that are kept.
fn rates(scene: &Scene) -> Vec<String> {
    let text = toml::to_string(&scene.engine.learnt()).expect("it can be written down");
    let mut table: toml::Table = text.parse().expect("and read");
    let services =
        table.remove("services").and_then(|services| services.as_array().cloned()).unwrap_or_default();
    services.iter().map(|kept| format!("{} {}", kept["packets"], kept["kbits"])).collect()
}

#[test]
fn b04_b05_the_limit_follows_what_is_normal_and_has_a_low_floor() {
    for (pps, expected) in [(0, 0..=1), (100, 100..=130), (550, 550..=700)] {
        let mut scene = one();
        normal(&mut scene, 1_000, 120_000, pps);
        scene.is_quiet();
        let told = told_as_normal(&mut scene, 121_000);
        assert!(expected.contains(&told), "{pps} are told as {told}");
    }
}

#[test]
fn b07_an_attack_is_not_learnt_neither_packets_nor_bits() {
    let mut scene = one();
    normal(&mut scene, 1_000, 120_000, 300);
    let before = rates(&scene);
    scene.count(key(), 121_000, 400_000, 500, (8_000, 1_400));
    normal(&mut scene, 521_000, 60_000, 300);
    assert_eq!(before, rates(&scene), "nor is its tail");
    assert_eq!(scene.of_kind("closed").len(), 1);
}

#[test]
fn b10_b11_what_was_learnt_comes_back_after_a_kill() {
    let mut scene = one();
    normal(&mut scene, 1_000, 120_000, 600);
    let learnt = scene.engine.learnt();
    let text = toml::to_string(&learnt).expect("it can be written down");
    let kept = toml::from_str(&text).expect("and read");
    let mut next = one();
    next.engine.restore(kept);
    assert_eq!(next.engine.learnt().services[0].service, key());
    normal(&mut next, 1_000, 5_000, 600);
    next.is_quiet();
    next.count(key(), 6_000, 500, 50, (2_500, 200));
    assert!(next.opened() <= 6_100, "at once, by what the last one knew: {}", next.opened());
    assert_eq!(next.record().id, 1);
    let mut third = Scene::of(Vec::new());
    third.engine.restore(next.engine.learnt());
    assert_eq!(third.engine.learnt().last_incident, 1, "numbers go on");
    assert_eq!(third.engine.learnt().services.len(), 1, "a service may appear later");
    third.engine.set_services(support::services());
    assert_eq!(third.engine.learnt().services.len(), 3);
}

#[test]
fn b12_hours_of_the_day_are_known_without_a_clock() {
    let mut scene = one();
    // 20:59:00 UTC at the start.
    scene.engine.set_wall_clock((20 * 60 + 59) * 60_000_000);
    normal(&mut scene, 0, 3_660_000, 600);
    normal(&mut scene, 3_660_000, 120_000, 50);
    // A clock that is set moves the hour and nothing else.
    scene.engine.set_wall_clock(-5_000_000_000_000);
    normal(&mut scene, 3_780_000, 60_000, 50);
    scene.is_quiet();
}

#[test]
fn players_are_learnt_as_what_each_of_them_sends() {
    let mut scene = one();
    scene.play(1_000, 20_000, 10, 30, 1);
    let text = toml::to_string(&scene.engine.learnt()).expect("it can be written down");
    let line = text.lines().find(|line| line.starts_with("per_player_parts")).expect("it is kept");
    let parts: u32 = line.rsplit(' ').next().and_then(|parts| parts.parse().ok()).expect("a number");
    assert!((25 * 64..=40 * 64).contains(&parts), "{parts} parts of 1/64");
}

#[test]
fn t01_t02_of_fifty_services_only_the_one_that_is_attacked() {
    let port = |n: u64| PORT + n as u16;
    let all = (0..50).map(|n| opaque(SERVER, port(n), Transport::Udp, &format!("server-{n}")));
    let mut scene = Scene::of(all.collect());
    let keys: Vec<_> =
        (0..50).map(|n| ftagent_core::service::ServiceKey { port: port(n), ..key() }).collect();
    for tick in 0..180u64 {
        for (n, key) in keys.iter().enumerate() {
            let tally = scene.tally(*key);
            let strange = if tick > 160 && n == 17 { 9_000 } else { 0 };
            tally.seen.packets += 1_000 + strange;
            tally.seen.bytes += (1_000 + strange) * 100;
            tally.lane.packets += 1_000;
        }
        scene.read(1_000 + tick * 500);
    }
    let record = scene.record();
    assert_eq!(record.target, ftagent_core::incident::Target::Service(keys[17]));
    assert!(record.also.is_empty());
}

#[test]
fn t03_a_service_that_is_gone_is_forgotten_and_its_baseline_kept() {
    let mut scene = one();
    normal(&mut scene, 1_000, 70_000, 100);
    scene.engine.set_services(Default::default());
    scene.rest(700_000);
    scene.engine.set_services(support::services());
    scene.rest(1_400_000);
    let learnt = scene.engine.learnt();
    assert!(learnt.services.iter().any(|kept| kept.service == key()));
    assert!(learnt.services.len() <= 3);
}

#[test]
fn t04_two_incidents_end_independently() {
    let all = (0..2).map(|n| opaque(SERVER, PORT + n, Transport::Udp, &format!("server-{n}")));
    let mut scene = Scene::of(all.collect());
    scene.rest(1_000);
    let at_second = |n: u32| support::udp(0, forged(n), (SERVER, PORT + 1), b"junk").bytes();
    scene.flood(20_000, 4_000, 5_000, 10, |n| junk(n, b"junk"));
    let both = |n: u32| if n.is_multiple_of(2) { junk(n, b"junk") } else { at_second(n) };
    scene.flood(24_000, 4_000, 10_000, 10, both);
    scene.flood(28_000, 10_000, 5_000, 10, at_second);
    scene.rest(60_000);
    let ends: Vec<_> =
        scene.of_kind("closed").iter().map(|(at_ms, closed)| (*at_ms / 1_000, closed.id)).collect();
    assert_eq!(scene.of_kind("opened").len(), 2);
    assert_eq!((ends[0].1, ends[1].1), (1, 2));
    assert!((33..=34).contains(&ends[0].0) && (43..=44).contains(&ends[1].0), "{ends:?}");
}

#[test]
fn t05_an_unknown_service_has_a_limit_too() {
    let mut scene = Scene::of(Vec::new());
    scene.rest(60_000);
    let services = [opaque(SERVER, PORT, Transport::Udp, "new")];
    let own = [std::net::IpAddr::V4(SERVER)];
    scene.engine.set_services(std::sync::Arc::new(ftagent_core::service::Services::new(services, own)));
    scene.flood(61_000, 400, 2_500, 1, |n| junk(n, b"junk"));
    assert!(scene.opened() <= 61_300);
}
