//! New tables of services and plugins, between two batches. Flows and standing survive both.

use std::collections::HashMap;
use std::sync::Arc;

use super::Engine;
use crate::count::Loss;
use crate::effect::Effects;
use crate::judge::Opinion;
use crate::limits;
use crate::outbox::Outbox;
use crate::places::Places;
use crate::roster::Roster;
use crate::service::Judging;
use crate::service::Service;
use crate::service::Services;
use crate::site::Site;
use crate::time::Instant;
use crate::wire::Address;

impl Engine {
    /// A new service table. A service that disappeared is still known for ten minutes.
    pub fn set_services(&mut self, services: Arc<Services>) {
        for site in self.sites.iter_mut().skip(1) {
            site.gone_at = site.gone_at.or(Some(self.now));
        }
        self.forget_services();
        for service in services.iter() {
            self.keep_service(service);
        }
        self.services = services;
        self.index_services();
        self.assign_plugins();
    }

    fn keep_service(&mut self, service: &Arc<Service>) {
        let key = service.key;
        let known = self.places.exact(Address::from(key.ip), key.port, key.transport);
        if let Some(site) = known.and_then(|at| self.sites.get_mut(at as usize)) {
            site.service = Arc::clone(service);
            site.gone_at = None;
            return;
        }
        let now = self.now;
        let mut new = Site::new(Arc::clone(service));
        new.gauge.begins(now);
        new.set_fixed(self.fixed_limits.get(&key).copied());
        if let Some(learnt) = self.learnt.remove(&key) {
            new.restore(&learnt, self.hour(now));
        }
        let free = self.sites.iter().skip(1).position(|site| forgotten(site, now)).map(|at| at + 1);
        match free {
            Some(at) => self.sites[at] = new,
            None => self.sites.push(new),
        }
    }

    /// Forgets services that have been gone for long.
    pub(super) fn forget_services(&mut self) {
        let due = |site: &Site| forgotten(site, self.now) && !site.forgotten;
        if self.sites.iter().any(due) {
            self.index_services();
        }
    }

    fn index_services(&mut self) {
        self.table = self.table.wrapping_add(1);
        let now = self.now;
        let mut left = Vec::new();
        for site in &mut self.sites {
            let is = forgotten(site, now);
            let was = std::mem::replace(&mut site.forgotten, is);
            if site.forgotten && !was {
                left.push(site.keep());
            }
        }
        left.into_iter().for_each(|kept| self.keep_learnt(kept));
        let numbered = self.sites.iter().enumerate().skip(1);
        let kept = numbered.filter(|(_, site)| !site.forgotten);
        let sites: Vec<_> = kept.map(|(at, site)| (site.key(), at as u32)).collect();
        self.places = Places::new(&sites, self.services.own().map(Address::from), self.key);
    }

    /// A new set of plugins. Packets that wait for an old one's answer have none.
    pub fn set_roster(&mut self, roster: Arc<Roster>) {
        self.drop_waiting();
        self.keep_reason_counts();
        self.ledger.plugin_reasons =
            roster.iter().map(|(_, manifest)| vec![0; manifest.reasons.len() + 1]).collect();
        self.outboxes = roster.iter().map(|_| Outbox::default()).collect();
        for outbox in &mut self.outboxes {
            self.serial = self.serial.wrapping_add(1).max(1);
            outbox.clear(self.serial);
        }
        self.roster = roster;
        self.assign_plugins();
    }

    fn drop_waiting(&mut self) {
        let outboxes = std::mem::take(&mut self.outboxes);
        let mut nothing = Effects::default();
        let waiting = |outbox: &Outbox| {
            let staged = outbox.staged.as_ref().map(|(waiting, _)| *waiting);
            outbox.waiting.iter().copied().chain(staged).collect::<Vec<_>>()
        };
        for packet in outboxes.iter().flat_map(waiting) {
            self.ledger.counts.waiting -= 1;
            self.ledger.lost(Loss::PluginExchanged);
            self.settle(&packet, &Opinion::NONE, &mut nothing);
        }
    }

    fn keep_reason_counts(&mut self) {
        let counts = std::mem::take(&mut self.ledger.plugin_reasons);
        for (counts, (plugin, _)) in counts.iter().zip(self.roster.iter()) {
            for (count, reason) in counts.iter().skip(1).zip(1..) {
                let Some(name) = self.roster.reason_name(plugin, reason) else { continue };
                *self.ledger.earlier_reasons.entry(Arc::clone(name)).or_default() += count;
            }
        }
    }

    fn assign_plugins(&mut self) {
        for site in &mut self.sites {
            let Judging::Plugin(name) = &site.service.judging else {
                (site.plugin, site.tag) = (None, 0);
                continue;
            };
            let known = self.tags.iter().position(|tag| tag == name);
            let at = known.unwrap_or_else(|| {
                self.tags.push(Arc::clone(name));
                self.tags.len() - 1
            });
            site.tag = at as u32 + 1;
            site.plugin = self.roster.find(name);
        }
        self.assign_homes();
    }

    fn assign_homes(&mut self) {
        let mut homes = HashMap::new();
        for (at, site) in self.sites.iter_mut().enumerate() {
            let at = at as u32;
            let key = site.service.key;
            site.home = match site.tag {
                0 => at,
                tag => *homes.entry((key.ip, key.port, tag)).or_insert(at),
            };
        }
    }
}

/// Whether a service has been gone for so long that nothing of it is kept.
fn forgotten(site: &Site, now: Instant) -> bool {
    site.gone_at.is_some_and(|at| now.millis_since(at) >= limits::SERVICE_KEPT_MS)
}
