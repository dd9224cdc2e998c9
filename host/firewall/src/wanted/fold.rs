//! Effects as elements: which sets they become elements of, and when they are refused.

use std::mem::discriminant;
use std::sync::Arc;

use ftagent_core::effect::BucketLimit;
use ftagent_core::effect::CrowdLimit;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Lane;
use ftagent_core::effect::Lease;
use ftagent_core::effect::Scope;
use ftagent_core::effect::SecondTry;
use ftagent_core::effect::ShapeDrop;
use ftagent_core::effect::SynProxy;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Transport;
use ftagent_core::time::Instant;

use super::Refusal;
use super::Wanted;
use crate::key;
use crate::key::Family;
use crate::key::Key;
use crate::key::object_name;
use crate::limits;
use crate::plan::Until;
use crate::set::Element;
use crate::set::Kind;
use crate::set::Object;
use crate::set::Rate;
use crate::set::SetId;
use crate::set::Tries;
use crate::set::Value;
use crate::shape;
use crate::shape::ShapeId;

impl Wanted {
    /// Takes an effect into account. A life of 0 ms takes the measure back.
    pub fn fold(&mut self, now: Instant, effect: &Effect) {
        match effect {
            Effect::Lease(lease) => self.lease(now, lease),
            Effect::Lane(lane) => self.lane(now, lane),
            Effect::CrowdLimit(limit) => self.crowd_limit(now, limit),
            Effect::ShapeDrop(shape) => self.shape_drop(now, shape),
            Effect::SecondTry(tries) => self.second_try(now, tries),
            Effect::BucketLimit(limit) => self.bucket_limit(now, limit),
            Effect::SynProxy(proxy) => self.syn_proxy(now, proxy),
            Effect::Notice(_) => (),
        }
    }

    fn lease(&mut self, now: Instant, lease: &Lease) {
        let (network, family) = (key::lease_of(lease.source, lease.prefix_bits), Family::of(lease.source));
        let wide = network.prefix_len() != key::lease_bits(family, false);
        let most = if wide { limits::WIDE_LEASES_MAX } else { limits::LEASES_MAX };
        let elements: Vec<_> = match &lease.scope {
            Scope::Node => {
                let kind = if wide { Kind::NodeWideLeases } else { Kind::NodeLeases };
                vec![Element { set: SetId { kind, family }, key: Key::address(network.addr()) }]
            }
            Scope::Service(service) if Family::of(service.ip) == family => {
                let set = SetId { kind: if wide { Kind::WideLeases } else { Kind::Leases }, family };
                let keys = self.on_addresses(service).into_iter();
                keys.map(|service| Element { set, key: Key::source_at(network.addr(), &service) }).collect()
            }
            Scope::Service(_) => {
                return self.refusals.note(Refusal::Family, format!("lease on {}", lease.source));
            }
        };
        for at in elements {
            self.ask(now, at, Value::None, lease.for_ms, Some(&lease.reason), most);
        }
    }

    fn lane(&mut self, now: Instant, lane: &Lane) {
        let family = Family::of(lane.source);
        if Family::of(lane.service.ip) != family {
            return self.refusals.note(Refusal::Family, format!("lane for {}", lane.source));
        }
        for service in self.on_addresses(&lane.service) {
            let (kind, key) = match lane.source_port {
                Some(port) => (Kind::Lanes, Key::flow(lane.source, port, &service)),
                None => (Kind::AddressLanes, Key::source_at(lane.source, &service)),
            };
            let value = Value::UpTo { per_second: lane.packets_per_second.max(1) };
            let at = Element { set: SetId { kind, family }, key };
            self.ask(now, at, value, lane.for_ms, None, limits::LANES_MAX);
        }
    }

    fn crowd_limit(&mut self, now: Instant, limit: &CrowdLimit) {
        for service in self.on_addresses(&limit.service) {
            let set = SetId { kind: Kind::Crowd, family: Family::of(service.ip) };
            let per_second = u64::from(limit.packets_per_second.max(1));
            let burst = limit.burst.max(1);
            let name = object_name(&format!("crowd_{per_second}_{burst}"), &service);
            let value = Value::Object(name.into(), Object::LimitOver { per_second, burst });
            let at = Element { set, key: Key::service(&service) };
            self.ask(now, at, value, limit.for_ms, Some(&limit.reason), limits::SERVICES_MAX);
        }
    }

