//! What the kernel does with effects: leases, lanes, shapes, address lanes, second try, buckets, crowd.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;

use ftagent_core::effect::BucketLimit;
use ftagent_core::effect::CrowdLimit;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Grain;
use ftagent_core::effect::Scope;
use ftagent_core::effect::SecondTry;
use ftagent_core::manifest::Shape;
use ftagent_core::service::ServiceKey;
use ftagent_core::tally::Amount;
use ftagent_core::tally::ServiceTally;

use super::End;
use super::Sent;

const BUCKETS: u32 = 4_096;
/// A source that passed its second try passes for so long.
const PASSED_MS: u64 = 60_000;

/// A rate with a burst.
#[derive(Clone, Copy, Debug)]
struct Rate {
    pps: u64,
    burst: u64,
    parts: u64,
    at_ms: u64,
}

impl Rate {
    fn new(pps: u32, burst: u32, at_ms: u64) -> Self {
        let (pps, burst) = (u64::from(pps), u64::from(burst));
        Self { pps, burst, parts: burst * 1_000, at_ms }
    }

    fn passes(&mut self, at_ms: u64) -> bool {
        self.parts = (self.parts + (at_ms - self.at_ms) * self.pps).min(self.burst * 1_000);
        self.at_ms = at_ms;
        let passes = self.parts >= 1_000;
        self.parts -= if passes { 1_000 } else { 0 };
        passes
    }
}

/// A value and its end.
type Until<T> = (T, u64);

/// The kernel.
#[derive(Debug, Default)]
pub struct Wall {
    pub leases: HashMap<(u32, u8, ServiceKey), u64>,
    lanes: HashMap<(Ipv4Addr, Option<u16>, ServiceKey), Until<Rate>>,
    pub shapes: HashMap<(Shape, ServiceKey), Until<bool>>,
    second_try: HashMap<ServiceKey, Until<SecondTry>>,
    first_tries: HashMap<(End, ServiceKey), u64>,
    passed: HashMap<(End, ServiceKey), u64>,
    bucket: HashMap<ServiceKey, Until<BucketLimit>>,
    buckets: HashMap<(u32, ServiceKey), Rate>,
    crowd: HashMap<ServiceKey, Until<(CrowdLimit, Rate)>>,
    pub tallies: BTreeMap<ServiceKey, ServiceTally>,
    /// A fault: nothing limits the crowd.
    pub no_crowd: bool,
    /// A fault: everything after the leases is dropped too.
    pub broken_lanes: bool,
}

impl Wall {
    /// Takes over one effect.
    pub fn obey(&mut self, now_ms: u64, effect: &Effect) {
        let ends = |for_ms: u32| now_ms + u64::from(for_ms);
        match effect {
            Effect::Lease(lease) => {
                let (IpAddr::V4(ip), Scope::Service(service)) = (lease.source, lease.scope) else { return };
                let bits = lease.prefix_bits.min(32);
                self.leases.insert((ip.to_bits() >> (32 - bits), bits, service), ends(lease.for_ms));
            }
            Effect::Lane(lane) => {
                let IpAddr::V4(ip) = lane.source else { return };
                let (pps, until) = (lane.packets_per_second, ends(lane.for_ms));
                let known = self.lanes.entry((ip, lane.source_port, lane.service));
                let (rate, end) = known.or_insert_with(|| (Rate::new(pps, pps, now_ms), until));
                (rate.pps, rate.burst, *end) = (pps.into(), pps.into(), until);
            }
            Effect::ShapeDrop(drop) => {
                let known = self.shapes.entry((drop.shape.clone(), drop.service)).or_insert((drop.trial, 0));
                *known = (drop.trial, ends(drop.for_ms));
            }
            Effect::SecondTry(tries) => {
                self.second_try.insert(tries.service, (tries.clone(), ends(tries.for_ms)));
            }
            Effect::BucketLimit(limit) => {
                self.bucket.insert(limit.service, (limit.clone(), ends(limit.for_ms)));
            }
            Effect::CrowdLimit(limit) => {
                let known = self.crowd.get(&limit.service).filter(|(_, until)| *until > now_ms);
                let fresh = Rate::new(limit.packets_per_second, limit.burst, now_ms);
                let same = |rate: &Rate| (rate.pps, rate.burst) == (fresh.pps, fresh.burst);
                let rate = known.map(|((_, rate), _)| *rate).filter(same).unwrap_or(fresh);
                self.crowd.insert(limit.service, ((limit.clone(), rate), ends(limit.for_ms)));
            }
            Effect::SynProxy(_) | Effect::Notice(_) => {}
        }
    }

    /// How many measures other than lanes stand.
    pub fn standing(&self, now_ms: u64) -> usize {
        let count = |ends: &mut dyn Iterator<Item = u64>| ends.filter(|until| *until > now_ms).count();
        count(&mut self.leases.values().copied())
            + count(&mut self.shapes.values().map(|(_, until)| *until))
            + count(&mut self.second_try.values().map(|(_, until)| *until))
            + count(&mut self.bucket.values().map(|(_, until)| *until))
            + count(&mut self.crowd.values().map(|(_, until)| *until))
    }

