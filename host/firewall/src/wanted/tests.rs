//! What is asked for and what becomes of it, effect by effect.

use ftagent_core::effect::BucketLimit;
use ftagent_core::effect::CrowdLimit;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Grain;
use ftagent_core::effect::Lease;
use ftagent_core::effect::Scope;
use ftagent_core::effect::SecondTry;
use ftagent_core::service::Transport;

use super::*;
use crate::plan::Change;
use crate::plan::Present;
use crate::plan::plan;

const SERVICE: &str = "203.0.113.10";

fn service() -> ServiceKey {
    ServiceKey { ip: SERVICE.parse().unwrap(), port: 25565, transport: Transport::Udp }
}

fn lease(source: &str, for_ms: u32) -> Effect {
    let (source, scope) = (source.parse().unwrap(), Scope::Service(service()));
    Effect::Lease(Lease { source, prefix_bits: 128, scope, for_ms, reason: "test/test".into() })
}

fn limit(packets_per_second: u32, for_ms: u32) -> Effect {
    let (burst, reason) = (9, "test/test".into());
    Effect::CrowdLimit(CrowdLimit { service: service(), packets_per_second, burst, for_ms, reason })
}

/// Folds effects, each at its second, and compares the changes of each second with their text.
fn check(steps: &[(u64, &[Effect], &str)]) {
    let (mut wanted, mut present) = (Wanted::default(), Present::default());
    for (second, effects, expected) in steps {
        let now = Instant::from_millis(second * 1_000);
        for at in wanted.expire(now) {
            present.forget(&at);
        }
        effects.iter().for_each(|effect| wanted.fold(now, effect));
        let mut dirty = wanted.take_dirty();
        dirty.dedup();
        let changes = plan(&wanted.elements, &present, dirty, now);
        let text: Vec<_> = changes.iter().map(Change::to_string).collect();
        assert_eq!(text.join("\n"), *expected, "second {second}");
        changes.iter().for_each(|change| present.note(change, now));
    }
}

#[test]
fn a_lease_is_added_renewed_and_runs_out() {
    check(&[
        (1, &[lease("192.0.2.7", 5_000)], "add leases4 c0000207cb00710a63dd000011000000 for 5000 ms"),
        (2, &[], ""),
        (3, &[lease("192.0.2.7", 5_000)], "renew leases4 c0000207cb00710a63dd000011000000 for 5000 ms"),
        (9, &[], ""),
        (9, &[lease("192.0.2.7", 5_000)], "add leases4 c0000207cb00710a63dd000011000000 for 5000 ms"),
        (10, &[lease("192.0.2.7", 0)], "remove leases4 c0000207cb00710a63dd000011000000"),
    ]);
}

#[test]
fn a_new_rate_is_a_new_object_and_a_swapped_element() {
    check(&[
        (
            1,
            &[limit(400, 60_000)],
            "add object crowd_400_9_203.0.113.10_25565_udp\n\
             add crowd4 cb00710a63dd000011000000 -> crowd_400_9_203.0.113.10_25565_udp for 60000 ms",
        ),
        (1, &[limit(400, 60_000)], ""),
        (
            2,
            &[limit(200, 60_000)],
            "add object crowd_200_9_203.0.113.10_25565_udp\n\
             renew crowd4 cb00710a63dd000011000000 -> crowd_200_9_203.0.113.10_25565_udp for 60000 ms",
        ),
    ]);
}

#[test]
fn ipv6_is_blocked_by_its_64() {
    let effect = Lease {
        source: "2001:db8::1:2:3:4".parse().unwrap(),
        prefix_bits: 128,
        scope: Scope::Node,
        for_ms: 1_000,
        reason: "test/test".into(),
    };
    check(&[(1, &[Effect::Lease(effect)], "add node_leases6 20010db8000000000000000000000000 for 1000 ms")]);
}

#[test]
fn merged_leases_are_blocked_by_their_24_or_48() {
    let merged = |source: &str, prefix_bits| {
        let (source, scope) = (source.parse().unwrap(), Scope::Node);
        Effect::Lease(Lease { source, prefix_bits, scope, for_ms: 1_000, reason: "test/test".into() })
    };
    check(&[
        (1, &[merged("192.0.2.7", 24)], "add node_wide_leases4 c0000200 for 1000 ms"),
        (2, &[merged("192.0.3.7", 30)], "add node_wide_leases4 c0000300 for 1000 ms"),
        (3, &[merged("192.0.4.7", 16)], "add node_wide_leases4 c0000400 for 1000 ms"),
        (
            7,
            &[merged("2001:db8:1:2::7", 48)],
            "add node_wide_leases6 20010db8000100000000000000000000 for 1000 ms",
        ),
        (
            9,
            &[merged("2001:db8:1:2::7", 64)],
            "add node_leases6 20010db8000100020000000000000000 for 1000 ms",
        ),
    ]);
}

