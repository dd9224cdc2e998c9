//! The shard: one thread that captures, asks the plugins and judges. It owns its engine, its rings and its seats;
//! nothing of them is shared, so there is no lock on the packet path.
//!
//! It is told things over a bounded queue that it looks into between two blocks, and it hands effects to the
//! enforcer over another. When that one is full the effects wait here, up to a bound; what is lost is counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TryRecvError;
use std::sync::mpsc::TrySendError;
use std::time::Duration;

use ftagent_alert::Alerts;
use ftagent_capture::CapturePlan;
use ftagent_capture::LiveCapture;
use ftagent_capture::Losses;
use ftagent_core::Engine;
use ftagent_core::Explanation;
use ftagent_core::Report;
use ftagent_core::Roster;
use ftagent_core::Run;
use ftagent_core::baseline::Learnt;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Effects;
use ftagent_core::effect::Notice;
use ftagent_core::engine::FixedLimit;
use ftagent_core::frame::Frame;
use ftagent_core::incident::Incident;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::tally::Tallies;
use ftagent_core::time::Instant;
use ftagent_sandbox::Health;
use ftagent_sandbox::Seat;
use tokio::sync::oneshot;

use super::enforcer::Order;
use super::recorder::Recorder;
use super::recorder::Recording;
use super::seats::Seats;

/// How long to wait for packets before looking at the controls again.
const WAIT: Duration = Duration::from_millis(10);

/// Effects that may wait for the enforcer. More than this is lost and counted: the enforcer hangs, and renewals
/// come again within seconds.
const WAITING_EFFECTS_MAX: usize = 65_536;

/// What a shard can be told.
#[expect(clippy::large_enum_variant, reason = "few wait at a time, and the large one is sent once a life")]
pub(crate) enum Control {
    /// The services changed, and with them what is captured.
    Services(Arc<Services>, CapturePlan),
    /// A plugin changed or came.
    Plugin { at: usize, roster: Arc<Roster>, seat: Option<Seat> },
    /// What the kernel had counted then.
    Tallies(Instant, Tallies),
    /// The wall clock may have been set: what it says at the start of ours, in microseconds.
    WallClock(i64),
    /// The operator's own limits.
    FixedLimits(Vec<(ServiceKey, FixedLimit)>),
    /// Somebody wants to keep what was learnt.
    Learnt(oneshot::Sender<Learnt>),
    /// Incidents are told of from now on.
    Alerts(Alerts),
    /// Their packets are kept from now on.
    Recorder(Recorder),
    /// Somebody wants a recording; the answer is whether it can be had.
    Record(Recording, oneshot::Sender<bool>),
    /// Somebody wants to know how things are.
    Report(oneshot::Sender<ShardReport>),
    /// Somebody wants to know everything of one address.
    Explain(IpAddr, oneshot::Sender<Explanation>),
}

/// How things are at this shard.
pub(crate) struct ShardReport {
    pub(crate) engine: Report,
    /// The incidents that are open.
    pub(crate) incidents: Vec<Arc<Incident>>,
    pub(crate) losses: Losses,
    pub(crate) health: Vec<Option<Health>>,
    /// Name of each interface and whether it is watched at the moment.
    pub(crate) interfaces: Vec<(String, bool)>,
    pub(crate) effects_lost: u64,
    /// Packets that the recorder lost because its writer did not keep up.
    pub(crate) unrecorded: u64,
}

/// One capture thread's belongings.
pub(crate) struct Shard {
    pub(crate) capture: LiveCapture,
    pub(crate) engine: Engine,
    pub(crate) seats: Seats,
    pub(crate) controls: Receiver<Control>,
    pub(crate) orders: SyncSender<Order>,
    /// Whoever tells people, if anybody is to be told.
    pub(crate) alerts: Option<Alerts>,
    /// Whoever keeps packets.
    pub(crate) recorder: Option<Recorder>,
}

