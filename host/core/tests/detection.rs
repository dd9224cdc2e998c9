//! What is noticed, when, and what is not: the cases of detection by their numbers.

mod scene;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::sync::Arc;

use ftagent_core::EngineConfig;
use ftagent_core::FixedLimit;
use ftagent_core::frame::Passage;
use ftagent_core::incident::Family;
use ftagent_core::incident::Incident;
use ftagent_core::incident::Target;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::service::Transport;
use scene::OTHER;
use scene::PORT;
use scene::SERVER;
use scene::Scene;
use scene::amount;
use scene::forged;
use scene::junk;
use scene::key;
use scene::opaque;
use scene::segment;
use scene::support;
use support::ACK;
use support::RST;
use support::SYN;

/// Nobody waits longer than this for a flood to be seen.
const PROMISED_MS: u64 = 300;

/// A flood of `pps` that begins at `from_ms` is seen in time.
fn in_time(scene: &Scene, from_ms: u64, pps: u64) {
    let opened = scene.opened();
    assert!(
        opened >= from_ms && opened <= from_ms + PROMISED_MS,
        "{pps} pps from {from_ms} ms: seen at {opened} ms"
    );
}

/// The game of a quiet node, learnt.
fn quiet() -> Scene {
    let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
    scene.play(1_000, 15_000, 10, 25, 1);
    scene
}

#[test]
fn d01_a_quiet_node_is_not_behind_a_floor() {
    for pps in [400, 2_000, 3_000, 5_000, 9_900] {
        let mut scene = quiet();
        scene.flood(16_000, 500, pps, 1, |n| junk(n, b"junk"));
        in_time(&scene, 16_000, pps);
    }
}

#[test]
fn d02_a_query_flood_is_found_by_its_class() {
    for pps in [300, 2_000, 3_000] {
        let mut scene = Scene::new();
        scene.play(1_000, 3_000, 3, 20, 1);
        scene.flood(4_000, 1_000, pps, 1, |n| junk(n, b"*"));
        in_time(&scene, 4_000, pps);
        assert_eq!(scene.record().target, Target::Service(key()));
        assert_eq!(scene.record().family, Family::Query);
    }
}

#[test]
fn d03_d04_floods_of_any_size_are_seen_in_time() {
    for pps in [12_000, 20_000, 49_000, 60_000, 200_000] {
        let mut scene = quiet();
        scene.flood(16_000, 400, pps, (pps / 2_000) as u32, |n| junk(n, b"junk"));
        in_time(&scene, 16_000, pps);
    }
}

#[test]
fn d05_there_is_no_hole_after_our_start() {
    for after_ms in [600, 2_000, 20_000] {
        let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
        scene.rest(1_000);
        scene.flood(1_000 + after_ms, 400, 12_000, 4, |n| junk(n, b"junk"));
        in_time(&scene, 1_000 + after_ms, 12_000);
    }
    // Evidence needs no moment at all.
    let mut scene = Scene::new();
    scene.flood(1_000, 400, 12_000, 4, |n| junk(n, b"!"));
    in_time(&scene, 1_000, 12_000);
}

#[test]
fn d06_pulses_are_one_incident_found_in_the_first() {
    for (on_ms, off_ms) in [(1_000, 4_000), (4_000, 1_000)] {
        let mut scene = quiet();
        for pulse in 0..6 {
            scene.flood(16_000 + pulse * (on_ms + off_ms), on_ms, 45_000, 100, |n| junk(n, b"junk"));
        }
        in_time(&scene, 16_000, 45_000);
        scene.rest(16_000 + 6 * (on_ms + off_ms) + 12_000);
        let closed = scene.of_kind("closed");
        assert_eq!(closed.len(), 1);
        assert!((4..=5).contains(&closed[0].1.pulses), "{} pulses", closed[0].1.pulses);
    }
}

#[test]
fn d07_there_is_no_blindness_after_an_incident() {
    let mut scene = quiet();
    scene.flood(16_000, 30_000, 12_000, 100, |n| junk(n, b"junk"));
    scene.flood(58_000, 10_000, 45_000, 100, |n| junk(n, b"junk"));
    let opened = scene.of_kind("opened");
    assert_eq!(opened.len(), 2);
    assert!(opened[1].0 <= 58_000 + PROMISED_MS, "{}", opened[1].0);
    assert_eq!((opened[1].1.id, opened[1].1.pulses), (opened[0].1.id, 1), "it goes on under its number");
    let closed = scene.of_kind("closed");
    assert!((51_000..=56_000).contains(&closed[0].0), "all clear within 10 s, not at {}", closed[0].0);
}

