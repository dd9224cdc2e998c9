//! The wall: what the enforcer thread holds. It takes effects and time, and keeps the kernel as it should be.
//!
//! It belongs to one thread, in whose network namespace it works, and calls nobody back.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use ftagent_core::effect::Effect;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::time::Instant;
use ipnet::IpNet;
use nix::errno::Errno;

use crate::FirewallError;
use crate::config::DockerBackend;
use crate::config::LeftOut;
use crate::config::Mode;
use crate::config::WallConfig;
use crate::discover;
use crate::docker_user;
use crate::early::Switch;
use crate::guard;
use crate::guard::Guard;
use crate::key::Family;
use crate::key::Key;
use crate::key::object_name;
use crate::limits;
use crate::lock::Lock;
use crate::manual::Manual;
use crate::netlink::Netlink;
use crate::off;
use crate::plan;
use crate::plan::Change;
use crate::plan::Present;
use crate::program;
use crate::reconcile::Reconcile;
use crate::set::Count;
use crate::set::Element;
use crate::set::Kind;
use crate::set::SetId;
use crate::status::Problem;
use crate::status::WallReport;
use crate::structure::Structure;
use crate::structure::own_rules;
use crate::tally::Tallies;
use crate::wanted::Refusal;
use crate::wanted::Wanted;

/// The wall of one node.
#[derive(Debug)]
pub struct Wall {
    pub(crate) config: WallConfig,
    pub(crate) netlink: Netlink,
    pub(crate) wanted: Wanted,
    pub(crate) present: Present,
    pub(crate) structure: Structure,
    pub(crate) reconcile: Reconcile,
    pub(crate) tallies: Tallies,
    /// Sets in the kernel that have rules of their own.
    pub(crate) own_rules: Vec<SetId>,
    /// Whether the chain of SYN proxies stands.
    pub(crate) proxy_stands: bool,
    /// Whether `set_services` was called; before that, what was adopted is left alone.
    pub(crate) knows_services: bool,
    pub(crate) is_off: bool,
    /// Whether this kernel renews timeouts. Where it does not, nothing is enforced.
    pub(crate) renews: bool,
    pub(crate) services_beyond: usize,
    pub(crate) marks: Vec<String>,
    pub(crate) service_switches: Vec<(ServiceKey, Switch, ServiceNames)>,
    node_switch: Switch,
    pub(crate) node_is_early: bool,
    /// What people blocked and allowed.
    pub(crate) manual: Manual,
    /// Services under attack of which no packet was dropped yet.
    pub(crate) awaiting_drop: BTreeSet<ServiceKey>,
    /// The incident for which a service's first drop was last awaited.
    pub(crate) drops_of: HashMap<ServiceKey, u64>,
    armed_at: Option<Instant>,
    /// Elements of which the last change was refused.
    undone: BTreeSet<Element>,
    /// Problems of the last change, by what it was about.
    pub(crate) refused_by_kernel: Option<Problem>,
    repaired: Vec<String>,
    switched: Vec<String>,
    /// Held until the wall is dropped.
    _lock: Lock,
}

/// The names of a service's counters, made once.
#[derive(Clone, Debug)]
pub(crate) struct ServiceNames(pub(crate) [Arc<str>; Count::ALL.len()]);

impl Wall {
    /// Takes the lock, installs the table or adopts the one that an earlier run left, and in enforce mode the jump.
    pub fn open(config: WallConfig, now: Instant) -> Result<Self, FirewallError> {
        config.check()?;
        let lock = Lock::take(&config.state_dir)?;
        if off::is_latched(&config.state_dir) {
            return Err(FirewallError::Off);
        }
        let mut netlink = Netlink::open()?;
        let renews = netlink.renews_timeouts()?;
        let guard = Self::find_guard(&config, &Manual::default(), &mut netlink);
        let mode = if renews { config.mode } else { Mode::Observe };
        let structure = Structure { uplinks: config.uplinks.clone(), mode, mark_bit: config.mark_bit, guard };
        let mut wall = Self {
            marks: crate::doctor::foreign_marks(config.mark_bit, &mut netlink),
            config,
            netlink,
            wanted: Wanted::default(),
            present: Present::default(),
            structure,
            reconcile: Reconcile::default(),
            tallies: Tallies::default(),
            own_rules: Vec::new(),
            proxy_stands: false,
            knows_services: false,
            is_off: false,
            renews,
            services_beyond: 0,
            service_switches: Vec::new(),
            node_switch: Switch::default(),
            node_is_early: false,
            manual: Manual::default(),
            awaiting_drop: BTreeSet::new(),
            drops_of: HashMap::new(),
            armed_at: None,
            undone: BTreeSet::new(),
            refused_by_kernel: None,
            repaired: Vec::new(),
            switched: Vec::new(),
            _lock: lock,
        };
        wall.install_structure()?;
        wall.adopt(now)?;
        wall.reconcile(now)?;
        wall.repaired.clear();
        Ok(wall)
    }

