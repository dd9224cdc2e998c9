//! Reading the kernel back and making it right again: after `iptables -F`, `nft flush ruleset`, a removed jump, a
//! restart of dockerd.
//!
//! The generation of nf_tables says cheaply whether anyone but us changed anything; only then, and every ten
//! seconds anyway, rules are compared and programs run. Marks set are compared with marks dropped, because a
//! foreign rule may erase them on the way.

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;

use ftagent_core::time::Instant;

use crate::FirewallError;
use crate::config::DockerBackend;
use crate::config::LeftOut;
use crate::config::Mode;
use crate::docker_user;
use crate::docker_user::Backend;
use crate::docker_user::Filter;
use crate::key::Family;
use crate::limits;
use crate::netlink::read::Held;
use crate::off;
use crate::plan::Until;
use crate::program;
use crate::set::Count;
use crate::set::Element;
use crate::set::Object;
use crate::set::SetId;
use crate::set::Value;
use crate::structure;
use crate::structure::own_rules;
use crate::wall::Wall;
use crate::wanted::armed_node;

/// Everything is compared at least this often, whatever the generation says.
const FULL_MS: u64 = 10_000;
/// Marks set in a window before it says anything about marks dropped.
const MARKS_MIN: u64 = 50;
/// Bad windows one after the other before we drop early.
const BAD_WINDOWS: u32 = 2;
/// Sets with more elements than this together are read whole at most this often.
const DUMP_ELEMENTS: usize = 2_000;
/// See [`DUMP_ELEMENTS`].
const DUMP_MS: u64 = 60_000;
/// Elements that end so soon may be missing.
const ENDING_MS: u64 = 1_000;
/// Someone who changes nf_tables all the time makes us look no more often than this.
const LOOK_MS: u64 = 250;
/// How long we drop early before marks are tried again.
const MARKS_RETRY_MS: u64 = 60_000;

/// What is known of the kernel's state.
#[derive(Debug, Default)]
pub(crate) struct Reconcile {
    /// Fingerprint of our table right after we made it.
    fingerprint: Option<u64>,
    /// The generation at which everything was right, moved on by our own changes.
    generation: Option<u32>,
    last: Option<Instant>,
    last_full: Option<Instant>,
    last_guard: Option<Instant>,
    last_dump: Option<Instant>,
    paths: [Path; 2],
}

/// The way through Docker's chains in one family.
#[derive(Debug, Default)]
pub(crate) struct Path {
    pub(crate) backend: Option<Backend>,
    pub(crate) filter: Option<Filter>,
    /// Whether marked packets meet our rule, as far as the chains say.
    pub(crate) leads: bool,
    /// Why not, and what mends it.
    pub(crate) broken: Option<(String, String)>,
    installed: bool,
    reinserts: VecDeque<Instant>,
    pub(crate) stays_put: bool,
    dropped: Dropped,
    marked_last: u64,
    bad_windows: u32,
    pub(crate) erased_at: Option<Instant>,
}

/// Drops of our rule; its counter begins at 0 whenever the chain is made anew.
#[derive(Debug, Default)]
struct Dropped {
    before: u64,
    last: u64,
}

impl Dropped {
    fn note(&mut self, now: u64) {
        if now < self.last {
            self.before += self.last;
        }
        self.last = now;
    }

    fn sum(&self) -> u64 {
        self.before + self.last
    }
}

fn index(family: Family) -> usize {
    usize::from(family == Family::V6)
}

impl Reconcile {
    pub(crate) fn path(&self, family: Family) -> &Path {
        &self.paths[index(family)]
    }

