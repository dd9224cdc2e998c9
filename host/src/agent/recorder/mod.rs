//! Forensics: the last packets of each service, and a file for each incident and recording.
//!
//! ```text
//!  shard:  frame ─► ring of its service ─► judged ─► wanted by a recording ─┐
//!          incident opens: what the ring holds ─────────────────────────────┴─ try_send ─► writer thread ─► files
//! ```
//!
//! What must stay true:
//! * Nothing of the packet path waits for a disk: what finds the writer's queue full is lost and counted.
//! * Every bound is in `limits.rs`; a flood is thinned out evenly to the end of the incident, never cut off.
//! * Ports that credentials come by are never kept, not even in memory.
//! * By default a packet is cut to what its plugin read, and to its headers where none judges.

mod ask;
mod files;
mod kept;
mod limits;
mod live;
mod ring;
mod writer;

use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TrySendError;

use ftagent_core::Engine;
use ftagent_core::Standing;
use ftagent_core::effect::Notice;
use ftagent_core::frame::Frame;
use ftagent_core::service::Role;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Transport;
use ftagent_core::tap::Judged;
use ftagent_core::tap::Placed;
use ftagent_core::time::Instant;

use self::files::Files;
use self::kept::Kept;
use self::kept::Says;
use self::live::Live;
use self::ring::Pace;
use self::ring::Ring;
use self::ring::Slot;
use self::writer::Message;
use crate::config::Config;
use crate::config::Pcap;

pub(crate) use ask::anonymiser;
pub(super) use ask::services_of;
pub(crate) use kept::shareable_bytes;
pub(super) use live::Recording;
pub(super) use writer::start;

/// Where incidents' packets are.
pub(super) fn folder(config: &Config) -> PathBuf {
    config.state_dir.join("incidents")
}

/// The file with an incident's packets, if there is one.
pub(crate) fn find(config: &Config, id: u64) -> Option<PathBuf> {
    Files::new(folder(config), &config.forensics).find(id)
}

/// One service as the recorder knows it.
#[derive(Debug)]
struct Place {
    /// `None` for nobody's ports.
    key: Option<ServiceKey>,
    ring: Ring,
    pace: Pace,
    /// The recordings that want its packets, one bit each.
    wanted: u16,
    /// Packets since the last one that was kept, with what sampling left out.
    passed: u32,
    newest: Instant,
    /// What its plugin reads: of the first packets of a flow, of every packet, of the server's.
    reads: [u16; 3],
    /// Everything that was captured may be kept.
    full: bool,
}

/// Where a packet stands that waits for its opinion.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    frame: u32,
    site: u32,
    slot: u32,
}

/// The recorder. It belongs to the shard's thread.
#[derive(Debug)]
pub(super) struct Recorder {
    pcap: Pcap,
    messages: SyncSender<Message>,
    /// By site of the engine; `None` is not known yet.
    places: Vec<Option<Place>>,
    /// Sites that are never kept.
    never: Vec<bool>,
    lives: Vec<Option<Live>>,
    pending: Vec<Pending>,
    judged: Vec<Judged>,
    ring_bytes: usize,
    tapped: bool,
    lost: u64,
}

impl Recorder {
    /// A recorder whose packets go to the writer behind `messages`.
    pub(super) fn new(pcap: Pcap, messages: SyncSender<Message>) -> Self {
        Self {
            pcap,
            messages,
            places: Vec::new(),
            never: Vec::new(),
            lives: (0..limits::RECORDINGS).map(|_| None).collect(),
            pending: vec![Pending::default(); limits::PENDING],
            judged: Vec::new(),
            ring_bytes: 0,
            tapped: false,
            lost: 0,
        }
    }

    /// Packets and recordings that were lost because the writer did not keep up or too many were wanted at once.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// The engine was given this frame, and answers to full batches.
    #[inline]
    pub(super) fn frame(&mut self, engine: &mut Engine, frame: &Frame<'_>) {
        if !self.tapped {
            return;
        }
        if let Some(placed) = engine.placed() {
            self.place(engine, placed, frame);
        }
        self.judge(engine);
    }

