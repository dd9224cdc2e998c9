//! An incident while it is open: its record, and what the record is made from.

use std::sync::Arc;

use super::Family;
use super::Incident;
use super::Severity;
use super::TopSource;
use super::VectorShare;
use super::mix::Above;
use super::sentence;
use super::vector::Vector;
use crate::limits;
use crate::sketch::Distinct;
use crate::sketch::Heavy;
use crate::time::Instant;
use crate::wire::Address;

/// The record is told anew at most so often.
const TELL_MS: u64 = 1_000;
/// Counts of vectors fade so often, so that the record says what the attack is now.
const FADE_MS: u64 = 1_000;
/// Sources are estimated anew in each step for so long, then once a second.
const YOUNG_MS: u64 = 2_000;
/// A silence of so long, and then more, is another pulse.
const PULSE_MS: u64 = 700;
/// Fewer sources than that may be anything; forged ones are many.
const MANY_SOURCES: u64 = 64;
/// A source that sent less than one packet of so many is not among those who sent most.
const HEAVY_PART: u64 = 200;
/// So many packets are looked at one by one; then one of so many stands for all.
const CLOSELY: u32 = 1_000;
const EACH: u32 = 4;
/// Reasons of plugins that are counted in an incident.
const REASONS: usize = 8;

/// What people were told last.
#[derive(Clone, Debug, Default)]
struct Told {
    family: Family,
    vectors: Vec<Arc<str>>,
    severity: Severity,
    measures: (usize, usize),
    peak_pps: u64,
    also: usize,
}

/// An open incident.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) record: Incident,
    told: Told,
    /// Sites that it has struck, the first first.
    pub(crate) sites: Vec<u32>,
    pub(crate) above: Above,
    faded_at: Instant,
    /// Reasons that were given for its packets and what these look like, the first ones kept.
    reasons: Vec<(Arc<str>, Vector, u64)>,
    sources: Distinct,
    heavy: Heavy,
    packets: u32,
    /// Packets that went into the sketches, and those of proven sources.
    sketched: u64,
    sketched_proven: u64,
    pub(crate) protocol: u8,
    /// Different services that were struck, whatever their transports.
    pub(crate) spread: usize,
    /// Different ports that nobody owns were struck.
    pub(crate) many_ports: bool,
    silent_since: Option<Instant>,
    second_at: Instant,
    /// What is full so that no rule on this node can help.
    pub(crate) full: Option<Arc<str>>,
}

impl Open {
    pub(crate) fn new(record: Incident, site: u32) -> Self {
        let at = record.opened_at;
        Self {
            record,
            told: Told::default(),
            sites: vec![site],
            above: Above::default(),
            faded_at: at,
            reasons: Vec::new(),
            sources: Distinct::default(),
            heavy: Heavy::default(),
            packets: 0,
            sketched: 0,
            sketched_proven: 0,
            protocol: 0,
            spread: 1,
            many_ports: false,
            silent_since: None,
            second_at: at,
            full: None,
        }
    }

    /// One packet of a stranger while it is open.
    pub(crate) fn count_source(&mut self, hash: u64) {
        self.sources.add(hash);
    }

    /// Whether this packet is one of those that are looked at closely: all at first, then each fourth.
    pub(crate) fn is_due(&mut self) -> bool {
        self.packets = self.packets.wrapping_add(1);
        self.packets < CLOSELY || self.packets.is_multiple_of(EACH)
    }

    /// One of those: its source and standing.
    pub(crate) fn sketch(&mut self, hash: u64, source: Address, proven: bool, weight: u32) {
        let weight = self.stands_for(weight);
        self.heavy.add(hash, source, proven, weight);
        self.sketched += u64::from(weight);
        if proven {
            self.sketched_proven += u64::from(weight);
        }
    }

    fn stands_for(&self, weight: u32) -> u32 {
        if self.packets < CLOSELY { weight } else { weight.saturating_mul(EACH) }
    }

