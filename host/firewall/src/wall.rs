//! The wall: what the enforcer thread holds. It takes effects and time, and keeps the kernel as it should be.
//!
//! It belongs to one thread, in whose network namespace it works, and calls nobody back.

use std::path::PathBuf;
use std::sync::Arc;

use ftagent_core::effect::Effect;
use ftagent_core::manifest::Shape;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::tally::ServiceTally;
use ftagent_core::time::Instant;
use ipnet::IpNet;
use nix::errno::Errno;
use serde::Deserialize;
use serde::Serialize;

use crate::FirewallError;
use crate::discover;
use crate::docker_user;
use crate::early::EarlyRates;
use crate::early::Switch;
use crate::guard::Guard;
use crate::key::Family;
use crate::key::Key;
use crate::key::object_name;
use crate::limits;
use crate::lock::Lock;
use crate::netlink::Netlink;
use crate::netlink::read::Tally;
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
use crate::set::Value;
use crate::status::Amount;
use crate::status::NodeCounts;
use crate::status::Problem;
use crate::status::ServiceCounts;
use crate::status::WallReport;
use crate::structure::Structure;
use crate::structure::own_rules;
use crate::tally::Tallies;
use crate::wanted::Refusal;
use crate::wanted::Wanted;

/// Whether packets are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decide and count, drop nothing, touch no foreign chain.
    Observe,
    /// Drop shapes and what is over a limit; count leases, but block nobody other than by hand.
    Limit,
    /// Drop and limit.
    Enforce,
}

/// How Docker says that it makes its rules (`FirewallBackend.Driver` of its `/info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DockerBackend {
    /// It does not say; versions before 29 use iptables.
    #[default]
    Unknown,
    /// By iptables, with `DOCKER-USER`.
    Iptables,
    /// By nftables, which has no `DOCKER-USER`.
    Nftables,
}

/// A half of the wall that a demonstration leaves out, to show that it fails without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Nothing is put into `DOCKER-USER`, and nobody notices.
    Jump,
    /// Nothing is dropped early, whatever the rate and wherever packets go.
    Early,
}

/// What the wall must know.
#[derive(Clone, Debug)]
pub struct WallConfig {
    /// Observe or enforce.
    pub mode: Mode,
    /// Interfaces by which strangers come; nothing else is judged.
    pub uplinks: Vec<String>,
    /// Where the lock and the latch of `off` are.
    pub state_dir: PathBuf,
    /// One bit of the packet mark that is free on this node.
    pub mark_bit: u32,
    /// The operator's networks and the panel. What the node itself shows is added.
    pub guard: Vec<IpNet>,
    /// When to drop early.
    pub early_rates: EarlyRates,
    /// As Docker says.
    pub docker_backend: DockerBackend,
    /// Nothing, but in demonstrations.
    pub left_out: Option<LeftOut>,
}

impl WallConfig {
    /// Observe mode on these uplinks, all else by default.
    pub fn new(uplinks: impl IntoIterator<Item = String>) -> Self {
        Self {
            mode: Mode::Observe,
            uplinks: uplinks.into_iter().collect(),
            state_dir: off::Paths::default().state_dir,
            mark_bit: 0x4000_0000,
            guard: Vec::new(),
            early_rates: EarlyRates::default(),
            docker_backend: DockerBackend::Unknown,
            left_out: None,
        }
    }

    fn check(&self) -> Result<(), FirewallError> {
        if !self.mark_bit.is_power_of_two() {
            return Err(FirewallError::Config(format!("the mark {:#x} is not a single bit", self.mark_bit)));
        }
        // IFNAMSIZ is 16 with the ending zero; the rest would end the quotes of the script.
        let bad = |name: &&String| {
            name.is_empty()
                || name.len() > 15
                || name.contains(|c: char| c == '"' || c == '\\' || c.is_control())
        };
        match self.uplinks.iter().find(bad) {
            Some(name) => Err(FirewallError::Config(format!("{name:?} cannot be the name of an interface"))),
            None => Ok(()),
        }
    }
}

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
    /// Whether `set_services` was called; before that, what was adopted is left alone.
    pub(crate) knows_services: bool,
    pub(crate) is_off: bool,
    /// Whether this kernel renews timeouts. Where it does not, nothing is enforced.
    pub(crate) renews: bool,
    pub(crate) services_beyond: usize,
    pub(crate) marks: Vec<String>,
    service_switches: Vec<(ServiceKey, Switch, ServiceNames)>,
    node_switch: Switch,
    pub(crate) node_is_early: bool,
    armed_at: Option<Instant>,
    /// Problems of the last change, by what it was about.
    pub(crate) refused_by_kernel: Option<Problem>,
    repaired: Vec<String>,
    switched: Vec<String>,
    /// Held until the wall is dropped.
    _lock: Lock,
}