#[test]
fn d08_genuine_load_from_the_first_second_is_no_incident() {
    for players in [160, 600] {
        let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
        scene.play(1_000, 14_000, players / 10, 75, 10);
        let pps = u64::from(players) * 75;
        for second in 0..3_600 {
            let tally = scene.tally(key());
            (tally.seen.packets, tally.lane.packets) = (pps * second, pps * second);
            scene.read(15_000 + second * 1_000);
        }
        scene.is_quiet();
        let kept = scene.engine.learnt();
        assert_eq!(kept.services.len(), 1, "and its baseline is ready");
    }
}

#[test]
fn d09_load_that_grows_with_its_players_is_none_and_without_them_one() {
    let mut genuine = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
    for second in 0..45u64 {
        let players = 10.0 * 3.5_f64.powf(second as f64 / 15.0);
        genuine.play(1_000 + second * 1_000, 1_000, players as u32, 20, 1);
    }
    genuine.is_quiet();
    let mut hostile = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
    hostile.play(1_000, 14_000, 5, 20, 1);
    let mut pps = 300.0_f64;
    for step in 0..90 {
        hostile
            .flood(15_000 + step * 15_000, 15_000, pps as u64, (pps / 20.0) as u32 + 1, |n| junk(n, b"junk"));
        pps *= 3.5_f64.powf(0.05);
    }
    hostile.opened();
}

#[test]
fn d10_an_attack_of_bandwidth_is_open_while_it_lasts() {
    let mut scene = quiet();
    scene.flood(16_000, 400_000, 8_000, 100, |n| junk(n, &[0x55; 1_400]));
    in_time(&scene, 16_000, 8_000);
    scene.rest(430_000);
    let closed = &scene.of_kind("closed")[0];
    assert!((421_000..=426_000).contains(&closed.0), "{}", closed.0);
    assert!((80_000_000..100_000_000).contains(&closed.1.peak_bps), "{}", closed.1.peak_bps);
    assert!((3_100_000..=3_300_000).contains(&closed.1.seen.packets), "{:?}", closed.1.seen);
    assert!((400..=410).contains(&closed.1.pps_by_second.len()));
}

#[test]
fn d11_a_port_that_nobody_owns() {
    let mut scene = quiet();
    let packet = |n: u32| support::udp(0, forged(n), (SERVER, 9_999), b"junk").bytes();
    scene.flood(16_000, 100_000, 3_000, 20, packet);
    in_time(&scene, 16_000, 3_000);
    assert_eq!(scene.engine.incidents().len(), 1, "it is open throughout");
    let record = scene.record();
    assert_eq!(record.target, Target::Address(IpAddr::V4(SERVER)));
    assert!(
        record.sources_estimated > 14_000,
        "its sources are read again and again: {}",
        record.sources_estimated
    );
}

#[test]
fn d12_d13_what_the_node_asked_for_is_no_attack() {
    let mut scene = quiet();
    for connection in 0..30u16 {
        let (own, far) = ((SERVER, 40_000 + connection), (Ipv4Addr::new(198, 51, 100, 7), 443));
        let ask = support::tcp(0, own, far, (SYN, 1, 0), b"").bytes();
        scene.frame(16_000_000 + u64::from(connection), &ask, 1, Passage::Egress);
        for number in 0..300 {
            let data = support::tcp(0, far, own, (ACK, number, 2), &[0; 1_400]).bytes();
            let at_us = 16_001_000 + u64::from(number) * 3_000 + u64::from(connection);
            scene.frame(at_us, &data, 1, Passage::Ingress);
        }
    }
    scene.rest(18_000);
    scene.is_quiet();
}