    /// A plugin or the host gave a reason for it.
    pub(crate) fn reason(&mut self, name: &Arc<str>, vector: Vector, weight: u32) {
        let weight = u64::from(self.stands_for(weight));
        let same = |given: &&mut (Arc<str>, Vector, u64)| given.1 == vector && given.0 == *name;
        if let Some(known) = self.reasons.iter_mut().find(same) {
            known.2 += weight;
        } else if self.reasons.len() < REASONS {
            self.reasons.push((Arc::clone(name), vector, weight));
        }
    }

    /// Whether it is so young that each step may bring news of its sources.
    pub(crate) fn is_young(&self, at: Instant) -> bool {
        at.millis_since(self.record.opened_at) < YOUNG_MS
    }

    /// Whether a second of its curve has ended.
    pub(crate) fn second_ends(&mut self, at: Instant) -> bool {
        let ends = at.millis_since(self.second_at) >= 1_000;
        if ends {
            self.second_at = at;
        }
        ends
    }

    /// The rates of the second that ended.
    pub(crate) fn second(&mut self, pps: u64, bps: u64) {
        let record = &mut self.record;
        record.peak_pps = record.peak_pps.max(pps);
        record.peak_bps = record.peak_bps.max(bps);
        if record.pps_by_second.len() < limits::INCIDENT_SECONDS {
            record.pps_by_second.push(u32::try_from(pps).unwrap_or(u32::MAX));
        }
    }

    /// Whether what attacks is silent in this step; counts pulses.
    pub(crate) fn pulse(&mut self, at: Instant, silent: bool) {
        match (silent, self.silent_since) {
            (true, None) => self.silent_since = Some(at),
            (false, Some(since)) => {
                self.record.pulses += u32::from(at.millis_since(since) >= PULSE_MS);
                self.silent_since = None;
            }
            _ => {}
        }
    }

    /// Names it anew from what is above the norm. With nothing new to go by, the names stay.
    pub(crate) fn name(&mut self, at: Instant) {
        if self.above.sum() > 0 {
            let (family, vectors) = self.above.named(&|vector, count| self.evidence(vector, count));
            let carpet = self.spread > 2 || self.many_ports;
            self.record.family = if carpet { Family::Carpet } else { family };
            self.record.vectors = vectors;
        }
        if at.millis_since(self.faded_at) >= FADE_MS {
            self.faded_at = at;
            self.above.fade();
        }
        self.record.severity = self.severity();
        self.record.confidence = self.confidence();
        self.record.says = sentence::of(self).into();
    }

    /// Estimates its sources anew.
    pub(crate) fn count_sources(&mut self) {
        let record = &mut self.record;
        record.sources_estimated = self.sources.estimate();
        record.looks_forged =
            record.sources_estimated >= MANY_SOURCES && self.sketched_proven * 10 < self.sketched;
        let top = self.heavy.top(limits::INCIDENT_SOURCES, self.sketched / HEAVY_PART + 1);
        let named = top.iter().filter(|_| self.sketched > HEAVY_PART).map(|place| TopSource {
            source: place.source.into(),
            packets: place.packets,
            proven: place.proven,
        });
        record.top_sources = named.collect();
    }