    fn find_guard(config: &WallConfig, manual: &Manual, netlink: &mut Netlink) -> Guard {
        let own = discover::networks(&config.uplinks);
        let accepted = discover::accepted_sources(netlink);
        let named = config.guard.iter().map(|&network| (network, "it is on the guard list"));
        let allowed = manual.allowed().map(|network| (network, guard::ALLOWED));
        Guard::named(own.into_iter().chain(accepted).chain(named).chain(allowed))
    }

    /// Protects these services from now on.
    pub fn set_services(&mut self, services: &Services, now: Instant) -> Result<(), FirewallError> {
        self.services_beyond = self.wanted.set_services(services);
        self.knows_services = true;
        let mut switches = Vec::new();
        for key in self.wanted.services() {
            let old = self.service_switches.iter().find(|(old, ..)| old == key);
            let names = || ServiceNames(Count::ALL.map(|count| object_name(count.name(), key).into()));
            switches.push(old.cloned().unwrap_or_else(|| (*key, Switch::default(), names())));
        }
        self.service_switches = switches;
        let names: std::collections::HashSet<Arc<str>> =
            self.service_switches.iter().flat_map(|(.., names)| names.0.iter().cloned()).collect();
        let of_node =
            |name: &str| ["node_", "fragments_", "trial_"].iter().any(|what| name.starts_with(what));
        self.tallies.keep(|name| of_node(name) || names.contains(name));
        self.decide_early(now);
        self.arm(now);
        self.commit_all(now)
    }

    /// Treats these services by a mode of their own, where that is weaker than the node's: `Observe` counts what would
    /// have been dropped, `Limit` counts leases and does not drop by them. All others have the node's mode. May be
    /// called before the services are known.
    pub fn set_service_modes(
        &mut self,
        modes: impl IntoIterator<Item = (ServiceKey, Mode)>,
        now: Instant,
    ) -> Result<(), FirewallError> {
        self.wanted.set_modes(modes.into_iter().collect());
        self.commit_dirty(now)
    }

    /// Starts or stops dropping, live.
    pub fn set_mode(&mut self, mode: Mode, now: Instant) -> Result<(), FirewallError> {
        self.config.mode = mode;
        self.structure.mode = if self.renews { mode } else { Mode::Observe };
        if self.is_off {
            return Ok(());
        }
        if self.structure.mode == Mode::Observe {
            for family in Family::BOTH {
                docker_user::remove(family, &mut self.netlink)?;
            }
        }
        self.install_structure()?;
        self.reconcile(now)
    }

    /// Replaces the networks that the operator named, and looks up the others again.
    pub fn set_guard(&mut self, networks: Vec<IpNet>, now: Instant) -> Result<(), FirewallError> {
        self.config.guard = networks;
        self.refresh_guard(now)
    }

    /// Docker was asked again.
    pub fn set_docker_backend(&mut self, backend: DockerBackend) {
        self.config.docker_backend = backend;
    }

    /// Takes effects into account and tells the kernel at once.
    pub fn apply(&mut self, now: Instant, effects: &[Effect]) -> Result<(), FirewallError> {
        self.await_drops(effects, now)?;
        for effect in effects {
            self.wanted.fold(now, effect);
        }
        self.commit_dirty(now)
    }

    /// To be called every 50 to 100 ms.
    pub fn tick(&mut self, now: Instant) -> WallReport {
        // First of all, because the kernel's clock runs on while we work.
        let dropped_first = self.first_drops(now);
        let failed =
            self.try_tick(now).err().map(|error| Problem { says: error.to_string(), mend: String::new() });
        let mut report = WallReport {
            dropped_first,
            services: self.service_counts(),
            node: Family::BOTH.map(|family| self.node_counts(family)),
            repaired: std::mem::take(&mut self.repaired),
            switched: std::mem::take(&mut self.switched),
            problems: self.problems(),
            is_off: self.is_off,
        };
        report.problems.extend(failed);
        report
    }