    pub(crate) fn docker_user_dropped(&self, family: Family) -> u64 {
        self.path(family).dropped.sum()
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.millis_since(last) >= limits::RECONCILE_MS)
    }

    /// The next look compares everything.
    pub(crate) fn forget(&mut self) {
        (self.generation, self.last, self.last_full) = (None, None, None);
    }

    /// Our own batch moves the generation by one, or not at all if it changed nothing.
    pub(crate) fn note_own_change(&mut self, before: u32, after: u32) {
        let expected = self.generation == Some(before) && after.wrapping_sub(before) <= 1;
        self.generation = expected.then_some(after);
    }

    /// We changed chains or rules ourselves.
    pub(crate) fn note_structure(&mut self, fingerprint: Option<u64>) {
        self.fingerprint = fingerprint;
        self.generation = None;
    }
}

impl Wall {
    /// Whether someone else changed nf_tables since all was right.
    pub(crate) fn changed_by_others(&mut self, now: Instant) -> Result<bool, FirewallError> {
        if self.reconcile.last.is_some_and(|last| now.millis_since(last) < LOOK_MS) {
            return Ok(false);
        }
        let generation = self.netlink.generation()?;
        Ok(self.reconcile.generation != Some(generation))
    }

    /// Looks at the kernel and repairs it.
    pub(crate) fn reconcile(&mut self, now: Instant) -> Result<(), FirewallError> {
        if self.is_off || off::is_latched(&self.config.state_dir) {
            return Ok(());
        }
        self.reconcile.last = Some(now);
        let generation = self.netlink.generation()?;
        let unchanged = self.reconcile.generation == Some(generation);
        let full =
            !unchanged || self.reconcile.last_full.is_none_or(|last| now.millis_since(last) >= FULL_MS);
        if full {
            self.reconcile.last_full = Some(now);
            self.check_structure(!unchanged, now)?;
        }
        for family in Family::BOTH {
            let moving = self.netlink_marks_moved(family);
            let legacy = self.reconcile.path(family).backend == Some(Backend::Legacy);
            // The older tables have no generation.
            if full || moving || legacy {
                self.check_path(family, now)?;
            }
        }
        self.clear_litter(now)?;
        self.forget_own_rules()?;
        self.sync_proxy()?;
        self.commit_again(now)?;
        if self.reconcile.last_guard.is_none_or(|last| now.millis_since(last) >= limits::GUARD_MS) {
            self.reconcile.last_guard = Some(now);
            self.refresh_guard(now)?;
        }
        // Whoever changed something while we looked is seen next time.
        let after = self.netlink.generation()?;
        if full && self.reconcile.fingerprint == self.netlink.fingerprint()? {
            self.reconcile.generation = Some(after);
        }
        Ok(())
    }

    fn check_structure(&mut self, foreign: bool, now: Instant) -> Result<(), FirewallError> {
        let there = self.netlink.fingerprint()?;
        if there.is_some() && there == self.reconcile.fingerprint {
            return self.check_elements(foreign, now);
        }
        self.install_structure()?;
        if there.is_none() {
            self.forget_kernel();
        } else {
            self.read_present(now, false)?;
        }
        // Their chains may have been emptied; those of adopted shapes cannot be written again.
        let gone: Vec<_> = self.idle_own_rules().collect();
        self.rewrite_own_rules(&gone)?;
        let missing: Vec<_> = self.wanted.own_rules().filter(|set| !self.own_rules.contains(set)).collect();
        self.install_own_rules(&missing)?;
        self.reconcile.last_full = Some(now);
        self.proxy_stands = false;
        self.arm(now);
        self.commit_all(now)?;
        let what = if there.is_none() { "was gone" } else { "was changed by someone" };
        self.say_repaired(format!("the table inet {} {what} and stands again", structure::TABLE));
        Ok(())
    }

