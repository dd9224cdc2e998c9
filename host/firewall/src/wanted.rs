//! What the kernel should hold: the effects that were asked for, folded, each with its end.
//!
//! Everything is bounded; what does not fit is refused, the newest first, and counted. Nothing here is sent
//! anywhere: `plan` compares it with what is there, and the guard is asked after that.

mod fold;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use ftagent_core::manifest::Shape;
use ftagent_core::service::Path;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::time::Instant;
use serde::Serialize;

use crate::config::Mode;
use crate::key::Family;
use crate::key::Key;
use crate::key::object_name;
use crate::limits;
use crate::plan::Until;
use crate::set::Count;
use crate::set::Element;
use crate::set::Kind;
use crate::set::Object;
use crate::set::SetId;
use crate::set::Value;
use crate::shape::ShapeId;

/// Why a measure was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The source must never be blocked.
    Guarded,
    /// The set is full.
    Full,
    /// The address of the source and that of the service are of two families.
    Family,
    /// The shape cannot be matched, or would be too wide.
    Shape,
    /// It is a measure of the other transport, or its numbers cannot be.
    Unfit,
}

/// What was refused: how often, and the last ones in words.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    /// How often, by why.
    pub counts: HashMap<Refusal, u64>,
    /// The last ones.
    pub last: VecDeque<String>,
}

impl Refusals {
    /// Counts one.
    pub fn note(&mut self, why: Refusal, what: String) {
        *self.counts.entry(why).or_default() += 1;
        if self.last.len() == limits::REFUSALS_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(what);
    }
}

/// The folded wishes.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Elements with their value and end.
    pub elements: HashMap<Element, (Value, Until)>,
    /// Why a lease, limit or shape is there.
    pub reasons: HashMap<Element, Arc<str>>,
    /// The shapes that elements refer to.
    pub shapes: HashMap<ShapeId, Shape>,
    /// What was refused.
    pub refusals: Refusals,
    services: Vec<ServiceKey>,
    local: HashSet<ServiceKey>,
    own: Vec<IpAddr>,
    /// SYN proxies that were asked for; they stay in the kernel.
    proxies: HashSet<Object>,
    modes: HashMap<ServiceKey, Mode>,
    sizes: HashMap<SetId, usize>,
    dirty: Vec<Element>,
    ends: BinaryHeap<Reverse<(Instant, Element)>>,
}

impl Wanted {
    /// The services with an address each; those on every address once for each address of the node.
    pub fn services(&self) -> &[ServiceKey] {
        &self.services
    }

    /// Whether the packets of this service go to a socket of the node, past `DOCKER-USER`.
    pub fn is_local(&self, service: &ServiceKey) -> bool {
        self.local.contains(service)
    }

    /// The addresses of the node.
    pub fn own(&self) -> &[IpAddr] {
        &self.own
    }

    /// The elements that changed since the last call.
    pub fn take_dirty(&mut self) -> Vec<Element> {
        std::mem::take(&mut self.dirty)
    }

    /// Protects these services from now on. Measures of services that are gone run out by themselves, unarmed.
    /// Returns how many did not fit.
    pub fn set_services(&mut self, services: &Services) -> usize {
        self.own = services.own().filter(|ip| !ip.is_loopback() && !ip.is_unspecified()).collect();
        self.own.sort_unstable();
        let mut paths = HashMap::new();
        for service in services.iter() {
            for key in self.on_addresses(&service.key) {
                // What is published on one address wins over what is published on all.
                let exact = key == service.key;
                if exact || !paths.contains_key(&key) {
                    paths.insert(key, service.path);
                }
            }
        }
        let mut keys: Vec<_> = paths.keys().copied().collect();
        keys.sort_unstable();
        let beyond = keys.len().saturating_sub(limits::SERVICES_MAX);
        keys.truncate(limits::SERVICES_MAX);
        let mut lasting: HashMap<Element, Value> = HashMap::new();
        for key in &keys {
            elements_of_service(key, paths[key], &mut lasting);
        }
        self.elements_of_node(&mut lasting);
        let served: HashSet<_> = keys.iter().map(Key::service).collect();
        let gone = |at: &&Element| match at.set.kind {
            Kind::Armed | Kind::Early | Kind::Observed | Kind::Limited | Kind::Counter(_) => {
                !served.contains(&at.key)
            }
            Kind::FragmentsSeen | Kind::FragmentsOver | Kind::FragmentsLimit => !lasting.contains_key(*at),
            _ => false,
        };
        let gone: Vec<_> = self.elements.keys().filter(gone).copied().collect();
        gone.into_iter().for_each(|at| self.remove(at));
        self.local = keys.iter().filter(|key| paths[key] == Path::Local).copied().collect();
        for (at, value) in lasting {
            self.put(at, value, Until::Removed);
        }
        self.services = keys;
        self.mark_modes();
        let measures: Vec<_> = self.elements.keys().copied().collect();
        measures.into_iter().for_each(|at| self.count(at));
        beyond
    }

