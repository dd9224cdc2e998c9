//! What the kernel counted, and what is kept over a restart.

use std::sync::Arc;

use super::Engine;
use crate::baseline::Learnt;
use crate::baseline::LearntService;
use crate::effect::Effects;
use crate::incident::Incident;
use crate::service::ServiceKey;
use crate::tally::Tallies;
use crate::time::Instant;

/// An operator's own limit on everything that comes to a service. It stands in for what was learnt there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedLimit {
    /// From so many packets a second on it is an attack.
    pub packets_per_second: Option<u32>,
    /// From so many bits a second on it is an attack.
    pub bits_per_second: Option<u64>,
}

impl Engine {
    /// What the kernel had counted at `at`, every 50 to 100 ms. Elapsed time divides, so a caller who was stalled
    /// invents no flood; a counter that is smaller than before began again at 0. Time comes to `at`, as by
    /// [`Self::tick`].
    pub fn tallies(&mut self, at: Instant, counted: &Tallies, effects: &mut Effects) {
        self.tick(at, effects);
        self.weigh_answers(at, counted, effects);
    }

    /// What is worth keeping over a restart. Cheap enough for once a minute, not for once a packet.
    pub fn learnt(&self) -> Learnt {
        let services = self.sites.iter().skip(1).filter(|site| !site.forgotten);
        Learnt {
            last_incident: self.incidents,
            services: services.map(|site| LearntService { service: site.key() }).collect(),
        }
    }

    /// What an earlier engine had learnt. Services that are not known yet get it when they appear.
    pub fn restore(&mut self, learnt: Learnt) {
        self.incidents = self.incidents.max(learnt.last_incident);
    }

    /// The incidents that are open now, in the order of their numbers.
    pub fn incidents(&self) -> Vec<Arc<Incident>> {
        let open = self.sites.iter().filter_map(|site| site.attack.as_ref());
        open.map(|attack| Arc::clone(&attack.incident)).collect()
    }

    /// Sets what the wall clock (Unix time in microseconds) says at [`Instant::START`], so that the hour of the day
    /// is known. May be called again whenever the wall clock was set; nothing but the hour depends on it.
    pub fn set_wall_clock(&mut self, micros_at_start: i64) {
        self.config.wall_clock_micros_at_start = micros_at_start;
    }

    /// The operator's own limits, all of them; earlier ones are forgotten.
    pub fn set_fixed_limits(&mut self, limits: Vec<(ServiceKey, FixedLimit)>) {
        self.fixed_limits = limits.into_iter().collect();
    }
}