    fn try_tick(&mut self, now: Instant) -> Result<(), FirewallError> {
        if off::is_latched(&self.config.state_dir) {
            if !self.is_off {
                self.is_off = true;
                self.forget_kernel();
            }
            return Ok(());
        }
        if self.is_off {
            self.is_off = false;
            self.armed_at = None;
            self.reconcile.forget();
        }
        self.end_allowances(now)?;
        for over in self.wanted.expire(now) {
            self.present.forget(&over);
        }
        // A flushed table is repaired before anything is sent that would miss it.
        if self.reconcile.is_due(now) || self.changed_by_others(now)? {
            self.reconcile(now)?;
        }
        if self.armed_at.is_none_or(|at| now.millis_since(at) >= limits::ARMED_RENEWAL_MS) {
            self.arm(now);
        }
        self.read_counters()?;
        self.decide_early(now);
        self.commit_dirty(now)
    }

    /// Lets go of the kernel: with `keep` everything stays and runs out by itself (`armed` within ten seconds),
    /// which a restart adopts; otherwise it is removed. Returns a line for each thing that was removed.
    pub fn close(self, keep: bool) -> Vec<String> {
        if keep { Vec::new() } else { off::clear(&self.config.state_dir) }
    }

    /// What the kernel held is gone or unknown.
    pub(crate) fn forget_kernel(&mut self) {
        self.present = Present::default();
        self.own_rules.clear();
        self.proxy_stands = false;
        self.reconcile.forget();
    }

    pub(crate) fn arm(&mut self, now: Instant) {
        self.wanted.arm(now);
        self.armed_at = Some(now);
    }

    pub(crate) fn say_repaired(&mut self, what: impl Into<String>) {
        self.repaired.push(what.into());
    }

    pub(crate) fn commit_dirty(&mut self, now: Instant) -> Result<(), FirewallError> {
        let dirty = self.wanted.take_dirty();
        self.commit(dirty, now)
    }

    /// Compares everything that is wanted with everything that is there.
    pub(crate) fn commit_all(&mut self, now: Instant) -> Result<(), FirewallError> {
        self.wanted.take_dirty();
        let mut all: Vec<_> = self.wanted.elements.keys().copied().collect();
        if self.knows_services {
            let present = self.present.elements.keys();
            all.extend(present.filter(|at| !self.wanted.elements.contains_key(at)));
        }
        all.sort_unstable();
        self.commit(all, now)
    }

    /// Tries once more what could not be done.
    pub(crate) fn commit_again(&mut self, now: Instant) -> Result<(), FirewallError> {
        let again = std::mem::take(&mut self.undone);
        if again.is_empty() {
            return Ok(());
        }
        self.commit(again.into_iter().collect(), now)?;
        if self.undone.is_empty() {
            self.refused_by_kernel = None;
        }
        Ok(())
    }

    fn commit(&mut self, mut elements: Vec<Element>, now: Instant) -> Result<(), FirewallError> {
        if self.is_off || elements.is_empty() || off::is_latched(&self.config.state_dir) {
            return Ok(());
        }
        elements.sort_unstable();
        elements.dedup();
        let done = self.try_commit(&elements, now);
        if done.is_err() {
            self.undone.extend(elements);
            self.reconcile.forget();
        }
        done
    }

    fn try_commit(&mut self, elements: &[Element], now: Instant) -> Result<(), FirewallError> {
        let mut sets: Vec<_> = elements.iter().map(|at| at.set).collect();
        sets.dedup();
        sets.retain(|set| self.wanted.size_of(*set) > 0);
        self.install_own_rules(&sets)?;
        if sets.iter().any(|set| set.kind == Kind::Proxies) {
            self.sync_proxy()?;
        }
        let changes = plan::plan(&self.wanted.elements, &self.present, elements.iter().copied(), now);
        let passed = self.structure.guard.pass(changes);
        for at in &passed.refused {
            self.wanted.remove(*at);
            let source = at.key.source(at.set.family);
            self.wanted.refusals.note(Refusal::Guarded, format!("lease on {source}"));
        }
        if !passed.refused.is_empty() {
            // Their removal is no change: they were never there.
            self.wanted.take_dirty();
        }
        self.send(passed.changes(), now)
    }

    pub(crate) fn send(&mut self, changes: &[Change], now: Instant) -> Result<(), FirewallError> {
        if changes.is_empty() {
            return Ok(());
        }
        let before = self.netlink.generation()?;
        let refused = self.netlink.apply(changes);
        self.reconcile.note_own_change(before, self.netlink.generation()?);
        let refused = refused?;
        let mut next = refused.iter().peekable();
        for (index, change) in changes.iter().enumerate() {
            match next.next_if(|(at, _)| *at == index) {
                None => self.present.note(change, now),
                Some((_, errno)) => self.note_refused(change, *errno),
            }
        }
        if refused.is_empty() {
            self.refused_by_kernel = None;
        }
        Ok(())
    }

