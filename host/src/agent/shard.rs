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

use ftagent_capture::CapturePlan;
use ftagent_capture::LiveCapture;
use ftagent_capture::Losses;
use ftagent_core::Engine;
use ftagent_core::Explanation;
use ftagent_core::Report;
use ftagent_core::Roster;
use ftagent_core::Run;
use ftagent_core::baseline::Learnt;
use ftagent_core::effect::Effects;
use ftagent_core::engine::FixedLimit;
use ftagent_core::incident::Incident;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::tally::Tallies;
use ftagent_core::time::Instant;
use ftagent_sandbox::Health;
use ftagent_sandbox::Seat;
use tokio::sync::oneshot;

use super::enforcer::Order;
use super::seats::Seats;

/// How long to wait for packets before looking at the controls again.
const WAIT: Duration = Duration::from_millis(10);

/// Effects that may wait for the enforcer. More than this is lost and counted: the enforcer hangs, and renewals
/// come again within seconds.
const WAITING_EFFECTS_MAX: usize = 65_536;

/// What a shard can be told.
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
}

/// One capture thread's belongings.
pub(crate) struct Shard {
    pub(crate) capture: LiveCapture,
    pub(crate) engine: Engine,
    pub(crate) seats: Seats,
    pub(crate) controls: Receiver<Control>,
    pub(crate) orders: SyncSender<Order>,
}

impl Shard {
    /// Works until whoever holds the other end of the controls is gone.
    pub(crate) fn work(mut self) -> Result<(), ftagent_capture::CaptureError> {
        prefer_this_thread();
        let mut effects = Effects::default();
        let mut run = Run::default();
        let mut effects_lost = 0;
        loop {
            loop {
                match self.controls.try_recv() {
                    Ok(control) => self.obey(control, effects_lost, &mut effects)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            let (engine, seats) = (&mut self.engine, &mut self.seats);
            let end = self.capture.next_block(WAIT, &mut |frame| {
                run.hold(frame);
                if run.is_full() {
                    seats.take(engine, &mut run, &mut effects);
                }
            })?;
            seats.take(engine, &mut run, &mut effects);
            self.seats.answer_pending(&mut self.engine, end.now, &mut effects);
            self.engine.tick(end.now, &mut effects);
            for report in self.capture.take_reports() {
                tracing::warn!(?report, "capture");
            }
            effects_lost += self.hand_over(&mut effects);
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
            }
            Control::Plugin { at, roster, seat } => {
                self.engine.set_roster(roster);
                self.seats.put(at, seat);
            }
            Control::Report(reply) => {
                let report = ShardReport {
                    engine: self.engine.report(),
                    incidents: self.engine.incidents(),
                    losses: self.capture.losses(),
                    health: self.seats.health(),
                    interfaces: self.capture.interfaces().map(|(seen, on)| (seen.name.clone(), on)).collect(),
                    effects_lost,
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

/// The packet path runs before the game servers' threads, because a flood would otherwise starve its own cure.
fn prefer_this_thread() {
    let this = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(this), -10) {
        tracing::warn!(%error, "cannot prefer the capture thread");
    }
}