#[test]
fn d14_a_flood_at_a_container_is_what_it_is_whatever_the_host_gets() {
    let mut scene = quiet();
    for number in 0..20 {
        let ssh = support::tcp(0, forged(1), (SERVER, 22), (ACK, number, 0), b"x").bytes();
        scene.frame(15_900_000 + u64::from(number), &ssh, 1, Passage::Ingress);
    }
    scene.flood(16_000, 1_000, 20_000, 10, |n| junk(n, b"junk"));
    in_time(&scene, 16_000, 20_000);
    assert_eq!(scene.record().target, Target::Service(key()));
    assert_eq!(scene.record().family, Family::Udp);
}

#[test]
fn d15_a_flood_at_a_closed_port_is_counted_as_what_it_is() {
    let mut scene = quiet();
    let packet = |n: u32| support::tcp(0, forged(n), (SERVER, 4_444), (SYN, n, 0), b"").bytes();
    scene.flood(16_000, 2_000, 5_000, 5, packet);
    in_time(&scene, 16_000, 5_000);
    assert_eq!(scene.record().family, Family::Syn);
}

#[test]
fn d16_ipv6_is_half_of_everything() {
    let ip = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 10);
    let mut service = opaque(SERVER, PORT, Transport::Udp, "six");
    service.key.ip = IpAddr::V6(ip);
    let services = Arc::new(Services::new([service], [IpAddr::V6(ip)]));
    let mut scene = Scene::with(services, EngineConfig::default());
    scene.rest(1_000);
    scene.flood(20_000, 1_500, 12_000, 2, |n| scene::udp6(n, ip, b"junk"));
    in_time(&scene, 20_000, 12_000);
    let record = scene.record();
    assert_eq!(record.family, Family::Udp);
    assert!(record.sources_estimated > 5_000 && record.looks_forged, "{record:?}");
}

#[test]
fn d17_one_source_with_one_flow_is_found_and_named() {
    let mut scene = quiet();
    let packet = |_| support::udp(0, (Ipv4Addr::new(198, 51, 100, 9), 9), (SERVER, PORT), b"junk").bytes();
    scene.flood(16_000, 2_000, 20_000, 10, packet);
    in_time(&scene, 16_000, 20_000);
    let record = scene.record();
    assert_eq!((record.sources_estimated, record.looks_forged), (1, false));
    assert_eq!(record.top_sources[0].source, IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9)));
    assert!(record.says.contains("from one source"), "{}", record.says);
}

#[test]
fn d18_d19_forged_sources_are_many_and_none_is_named() {
    let mut scene = quiet();
    scene.flood(16_000, 1_200, 50_000, 1, |n| junk(n, b"junk"));
    in_time(&scene, 16_000, 50_000);
    scene.rest(30_000);
    let record = scene.record();
    assert!(record.looks_forged && record.top_sources.is_empty(), "{record:?}");
    assert!(record.sources_estimated.abs_diff(60_000) <= 1_200, "{}", record.sources_estimated);
    assert!(record.says.contains("forged sources at 203.0.113.10:30000/udp"), "{}", record.says);
}

#[test]
fn d20_with_the_source_table_full_new_sources_still_count() {
    let config = EngineConfig { flows: 64, sources: 64, ..EngineConfig::default() };
    let services =
        Arc::new(Services::new([opaque(SERVER, PORT, Transport::Udp, "one")], [IpAddr::V4(SERVER)]));
    let mut scene = Scene::with(services, config);
    scene.rest(1_000);
    scene.flood(16_000, 1_000, 10_000, 1, |n| junk(n, b"junk"));
    let heavy = (Ipv4Addr::new(198, 51, 100, 9), 9);
    let packet = |n: u32| match n % 5 {
        0 => support::udp(0, heavy, (SERVER, PORT), b"junk").bytes(),
        _ => junk(20_000 + n % 200, b"junk"),
    };
    scene.flood(17_000, 1_500, 5_000, 1, packet);
    let record = scene.record();
    assert!(record.sources_estimated.abs_diff(10_160) <= 400, "{}", record.sources_estimated);
    assert_eq!(record.top_sources[0].source, IpAddr::V4(heavy.0), "{:?}", record.top_sources);
}

#[test]
fn d21_a_past_incident_does_not_move_what_is_normal() {
    let mut scene = quiet();
    let before = scene.engine.learnt();
    scene.flood(16_000, 5_000, 20_000, 20, |n| junk(n, b"junk"));
    scene.rest(40_000);
    assert_eq!(scene.engine.learnt().services, before.services);
}