    /// Whether our sets were emptied: one element that must be there tells, and where someone changed something,
    /// all elements do. A large set takes long to read, so that is done at most once a minute.
    fn check_elements(&mut self, foreign: bool, now: Instant) -> Result<(), FirewallError> {
        let at = armed_node(Family::V4);
        let expected = self.present.elements.get(&at).is_some_and(|(_, until)| !until.is_over(now));
        let missing = expected && self.netlink.element(&at)?.is_none();
        let rested = self.reconcile.last_dump.is_none_or(|last| now.millis_since(last) >= DUMP_MS);
        let few = self.present.elements.len() <= DUMP_ELEMENTS;
        if !missing && !(foreign && expected && (few || rested)) {
            return Ok(());
        }
        self.reconcile.last_dump = Some(now);
        let believed: Vec<_> = self.present.elements.iter().map(|(at, (_, until))| (*at, *until)).collect();
        self.read_present(now, false)?;
        // What is about to end may have ended while it was read.
        let soon = now.plus_millis(ENDING_MS);
        let gone =
            |(at, until): &(Element, Until)| !until.is_over(soon) && !self.present.elements.contains_key(at);
        if believed.iter().any(gone) {
            self.arm(now);
            self.commit_all(now)?;
            self.say_repaired("our sets were emptied by someone and are filled again");
        }
        Ok(())
    }

    /// Takes over what an earlier run left, so that a restart lets no one through.
    pub(crate) fn adopt(&mut self, now: Instant) -> Result<(), FirewallError> {
        self.read_present(now, true)
    }

    fn read_present(&mut self, now: Instant, adopt: bool) -> Result<(), FirewallError> {
        self.present.elements.clear();
        self.present.objects.clear();
        self.own_rules.clear();
        let limits = self.netlink.limits()?.into_iter().chain(self.netlink.syn_proxies()?);
        let mut objects: HashMap<String, Object> = limits.collect();
        self.netlink.counters(|name, _| {
            objects.insert(name.to_owned(), Object::Counter);
        })?;
        self.present.objects.extend(objects.keys().map(|name| name.as_str().into()));
        let mut sets: Vec<_> = SetId::lasting().collect();
        for name in self.netlink.sets()? {
            if let Some(set) = SetId::parse_own(&name) {
                sets.push(set);
                self.own_rules.push(set);
            }
        }
        for set in sets {
            for held in self.netlink.elements(&set.name())? {
                self.take_over(set, &held, &objects, adopt, now);
            }
        }
        Ok(())
    }

    fn take_over(
        &mut self,
        set: SetId,
        held: &Held,
        objects: &HashMap<String, Object>,
        adopt: bool,
        now: Instant,
    ) {
        let object = held.object.as_deref().and_then(|name| objects.get_key_value(name));
        let value = match (object, held.up_to_per_second) {
            (Some((name, object)), _) => Value::Object(name.as_str().into(), *object),
            (None, Some(rate)) => Value::UpTo { per_second: u32::try_from(rate).unwrap_or(u32::MAX) },
            (None, None) => Value::None,
        };
        let until = held.left_ms.map_or(Until::Removed, |ms| Until::Time(now.plus_millis(ms)));
        let at = Element { set, key: held.key };
        // What has no end came from a configuration, which will say it again.
        if adopt && set.kind.is_measure() && until != Until::Removed {
            self.wanted.adopt(at, value.clone(), until);
        }
        self.present.elements.insert(at, (value, until));
    }

    /// Whether marks were set since the last look at the chain that should drop them.
    fn netlink_marks_moved(&self, family: Family) -> bool {
        let marked = self.tallies.get(&format!("node_{}{}", Count::Marked.name(), family.digit())).packets;
        marked != self.reconcile.path(family).marked_last
    }

