//! What the kernel counted, read once a tick, in the forms that others take.

use ftagent_core::manifest::Shape;
use ftagent_core::service::ServiceKey;
use ftagent_core::tally::ServiceTally;

use crate::FirewallError;
use crate::key::Family;
use crate::netlink::read::Tally;
use crate::set::Kind;
use crate::set::Value;
use crate::status::Amount;
use crate::status::NodeCounts;
use crate::status::ServiceCounts;
use crate::wall::ServiceNames;
use crate::wall::Wall;

impl Wall {
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
        if !self.wanted.own_rules().any(|set| matches!(set.kind, Kind::Trial(_))) {
            return Vec::new();
        }
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
            strays: of("strays"),
            docker_user_dropped: self.reconcile.docker_user_dropped(family),
        }
    }

    pub(crate) fn read_counters(&mut self) -> Result<(), FirewallError> {
        let tallies = &mut self.tallies;
        self.netlink.counters(|name, tally| tallies.note(name, tally))
    }
}

fn amount(tally: Tally) -> Amount {
    Amount { packets: tally.packets, bytes: tally.bytes }
}
