//! One service as the engine knows it: its counters, what is normal there, and the attack on it.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::baseline::Baseline;
use crate::baseline::LearntService;
use crate::baseline::Meter;
use crate::baseline::Reading;
use crate::count::HostReason;
use crate::engine::FixedLimit;
use crate::escort::Escort;
use crate::frame::Frame;
use crate::frame::Link;
use crate::incident::mix::Mix;
use crate::judge::attack::Attack;
use crate::judge::change::Change;
use crate::judge::level::Gauge;
use crate::limits;
use crate::measure::Answer;
use crate::measure::Pressure;
use crate::roster::PluginIndex;
use crate::service::Judging;
use crate::service::Path;
use crate::service::Role;
use crate::service::Service;
use crate::service::ServiceKey;
use crate::service::Transport;
use crate::tally::Amount;
use crate::tally::ServiceTally;
use crate::time::Instant;

/// The site that stands for nobody's ports.
pub(crate) const NODE: u32 = 0;
/// Packets a second to nobody's ports, and fragments without ports, that are nothing unusual.
const HOST_RATE_PPS: u32 = 200;
/// What is settled becomes the learnt peak so often.
const PEAK_MS: u64 = 600_000;
/// The kernel's counters are good for so long after they were read.
const COUNTED_MS: u64 = 1_000;
/// An Ethernet header without tags.
const ETHERNET_BYTES: u32 = 14;

/// Packets of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteCounts {
    /// Sent by clients.
    pub packets: u64,
    /// Sent by the server.
    pub replies: u64,
    /// Judged genuine.
    pub genuine: u64,
    /// Judged hostile.
    pub hostile: u64,
    /// Not judged.
    pub unknown: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) service: Arc<Service>,
    /// Who judges it; `None` for the host, or if there is no such plugin.
    pub(crate) plugin: Option<PluginIndex>,
    /// Tells this plugin's notes from those of others.
    pub(crate) tag: u32,
    /// The site whose sources are this one's too: TCP and UDP of one address and port that one plugin judges
    /// share a note for each source (FiveM's UDP follows a join over TCP).
    pub(crate) home: u32,
    /// Something answers there. Then a transport that the game does not speak is not wrong: voice chat and proxies of
    /// other editions listen on the game's own port.
    pub(crate) answers: bool,
    /// When it vanished from the service table.
    pub(crate) gone_at: Option<Instant>,
    /// It was gone for so long that another service may have this place.
    pub(crate) forgotten: bool,
    pub(crate) counts: SiteCounts,
    pub(crate) gauge: Gauge,
    /// What strangers' packets look like.
    pub(crate) mix: Mix,
    /// What clients sent, as far as the samples tell: each stands for so many.
    estimated: Amount,
    /// Rates: of the kernel's counters where somebody reads them, else of the samples.
    pub(crate) meter: Meter,
    /// What the kernel had counted last, and when.
    pub(crate) counted: Option<(Instant, ServiceTally)>,
    /// Whether the kernel's counters say that nothing is wrong; by them attacks end.
    pub(crate) counted_calm: bool,
    /// For so long packets have been counted of which no sample came.
    pub(crate) blind_micros: u64,
    pub(crate) packets_change: Change,
    pub(crate) bits_change: Change,
    pub(crate) baseline: Baseline,
    pub(crate) fixed: Option<FixedLimit>,
    pub(crate) attack: Option<Attack>,
    /// What is done about it.
    pub(crate) answer: Option<Box<Answer>>,
    /// What the kernel counted over the last seconds.
    pub(crate) pressure: Pressure,
    /// Whether players come through the attack.
    pub(crate) escort: Escort,
    /// When the last hostile packet came, if people were told of the first.
    pub(crate) hostile_at: Option<Instant>,
    /// Settled flows and players who are present.
    pub(crate) settled: u32,
    settled_peak: u32,
    peak_at: Instant,
    second: u64,
    in_second: [u32; HostReason::ALL.len()],
}