    fn check_path(&mut self, family: Family, now: Instant) -> Result<(), FirewallError> {
        if self.structure.mode == Mode::Observe {
            self.reconcile.paths[index(family)].leads = false;
            return Ok(());
        }
        if self.config.left_out == Some(LeftOut::Jump) {
            self.reconcile.paths[index(family)].leads = true;
            return Ok(());
        }
        let mark_bit = self.structure.mark_bit;
        let found = match self.config.docker_backend {
            DockerBackend::Nftables => None,
            DockerBackend::Unknown | DockerBackend::Iptables => {
                docker_user::find(family, mark_bit, &mut self.netlink)?
            }
        };
        let Some((backend, mut filter)) = found else {
            self.no_docker_user(family);
            return Ok(());
        };
        self.reconcile.paths[index(family)].backend = Some(backend);
        let first = filter.jump_at == Some(0) && filter.jumps == 1;
        if !first || !filter.chain_complete {
            filter = self.mend_path(family, backend, filter, now)?;
        }
        self.compare_marks(family, &filter, now);
        let path = &mut self.reconcile.paths[index(family)];
        let first = filter.jump_at == Some(0) && filter.chain_complete;
        path.leads = first && filter.forward_jumps;
        let v = if family == Family::V6 { "ip6tables" } else { "iptables" };
        path.broken = if !first && path.stays_put {
            let says = format!("something keeps changing DOCKER-USER ({v}); our jump stays where it is");
            Some((says, "let ftagent's jump be first in DOCKER-USER, then restart ftagent".to_owned()))
        } else if !first {
            Some((format!("our rule in DOCKER-USER ({v}) is not in place"), String::new()))
        } else if !filter.forward_jumps {
            let says = format!("FORWARD does not lead to DOCKER-USER ({v}), so no rule there is met");
            Some((says, "systemctl restart docker".to_owned()))
        } else {
            None
        };
        path.filter = Some(filter);
        Ok(())
    }

    fn no_docker_user(&mut self, family: Family) {
        let path = &mut self.reconcile.paths[index(family)];
        (path.backend, path.filter, path.leads) = (None, None, false);
        let v = if family == Family::V6 { "ip6tables" } else { "iptables" };
        let says = match self.config.docker_backend {
            DockerBackend::Nftables => "Docker uses nftables and has no DOCKER-USER".to_owned(),
            _ => format!("there is no DOCKER-USER ({v})"),
        };
        path.broken = Some((says, String::new()));
    }

    /// Puts chain and jump where they belong, unless that was done too often, and reads back what is there then.
    fn mend_path(
        &mut self,
        family: Family,
        backend: Backend,
        filter: Filter,
        now: Instant,
    ) -> Result<Filter, FirewallError> {
        let mark_bit = self.structure.mark_bit;
        let path = &mut self.reconcile.paths[index(family)];
        while path.reinserts.front().is_some_and(|at| now.millis_since(*at) >= limits::REINSERT_WINDOW_MS) {
            path.reinserts.pop_front();
        }
        let first = filter.jump_at == Some(0) && filter.jumps == 1;
        path.stays_put = !first && path.reinserts.len() >= limits::REINSERTS_MAX;
        let v = if family == Family::V6 { "ip6tables" } else { "iptables" };
        if first || path.stays_put {
            if !filter.chain_complete && filter.jumps > 0 {
                docker_user::complete(family, backend, mark_bit)?;
                self.say_repaired(format!("the rules of FTAGENT ({v}) stand again"));
            }
        } else {
            if path.installed {
                path.reinserts.push_back(now);
            }
            let again = path.installed;
            path.installed = true;
            docker_user::install(family, backend, &filter, mark_bit)?;
            if again {
                self.say_repaired(format!("the jump in DOCKER-USER ({v}) stands first again"));
            }
        }
        let read = docker_user::read(family, backend, mark_bit, &mut self.netlink)?;
        Ok(read.unwrap_or_default())
    }

    /// Marks that were set must be dropped by our rule; if they are not, something erases them on the way.
    fn compare_marks(&mut self, family: Family, filter: &Filter, now: Instant) {
        let marked = self.tallies.get(&format!("node_{}{}", Count::Marked.name(), family.digit())).packets;
        let path = &mut self.reconcile.paths[index(family)];
        let before = path.dropped.sum();
        path.dropped.note(filter.dropped);
        let dropped = path.dropped.sum() - before;
        let set = marked.saturating_sub(path.marked_last);
        path.marked_last = marked;
        if path.erased_at.is_some_and(|at| now.millis_since(at) >= MARKS_RETRY_MS) {
            path.erased_at = None;
        }
        if set >= MARKS_MIN && path.leads {
            path.bad_windows = if dropped * 2 < set { path.bad_windows + 1 } else { 0 };
        }
        if path.bad_windows >= BAD_WINDOWS {
            path.bad_windows = 0;
            path.erased_at = Some(now);
        }
    }