    /// Whether an address is leased at a service.
    pub fn is_leased(&self, ip: Ipv4Addr, service: ServiceKey, now_ms: u64) -> bool {
        (8..=32u8).any(|bits| {
            self.leases
                .get(&(ip.to_bits() >> (32 - bits), bits, service))
                .is_some_and(|until| *until > now_ms)
        })
    }

    /// What becomes of a packet.
    pub fn passes(&mut self, now_ms: u64, sent: &Sent) -> bool {
        let bytes = 28 + sent.payload.len() as u64;
        let mut tally = self.tallies.get(&sent.service()).copied().unwrap_or_default();
        count(&mut tally.seen, bytes);
        let passes = self.decide(now_ms, sent, bytes, &mut tally);
        if !passes {
            count(&mut tally.docker_user, bytes);
        }
        self.tallies.insert(sent.service(), tally);
        passes
    }

    fn decide(&mut self, now_ms: u64, sent: &Sent, bytes: u64, tally: &mut ServiceTally) -> bool {
        let (service, ip) = (sent.service(), sent.from.0);
        if self.is_leased(ip, service, now_ms) {
            count(&mut tally.lease, bytes);
            return false;
        }
        if self.in_lane(now_ms, (ip, Some(sent.from.1), service)) {
            count(&mut tally.lane, bytes);
            return true;
        }
        let shaped = self.shapes.iter().any(|((shape, at), (trial, until))| {
            *at == service && !trial && *until > now_ms && has_shape(sent, shape)
        });
        if shaped {
            count(&mut tally.shape, bytes);
            return false;
        }
        if self.in_lane(now_ms, (ip, None, service)) {
            count(&mut tally.lane, bytes);
            return true;
        }
        if !self.comes_again(now_ms, sent) {
            count(&mut tally.second_try, bytes);
            return false;
        }
        if let Some((limit, _)) = self.bucket.get(&service).filter(|(_, until)| *until > now_ms) {
            let host_bits = if limit.grain == Grain::Network { 8 } else { 0 };
            let number = (ip.to_bits() >> host_bits).wrapping_mul(2_654_435_761) % BUCKETS;
            let fresh = Rate::new(limit.packets_per_second, limit.burst, now_ms);
            if !self.buckets.entry((number, service)).or_insert(fresh).passes(now_ms) {
                count(&mut tally.bucket, bytes);
                return false;
            }
        }
        if let Some(((_, rate), _)) = self.crowd.get_mut(&service).filter(|(_, until)| *until > now_ms)
            && !self.no_crowd
            && !rate.passes(now_ms)
        {
            count(&mut tally.crowd, bytes);
            return false;
        }
        true
    }

    fn in_lane(&mut self, now_ms: u64, key: (Ipv4Addr, Option<u16>, ServiceKey)) -> bool {
        let lane = self.lanes.get_mut(&key).filter(|(_, until)| *until > now_ms);
        !self.broken_lanes && lane.is_some_and(|(rate, _)| rate.passes(now_ms))
    }

    fn comes_again(&mut self, now_ms: u64, sent: &Sent) -> bool {
        let key = (sent.from, sent.service());
        let Some((tries, _)) = self.second_try.get(&key.1).filter(|(_, until)| *until > now_ms) else {
            return true;
        };
        let concerned = sent.tcp.is_none_or(|(flags, _, _)| flags & 0x12 == 2);
        if !concerned || self.passed.get(&key).is_some_and(|at| now_ms - at < PASSED_MS) {
            return true;
        }
        let first = *self.first_tries.entry(key).or_insert(now_ms);
        let waited = now_ms - first;
        if waited > u64::from(tries.within_ms) {
            self.first_tries.insert(key, now_ms);
        }
        let again = (u64::from(tries.after_ms)..=u64::from(tries.within_ms)).contains(&waited);
        if again {
            self.passed.insert(key, now_ms);
        }
        again
    }
}

fn count(amount: &mut Amount, bytes: u64) {
    amount.packets += 1;
    amount.bytes += bytes;
}

/// Whether a packet has a shape, as the kernel sees it.
pub fn has_shape(sent: &Sent, shape: &Shape) -> bool {
    let flags = sent.tcp.map_or(0, |(flags, _, _)| flags);
    shape.payload_bytes.as_ref().is_none_or(|range| range.contains(&(sent.payload.len() as u16)))
        && shape.tcp_flags.is_none_or(|(mask, value)| flags & mask == value)
        && (!shape.without_options || !sent.options)
        && shape.source_port.is_none_or(|port| port == sent.from.1)
        && shape.window.is_none_or(|window| window == sent.window)
        && shape.ttl.as_ref().is_none_or(|range| range.contains(&sent.ttl))
        && shape.bytes.iter().all(|bytes| {
            let here = sent.payload.get(usize::from(bytes.offset)..).unwrap_or_default();
            here.len() >= bytes.value.len()
                && here.iter().zip(&bytes.value).zip(&bytes.mask).all(|((a, b), mask)| a & mask == b & mask)
        })
}