/// There is no list of bad addresses. Whoever attacked before is the nearest to one: that they come again lowers no limit,
/// because forged sources would make it lie.
#[test]
fn d22_who_is_known_as_an_attacker_lowers_no_limit() {
    let opens_from = |first: u32| {
        let from_here = |n: u32| support::udp(0, forged(first + n % 200), (SERVER, PORT), b"junk").bytes();
        (1..=15u64).map(|step| step * 100).find(|pps| {
            let mut scene = quiet();
            scene.flood(16_000, 1_000, 20_000, 20, |n| junk(n % 200, b"junk"));
            scene.rest(60_000);
            scene.flood(60_000, 1_000, *pps, 1, from_here);
            scene.of_kind("opened").len() > 1
        })
    };
    let (known, new) = (opens_from(0), opens_from(50_000));
    assert!(new.is_some() && known == new, "{known:?} {new:?}");
}

#[test]
fn d23_a_stalled_reader_invents_no_flood() {
    let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
    scene.count(key(), 1_000, 80_000, 500, (600, 100));
    for (round, stalled_s) in [5u64, 15, 51].into_iter().enumerate() {
        scene.tally(key()).seen.packets += 600 * stalled_s;
        scene.read(81_000 + 100_000 * (round as u64 + 1));
    }
    scene.is_quiet();
}

#[test]
fn d24_it_is_found_at_every_phase() {
    for phase in 0..10 {
        let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
        // The victim's own load passes in its players' lanes.
        scene.count_lanes(key(), 1_000, 71_000, 500, (2_000, 1_000));
        let from_ms = 72_000 + phase * 100;
        scene.count_lanes(key(), 72_000, phase * 100, 100, (2_000, 1_000));
        scene.is_quiet();
        scene.count(key(), from_ms, 500, 50, (202_000, 70));
        in_time(&scene, from_ms, 200_000);
    }
}

#[test]
fn d25_one_port_on_two_addresses_is_two_services() {
    let services = [SERVER, OTHER].map(|ip| opaque(ip, PORT, Transport::Udp, &ip.to_string()));
    let mut scene = Scene::of(services.to_vec());
    scene.rest(1_000);
    scene.flood(20_000, 2_000, 12_000, 10, |n| junk(n, b"junk"));
    let record = scene.record();
    assert_eq!((record.target, record.also.len()), (Target::Service(key()), 0));
}

/// Nothing here waits to be confirmed, so that a sudden rise has nothing to shorten; and alone it is nothing.
#[test]
fn d26_a_sudden_rise_is_seen_as_soon_as_any_and_alone_is_nothing() {
    let after_normal = |normal_pps, pps| {
        let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
        scene.count(key(), 1_000, 90_000, 500, (normal_pps, 100));
        scene.count(key(), 91_000, 5_000, 50, (pps, 100));
        scene
    };
    for pps in [1_500, 2_500, 15_000, 150_000] {
        in_time(&after_normal(300, pps), 91_000, pps);
    }
    after_normal(10, 60).is_quiet();
    after_normal(1, 100).is_quiet();
}

#[test]
fn d27_while_nothing_is_learnt_much_is_still_much() {
    for (pps, bytes) in [(30_000, 60), (90_000, 1_400), (1_900, 9_000)] {
        let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
        scene.rest(500);
        scene.count(key(), 1_000, 2_000, 50, (pps, bytes));
        in_time(&scene, 1_000, pps);
    }
}

#[test]
fn d28_an_operators_limit_stands_for_what_was_learnt() {
    let mut scene = quiet();
    let limit = FixedLimit { packets_per_second: Some(5_000), bits_per_second: None };
    scene.engine.set_fixed_limits(vec![(key(), limit)]);
    scene.flood(16_000, 5_000, 4_000, 10, |n| junk(n, b"junk"));
    scene.is_quiet();
    scene.flood(21_000, 3_000, 6_000, 10, |n| junk(n, b"junk"));
    in_time(&scene, 21_000, 6_000);
    assert_eq!(&*scene.record().reason, "host/operators-limit");
    scene.rest(40_000);
    assert_eq!(scene.of_kind("closed").len(), 1);
}

