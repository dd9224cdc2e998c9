//! The enforcer: one thread that owns the wall. It applies effects the moment they come, looks at the kernel ten
//! times a second, and tells what happened.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use ftagent_core::effect::Effect;
use ftagent_core::effect::Notice;
use ftagent_core::effect::Scope;
use ftagent_core::incident::Incident;
use ftagent_core::incident::Target;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::time::Instant;
use ftagent_firewall::Mode;
use ftagent_firewall::Wall;
use ftagent_firewall::WallReport;
use ftagent_firewall::WallStatus;
use serde_json::Value;
use serde_json::json;

use super::clock;
use super::events::Events;

/// How often the wall looks at the kernel: its counters are what "first drop" and the early hook are decided by.
const TICK_MS: u64 = 100;

/// What the enforcer can be told.
pub(crate) enum Order {
    /// The engine asks for these.
    Effects(Vec<(Instant, Effect)>),
    /// The services changed, or the modes of their servers did.
    Services(Arc<Services>, Modes),
    /// End; take everything down, or keep it for the next start.
    End { keep: bool },
}

/// The node's mode and the services that only observe while the node enforces.
#[derive(Clone, Debug)]
pub(crate) struct Modes {
    pub(crate) node: Mode,
    pub(crate) observed: HashSet<ServiceKey>,
}

/// The thread's belongings.
pub(crate) struct Enforcer {
    wall: Wall,
    orders: Receiver<Order>,
    events: Events,
    /// What `ftagent status` shows; only this thread writes it.
    status: Arc<Mutex<Option<WallStatus>>>,
    observed: HashSet<ServiceKey>,
    /// Packets dropped at each service when the present attack began, until its first drop was told.
    awaiting_drop: HashMap<ServiceKey, u64>,
    dropped: HashMap<ServiceKey, u64>,
    /// When each lease that was asked for ends.
    leases: HashMap<(std::net::IpAddr, Scope), Instant>,
    troubles: Vec<String>,
}

impl Enforcer {
    pub(crate) fn new(
        wall: Wall,
        orders: Receiver<Order>,
        events: Events,
        status: Arc<Mutex<Option<WallStatus>>>,
    ) -> Self {
        Self {
            wall,
            orders,
            events,
            status,
            observed: HashSet::new(),
            awaiting_drop: HashMap::new(),
            dropped: HashMap::new(),
            leases: HashMap::new(),
            troubles: Vec::new(),
        }
    }