    /// By what a vector was recognised.
    fn evidence(&self, vector: Vector, count: u64) -> Arc<str> {
        let by = match vector {
            Vector::SYN => "SYN without a completed handshake",
            Vector::SYN_ACK => "SYN-ACK that the server never asked for",
            Vector::NULL => "TCP without flags",
            Vector::XMAS => "FIN, PSH and URG together",
            Vector::UDP_EMPTY => "UDP without payload",
            Vector::UDP_RANDOM => "payloads that begin at random",
            Vector::UDP_SMALL => "payloads up to 100 bytes",
            Vector::UDP_VOLUMETRIC => "payloads of some hundred bytes",
            Vector::UDP_LARGE => "payloads of a kilobyte and more",
            Vector::QUIC => "QUIC Initials by header form and version",
            Vector::DNS_QUERY => "DNS questions",
            Vector::FRAGMENTS | Vector::FRAGMENTED_UDP => "IP fragments",
            Vector::OTHER_PROTOCOL => {
                return format!("IP protocol {}, {count} packets", self.protocol).into();
            }
            Vector::QUERY | Vector::OPENING | Vector::JOIN | Vector::PLAY | Vector::CONTROL => {
                "what the plugin says they are for"
            }
            _ if vector.is_reflected_udp() => "source port and the mark of the reply",
            _ => "flags and protocol",
        };
        let plain = vector.is_plain_udp() || vector == Vector::UDP_RANDOM;
        let here = |of: Vector| of == vector || (plain && of.is_plain_udp());
        let given = self.reasons.iter().filter(|(_, of, _)| here(*of));
        match given.max_by_key(|(_, _, count)| *count) {
            Some((reason, _, given)) => format!("{by}, {count} packets; {reason} {given} times").into(),
            None => format!("{by}, {count} packets").into(),
        }
    }

    fn severity(&self) -> Severity {
        let record = &self.record;
        let mbps = record.peak_bps / 1_000_000;
        if self.full.is_some() {
            Severity::Critical
        } else if record.peak_pps >= 50_000 || mbps >= 500 || self.spread > 2 {
            Severity::High
        } else if record.peak_pps >= 2_000 || mbps >= 20 {
            Severity::Medium
        } else {
            Severity::Low
        }
    }

    /// How sure that it is an attack: by what kind of evidence opened it, and what came since.
    fn confidence(&self) -> u8 {
        let record = &self.record;
        let certain: u64 = self.reasons.iter().map(|(_, _, count)| count).sum();
        let mut sure: u8 = match &*record.reason {
            "host/too-many-packets" | "host/too-many-bits" => 65,
            "host/too-many-strangers" | "host/too-much-answered" | "host/too-much-play" => 70,
            "host/operators-limit" => 75,
            reason if reason.starts_with("host/too-m") => 80,
            _ => 95,
        };
        if certain * 2 > self.sketched && certain > 0 {
            sure = sure.max(95);
        }
        if record.looks_forged {
            sure += 5;
        }
        if matches!(record.family, Family::Syn | Family::Reflection | Family::Fragment) {
            sure = sure.max(90);
        }
        if record.normal_pps > 0 && record.peak_pps >= record.normal_pps.saturating_mul(10) {
            sure += 5;
        }
        sure.min(99)
    }

    /// Whether there is something worth telling people by now; if so it counts as told.
    pub(crate) fn tells(&mut self, at: Instant) -> bool {
        let record = &self.record;
        if at.millis_since(record.changed_at) < TELL_MS {
            return false;
        }
        let now = self.as_told();
        let told = &self.told;
        let news = now.family != told.family
            || now.vectors != told.vectors
            || now.severity != told.severity
            || now.measures != told.measures
            || now.also != told.also
            || now.peak_pps >= told.peak_pps.max(1).saturating_mul(2);
        if news {
            self.told(at);
        }
        news
    }

    /// People are told of it now.
    pub(crate) fn told(&mut self, at: Instant) {
        self.told = self.as_told();
        self.record.changed_at = at;
    }

    fn as_told(&self) -> Told {
        let record = &self.record;
        let mut vectors: Vec<_> = record.vectors.iter().map(|share| Arc::clone(&share.vector)).collect();
        // Two vectors of equal strength change places all the time.
        vectors.sort_unstable();
        let standing = record.measures.iter().filter(|taken| taken.until.is_none()).count();
        Told {
            family: record.family,
            vectors,
            severity: record.severity,
            measures: (record.measures.len(), standing),
            peak_pps: record.peak_pps,
            also: record.also.len(),
        }
    }

    /// The largest vector.
    pub(crate) fn main(&self) -> Option<&VectorShare> {
        self.record.vectors.first()
    }
}