#[test]
fn exact_counts_alone_show_three_times_the_norm_within_two_readings() {
    for tick_ms in [50, 100] {
        let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
        scene.count(key(), 1_000, 90_000, 500, (400, 100));
        scene.is_quiet();
        scene.count(key(), 91_000, 1_000, tick_ms, (1_600, 100));
        assert!(scene.opened() <= 91_000 + 2 * tick_ms, "seen at {}", scene.opened());
    }
}

#[test]
fn a_burst_whose_samples_come_later_is_no_attack() {
    let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
    scene.count(key(), 1_000, 90_000, 500, (4, 100));
    scene.count(key(), 91_000, 150, 50, (1_000, 100));
    scene.count(key(), 91_150, 2_000, 50, (20, 100));
    scene.is_quiet();
}

#[test]
fn l02_a_constant_flood_is_one_incident_until_it_ends() {
    let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
    scene.count(key(), 1_000, 90_000, 500, (300, 100));
    scene.count(key(), 91_000, 1_800_000, 100, (5_000, 100));
    in_time(&scene, 91_000, 5_000);
    assert_eq!((scene.of_kind("closed").len(), scene.engine.incidents().len()), (0, 1));
    scene.count(key(), 1_891_000, 12_000, 100, (300, 100));
    assert_eq!((scene.of_kind("opened").len(), scene.of_kind("closed").len()), (1, 1));
}

#[test]
fn the_kernels_counters_say_when_it_is_over() {
    let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Udp, "one")]);
    scene.count(key(), 1_000, 90_000, 500, (200, 100));
    for tick in 0..200 {
        let tally = scene.tally(key());
        tally.seen = amount(18_000 + tick * 500, 100);
        tally.early = amount(tick * 480, 100);
        scene.read(91_000 + tick * 100);
    }
    assert_eq!(scene.engine.incidents().len(), 1, "what is dropped still comes");
    scene.count(key(), 111_000, 12_000, 100, (200, 100));
    let (closed_at, record) = scene.of_kind("closed").pop().expect("it is over");
    assert!((115_000..=121_000).contains(&closed_at), "{closed_at}");
    assert!((90_000..=96_000).contains(&record.dropped_early.packets), "{:?}", record.dropped_early);
    assert!(record.seen.packets >= 98_000 && record.peak_pps.abs_diff(5_000) < 200, "{record:?}");
}

/// How long after a flood its incident closes while 100 segments a second with these flags still come, and are dropped.
fn closes_after(flags: u8) -> Option<u64> {
    let service = ServiceKey { transport: Transport::Tcp, ..key() };
    let mut scene = Scene::of(vec![opaque(SERVER, PORT, Transport::Tcp, "one")]);
    scene.count(service, 1_000, 15_000, 500, (0, 0));
    scene.flood(16_000, 3_000, 5_000, 1, |n| segment(n, SYN, b""));
    scene.opened();
    for tick in 0..150u64 {
        scene.flood(19_000 + tick * 100, 100, 100, 1, |n| segment(n + tick as u32 * 10, flags, b""));
        let tally = scene.tally(service);
        tally.seen.packets += 10;
        tally.docker_user.packets += 10;
        scene.read(19_100 + tick * 100);
    }
    scene.of_kind("closed").pop().map(|(at_ms, _)| at_ms - 19_000)
}

#[test]
fn resets_of_bots_that_went_away_do_not_keep_an_incident_open() {
    assert!(closes_after(RST | ACK).is_some_and(|ms| ms <= 6_000), "{:?}", closes_after(RST | ACK));
    assert_eq!(closes_after(SYN), None, "the same of what does not end anything");
}

#[test]
fn a_carpet_over_many_services_is_one_incident() {
    let services: Vec<_> =
        (0..8).map(|n| opaque(SERVER, PORT + n, Transport::Udp, &format!("server-{n}"))).collect();
    let mut scene = Scene::of(services);
    scene.rest(1_000);
    let packet = |n: u32| support::udp(0, forged(n), (SERVER, PORT + (n % 8) as u16), b"junk").bytes();
    scene.flood(20_000, 2_000, 40_000, 10, packet);
    let record: Arc<Incident> = scene.record();
    assert_eq!((record.target, record.family), (Target::Node, Family::Carpet));
    assert_eq!(record.also.len(), 8);
    scene.rest(40_000);
    assert_eq!(scene.of_kind("closed").len(), 1);
}

