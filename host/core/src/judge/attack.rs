//! An attack on one service: when it began, what it is, and what is asked for while it lasts.

use std::sync::Arc;

use super::level::Dim;
use super::level::Gauge;
use crate::effect::CrowdLimit;
use crate::service::ServiceKey;
use crate::time::Instant;

/// Measures are renewed so often.
pub(crate) const RENEW_MS: u64 = 2_000;
/// And end by themselves after so long.
pub(crate) const MEASURE_MS: u32 = 10_000;
/// Below its level for so long, an attack is over.
const CALM_MS: u64 = 5_000;
/// The same for one that came in pulses.
const PULSING_CALM_MS: u64 = 8_000;
/// Strangers of a service may always send so many packets a second.
const CROWD_FLOOR_PPS: u32 = 50;
/// And so many where their game does not speak this transport: enough for a server that does to show it.
const WRONG_TRANSPORT_PPS: u32 = 10;
/// Seconds' worth of packets at once, so that new players' first words fit.
const CROWD_BURST_SECONDS: u32 = 1;

/// Whoever began so shortly before an attack began came with it: its first packets are what it was known by.
const CAME_WITH_MS: u64 = 1_000;
/// So many clients that proved themselves and then turned out hostile show that attackers have real addresses.
const HOSTILE_CLIENTS: u32 = 8;
/// So do so many that prove themselves within one second.
const PROVEN_PER_SECOND: u32 = 16;

/// A running attack.
#[derive(Clone, Debug)]
pub(crate) struct Attack {
    pub(crate) began: Instant,
    pub(crate) dim: Dim,
    pub(crate) reason: Arc<str>,
    /// Strangers' limit; fixed at the beginning, so that the attack does not move it.
    crowd_pps: u32,
    calm_since: Option<Instant>,
    renewed: Instant,
    /// Impossible reasons seen in it, bit i for the reason i.
    pub(crate) impossible: u64,
    /// The place of its incident, unless there were too many.
    pub(crate) place: Option<usize>,
    hostile_clients: u32,
    proven_second: u32,
    proven_in_second: u32,
    /// Real clients came in such numbers that they are the attack.
    crowded: bool,
}

/// Whoever began from then on would have come with an attack that begins now.
pub(crate) const fn came_with(now: Instant) -> Instant {
    now.minus_millis(CAME_WITH_MS)
}

impl Attack {
    /// `spoken`: the game speaks the service's transport, as far as anybody knows.
    pub(crate) fn begin(at: Instant, dim: Dim, reason: Arc<str>, gauge: &Gauge, spoken: bool) -> Self {
        let floor_pps = if spoken { CROWD_FLOOR_PPS } else { WRONG_TRANSPORT_PPS };
        let crowd_pps = gauge.normal_pps().saturating_mul(2).max(floor_pps);
        Self {
            began: at,
            dim,
            reason,
            crowd_pps,
            calm_since: None,
            renewed: at,
            impossible: 0,
            place: None,
            hostile_clients: 0,
            proven_second: 0,
            proven_in_second: 0,
            crowded: false,
        }
    }

    /// A client that came while it lasts has proven itself in this second. Whether that shows, as new, that attackers have
    /// real addresses.
    pub(crate) fn proves(&mut self, second: u32) -> bool {
        let known = self.by_clients();
        if second != self.proven_second {
            (self.proven_second, self.proven_in_second) = (second, 0);
        }
        self.proven_in_second += 1;
        self.crowded |= self.proven_in_second >= PROVEN_PER_SECOND;
        !known && self.by_clients()
    }

    /// One that has proven itself turned out hostile. Whether that shows the same.
    pub(crate) fn turned_hostile(&mut self) -> bool {
        let known = self.by_clients();
        self.hostile_clients = self.hostile_clients.saturating_add(1);
        !known && self.by_clients()
    }

    /// Whether a flow that began then came with it.
    pub(crate) fn brought(&self, began: Instant) -> bool {
        began >= came_with(self.began)
    }

    /// Whether it is made by clients with real addresses. Then a completed handshake alone is no ticket.
    pub(crate) fn by_clients(&self) -> bool {
        matches!(self.dim, Dim::Opening | Dim::Query | Dim::Join | Dim::Excess)
            || self.hostile_clients >= HOSTILE_CLIENTS
            || self.crowded
    }

    /// Whether the measures are due again; if so they count as renewed.
    pub(crate) fn renews(&mut self, at: Instant) -> bool {
        let due = at.millis_since(self.renewed) >= RENEW_MS;
        if due {
            self.renewed = at;
        }
        due
    }

    /// Whether it is over: for a while it has been `calm`.
    pub(crate) fn over(&mut self, at: Instant, calm: bool, pulsing: bool) -> bool {
        if !calm {
            self.calm_since = None;
            return false;
        }
        let since = *self.calm_since.get_or_insert(at);
        at.millis_since(since) >= if pulsing { PULSING_CALM_MS } else { CALM_MS }
    }

    /// Notes an impossible reason; true if it is new in this attack.
    pub(crate) fn sees(&mut self, reason: u16) -> bool {
        let bit = 1u64.checked_shl(u32::from(reason)).unwrap_or(0);
        let new = self.impossible & bit == 0;
        self.impossible |= bit;
        new && bit != 0
    }

    /// The limit on the service's strangers.
    pub(crate) fn crowd_limit(&self, service: ServiceKey) -> CrowdLimit {
        CrowdLimit {
            service,
            packets_per_second: self.crowd_pps,
            burst: self.crowd_pps.saturating_mul(CROWD_BURST_SECONDS),
            for_ms: MEASURE_MS,
            reason: Arc::clone(&self.reason),
        }
    }
}
