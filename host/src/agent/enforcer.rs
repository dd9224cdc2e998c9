//! The enforcer: one thread that owns the wall. It applies effects the moment they come, looks at the kernel twenty
//! times a second, hands what it counted to the shard, and tells what happened.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use ftagent_api::views::Mode;
use ftagent_api::views::Ruling;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Notice;
use ftagent_core::effect::Scope;
use ftagent_core::incident::Incident;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::time::Instant;
use ftagent_firewall::Wall;
use ftagent_firewall::WallReport;
use ftagent_firewall::WallStatus;
use ipnet::IpNet;
use serde_json::Value;
use serde_json::json;
use tokio::sync::oneshot;

use super::blocks::Wish;
use super::clock;
use super::events::Events;
use super::keeper::Keep;
use super::keeper::Keeper;
use super::look::firewall_mode;
use super::shard::Control;

/// How often the wall looks at the kernel: its counters are what attacks are detected by.
const TICK_MS: u64 = 50;
/// How often the status is made anew; it lists everything and so costs more than a look.
const STATUS_MS: u64 = 500;

/// What the enforcer can be told.
pub(crate) enum Order {
    /// The engine asks for these.
    Effects(Vec<(Instant, Effect)>),
    /// The services changed, or the modes of their servers did.
    Services(Arc<Services>, Modes),
    /// An operator said this of a network.
    Wish(IpNet, Wish, Option<oneshot::Sender<Result<(), String>>>),
    /// End; take everything down, or keep it for the next start.
    End { keep: bool },
}

/// The node's mode, and the mode of each service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modes {
    pub(crate) node: Mode,
    pub(crate) services: HashMap<ServiceKey, Mode>,
}

impl Modes {
    /// Whether an effect of this service is enforced, and not only counted.
    fn enforces(&self, effect: &Effect) -> bool {
        let own = place(effect).and_then(|service| self.services.get(&service)).copied();
        match own.unwrap_or(self.node) {
            Mode::Observe => false,
            Mode::Limit => !matches!(effect, Effect::Lease(_)),
            Mode::Enforce => true,
        }
    }

    /// The strongest of them: what the wall must be able to do.
    fn strongest(&self) -> Mode {
        self.services.values().copied().fold(self.node, Mode::max)
    }
}

/// The thread's belongings.
pub(crate) struct Enforcer {
    wall: Wall,
    orders: Receiver<Order>,
    controls: SyncSender<Control>,
    events: Events,
    keeper: Keeper,
    /// What `ftagent status` shows; only this thread writes it.
    status: Arc<Mutex<Option<WallStatus>>>,
    status_at: Option<Instant>,
    modes: Modes,
    /// When each lease that was asked for ends.
    leases: HashMap<(std::net::IpAddr, Scope), Instant>,
    troubles: Vec<String>,
}

impl Enforcer {
    pub(crate) fn new(
        wall: Wall,
        (orders, controls): (Receiver<Order>, SyncSender<Control>),
        events: Events,
        keeper: Keeper,
        status: Arc<Mutex<Option<WallStatus>>>,
    ) -> Self {
        Self {
            wall,
            orders,
            controls,
            events,
            keeper,
            status,
            status_at: None,
            modes: Modes::default(),
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
                Ok(Order::Wish(network, wish, reply)) => self.wish(network, wish, reply),
                Ok(Order::End { keep }) => break keep,
                Err(RecvTimeoutError::Disconnected) => break false,
            }
            let now = clock::now();
            if now >= next_tick {
                let report = self.wall.tick(now);
                let counted = self.wall.tallies();
                // A shard that does not look is behind; the next count says all that this one says.
                let _ = self.controls.try_send(Control::Tallies(now, counted));
                self.tell(now, &report);
                next_tick = now.plus_millis(TICK_MS);
            }
        };
        for line in self.wall.close(keep) {
            tracing::info!("{line}");
        }
    }

    fn serve(&mut self, services: &Services, modes: Modes) {
        self.modes = modes;
        let now = clock::now();
        let own = self.modes.services.iter().map(|(service, mode)| (*service, firewall_mode(*mode)));
        let served = self
            .wall
            .set_service_modes(own.collect::<Vec<_>>(), now)
            .and_then(|()| self.wall.set_services(services, now))
            .and_then(|()| self.wall.set_mode(firewall_mode(self.modes.strongest()), now));
        if let Err(error) = served {
            self.trouble(&format!("cannot tell the kernel of the services and the mode: {error}"));
        }
    }

    /// Does what an operator said of a network. Blocking and allowing end one another.
    fn wish(&mut self, network: IpNet, wish: Wish, reply: Option<oneshot::Sender<Result<(), String>>>) {
        let (wall, now) = (&mut self.wall, clock::now());
        let done = match wish {
            Wish::Rule(Ruling::Block, until) => {
                wall.disallow(network, now).and_then(|_| wall.block(network, until, "by hand", now))
            }
            Wish::Rule(Ruling::Allow, until) => {
                wall.unblock(network, now).and_then(|_| wall.allow(network, until, "by hand", now))
            }
            Wish::Forget => wall.unblock(network, now).and_then(|_| wall.disallow(network, now)).map(|_| ()),
        };
        match (reply, done) {
            (Some(reply), done) => {
                // Whoever asked may have left.
                let _ = reply.send(done.map_err(|error| error.to_string()));
            }
            (None, Err(error)) => self.trouble(&format!("{network} is not ruled on as remembered: {error}")),
            (None, Ok(())) => {}
        }
    }

    fn apply(&mut self, asked: &[(Instant, Effect)]) {
        let wanted: Vec<Effect> = asked.iter().map(|(_, effect)| effect.clone()).collect();
        let now = clock::now();
        if let Err(error) = self.wall.apply(now, &wanted) {
            self.trouble(&format!("not enforced: {error}"));
        }
        for (at, effect) in asked {
            match effect {
                Effect::Notice(notice) => self.notice(*at, notice),
                Effect::Lease(lease) if self.modes.enforces(effect) => {
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
            Notice::IncidentOpened(incident) => ("incident-opened", about(incident)),
            Notice::IncidentChanged(incident) => ("incident-changed", about(incident)),
            Notice::IncidentClosed(incident) => ("incident-closed", about(incident)),
        };
        if let Notice::IncidentOpened(incident)
        | Notice::IncidentChanged(incident)
        | Notice::IncidentClosed(incident) = notice
        {
            self.keeper.keep(Keep::Incident(Arc::clone(incident)));
        }
        match notice {
            // People were told of it; how it goes on is for programs.
            Notice::IncidentChanged(_) => tracing::debug!("{what} {about}"),
            _ => tracing::info!("{what} {about}"),
        }
        self.events.send(at, what, &about);
    }

    fn tell(&mut self, now: Instant, report: &WallReport) {
        for (service, at) in &report.dropped_first {
            let counted = report.services.iter().find(|(known, _)| known == service);
            let counts = counted.map(|(_, counts)| *counts).unwrap_or_default();
            let about = json!({
                "service": service.to_string(),
                "hook": if counts.marked.packets > 0 { "DOCKER-USER" } else { "early" },
                "dropped": counts.marked.packets + counts.early.packets,
            });
            // In observe mode the kernel notes what it would have dropped.
            if self.modes.strongest() != Mode::Observe {
                self.events.send(*at, "first-drop", &about);
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
        if self.status_at.is_none_or(|at| now.millis_since(at) >= STATUS_MS) {
            self.status_at = Some(now);
            // Only this thread writes; a panic while writing cannot leave half a status.
            *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.wall.status(now));
        }
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