/// The names of a service's counters, made once.
#[derive(Clone, Debug)]
struct ServiceNames([Arc<str>; Count::ALL.len()]);

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
        let guard = Self::find_guard(&config, &mut netlink);
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
            knows_services: false,
            is_off: false,
            renews,
            services_beyond: 0,
            service_switches: Vec::new(),
            node_switch: Switch::default(),
            node_is_early: false,
            armed_at: None,
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

    fn find_guard(config: &WallConfig, netlink: &mut Netlink) -> Guard {
        let own = discover::networks(&config.uplinks);
        Guard::new(config.guard.iter().copied().chain(own).chain(discover::accepted_sources(netlink)))
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
        for effect in effects {
            self.wanted.fold(now, effect);
        }
        self.commit_dirty(now)
    }

    /// To be called every 50 to 100 ms.
    pub fn tick(&mut self, now: Instant) -> WallReport {
        let failed =
            self.try_tick(now).err().map(|error| Problem { says: error.to_string(), mend: String::new() });
        let mut report = WallReport {
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

    /// What the kernel had counted at the last tick, in the form that the engine takes. Reads nothing.
    pub fn tallies(&mut self) -> ftagent_core::tally::Tallies {
        let services = self.service_switches.iter().map(|(key, _, names)| {
            let counts = self.counts_of(names);
            let tally = ServiceTally {
                seen: counts.seen,
                lane: counts.lane,
                lease: counts.by_lease,
                shape: counts.by_shape,
                second_try: counts.by_second_try,
                bucket: counts.by_bucket,
                crowd: counts.by_crowd,
                docker_user: counts.marked,
                early: counts.early,
            };
            (*key, tally)
        });
        let [v4, v6] = Family::BOTH.map(|family| self.node_counts(family).seen);
        let node = Amount { packets: v4.packets + v6.packets, bytes: v4.bytes + v6.bytes };
        let fragments =
            self.wanted.own().iter().map(|&ip| {
                (ip, amount(self.tallies.get(&crate::wanted::fragments_name("fragments_seen", ip))))
            });
        ftagent_core::tally::Tallies { services: services.collect(), node, fragments: fragments.collect() }
    }

    /// What each shape that is counted only has hit so far at each service, as of the last tick.
    pub fn trials(&self) -> Vec<(ServiceKey, Shape, Amount)> {
        let trials = self.wanted.elements.iter().filter_map(|(at, (value, _))| {
            let (Kind::Trial(id), Value::Object(name, _)) = (at.set.kind, value) else { return None };
            let service = at.key.ending_service(at.set.family)?;
            Some((service, self.wanted.shapes.get(&id)?.clone(), self.counted(name)))
        });
        trials.collect()
    }

    pub(crate) fn counted(&self, name: &str) -> Amount {
        amount(self.tallies.get(name))
    }

    /// Lets go of the kernel: with `keep` everything stays and runs out by itself (`armed` within ten seconds),
    /// which a restart adopts; otherwise it is removed. Returns a line for each thing that was removed.
    pub fn close(self, keep: bool) -> Vec<String> {
        if keep { Vec::new() } else { off::clear() }
    }

    /// What the kernel held is gone or unknown.
    pub(crate) fn forget_kernel(&mut self) {
        self.present = Present::default();
        self.own_rules.clear();
        self.reconcile.forget();
    }

    pub(crate) fn arm(&mut self, now: Instant) {
        self.wanted.arm(now);
        self.armed_at = Some(now);
    }

    pub(crate) fn say_repaired(&mut self, what: impl Into<String>) {
        self.repaired.push(what.into());
    }

    fn commit_dirty(&mut self, now: Instant) -> Result<(), FirewallError> {
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

    fn commit(&mut self, mut elements: Vec<Element>, now: Instant) -> Result<(), FirewallError> {
        if self.is_off || elements.is_empty() || off::is_latched(&self.config.state_dir) {
            return Ok(());
        }
        elements.sort_unstable();
        elements.dedup();
        let mut sets: Vec<_> = elements.iter().map(|at| at.set).collect();
        sets.dedup();
        sets.retain(|set| self.wanted.size_of(*set) > 0);
        self.install_own_rules(&sets)?;
        let changes = plan::plan(&self.wanted.elements, &self.present, elements, now);
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

    fn send(&mut self, changes: &[Change], now: Instant) -> Result<(), FirewallError> {
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
            _ => self.reconcile.forget(),
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
        let guard = Self::find_guard(&self.config, &mut self.netlink);
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

    fn read_counters(&mut self) -> Result<(), FirewallError> {
        let tallies = &mut self.tallies;
        self.netlink.counters(|name, tally| tallies.note(name, tally))
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
            self.wanted.set_early(at, want);
        }
        let node = Family::BOTH.map(|family| self.node_counts(family));
        let dropped = node.iter().map(|counts| counts.marked.packets + counts.early.packets).sum();
        self.node_is_early = self.node_switch.observe(now, dropped, rates.node_per_second);
        for family in Family::BOTH {
            let want = !self.early_because(family).is_empty();
            self.wanted.set_early(crate::wanted::early_node(family), want);
        }
    }

    pub(crate) fn service_counts(&self) -> Vec<(ServiceKey, ServiceCounts)> {
        self.service_switches.iter().map(|(key, _, names)| (*key, self.counts_of(names))).collect()
    }

    fn counts_of(&self, names: &ServiceNames) -> ServiceCounts {
        let [seen, lane, by_lease, by_shape, by_second_try, by_bucket, by_crowd, marked, early] =
            names.0.each_ref().map(|name| amount(self.tallies.get(name)));
        ServiceCounts { seen, lane, by_lease, by_shape, by_second_try, by_bucket, by_crowd, marked, early }
    }

    pub(crate) fn node_counts(&self, family: Family) -> NodeCounts {
        let of = |what: &str| amount(self.tallies.get(&format!("node_{what}{}", family.digit())));
        NodeCounts {
            seen: of("seen"),
            by_lease: of("lease"),
            marked: of("marked"),
            early: of("early"),
            fragments: of("fragments_seen"),
            fragments_over: of("fragments_over"),
            docker_user_dropped: self.reconcile.docker_user_dropped(family),
        }
    }
}

fn amount(tally: Tally) -> Amount {
    Amount { packets: tally.packets, bytes: tally.bytes }
}