    /// Works until it is told to end or nobody is left to tell it.
    pub(crate) fn work(mut self) {
        let mut next_tick = clock::now();
        let keep = loop {
            let wait_us = next_tick.micros_since(clock::now());
            match self.orders.recv_timeout(Duration::from_micros(wait_us)) {
                Ok(Order::Effects(effects)) => self.apply(&effects),
                Ok(Order::Services(services, modes)) => self.serve(&services, modes),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::End { keep }) => break keep,
                Err(RecvTimeoutError::Disconnected) => break false,
            }
            let now = clock::now();
            if now >= next_tick {
                let report = self.wall.tick(now);
                self.tell(now, &report);
                next_tick = now.plus_millis(TICK_MS);
            }
        };
        for line in self.wall.close(keep) {
            tracing::info!("{line}");
        }
    }

    fn serve(&mut self, services: &Services, modes: Modes) {
        self.observed = modes.observed;
        let now = clock::now();
        let served = self.wall.set_services(services, now).and_then(|()| self.wall.set_mode(modes.node, now));
        if let Err(error) = served {
            self.trouble(&format!("cannot tell the kernel of the services and the mode: {error}"));
        }
    }

    fn apply(&mut self, asked: &[(Instant, Effect)]) {
        let observed = &self.observed;
        let wanted: Vec<Effect> = asked
            .iter()
            .filter(|(_, effect)| place(effect).is_none_or(|service| !observed.contains(&service)))
            .map(|(_, effect)| effect.clone())
            .collect();
        let now = clock::now();
        if let Err(error) = self.wall.apply(now, &wanted) {
            self.trouble(&format!("not enforced: {error}"));
        }
        for (at, effect) in asked {
            match effect {
                Effect::Notice(notice) => self.notice(*at, notice),
                Effect::Lease(lease)
                    if !place(effect).is_some_and(|service| self.observed.contains(&service)) =>
                {
                    let ends = now.plus_millis(u64::from(lease.for_ms));
                    if self.leases.insert((lease.source, lease.scope), ends).is_none() {
                        self.events.send(now, "lease", lease);
                    }
                }
                _ => {}
            }
        }
    }

    fn notice(&mut self, at: Instant, notice: &Notice) {
        let (what, about) = match notice {
            Notice::FirstHostile { service, source, reason } => (
                "first-hostile",
                json!({ "service": service.to_string(), "source": source, "reason": reason }),
            ),
            Notice::IncidentOpened(incident) => {
                if let Target::Service(service) = incident.target {
                    let before = self.dropped.get(&service).copied().unwrap_or(0);
                    self.awaiting_drop.insert(service, before);
                }
                ("incident-opened", about(incident))
            }
            Notice::IncidentChanged(incident) => ("incident-changed", about(incident)),
            Notice::IncidentClosed(incident) => {
                if let Target::Service(service) = incident.target {
                    self.awaiting_drop.remove(&service);
                }
                ("incident-closed", about(incident))
            }
        };
        tracing::info!("{what} {about}");
        self.events.send(at, what, &about);
    }

    fn tell(&mut self, now: Instant, report: &WallReport) {
        for (service, counts) in &report.services {
            let dropped = counts.marked.packets + counts.early.packets;
            self.dropped.insert(*service, dropped);
            if self.awaiting_drop.get(service).is_some_and(|before| dropped > *before) {
                self.awaiting_drop.remove(service);
                let hook = if counts.marked.packets > 0 { "DOCKER-USER" } else { "early" };
                let about = BTreeMap::from([
                    ("service", Value::from(service.to_string())),
                    ("hook", Value::from(hook)),
                    ("dropped", Value::from(dropped)),
                ]);
                self.events.send(now, "first-drop", &about);
            }
        }
        let ended: Vec<_> =
            self.leases.iter().filter(|(_, ends)| **ends <= now).map(|(lease, _)| *lease).collect();
        for (source, scope) in ended {
            self.leases.remove(&(source, scope));
            let about = BTreeMap::from([("source", Value::from(source.to_string()))]);
            self.events.send(now, "lease-ends", &about);
        }
        for line in report.repaired.iter().chain(&report.switched) {
            tracing::info!("{line}");
            self.events.send(now, "firewall", &BTreeMap::from([("says", line)]));
        }
        let problems: Vec<String> = report.problems.iter().map(|problem| problem.says.clone()).collect();
        for problem in &problems {
            if !self.troubles.contains(problem) {
                tracing::warn!("{problem}");
                self.events.send(now, "problem", &BTreeMap::from([("says", problem)]));
            }
        }
        self.troubles = problems;
        // Only this thread writes; a panic while writing cannot leave half a status.
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.wall.status(now));
    }

    fn trouble(&mut self, says: &str) {
        tracing::error!("{says}");
        self.events.send(clock::now(), "problem", &BTreeMap::from([("says", says)]));
    }
}

/// An incident as events carry it: `service` names what is attacked as people write it.
fn about(incident: &Incident) -> Value {
    let lasted_ms = incident.changed_at.millis_since(incident.opened_at);
    json!({
        "service": incident.target.to_string(),
        "reason": incident.reason,
        "packets_per_second": incident.peak_pps,
        "lasted_ms": lasted_ms,
        "incident": incident,
    })
}

/// The service that an effect is about, if it is about one.
fn place(effect: &Effect) -> Option<ServiceKey> {
    match effect {
        Effect::Lease(lease) => match lease.scope {
            Scope::Service(service) => Some(service),
            Scope::Node => None,
        },
        Effect::Lane(lane) => Some(lane.service),
        Effect::CrowdLimit(limit) => Some(limit.service),
        Effect::ShapeDrop(drop) => Some(drop.service),
        Effect::SecondTry(tries) => Some(tries.service),
        Effect::BucketLimit(limit) => Some(limit.service),
        Effect::SynProxy(proxy) => Some(proxy.service),
        Effect::Notice(_) => None,
    }
}