#[test]
fn new_numbers_of_a_bucket_limit_are_another_set() {
    let limit = |grain, packets_per_second, for_ms| {
        let (service, burst, reason) = (service(), 9, "test/test".into());
        Effect::BucketLimit(BucketLimit { service, grain, packets_per_second, burst, for_ms, reason })
    };
    let bucket = |packets_per_second, for_ms| limit(Grain::Source, packets_per_second, for_ms);
    let key = "cb00710a63dd000011000000";
    check(&[
        (1, &[bucket(40, 60_000)], &format!("add bucket_40_9_4 {key} for 60000 ms")),
        (
            2,
            &[bucket(20, 60_000)],
            &format!("remove bucket_40_9_4 {key}\nadd bucket_20_9_4 {key} for 60000 ms"),
        ),
        (
            3,
            &[limit(Grain::Network, 20, 60_000)],
            &format!("remove bucket_20_9_4 {key}\nadd netbucket_20_9_4 {key} for 60000 ms"),
        ),
        (4, &[limit(Grain::Network, 20, 0)], &format!("remove netbucket_20_9_4 {key}")),
    ]);
    let mut wanted = Wanted::default();
    for rate in 0..limits::DISTINCT_MAX as u32 + 2 {
        let mut service = service();
        service.port += rate as u16;
        let (burst, reason) = (9, "test/test".into());
        let packets_per_second = 10 + rate;
        let limit =
            BucketLimit { service, grain: Grain::Source, packets_per_second, burst, for_ms: 9_000, reason };
        wanted.fold(Instant::START, &Effect::BucketLimit(limit));
    }
    assert_eq!(wanted.refusals.counts[&Refusal::Full], 2);
    assert_eq!(wanted.own_rules().count(), limits::DISTINCT_MAX);
}

#[test]
fn second_tries_that_cannot_be_are_refused() {
    let mut wanted = Wanted::default();
    for (after_ms, within_ms) in [(0, 5_000), (300, 300), (300, 600_000)] {
        let (service, for_ms, reason) = (service(), 60_000, "test/test".into());
        let tries = SecondTry { service, after_ms, within_ms, for_ms, reason };
        wanted.fold(Instant::START, &Effect::SecondTry(tries));
    }
    assert_eq!(wanted.refusals.counts[&Refusal::Unfit], 3);
    assert!(wanted.elements.is_empty());
}

#[test]
fn no_measure_lives_longer_than_the_longest() {
    let mut wanted = Wanted::default();
    wanted.fold(Instant::START, &lease("192.0.2.7", u32::MAX));
    let end = Instant::START.plus_millis(u64::from(limits::MEASURE_MS_MAX));
    assert!(wanted.elements.values().all(|(_, until)| *until == Until::Time(end)));
}

#[test]
fn a_full_set_refuses_the_newest_and_counts_it() {
    let mut wanted = Wanted::default();
    let mut ask = |n: u32| {
        let source = IpAddr::V4(n.into());
        wanted.fold(Instant::START, &lease(&source.to_string(), 60_000));
    };
    (0..limits::LEASES_MAX as u32 + 3).for_each(&mut ask);
    ask(7);
    assert_eq!(wanted.size(Kind::Leases), limits::LEASES_MAX);
    assert_eq!(wanted.refusals.counts[&Refusal::Full], 3);
    // Room again when leases end.
    wanted.expire(Instant::from_millis(60_001));
    assert_eq!(wanted.size(Kind::Leases), 0);
    assert_eq!(wanted.reasons.len(), 0);
}

#[test]
fn families_do_not_mix() {
    let mut wanted = Wanted::default();
    wanted.fold(Instant::START, &lease("2001:db8::1", 60_000));
    assert_eq!(wanted.refusals.counts[&Refusal::Family], 1);
    assert!(wanted.elements.is_empty());
}

#[test]
fn a_service_on_every_address_is_one_service_for_each() {
    let any = ServiceKey { ip: "0.0.0.0".parse().unwrap(), ..service() };
    let on = |key: ServiceKey, path| ftagent_core::service::Service {
        key,
        server: "server".into(),
        game: "unknown".into(),
        role: Default::default(),
        judging: ftagent_core::service::Judging::WrongTransport,
        path,
        flags: 0,
    };
    let own = [SERVICE, "203.0.113.11", "127.0.0.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
    let services = Services::new([on(any, Path::Forwarded), on(service(), Path::Local)], own);
    let mut wanted = Wanted::default();
    assert_eq!(wanted.set_services(&services), 0);
    let ips: Vec<_> = wanted.services().iter().map(|key| key.ip.to_string()).collect();
    assert_eq!(ips, [SERVICE, "203.0.113.11"]);
    assert!(wanted.is_local(&service()), "the exact one wins");
    wanted.arm(Instant::START);
    assert_eq!(wanted.size(Kind::Armed), 2);
    wanted.set_services(&Services::default());
    assert_eq!(wanted.size(Kind::Armed), 0, "a service that is gone is disarmed at once");
    assert_eq!(wanted.size(Kind::Counter(Count::Seen)), 0);
}