impl Site {
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self {
            service,
            plugin: None,
            tag: 0,
            home: NODE,
            answers: false,
            gone_at: None,
            forgotten: false,
            counts: SiteCounts::default(),
            gauge: Gauge::default(),
            mix: Mix::default(),
            estimated: Amount::default(),
            meter: Meter::default(),
            counted: None,
            counted_calm: true,
            blind_micros: 0,
            packets_change: Change::default(),
            bits_change: Change::default(),
            baseline: Baseline::default(),
            fixed: None,
            attack: None,
            answer: None,
            pressure: Pressure::default(),
            escort: Escort::default(),
            hostile_at: None,
            settled: 0,
            settled_peak: 0,
            peak_at: Instant::START,
            second: 0,
            in_second: [0; HostReason::ALL.len()],
        }
    }

    /// The site of nobody's ports.
    pub(crate) fn node() -> Self {
        Self::new(Arc::new(Service {
            key: ServiceKey { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0, transport: Transport::Udp },
            server: "node".into(),
            game: "unknown".into(),
            role: Role::Unknown,
            judging: Judging::WrongTransport,
            path: Path::Local,
            flags: 0,
        }))
    }

    pub(crate) fn key(&self) -> ServiceKey {
        self.service.key
    }

    /// Counts a client's packet with all that it stands for.
    pub(crate) fn estimate(&mut self, frame: &Frame<'_>) {
        let weight = u64::from(frame.sample_rate.max(1));
        let link_bytes = if frame.link == Link::Ethernet { ETHERNET_BYTES } else { 0 };
        self.estimated.packets += weight;
        self.estimated.bytes += weight * u64::from(frame.wire_bytes.saturating_sub(link_bytes));
    }

    /// Whether somebody reads the kernel's counters for us.
    pub(crate) fn is_counted(&self, at: Instant) -> bool {
        self.counted.is_some_and(|(last, _)| at.millis_since(last) < COUNTED_MS)
    }

    /// The rates by samples, where nobody reads the kernel's counters. Of nobody's ports these count fragments only.
    pub(crate) fn read_estimate(&mut self, at: Instant, nobodys: bool) -> Option<Reading> {
        if self.is_counted(at) {
            return if nobodys { self.meter.read(at, self.estimated) } else { None };
        }
        if self.counted.take().is_some() {
            self.counted_calm = true;
            if !nobodys {
                self.meter.begin_again();
            }
        }
        self.meter.read(at, self.estimated)
    }

    /// What is worth keeping over a restart.
    pub(crate) fn keep(&self) -> LearntService {
        let mut kept = LearntService::nothing(self.key());
        (kept.learnt_seconds, kept.normal_parts) = self.gauge.kept();
        kept.settled_peak = self.settled_peak.max(self.settled);
        self.baseline.keep(&mut kept);
        kept
    }

    /// What was kept before.
    pub(crate) fn restore(&mut self, kept: &LearntService, hour: u8) {
        self.gauge.restore(kept.learnt_seconds, &kept.normal_parts);
        self.settled_peak = self.settled_peak.max(kept.settled_peak);
        self.baseline = Baseline::from_kept(kept, hour);
        self.gauge.per_served_pps = self.baseline.per_player_pps();
    }

    /// The operator's own limit, or none.
    pub(crate) fn set_fixed(&mut self, limit: Option<FixedLimit>) {
        self.fixed = limit;
        self.gauge.fixed = limit.is_some();
    }

    /// Whether one more flow may settle. The peak is learnt in peace and slowly.
    pub(crate) fn may_settle(&self) -> bool {
        self.settled < self.settled_peak.saturating_mul(2).max(limits::SETTLED_FLOWS)
    }

    /// Learns the peak.
    pub(crate) fn learn_peak(&mut self, at: Instant) {
        if self.attack.is_none() && at.millis_since(self.peak_at) >= PEAK_MS {
            self.peak_at = at;
            self.settled_peak = self.settled;
        }
    }

    /// Counts what the host found by itself; whether it is too much by now.
    pub(crate) fn host_excess(&mut self, reason: HostReason, at: Instant, weight: u32) -> bool {
        let second = at.as_micros() / 1_000_000;
        if second != self.second {
            self.second = second;
            self.in_second = [0; HostReason::ALL.len()];
        }
        let count = &mut self.in_second[reason as usize];
        *count = count.saturating_add(weight);
        *count > HOST_RATE_PPS
    }
}