    /// The engine was given answers.
    pub(super) fn judge(&mut self, engine: &mut Engine) {
        if !self.tapped {
            return;
        }
        let mut judged = std::mem::take(&mut self.judged);
        engine.take_judged(&mut judged);
        for judged in &judged {
            let pending = self.pending[judged.frame as usize % limits::PENDING];
            if pending.frame == judged.frame {
                self.settle(engine, &pending, judged);
            }
        }
        self.judged = judged;
    }

    fn place(&mut self, engine: &Engine, placed: Placed, frame: &Frame<'_>) {
        let at = placed.site as usize;
        if self.places.get(at).is_none_or(Option::is_none) && !self.learn(engine, at) {
            return;
        }
        let Some(place) = self.places.get_mut(at).and_then(Option::as_mut) else { return };
        place.passed = place.passed.saturating_add(frame.sample_rate.max(1));
        let wanted = wanted_by(&mut self.lives, place.wanted, frame.at);
        // While a recording decides how much is taken, the ring follows it.
        let ringed = wanted == 0
            && place.wanted == 0
            && self.pcap != Pcap::Off
            && place.pace.take(frame.at, limits::RING_INTERVAL_US, limits::RING_BURST_US);
        if wanted == 0 && !ringed {
            return;
        }
        self.keep(engine.frame_number(), placed, frame, wanted);
    }

    /// Copies the head of a packet into its ring.
    fn keep(&mut self, number: u32, placed: Placed, frame: &Frame<'_>, wanted: u16) {
        let Some(place) = self.places.get_mut(placed.site as usize).and_then(Option::as_mut) else { return };
        if place.ring.wants_room() {
            let step = Ring::step_bytes(head_bytes(self.pcap));
            if self.ring_bytes + step <= limits::RINGS_BYTES {
                place.ring.grow();
                self.ring_bytes += step;
            }
        }
        let payload_at = ftagent_capture::payload_at(frame).unwrap_or(0);
        let [first, every, replies] = place.reads;
        let reads = if placed.reply { replies } else { first };
        let end = if place.full { usize::MAX } else { payload_at + usize::from(reads) };
        let bytes = &frame.bytes[..frame.bytes.len().min(end)];
        let slot = Slot {
            at: frame.at,
            frame: number,
            wire_bytes: frame.wire_bytes,
            stands_for: std::mem::take(&mut place.passed),
            length: 0,
            payload_at: payload_at as u16,
            reads: if placed.reply { replies } else { every },
            link: frame.link,
            passage: frame.passage,
            reply: placed.reply,
            wanted,
            judged: None,
        };
        place.newest = frame.at;
        let Some(at) = place.ring.put(slot, bytes) else { return };
        let pending = Pending { frame: number, site: placed.site, slot: at as u32 };
        if placed.reply {
            // Nobody judges the server.
            self.hand_over(None, &pending);
        } else {
            self.pending[number as usize % limits::PENDING] = pending;
        }
    }

    fn settle(&mut self, engine: &Engine, pending: &Pending, judged: &Judged) {
        let place = self.places.get_mut(pending.site as usize).and_then(Option::as_mut);
        let found = place.and_then(|place| place.ring.at(pending.slot as usize, pending.frame));
        let Some((slot, _)) = found else { return };
        slot.judged = Some(*judged);
        if judged.standing >= Standing::Settled {
            // Whoever plays is long past the head of his stream.
            slot.length = slot.length.min(slot.payload_at.saturating_add(slot.reads));
        }
        self.hand_over(Some(engine), pending);
    }

    /// Gives a packet to the recordings that want it.
    fn hand_over(&mut self, engine: Option<&Engine>, pending: &Pending) {
        let place = self.places.get_mut(pending.site as usize).and_then(Option::as_mut);
        let found = place.and_then(|place| place.ring.at(pending.slot as usize, pending.frame));
        let Some((slot, bytes)) = found.filter(|(slot, _)| slot.wanted != 0) else { return };
        let wanted = std::mem::take(&mut slot.wanted);
        let kept = kept(engine, slot, bytes);
        let lives = self.lives.iter_mut().enumerate().filter(|(at, _)| wanted >> at & 1 == 1);
        lives.filter_map(|(_, live)| live.as_mut()).for_each(|live| live.waiting.push(kept.clone()));
    }