    fn note_refused(&mut self, change: &Change, errno: Errno) {
        match change {
            // The set is full: the newest stays out.
            Change::Add { at, .. } if errno == Errno::ENFILE => {
                self.wanted.remove(*at);
                self.wanted.refusals.note(Refusal::Full, at.set.name());
            }
            Change::Add { at, .. } | Change::Renew { at, .. } | Change::Remove { at, .. } => {
                self.undone.insert(*at);
                self.reconcile.forget();
            }
            Change::AddObject { .. } | Change::RemoveObject { .. } => self.reconcile.forget(),
        }
        tracing::warn!(%change, %errno, "the kernel refused a change");
        self.refused_by_kernel =
            Some(Problem { says: format!("the kernel refused `{change}`: {errno}"), mend: String::new() });
    }

    /// Makes rules for sets that have rules of their own and are not there yet.
    pub(crate) fn install_own_rules(&mut self, sets: &[SetId]) -> Result<(), FirewallError> {
        let shapes = &self.wanted.shapes;
        let missing: Vec<_> = sets
            .iter()
            .filter(|set| set.kind.has_own_rules() && !self.own_rules.contains(set))
            .filter(|set| own_rules::is_known(**set, shapes))
            .copied()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let script: String = missing.iter().map(|set| own_rules::add_script(*set, shapes)).collect();
        program::nft(&script)?;
        self.own_rules.extend(missing);
        self.reconcile.note_structure(self.netlink.fingerprint()?);
        Ok(())
    }

    pub(crate) fn install_structure(&mut self) -> Result<(), FirewallError> {
        // A table of another version has sets that cannot become ours.
        if let Err(error) = program::nft(&self.structure.script(false)) {
            tracing::warn!(%error, "the table that is there cannot be adopted and is made anew");
            program::nft(&self.structure.script(true))?;
            self.forget_kernel();
        }
        self.reconcile.note_structure(self.netlink.fingerprint()?);
        Ok(())
    }

    pub(crate) fn refresh_guard(&mut self, now: Instant) -> Result<(), FirewallError> {
        let guard = Self::find_guard(&self.config, &self.manual, &mut self.netlink);
        if guard == self.structure.guard {
            return Ok(());
        }
        self.structure.guard = guard;
        program::nft(&self.structure.guard_script())?;
        // Who is guarded from now on must not stay blocked.
        let guard = &self.structure.guard;
        let guarded = |at: &&Element| match (at.set.kind, at.blocks()) {
            (_, None) => false,
            (Kind::Manual(_), Some(block)) => guard.against_person(block).is_some(),
            (_, Some(block)) => guard.against(block).is_some(),
        };
        let blocks: Vec<_> = self.wanted.elements.keys().filter(guarded).copied().collect();
        blocks.into_iter().for_each(|at| self.wanted.remove(at));
        self.commit_dirty(now)
    }

    /// Switches services and families between early and `DOCKER-USER`.
    fn decide_early(&mut self, now: Instant) {
        if self.config.left_out == Some(LeftOut::Early) {
            return;
        }
        let rates = self.config.early_rates;
        for (key, switch, names) in &mut self.service_switches {
            let [.., marked, early] = &names.0;
            let dropped = self.tallies.get(marked).packets + self.tallies.get(early).packets;
            let is_early = switch.observe(now, dropped, rates.service_per_second);
            let set = SetId { kind: Kind::Early, family: Family::of(key.ip) };
            let at = Element { set, key: Key::service(key) };
            let want = is_early || self.wanted.is_local(key);
            if want != self.wanted.elements.contains_key(&at) && !self.wanted.is_local(key) {
                let to = if want { "early, at prerouting" } else { "in DOCKER-USER again" };
                self.switched.push(format!("packets to {key} are dropped {to}"));
            }
            self.wanted.set_lasting(at, want);
        }
        let node = Family::BOTH.map(|family| self.node_counts(family));
        let dropped = node.iter().map(|counts| counts.marked.packets + counts.early.packets).sum();
        self.node_is_early = self.node_switch.observe(now, dropped, rates.node_per_second);
        for family in Family::BOTH {
            let want = !self.early_because(family).is_empty();
            self.wanted.set_lasting(crate::wanted::early_node(family), want);
        }
    }
}