    /// Services with a mode of their own; see [`Wall::set_service_modes`](crate::Wall::set_service_modes).
    pub fn set_modes(&mut self, modes: HashMap<ServiceKey, Mode>) {
        self.modes = modes;
        self.mark_modes();
    }

    fn mark_modes(&mut self) {
        // What was said of one address wins over what was said of all.
        let (any, exact): (Vec<_>, Vec<_>) =
            self.modes.iter().partition(|(service, _)| service.ip.is_unspecified());
        let mut of_service = HashMap::new();
        for (service, mode) in any.into_iter().chain(exact) {
            of_service.extend(self.on_addresses(service).into_iter().map(|key| (key, *mode)));
        }
        for key in self.services.clone() {
            let mode = of_service.get(&key).copied().unwrap_or(Mode::Enforce);
            for (kind, wanted) in [(Kind::Observed, Mode::Observe), (Kind::Limited, Mode::Limit)] {
                let set = SetId { kind, family: Family::of(key.ip) };
                self.set_lasting(Element { set, key: Key::service(&key) }, mode == wanted);
            }
        }
    }

    /// Blocks a network until it is taken back or its time is over.
    pub fn block(&mut self, at: Element, until: Until, note: Arc<str>) {
        self.reasons.insert(at, note);
        self.put(at, Value::None, until);
        self.count(at);
    }

    /// How many networks people blocked.
    pub fn blocked_by_hand(&self) -> usize {
        let manual = self.sizes.iter().filter(|(set, _)| matches!(set.kind, Kind::Manual(_)));
        manual.map(|(_, size)| size).sum()
    }

    /// Makes the counters that an element of a measure needs. A service that needs none has none but the first,
    /// because all of them are read twenty times a second.
    fn count(&mut self, at: Element) {
        let counts = at.set.kind.counts();
        if counts.is_empty() {
            return;
        }
        let one = at.key.ending_service(at.set.family).filter(|key| self.services.binary_search(key).is_ok());
        let services = if at.set.kind.is_of_node() { self.services.clone() } else { Vec::from_iter(one) };
        for key in services {
            let (family, of) = (Family::of(key.ip), Key::service(&key));
            for &count in counts {
                let at = Element { set: SetId { kind: Kind::Counter(count), family }, key: of };
                if !self.elements.contains_key(&at) {
                    let (counter, value) = counter_of(&key, count);
                    self.put(counter, value, Until::Removed);
                }
            }
        }
    }

    fn elements_of_node(&self, lasting: &mut HashMap<Element, Value>) {
        let limit =
            Object::LimitOver { per_second: limits::FRAGMENTS_PER_SECOND, burst: limits::FRAGMENTS_BURST };
        for &ip in &self.own {
            let kinds = [
                (Kind::FragmentsSeen, "fragments_seen", Object::Counter),
                (Kind::FragmentsOver, "fragments_over", Object::Counter),
                (Kind::FragmentsLimit, "fragments_limit", limit),
            ];
            for (kind, what, object) in kinds {
                let at = Element { set: SetId { kind, family: Family::of(ip) }, key: Key::address(ip) };
                lasting.insert(at, Value::Object(fragments_name(what, ip).into(), object));
            }
        }
    }

    /// A service on every address of the node becomes one service for each address.
    pub fn on_addresses(&self, service: &ServiceKey) -> Vec<ServiceKey> {
        if !service.ip.is_unspecified() {
            return vec![*service];
        }
        let family = Family::of(service.ip);
        let own = self.own.iter().filter(|&&ip| Family::of(ip) == family);
        own.map(|&ip| ServiceKey { ip, ..*service }).collect()
    }

    /// Keeps the dead man's switch closed for a while.
    pub fn arm(&mut self, now: Instant) {
        let until = Until::Time(now.plus_millis(limits::ARMED_MS));
        for key in self.services.clone() {
            let set = SetId { kind: Kind::Armed, family: Family::of(key.ip) };
            self.put(Element { set, key: Key::service(&key) }, Value::None, until);
        }
        for family in Family::BOTH {
            self.put(armed_node(family), Value::None, until);
        }
    }

    /// Takes over an element that an earlier run left in the kernel.
    pub fn adopt(&mut self, at: Element, value: Value, until: Until) {
        self.reasons.insert(at, "host/adopted".into());
        self.put(at, value, until);
    }