    /// Why the packets of a family are dropped early; empty where they are not.
    pub(crate) fn early_because(&self, family: Family) -> Vec<String> {
        let mut because = Vec::new();
        if self.structure.mode == Mode::Observe {
            return because;
        }
        let path = self.reconcile.path(family);
        if !path.leads {
            let says =
                path.broken.as_ref().map_or("the way to DOCKER-USER was not seen yet", |(says, _)| says);
            because.push(says.to_owned());
        }
        if path.erased_at.is_some() {
            because.push("marked packets do not arrive at DOCKER-USER".to_owned());
        }
        if self.node_is_early {
            because.push("the drop rate of the node".to_owned());
        }
        if !self.marks.is_empty() {
            because.push("another program uses our mark".to_owned());
        }
        because
    }

    /// Objects that nothing refers to any more.
    fn clear_litter(&mut self, now: Instant) -> Result<(), FirewallError> {
        if self.present.litter.is_empty() {
            return Ok(());
        }
        let values = self.wanted.elements.values().chain(self.present.elements.values());
        let used: HashSet<_> = values
            .filter_map(|(value, _)| match value {
                Value::Object(name, _) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let litter = std::mem::take(&mut self.present.litter);
        for (name, object) in litter {
            if used.contains(&name) || !self.present.objects.contains(&name) {
                continue;
            }
            let change = crate::plan::Change::RemoveObject { name: name.clone(), object };
            let before = self.netlink.generation()?;
            let refused = self.netlink.apply(std::slice::from_ref(&change))?;
            self.reconcile.note_own_change(before, self.netlink.generation()?);
            match refused.first() {
                // An element that ran out refers to it until the kernel collects it.
                Some((_, nix::errno::Errno::EBUSY)) => self.present.litter.push((name, object)),
                _ => self.present.note(&change, now),
            }
        }
        Ok(())
    }

    fn idle_own_rules(&self) -> impl Iterator<Item = SetId> {
        self.own_rules.iter().copied().filter(|set| self.wanted.size_of(*set) == 0)
    }

    /// Rules of measures that no service wants any more.
    fn forget_own_rules(&mut self) -> Result<(), FirewallError> {
        let idle: Vec<_> = self.idle_own_rules().collect();
        if idle.is_empty() {
            return Ok(());
        }
        self.rewrite_own_rules(&idle)
    }

    /// Writes the chains anew that hold rules of measures, without those of the sets `gone`, which go too. The rules
    /// of adopted shapes cannot be written again, so while one of them is in force its chain stays.
    fn rewrite_own_rules(&mut self, gone: &[SetId]) -> Result<(), FirewallError> {
        let shapes = &self.wanted.shapes;
        let stay: Vec<_> = self.own_rules.iter().filter(|set| !gone.contains(set)).copied().collect();
        let chain = |set: &SetId| own_rules::chain(set.kind);
        let fixed: HashSet<_> =
            stay.iter().filter(|set| !own_rules::is_known(**set, shapes)).filter_map(chain).collect();
        let concerned: HashSet<_> = self.own_rules.iter().filter_map(chain).collect();
        let emptied: Vec<_> = concerned.difference(&fixed).copied().collect();
        if emptied.is_empty() {
            return Ok(());
        }
        program::nft(&own_rules::rewrite_script(&emptied, gone, &stay, shapes))?;
        let went = |set: &SetId| gone.contains(set) && chain(set).is_some_and(|name| emptied.contains(&name));
        self.own_rules.retain(|set| !went(set));
        self.present.elements.retain(|at, _| !went(&at.set));
        self.reconcile.note_structure(self.netlink.fingerprint()?);
        Ok(())
    }
}
