//! One service as the engine knows it: its counters, what is normal there, and the attack on it.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::count::HostReason;
use crate::judge::attack::Attack;
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
use crate::time::Instant;

/// The site that stands for nobody's ports.
pub(crate) const NODE: u32 = 0;
/// Packets a second to nobody's ports, and fragments without ports, that are nothing unusual.
const HOST_RATE_PPS: u32 = 200;
/// What is settled becomes the learnt peak so often.
const PEAK_MS: u64 = 600_000;

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
    pub(crate) attack: Option<Attack>,
    /// What is done about it.
    pub(crate) answer: Option<Box<Answer>>,
    /// What the kernel counted over the last seconds.
    pub(crate) pressure: Pressure,
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
            attack: None,
            answer: None,
            pressure: Pressure::default(),
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