    /// Makes the place of a site; `false` if it is never kept.
    fn learn(&mut self, engine: &Engine, at: usize) -> bool {
        if self.never.get(at).copied().unwrap_or(false) {
            return false;
        }
        if self.places.len() <= at {
            self.places.resize_with(at + 1, || None);
            self.never.resize(at + 1, false);
        }
        let service = engine.service_at(at as u32);
        if service.is_some_and(|service| carries_credentials(service.role)) {
            self.never[at] = true;
            return false;
        }
        let wanted = self.wanted_of(service.map(|service| service.key));
        let (each, head, replies) = engine.reads_at(at as u32);
        // What nobody named may be a port for credentials; what a plugin guesses of it does not change that.
        let known = service.is_some_and(|s| s.role != Role::Unknown);
        let head = if service.is_some_and(|s| s.key.transport == Transport::Tcp) { head } else { 0 };
        let reads = if known { [each.max(head), each, if replies { each } else { 0 }] } else { [0; 3] };
        self.places[at] = Some(Place {
            key: service.map(|service| service.key),
            ring: Ring::new(head_bytes(self.pcap)),
            pace: Pace::default(),
            wanted,
            passed: 0,
            newest: Instant::START,
            reads,
            full: known && self.pcap == Pcap::Full,
        });
        true
    }