impl Shard {
    /// Works until whoever holds the other end of the controls is gone.
    pub(crate) fn work(mut self) -> Result<(), ftagent_capture::CaptureError> {
        prefer_this_thread();
        let mut effects = Effects::default();
        let mut run = Run::default();
        let mut effects_lost = 0;
        // Effects that were told of and still wait for the enforcer.
        let mut held = 0;
        loop {
            loop {
                match self.controls.try_recv() {
                    Ok(control) => self.obey(control, effects_lost, &mut effects)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            let (engine, seats, recorder) = (&mut self.engine, &mut self.seats, &mut self.recorder);
            let mut kept = |engine: &mut Engine, frame: &Frame<'_>| {
                if let Some(recorder) = recorder {
                    recorder.frame(engine, frame);
                }
            };
            let end = self.capture.next_block(WAIT, &mut |frame| {
                run.hold(frame);
                if run.is_full() {
                    seats.take_each(engine, &mut run, &mut effects, &mut kept);
                }
            })?;
            seats.take_each(engine, &mut run, &mut effects, &mut kept);
            self.seats.answer_pending(&mut self.engine, end.now, &mut effects);
            if let Some(recorder) = &mut self.recorder {
                recorder.judge(&mut self.engine);
            }
            self.engine.tick(end.now, &mut effects);
            for report in self.capture.take_reports() {
                tracing::warn!(?report, "capture");
            }
            let notices = notices(&effects.asked[held..]);
            effects_lost += self.hand_over(&mut effects);
            held = effects.asked.len();
            self.tell(&notices, end.now);
        }
    }

    fn obey(
        &mut self,
        control: Control,
        effects_lost: u64,
        effects: &mut Effects,
    ) -> Result<(), ftagent_capture::CaptureError> {
        match control {
            Control::Tallies(at, counted) => self.engine.tallies(at, &counted, effects),
            Control::WallClock(micros_at_start) => self.engine.set_wall_clock(micros_at_start),
            Control::FixedLimits(limits) => self.engine.set_fixed_limits(limits),
            Control::Learnt(reply) => {
                // Whoever asked may have left.
                let _ = reply.send(self.engine.learnt());
            }
            Control::Services(services, plan) => {
                self.engine.set_services(services);
                self.capture.set_plan(&plan)?;
                self.places_changed();
            }
            Control::Plugin { at, roster, seat } => {
                self.engine.set_roster(roster);
                self.seats.put(at, seat);
                self.places_changed();
            }
            Control::Alerts(alerts) => self.alerts = Some(alerts),
            Control::Recorder(recorder) => self.recorder = Some(recorder),
            Control::Record(recording, reply) => {
                let engine = &mut self.engine;
                let now = engine.now();
                let begun = self.recorder.as_mut().is_some_and(|r| r.record(engine, now, recording));
                // Whoever asked may have left.
                let _ = reply.send(begun);
            }
            Control::Report(reply) => {
                let report = ShardReport {
                    engine: self.engine.report(),
                    incidents: self.engine.incidents(),
                    losses: self.capture.losses(),
                    health: self.seats.health(),
                    interfaces: self.capture.interfaces().map(|(seen, on)| (seen.name.clone(), on)).collect(),
                    effects_lost,
                    unrecorded: self.recorder.as_ref().map_or(0, Recorder::lost),
                };
                // Whoever asked may have left.
                let _ = reply.send(report);
            }
            Control::Explain(address, reply) => {
                // Whoever asked may have left.
                let _ = reply.send(self.engine.explain(address));
            }
        }
        Ok(())
    }

    /// People are told from here and not from the enforcer, so that neither waits for the other.
    fn tell(&mut self, notices: &[Notice], now: Instant) {
        for notice in notices {
            if let Some(alerts) = &self.alerts {
                alerts.tell(notice);
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.notice(&self.engine, notice);
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.tick(&mut self.engine, now);
        }
    }

    fn places_changed(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.services_changed(&self.engine);
        }
    }

    /// Hands the effects to the enforcer; says how many were lost.
    fn hand_over(&self, effects: &mut Effects) -> u64 {
        if effects.asked.is_empty() {
            return 0;
        }
        match self.orders.try_send(Order::Effects(std::mem::take(&mut effects.asked))) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => 0,
            Err(TrySendError::Full(Order::Effects(mut waiting))) => {
                let lost = waiting.len().saturating_sub(WAITING_EFFECTS_MAX);
                waiting.drain(..lost);
                effects.asked = waiting;
                lost as u64
            }
            Err(TrySendError::Full(_)) => 0,
        }
    }
}

/// What people are to be told of. Hardly ever anything.
fn notices(asked: &[(Instant, Effect)]) -> Vec<Notice> {
    let notices = asked.iter().filter_map(|(_, effect)| match effect {
        Effect::Notice(notice) => Some(notice.clone()),
        _ => None,
    });
    notices.collect()
}

/// The packet path runs before the game servers' threads, because a flood would otherwise starve its own cure.
fn prefer_this_thread() {
    let this = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(this), -10) {
        tracing::warn!(%error, "cannot prefer the capture thread");
    }
}
