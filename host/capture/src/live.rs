//! Live capture: for each interface one ring of what goes out, never sampled, and one of what comes in.
//!
//! ```text
//!  interface ─┬─ ring out ─┐                      ┌─ own address? (only if the kernel could not)
//!             └─ ring in ──┴─ oldest frame first ─┴─ sampler (only what comes in) ─► the caller
//! ```
//!
//! What must stay true:
//! * Frames are handed out in the order of their times over all rings, because a handshake's answer lies in
//!   another ring than its question. A frame waits until every other ring has a later one or [`ORDER_US`] passed.
//! * Times are `CLOCK_MONOTONIC` in microseconds and never go backwards. The ring stamps frames with the
//!   real-time clock; the difference of both clocks is taken anew at every call, and what a jump of the
//!   real-time clock would displace is pinned between the frame before and now.
//! * One thread reads one capture. Several threads will each open their own, joined by PACKET_FANOUT.

use std::collections::HashSet;
use std::hash::RandomState;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use ftagent_core::time::Instant;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::time::ClockId;
use nix::time::clock_gettime;

use crate::error::CaptureError;
use crate::interfaces::Interface;
use crate::peek::Peek;
use crate::plan::CapturePlan;
use crate::plan::is_own;
use crate::ring::Failed;
use crate::ring::Ring;
use crate::ring::Shape;
use crate::sample::Sampler;

mod tap;

use tap::Tap;

/// How long a frame waits for older ones of other rings, in microseconds: the kernel's retire timeout of 8 ms
/// and the coarseness of its timers (4 ms at 250 Hz).
pub const ORDER_US: u64 = 12_000;

/// The kernel hands a block over after this long even if it is not full, in milliseconds.
pub const RETIRE_MS: u32 = 8;

/// The most frames of one call; the caller gets a chance to do other work.
pub const FRAMES_PER_CALL_MAX: u32 = 1_024;

/// A frame further in the future than this was stamped before the real-time clock was set back.
const DISPLACED_NS: u64 = 50_000_000;

/// How often interfaces are looked after and losses read, in microseconds.
const LOOK_US: u64 = 250_000;

/// Reports that nobody fetched; later ones are left out.
const REPORTS_MAX: usize = 256;

/// How much memory and how many packets a capture may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Packets a second into the node beyond which flows are sampled.
    pub packets_per_second_max: u32,
    /// Bytes of one block: a power of two, a multiple of the page size, at least 128 KiB.
    pub block_bytes: u32,
    /// Blocks of the ring of what comes in.
    pub ingress_blocks: u32,
    /// Blocks of the ring of what goes out.
    pub egress_blocks: u32,
}

impl Default for Options {
    /// 200,000 packets a second; 16 MiB in and 8 MiB out for each interface.
    fn default() -> Self {
        Self {
            packets_per_second_max: 200_000,
            block_bytes: 512 * 1024,
            ingress_blocks: 32,
            egress_blocks: 16,
        }
    }
}

/// What was captured and could not be handed out, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Packets that found the ring full, both directions.
    pub ring_full: u64,
    /// Of these, packets that went out: evidence for players is missing.
    pub egress_ring_full: u64,
    /// How often the kernel had to stop writing because the ring was full.
    pub freezes: u64,
    /// Packets left out by sampling; the handed-out ones stand for them.
    pub sampled_away: u64,
    /// Frames and blocks of the ring that contradicted themselves. Always 0 on a sound kernel.
    pub damaged: u64,
}

/// What a call of [`LiveCapture::next_block`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockEnd {
    /// Frames handed out.
    pub frames: u32,
    /// More are waiting: call again without other work if there is none.
    pub more: bool,
    /// What each frame into the node stands for at the moment.
    pub sample_rate: u32,
    /// No later frame is earlier than this: the frames' clock, for the engine's own ticking. It moves also when
    /// nothing is captured, and is behind `CLOCK_MONOTONIC` by [`ORDER_US`].
    pub now: Instant,
}

/// Something happened to an interface that the operator should read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It went down; it is still watched and needs nothing when it comes back.
    Down {
        /// Which one.
        interface: String,
    },
    /// It has another name now; it is still watched.
    Renamed {
        /// Its name before.
        from: String,
        /// Its name now.
        to: String,
    },
    /// It is gone or its ring cannot be read; opening is tried again, less and less often.
    Lost {
        /// Which one.
        interface: String,
        /// Why.
        why: String,
    },
    /// It is back.
    Reopened {
        /// Which one.
        interface: String,
    },
}

/// The rings of all watched interfaces.
#[derive(Debug)]
pub struct LiveCapture {
    taps: Vec<Tap>,
    plan: CapturePlan,
    /// Set when the plan's addresses are too many for the kernel's filter.
    own: Option<HashSet<IpAddr>>,
    sampler: Sampler,
    reports: Vec<Report>,
    losses: Losses,
    /// The time of the last frame; none is earlier.
    last_at: Instant,
    looked_at_us: u64,
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    monotonic_us: u64,
    real_ns: u64,
}