    fn wanted_of(&self, key: Option<ServiceKey>) -> u16 {
        let lives = self.lives.iter().enumerate();
        let covering = lives.filter(|(_, live)| live.as_ref().is_some_and(|live| live.covers(key)));
        covering.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// The services or the plugins changed: what a site means may be something else now.
    pub(super) fn services_changed(&mut self, engine: &Engine) {
        self.never.clear();
        for at in 0..self.places.len() {
            let Some(mut place) = self.places[at].take() else { continue };
            let same = engine.service_at(at as u32).map(|service| service.key) == place.key;
            if self.learn(engine, at) && same {
                let Some(fresh) = self.places[at].take() else { continue };
                (place.reads, place.full, place.wanted) = (fresh.reads, fresh.full, fresh.wanted);
                self.places[at] = Some(place);
            } else {
                self.ring_bytes -= place.ring.bytes();
            }
        }
        self.never.resize(self.places.len(), false);
    }

    /// An incident opens, grows or ends.
    pub(super) fn notice(&mut self, engine: &Engine, notice: &Notice) {
        if self.pcap == Pcap::Off {
            return;
        }
        match notice {
            Notice::IncidentOpened(incident) => {
                let comment = live::comment(incident, self.pcap);
                if self.begin(Live::of_incident(incident), Message::Incident { id: incident.id, comment }) {
                    self.dump(engine, incident.id, incident.opened_at);
                }
            }
            Notice::IncidentChanged(incident) => {
                let known = self.lives.iter_mut().flatten().find(|live| live.id == incident.id);
                if known.is_some_and(|live| live.spread(incident)) {
                    self.rewant();
                }
            }
            Notice::IncidentClosed(incident) => self.end(incident.id),
            Notice::FirstHostile { .. } => {}
        }
    }

    /// Somebody wants a recording; whether it can be had.
    pub(super) fn record(&mut self, engine: &mut Engine, now: Instant, recording: Recording) -> bool {
        let by_hand = self.lives.iter().flatten().filter(|live| live.by_hand()).count();
        let (live, message) = recording.begin(now);
        let begun = by_hand < limits::BY_HAND && self.begin(live, message);
        self.tick(engine, now);
        begun
    }

    fn begin(&mut self, live: Live, message: Message) -> bool {
        let Some(free) = self.lives.iter().position(Option::is_none) else {
            self.lost += 1;
            return false;
        };
        if self.messages.try_send(message).is_err() {
            self.lost += 1;
            return false;
        }
        self.lives[free] = Some(live);
        self.rewant();
        true
    }

    fn end(&mut self, id: u64) {
        let Some(at) = self.lives.iter().position(|live| live.as_ref().is_some_and(|live| live.id == id))
        else {
            return;
        };
        self.flush();
        self.lives[at] = None;
        self.rewant();
        if self.messages.try_send(Message::End { id }).is_err() {
            self.lost += 1;
        }
    }

    fn rewant(&mut self) {
        for at in 0..self.places.len() {
            let Some(key) = self.places[at].as_ref().map(|place| place.key) else { continue };
            let wanted = self.wanted_of(key);
            if let Some(place) = &mut self.places[at] {
                place.wanted = wanted;
            }
        }
    }

    /// Writes what the rings hold from before an incident.
    fn dump(&mut self, engine: &Engine, id: u64, opened_at: Instant) {
        let Some(live) = self.lives.iter_mut().flatten().find(|live| live.id == id) else { return };
        let then = Instant::from_micros(opened_at.as_micros().saturating_sub(limits::RING_MS * 1_000));
        let mut before: Vec<Kept> = Vec::new();
        for place in self.places.iter().flatten().filter(|place| live.covers(place.key)) {
            let room = limits::RING_PACKETS.saturating_sub(before.len());
            let all = place.ring.since(then).count();
            let young = place.ring.since(then).skip(all.saturating_sub(room));
            before.extend(young.map(|(slot, bytes)| kept(Some(engine), slot, bytes)));
        }
        before.sort_by_key(|kept| kept.at);
        live.waiting.splice(..0, before);
        self.flush();
    }

    /// Between two blocks of packets: hands over what is to be written, ends what is over, frees what is old.
    pub(super) fn tick(&mut self, engine: &mut Engine, now: Instant) {
        self.flush();
        let over = self.lives.iter().flatten().find(|live| live.is_over(now)).map(|live| live.id);
        if let Some(id) = over {
            self.end(id);
        }
        for place in self.places.iter_mut().flatten() {
            if place.ring.bytes() > 0 && now.millis_since(place.newest) > limits::RING_MS {
                self.ring_bytes -= place.ring.bytes();
                place.ring = Ring::new(head_bytes(self.pcap));
            }
        }
        let tapped = self.pcap != Pcap::Off || self.lives.iter().any(Option::is_some);
        if tapped != self.tapped {
            self.tapped = tapped;
            engine.set_tap(tapped);
        }
    }

    fn flush(&mut self) {
        for live in self.lives.iter_mut().flatten().filter(|live| !live.waiting.is_empty()) {
            let packets = std::mem::take(&mut live.waiting);
            let sent = self.messages.try_send(Message::Packets { id: live.id, packets });
            if let Err(TrySendError::Full(Message::Packets { packets, .. })) = sent {
                self.lost += packets.len() as u64;
            }
        }
    }
}

/// Which of the recordings that want a place's packets take this one.
fn wanted_by(lives: &mut [Option<Live>], mask: u16, at: Instant) -> u16 {
    if mask == 0 {
        return 0;
    }
    let lives = lives.iter_mut().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
    lives.fold(0, |bits, (bit, live)| {
        let takes = live.as_mut().is_some_and(|live| live.take(at));
        bits | u16::from(takes) << bit
    })
}

fn kept(engine: Option<&Engine>, slot: &Slot, bytes: &[u8]) -> Kept {
    let judged = slot.judged.as_ref();
    let nothing = if slot.reply { "reply" } else { "-" };
    let read_bytes = (bytes.len() as u16).saturating_sub(slot.payload_at);
    let says = Says {
        judgement: judged.map_or(nothing, Judged::judgement),
        reason: judged.and_then(|judged| engine?.reason_of(judged)),
        standing: judged.map_or("-", |judged| judged.standing.name()),
        verdict: judged.map_or("-", |judged| judged.verdict.name()),
        read_bytes,
        stands_for: slot.stands_for,
    };
    let bytes = bytes[..usize::from(slot.length).min(bytes.len())].into();
    Kept { at: slot.at, link: slot.link, passage: slot.passage, wire_bytes: slot.wire_bytes, bytes, says }
}

const fn head_bytes(pcap: Pcap) -> usize {
    match pcap {
        Pcap::Full => limits::FULL_BYTES,
        Pcap::Off | Pcap::Heads => limits::HEAD_BYTES,
    }
}

/// Ports by which passwords, tokens and files come.
const fn carries_credentials(role: Role) -> bool {
    match role {
        Role::Rcon | Role::Http | Role::File => true,
        Role::Unknown | Role::Game | Role::Query | Role::Voice | Role::Beacon => false,
    }
}

#[cfg(test)]
mod tests;