    fn shape_drop(&mut self, now: Instant, drop: &ShapeDrop) {
        let id = ShapeId::of(&drop.shape);
        let known = self.shapes.contains_key(&id);
        let fits = Family::BOTH.iter().all(|&family| shape::matches(&drop.shape, family).is_ok());
        if !fits || drop.shape.transport != drop.service.transport {
            return self.refusals.note(Refusal::Shape, format!("shape at {}", drop.service));
        }
        if !known && self.shapes.len() >= limits::SHAPES_MAX {
            return self.refusals.note(Refusal::Full, format!("shape at {}", drop.service));
        }
        if !known && drop.for_ms > 0 {
            self.shapes.insert(id, drop.shape.clone());
        }
        for service in self.on_addresses(&drop.service) {
            let (family, key) = (Family::of(service.ip), Key::service(&service));
            let [dropped, tried] =
                [Kind::Shape(id), Kind::Trial(id)].map(|kind| Element { set: SetId { kind, family }, key });
            let (at, other, value) = if drop.trial {
                let name = object_name(&format!("trial_{id}"), &service);
                (tried, dropped, Value::Object(name.into(), Object::Counter))
            } else {
                (dropped, tried, Value::None)
            };
            self.remove(other);
            self.ask(now, at, value, drop.for_ms, Some(&drop.reason), limits::SERVICES_MAX);
        }
    }

    fn second_try(&mut self, now: Instant, tries: &SecondTry) {
        if tries.after_ms == 0 || tries.after_ms >= tries.within_ms || tries.within_ms > limits::TRY_MS_MAX {
            return self.refusals.note(Refusal::Unfit, format!("second try at {}", tries.service));
        }
        let kind = Kind::SecondTry(Tries { after_ms: tries.after_ms, within_ms: tries.within_ms });
        let most = limits::SERVICES_MAX;
        self.ask_of_kinds(now, kind, &tries.service, tries.for_ms, &tries.reason, most);
    }

    fn bucket_limit(&mut self, now: Instant, limit: &BucketLimit) {
        let (per_second, burst) = (limit.packets_per_second.max(1), limit.burst.max(1));
        let kind = Kind::Bucket(limit.grain, Rate { per_second, burst });
        let most = limits::BUCKET_SERVICES_MAX;
        self.ask_of_kinds(now, kind, &limit.service, limit.for_ms, &limit.reason, most);
    }

    fn syn_proxy(&mut self, now: Instant, proxy: &SynProxy) {
        let SynProxy { segment_bytes, window_scale, .. } = *proxy;
        let fits = proxy.service.transport == Transport::Tcp
            && limits::SEGMENT_BYTES.contains(&segment_bytes)
            && window_scale <= limits::WINDOW_SCALE_MAX;
        let object = Object::SynProxy { segment_bytes, window_scale };
        if !fits {
            return self.refusals.note(Refusal::Unfit, format!("SYN proxy at {}", proxy.service));
        }
        if !self.proxies.contains(&object) && self.proxies.len() >= limits::PROXIES_MAX {
            return self.refusals.note(Refusal::Full, format!("SYN proxy at {}", proxy.service));
        }
        self.proxies.insert(object);
        let name: Arc<str> = format!("proxy_{segment_bytes}_{window_scale}").into();
        for service in self.on_addresses(&proxy.service) {
            let (family, key) = (Family::of(service.ip), Key::service(&service));
            let [armed, answers] =
                [Kind::Proxied, Kind::Proxies].map(|kind| Element { set: SetId { kind, family }, key });
            self.ask(now, armed, Value::None, proxy.for_ms, Some(&proxy.reason), limits::SERVICES_MAX);
            // Handshakes that have begun come to their end after the last SYN was answered.
            let life_ms = u64::from(proxy.for_ms.min(limits::MEASURE_MS_MAX)) + limits::PROXY_LINGER_MS;
            if self.elements.contains_key(&armed) || self.elements.contains_key(&answers) {
                self.put(answers, Value::Object(name.clone(), object), Until::Time(now.plus_millis(life_ms)));
            }
        }
    }

    /// A measure whose numbers are part of its rules: new numbers are another set, and the service leaves the old
    /// one in the same transaction.
    fn ask_of_kinds(
        &mut self,
        now: Instant,
        kind: Kind,
        service: &ServiceKey,
        for_ms: u32,
        reason: &Arc<str>,
        most: usize,
    ) {
        for service in self.on_addresses(service) {
            let (set, key) = (SetId { kind, family: Family::of(service.ip) }, Key::service(&service));
            let alike: Vec<_> = self
                .own_rules()
                .filter(|other| {
                    other.family == set.family && discriminant(&other.kind) == discriminant(&kind)
                })
                .collect();
            let is_new = !alike.contains(&set) && for_ms > 0;
            if is_new && alike.len() >= limits::DISTINCT_MAX {
                self.refusals.note(Refusal::Full, format!("{} at {service}", set.name()));
                continue;
            }
            if self.size_of(set) >= most && !self.elements.contains_key(&Element { set, key }) && for_ms > 0 {
                self.refusals.note(Refusal::Full, set.name());
                continue;
            }
            for other in alike.into_iter().filter(|other| *other != set) {
                self.remove(Element { set: other, key });
            }
            self.ask(now, Element { set, key }, Value::None, for_ms, Some(reason), most);
        }
    }
}