impl LiveCapture {
    /// Watches these interfaces.
    ///
    /// # Errors
    /// A socket cannot be opened: no such interface, no CAP_NET_RAW, no memory for the ring.
    pub fn open(
        interfaces: &[Interface],
        plan: &CapturePlan,
        options: Options,
    ) -> Result<Self, CaptureError> {
        let mut taps = Vec::with_capacity(interfaces.len());
        for interface in interfaces {
            taps.push(Tap::open(interface.clone(), plan, options)?);
        }
        Ok(Self {
            taps,
            plan: plan.clone(),
            own: plan.own_in_user_space(),
            sampler: Sampler::new(options.packets_per_second_max, RandomState::new()),
            reports: Vec::new(),
            losses: Losses::default(),
            last_at: Instant::START,
            looked_at_us: 0,
        })
    }

    /// Hands out the frames that are due, at most [`FRAMES_PER_CALL_MAX`]; if there is none, waits for one or
    /// until the timeout has passed.
    ///
    /// # Errors
    /// Waiting fails. A lost interface is no error but a [`Report`].
    pub fn next_block(
        &mut self,
        timeout: Duration,
        each: &mut impl FnMut(&Frame<'_>),
    ) -> Result<BlockEnd, CaptureError> {
        let mut clocks = Clocks::now();
        let until_us = clocks.monotonic_us.saturating_add(timeout.as_micros() as u64);
        let mut end = loop {
            self.look_after(clocks);
            let end = self.drain(clocks, each);
            if end.frames > 0 || clocks.monotonic_us >= until_us {
                break end;
            }
            // Frames that were all left out are no reason to wait.
            if !end.more {
                let left = Duration::from_micros(until_us - clocks.monotonic_us);
                self.wait(left).map_err(|source| CaptureError::Socket {
                    op: "wait for packets",
                    interface: self.names(),
                    source,
                })?;
            }
            clocks = Clocks::now();
        };
        if !end.more {
            // What is still waiting or not yet handed over by the kernel is younger than this.
            let drained = Instant::from_micros(clocks.monotonic_us.saturating_sub(ORDER_US));
            self.last_at = self.last_at.max(drained);
        }
        end.now = self.last_at;
        Ok(end)
    }

    /// Captures by another plan from now on; no packet is lost in between.
    ///
    /// # Errors
    /// The kernel refuses a filter; sockets that already have the new one keep it.
    pub fn set_plan(&mut self, plan: &CapturePlan) -> Result<(), CaptureError> {
        if *plan == self.plan {
            return Ok(());
        }
        self.plan = plan.clone();
        self.own = plan.own_in_user_space();
        for tap in &self.taps {
            tap.attach(plan)?;
        }
        Ok(())
    }

    /// What could not be handed out so far.
    pub fn losses(&mut self) -> Losses {
        self.count_losses();
        self.losses
    }

    /// What happened to interfaces since the last call.
    pub fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    /// The interfaces, under their present names, and whether each is up and watched at the moment.
    pub fn interfaces(&self) -> impl Iterator<Item = (&Interface, bool)> {
        self.taps
            .iter()
            .map(|tap| (&tap.interface, tap.rings.is_some() && crate::interfaces::is_up(&tap.interface.name)))
    }

    fn names(&self) -> String {
        self.taps.iter().map(|tap| tap.interface.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn drain(&mut self, clocks: Clocks, each: &mut impl FnMut(&Frame<'_>)) -> BlockEnd {
        let mut end = BlockEnd::default();
        let mut looked = 0;
        // Left-out frames count too, so that a flood cannot keep us in here.
        while looked < FRAMES_PER_CALL_MAX {
            let Some((ring, link, passage, nanos)) = oldest(&mut self.taps, clocks) else { break };
            looked += 1;
            let at = clocks.instant(nanos).max(self.last_at);
            self.last_at = at;
            if let Some(slot) = ring.slot() {
                let own = self.own.as_ref().is_none_or(|own| {
                    Peek::of(link, slot.bytes).is_some_and(|peek| is_own(own, passage, &peek))
                });
                let rate = match passage {
                    _ if !own => None,
                    Passage::Ingress => self.sampler.keep(at, link, slot.bytes),
                    _ => Some(1),
                };
                if let Some(sample_rate) = rate {
                    let wire_bytes = slot.wire_bytes.max(slot.bytes.len() as u32);
                    each(&Frame { at, link, passage, bytes: slot.bytes, wire_bytes, sample_rate });
                    end.frames += 1;
                }
            } else {
                self.losses.damaged += 1;
            }
            ring.advance();
        }
        end.more = looked == FRAMES_PER_CALL_MAX;
        end.sample_rate = self.sampler.rate();
        end
    }

    /// Waits for the kernel, or until frames that wait for their turn are due.
    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = timeout.min(Duration::from_micros(LOOK_US));
        if self.taps.iter_mut().any(Tap::holds_frames) {
            // A held block keeps `poll` from waiting at all.
            std::thread::sleep(timeout.min(Duration::from_millis(1)));
            return Ok(());
        }
        let mut sockets: Vec<PollFd<'_>> = self
            .taps
            .iter()
            .flat_map(Tap::sockets)
            .map(|socket| PollFd::new(socket, PollFlags::POLLIN | PollFlags::POLLERR))
            .collect();
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match nix::poll::poll(&mut sockets, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let failed = sockets.iter().any(|socket| {
            socket.revents().is_some_and(|events| events.intersects(PollFlags::POLLERR | PollFlags::POLLNVAL))
        });
        drop(sockets);
        if failed {
            for tap in &mut self.taps {
                keep_reports(&mut self.reports, tap.errors());
            }
        }
        Ok(())
    }

    fn look_after(&mut self, clocks: Clocks) {
        if clocks.monotonic_us.saturating_sub(self.looked_at_us) < LOOK_US {
            return;
        }
        self.looked_at_us = clocks.monotonic_us;
        self.count_losses();
        for tap in &mut self.taps {
            let report = tap.look_after(&self.plan, clocks.monotonic_us);
            keep_reports(&mut self.reports, report);
        }
    }

    fn count_losses(&mut self) {
        for tap in &mut self.taps {
            let counted = tap.take_losses();
            self.sampler.lost(counted.ring_full - counted.egress_ring_full);
            self.losses.ring_full += counted.ring_full;
            self.losses.egress_ring_full += counted.egress_ring_full;
            self.losses.freezes += counted.freezes;
            self.losses.damaged += counted.damaged;
        }
        self.losses.sampled_away = self.sampler.sampled_away();
    }
}

impl Clocks {
    fn now() -> Self {
        let read = |clock| clock_gettime(clock).expect("both clocks exist on every Linux");
        let (monotonic, real) = (read(ClockId::CLOCK_MONOTONIC), read(ClockId::CLOCK_REALTIME));
        let nanos = |time: nix::sys::time::TimeSpec| {
            time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs()
        };
        Self { monotonic_us: nanos(monotonic) / 1_000, real_ns: nanos(real) }
    }

    /// A ring's time on the monotonic clock; a time of the future is now.
    fn instant(self, real_ns: u64) -> Instant {
        let age_us = self.real_ns.saturating_sub(real_ns) / 1_000;
        Instant::from_micros(self.monotonic_us.saturating_sub(age_us))
    }
}

/// The ring with the oldest frame, if that frame need not wait for others any more.
fn oldest(taps: &mut [Tap], clocks: Clocks) -> Option<(&mut Ring, Link, Passage, u64)> {
    let mut best: Option<(u64, usize, Passage)> = None;
    let mut all_have_one = true;
    for (index, tap) in taps.iter_mut().enumerate() {
        let Some(rings) = &mut tap.rings else { continue };
        for (ring, passage) in [(&mut rings.ingress, Passage::Ingress), (&mut rings.egress, Passage::Egress)]
        {
            let Some(nanos) = ring.head_nanos() else {
                all_have_one = false;
                continue;
            };
            if best.is_none_or(|(oldest, _, _)| nanos < oldest) {
                best = Some((nanos, index, passage));
            }
        }
    }
    let (nanos, index, passage) = best?;
    let aged = clocks.real_ns.saturating_sub(nanos) >= ORDER_US * 1_000;
    // The real-time clock was set back; without this, frames would wait until it has caught up.
    let displaced = nanos.saturating_sub(clocks.real_ns) >= DISPLACED_NS;
    if !(all_have_one || aged || displaced) {
        return None;
    }
    let tap = &mut taps[index];
    let link = tap.interface.link;
    let rings = tap.rings.as_mut()?;
    let ring = if passage == Passage::Egress { &mut rings.egress } else { &mut rings.ingress };
    Some((ring, link, passage, nanos))
}

fn keep_reports(reports: &mut Vec<Report>, new: Option<Report>) {
    if reports.len() < REPORTS_MAX {
        reports.extend(new);
    }
}

/// How an error of a ring reads.
fn socket_error(interface: &str, (op, source): Failed) -> CaptureError {
    CaptureError::Socket { op, interface: interface.to_owned(), source }
}

/// The ring of one direction.
fn shape(options: Options, blocks: u32) -> Shape {
    Shape { block_bytes: options.block_bytes, blocks, retire_ms: RETIRE_MS }
}
