//! A file in the making: whose packets it wants and how many of them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use ftagent_capture::Anonymiser;
use ftagent_core::incident::Incident;
use ftagent_core::incident::Target;
use ftagent_core::service::ServiceKey;
use ftagent_core::time::Instant;
use tokio::sync::mpsc;

use super::kept::Kept;
use super::limits;
use super::ring::Pace;
use super::writer::Message;
use crate::config::Pcap;

/// Recordings by hand are numbered from here on, incidents below.
const BY_HAND_FROM: u64 = 1 << 63;

/// Whose packets.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Covers {
    Services(Vec<ServiceKey>),
    /// Its services and nobody's ports.
    Address(IpAddr),
    Node,
}

/// The file in the making.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: u64,
    /// Packets that the writer does not have yet.
    pub(super) waiting: Vec<Kept>,
    covers: Covers,
    began: Instant,
    pace: Pace,
    until: Option<Until>,
}

/// When a recording by hand ends.
#[derive(Debug)]
struct Until {
    at: Instant,
    interval_us: u64,
    /// Nobody reads it any more; the writer says so.
    gone: Arc<AtomicBool>,
}

/// What somebody wants recorded.
#[derive(Debug)]
pub(crate) struct Recording {
    /// Tells it from others that go on at the same time.
    pub(crate) number: u64,
    pub(crate) services: Vec<ServiceKey>,
    pub(crate) seconds: u64,
    pub(crate) comment: String,
    pub(crate) anonymiser: Option<Anonymiser>,
    /// Where the blocks of the file go.
    pub(crate) blocks: mpsc::Sender<Vec<u8>>,
}

impl Recording {
    /// Blocks that may wait for the reader.
    pub(crate) const BLOCKS: usize = limits::STREAM_BLOCKS;

    pub(super) fn begin(self, now: Instant) -> (Live, Message) {
        let id = BY_HAND_FROM | self.number;
        let gone = Arc::new(AtomicBool::new(false));
        let interval_us = (self.seconds * 1_000_000 / limits::RECORD_PACKETS).max(limits::RECORD_INTERVAL_US);
        let at = now.plus_millis(self.seconds * 1_000);
        let live = Live {
            id,
            waiting: Vec::new(),
            covers: Covers::Services(self.services),
            began: now,
            pace: Pace::default(),
            until: Some(Until { at, interval_us, gone: Arc::clone(&gone) }),
        };
        let (comment, anonymiser, blocks) = (self.comment, self.anonymiser, self.blocks);
        (live, Message::Stream { id, comment, anonymiser, blocks, gone })
    }
}

impl Live {
    pub(super) fn of_incident(incident: &Incident) -> Self {
        Self {
            id: incident.id,
            waiting: Vec::new(),
            covers: covers(incident),
            began: incident.opened_at,
            pace: Pace::default(),
            until: None,
        }
    }

    /// More is known of what suffers; whether that changes anything.
    pub(super) fn spread(&mut self, incident: &Incident) -> bool {
        let covers = covers(incident);
        let changed = covers != self.covers;
        self.covers = covers;
        changed
    }

    pub(super) const fn by_hand(&self) -> bool {
        self.until.is_some()
    }

    /// Whether it wants the packets of a service, or of nobody's ports.
    pub(super) fn covers(&self, key: Option<ServiceKey>) -> bool {
        match (&self.covers, key) {
            (Covers::Node, _) | (Covers::Address(_), None) => true,
            (Covers::Services(keys), Some(key)) => keys.contains(&key),
            (Covers::Services(_), None) => false,
            (Covers::Address(ip), Some(key)) => key.ip == *ip || key.ip.is_unspecified(),
        }
    }

    /// Whether to take one more packet now.
    pub(super) fn take(&mut self, at: Instant) -> bool {
        match &self.until {
            Some(until) => self.pace.take(at, until.interval_us, limits::RING_BURST_US),
            None => {
                let age_us = at.micros_since(self.began);
                let interval_us = (age_us + limits::E_FOLD_START_US) / limits::PACKETS_AN_E_FOLD;
                self.pace.take(at, interval_us, limits::INCIDENT_BURST_US)
            }
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.as_ref().is_some_and(|until| now >= until.at || until.gone.load(Ordering::Relaxed))
    }
}

fn covers(incident: &Incident) -> Covers {
    match incident.target {
        Target::Service(key) => {
            let mut keys = vec![key];
            keys.extend(incident.also.iter().filter(|also| **also != key));
            Covers::Services(keys)
        }
        Target::Address(ip) => Covers::Address(ip),
        Target::Node => Covers::Node,
    }
}

/// What the file of an incident says of itself.
pub(super) fn comment(incident: &Incident, pcap: Pcap) -> String {
    format!(
        "ftagent incident {} on {}, server {}, game {}; pcap = {}; each packet's comment: judgement reason standing \
         verdict read=PAYLOAD-BYTES for=PACKETS",
        incident.id,
        incident.target,
        incident.server,
        incident.game,
        pcap.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(live: &mut Live, from_ms: u64, until_ms: u64, every_us: u64) -> usize {
        let times = (from_ms * 1_000..until_ms * 1_000).step_by(every_us as usize);
        times.filter(|at_us| live.take(Instant::from_micros(*at_us))).count()
    }

    #[test]
    fn u25_l16_an_incident_is_sampled_to_its_end_and_its_file_is_not_full_before() {
        let mut live = Live::of_incident(&Incident::default());
        let (first, second) = (taken(&mut live, 0, 1_000, 10), taken(&mut live, 1_000, 2_000, 10));
        assert!((150..300).contains(&first) && (100..200).contains(&second), "{first}, {second}");
        let hour = taken(&mut live, 2_000, 3_600_000, 5_000);
        assert!((4_000..6_000).contains(&hour), "{hour}");
        // In the last minute of a day there still are some.
        let day_ms = 86_400_000;
        let day = taken(&mut live, 3_600_000, day_ms - 60_000, 100_000);
        let last = taken(&mut live, day_ms - 60_000, day_ms, 10_000);
        assert!(last > 0, "{last}");
        let all = (limits::RING_PACKETS + first + second + hour + day + last) as u64;
        assert!(all <= limits::FILE_PACKETS, "{all}");
    }
}