#[test]
fn a_carpet_over_ports_that_nobody_owns_is_one_incident() {
    let mut scene = quiet();
    let packet = |n: u32| support::udp(0, forged(n), (SERVER, 5_000 + (n % 64) as u16), b"junk").bytes();
    scene.flood(16_000, 2_000, 10_000, 5, packet);
    in_time(&scene, 16_000, 10_000);
    assert_eq!(scene.record().family, Family::Carpet);
}

#[test]
fn fragments_that_only_the_kernel_sees_are_an_incident() {
    let mut scene = quiet();
    for tick in 0..100u64 {
        scene.counted.fragments = vec![(IpAddr::V4(SERVER), amount(tick * 100, 1_000))];
        scene.read(16_000 + tick * 100);
    }
    assert_eq!(scene.record().family, Family::Fragment);
    assert_eq!(scene.engine.incidents().len(), 1);
    for tick in 0..100u64 {
        scene.read(26_000 + tick * 100);
    }
    assert_eq!(scene.engine.incidents().len(), 0);
}

#[test]
fn people_are_told_at_most_once_a_second_and_only_of_news() {
    let mut scene = quiet();
    scene.flood(16_000, 20_000, 20_000, 20, |n| junk(n, b"junk"));
    let changed: Vec<_> = scene.of_kind("changed").iter().map(|(at_ms, _)| *at_ms).collect();
    assert!(changed.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{changed:?}");
    assert!(changed.len() <= 5, "a steady flood is no news: {changed:?}");
}

#[test]
fn a_launch_day_is_no_attack() {
    let mut scene = Scene::new();
    scene.rest(1_000);
    let service = (SERVER, PORT);
    // Five hundred players a minute: an opening, forty packets of joining, then play.
    let words = |age: u64| match age {
        0 => Some(&b"o"[..]),
        1..=40 => Some(&b"e"[..]),
        _ => age.is_multiple_of(5).then_some(&b"p"[..]),
    };
    for tick in 0..900u64 {
        let joined = tick / 6;
        for player in 0..=joined {
            let Some(word) = words(tick - player * 6) else { continue };
            let client = (Ipv4Addr::from_bits(0xc633_6400 + player as u32), 4_000);
            let at_us = 20_000_000 + tick * 20_000 + player * 50;
            scene.frame(at_us, &support::udp(0, client, service, word).bytes(), 1, Passage::Ingress);
            scene.frame(at_us + 20, &support::udp(0, service, client, b"y").bytes(), 1, Passage::Egress);
        }
    }
    scene.rest(40_000);
    scene.is_quiet();
}

/// Ten players close their sockets while the server goes on sending to them, 66 times a second each; an ICMP error
/// comes for each packet, so many times.
fn refused(times: u32) -> Scene {
    let mut scene = quiet();
    scene.play(16_000, 4_000, 10, 15, 1);
    for round in 0..266u64 {
        for player in 0..10u16 {
            let client = (Ipv4Addr::from_bits(0xc000_0200), 40_000 + player);
            let at_us = 20_000_000 + round * 15_000 + u64::from(player) * 1_000;
            let sent = support::udp(0, (SERVER, PORT), client, b"yplay").bytes();
            scene.frame(at_us, &sent, 1, Passage::Egress);
            // Destination unreachable, port (RFC 792), from behind some router; it quotes the IP header and 8 bytes.
            let error = [&[3, 3, 0, 0, 0, 0, 0, 0], &sent[14..14 + 28]].concat();
            for again in 0..times {
                let refusal = scene::ip(u32::from(player), 1, 0, &error);
                scene.frame(at_us + 20 + u64::from(again), &refusal, 1, Passage::Ingress);
            }
        }
    }
    scene.rest(24_500);
    scene
}

#[test]
fn who_closes_a_socket_while_the_server_still_sends_does_not_attack() {
    refused(1).is_quiet();
}

#[test]
fn more_icmp_errors_than_the_server_sent_packets_are_a_flood() {
    let record = refused(4).record();
    assert_eq!((record.family, &*record.reason), (Family::Icmp, "host/icmp"));
}