    /// Whether an element without an end is wanted.
    pub fn set_lasting(&mut self, at: Element, wanted: bool) {
        match (wanted, self.elements.contains_key(&at)) {
            (true, false) => self.put(at, Value::None, Until::Removed),
            (false, true) => self.remove(at),
            _ => (),
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        at: Element,
        value: Value,
        for_ms: u32,
        reason: Option<&Arc<str>>,
        most: usize,
    ) {
        if for_ms == 0 {
            return self.remove(at);
        }
        let size = self.sizes.get(&at.set).copied().unwrap_or_default();
        if size >= most && !self.elements.contains_key(&at) {
            return self.refusals.note(Refusal::Full, at.set.name());
        }
        if let Some(reason) = reason {
            self.reasons.insert(at, reason.clone());
        }
        let life_ms = u64::from(for_ms.min(limits::MEASURE_MS_MAX));
        self.put(at, value, Until::Time(now.plus_millis(life_ms)));
        self.count(at);
    }

    fn put(&mut self, at: Element, value: Value, until: Until) {
        if let Until::Time(end) = until {
            self.ends.push(Reverse((end, at)));
        }
        let before = self.elements.insert(at, (value.clone(), until));
        if before.is_none() {
            *self.sizes.entry(at.set).or_default() += 1;
        }
        if before != Some((value, until)) {
            self.dirty.push(at);
        }
    }

    /// Takes a wish back.
    pub fn remove(&mut self, at: Element) {
        if self.elements.remove(&at).is_some() {
            self.reasons.remove(&at);
            if let Some(size) = self.sizes.get_mut(&at.set) {
                *size -= 1;
                if *size == 0 {
                    self.sizes.remove(&at.set);
                }
            }
            self.dirty.push(at);
        }
    }

    /// Drops what is over. Returns it, because the kernel has forgotten it by itself.
    pub fn expire(&mut self, now: Instant) -> Vec<Element> {
        let mut over = Vec::new();
        while let Some(Reverse((end, at))) = self.ends.peek().copied()
            && end <= now
        {
            self.ends.pop();
            // A renewed wish has a later end that stands in the heap too.
            if self.elements.get(&at).is_some_and(|(_, until)| until.is_over(now)) {
                self.remove(at);
                over.push(at);
            }
        }
        self.forget_renewed();
        let used = |(set, &size): (&SetId, &usize)| match set.kind {
            Kind::Shape(id) | Kind::Trial(id) if size > 0 => Some(id),
            _ => None,
        };
        if over.iter().any(|at| matches!(at.set.kind, Kind::Shape(_) | Kind::Trial(_))) {
            let used: HashSet<_> = self.sizes.iter().filter_map(used).collect();
            self.shapes.retain(|id, _| used.contains(id));
        }
        over
    }

    /// Renewals leave their earlier ends in the heap; where those are most of it, it is built anew.
    fn forget_renewed(&mut self) {
        if self.ends.len() > 1_024 && self.ends.len() > 4 * self.elements.len() {
            let ends = self.elements.iter().filter_map(|(at, (_, until))| match until {
                Until::Time(end) => Some(Reverse((*end, *at))),
                Until::Removed => None,
            });
            self.ends = ends.collect();
        }
    }

    /// How many elements a set should hold.
    pub fn size_of(&self, set: SetId) -> usize {
        self.sizes.get(&set).copied().unwrap_or_default()
    }

    /// The sets with rules of their own that should hold something.
    pub fn own_rules(&self) -> impl Iterator<Item = SetId> {
        let used = |(set, size): (&SetId, &usize)| (set.kind.has_own_rules() && *size > 0).then_some(*set);
        self.sizes.iter().filter_map(used)
    }

    /// How many elements a kind of set should hold, both families together.
    pub fn size(&self, kind: Kind) -> usize {
        Family::BOTH.into_iter().map(|family| self.size_of(SetId { kind, family })).sum()
    }
}

/// The name of an object for the fragments of an address.
pub fn fragments_name(what: &str, ip: IpAddr) -> String {
    format!("{what}_{}", ip.to_string().replace(':', "."))
}

/// The key of the node in `armed`, which serves as our sentinel too.
pub fn armed_node(family: Family) -> Element {
    // One set holds both keys; its name does not depend on the family.
    Element { set: SetId { kind: Kind::ArmedNode, family: Family::V4 }, key: Key::node(family) }
}

/// The key of a family whose packets we drop ourselves.
pub fn early_node(family: Family) -> Element {
    Element { set: SetId { kind: Kind::EarlyNode, family: Family::V4 }, key: Key::node(family) }
}

/// What stands in the kernel for a service as long as it is there.
fn elements_of_service(key: &ServiceKey, path: Path, lasting: &mut HashMap<Element, Value>) {
    let (seen, value) = counter_of(key, Count::Seen);
    lasting.insert(seen, value);
    if path == Path::Local {
        let family = Family::of(key.ip);
        let at = Element { set: SetId { kind: Kind::Early, family }, key: Key::service(key) };
        lasting.insert(at, Value::None);
    }
}

/// A counter of a service.
fn counter_of(key: &ServiceKey, count: Count) -> (Element, Value) {
    let set = SetId { kind: Kind::Counter(count), family: Family::of(key.ip) };
    let name = object_name(count.name(), key).into();
    (Element { set, key: Key::service(key) }, Value::Object(name, Object::Counter))
}
