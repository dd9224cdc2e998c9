//! The two rings of one interface, and what happens when the interface goes down, away, or by another name.

use std::os::fd::BorrowedFd;

use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use nix::net::if_::if_indextoname;
use nix::net::if_::if_nametoindex;

use super::Losses;
use super::Options;
use super::Report;
use super::shape;
use super::socket_error;
use crate::error::CaptureError;
use crate::interfaces::Interface;
use crate::plan::CapturePlan;
use crate::ring::Ring;

/// A lost interface is tried again after this long, and after twice as long each time, in microseconds.
const RETRY_FIRST_US: u64 = 250_000;
const RETRY_MAX_US: u64 = 8_000_000;

/// One watched interface.
#[derive(Debug)]
pub(super) struct Tap {
    pub(super) interface: Interface,
    /// `None` while the interface is lost.
    pub(super) rings: Option<Rings>,
    options: Options,
    retry_at_us: u64,
    retry_us: u64,
    /// Losses of rings that are closed already.
    past: Losses,
}

/// Both directions. Dropping them closes the sockets and unmaps the rings.
#[derive(Debug)]
pub(super) struct Rings {
    pub(super) ingress: Ring,
    pub(super) egress: Ring,
}

impl Rings {
    fn open(interface: &Interface, plan: &CapturePlan, options: Options) -> Result<Self, CaptureError> {
        let open = |passage, blocks| {
            let program = plan.program(interface.link, passage);
            let cooked = interface.link != Link::Ethernet;
            Ring::open(interface.index, cooked, &program, shape(options, blocks))
                .map_err(|failed| socket_error(&interface.name, failed))
        };
        // What goes out first: the proof of a two-way exchange must not begin later than what needs it.
        let egress = open(Passage::Egress, options.egress_blocks)?;
        let ingress = open(Passage::Ingress, options.ingress_blocks)?;
        Ok(Self { ingress, egress })
    }

    fn take_losses(&mut self) -> Losses {
        let ingress = self.ingress.statistics().unwrap_or_default();
        let egress = self.egress.statistics().unwrap_or_default();
        Losses {
            ring_full: ingress.dropped + egress.dropped,
            egress_ring_full: egress.dropped,
            freezes: ingress.freezes + egress.freezes,
            sampled_away: 0,
            damaged: self.ingress.take_damaged() + self.egress.take_damaged(),
        }
    }
}

impl Tap {
    pub(super) fn open(
        interface: Interface,
        plan: &CapturePlan,
        options: Options,
    ) -> Result<Self, CaptureError> {
        let rings = Some(Rings::open(&interface, plan, options)?);
        let (retry_at_us, retry_us) = (0, RETRY_FIRST_US);
        Ok(Self { interface, rings, options, retry_at_us, retry_us, past: Losses::default() })
    }

    pub(super) fn attach(&self, plan: &CapturePlan) -> Result<(), CaptureError> {
        let Some(rings) = &self.rings else { return Ok(()) };
        for (ring, passage) in [(&rings.egress, Passage::Egress), (&rings.ingress, Passage::Ingress)] {
            ring.attach(&plan.program(self.interface.link, passage))
                .map_err(|error| socket_error(&self.interface.name, ("replace the filter", error)))?;
        }
        Ok(())
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().flat_map(|rings| [rings.ingress.socket(), rings.egress.socket()])
    }

    pub(super) fn holds_frames(&mut self) -> bool {
        let Some(rings) = &mut self.rings else { return false };
        rings.ingress.head_nanos().is_some() || rings.egress.head_nanos().is_some()
    }

    pub(super) fn take_losses(&mut self) -> Losses {
        let mut losses = std::mem::take(&mut self.past);
        if let Some(rings) = &mut self.rings {
            let counted = rings.take_losses();
            losses.ring_full += counted.ring_full;
            losses.egress_ring_full += counted.egress_ring_full;
            losses.freezes += counted.freezes;
            losses.damaged += counted.damaged;
        }
        losses
    }

    /// Fetches the sockets' errors, which also lets `poll` wait again.
    pub(super) fn errors(&mut self) -> Option<Report> {
        let rings = self.rings.as_ref()?;
        let errors = [rings.ingress.error(), rings.egress.error()];
        // ENETDOWN is all a packet socket reports; whether the interface is gone is seen by `look_after`.
        let down = errors.into_iter().flatten().next().is_some();
        down.then(|| Report::Down { interface: self.interface.name.clone() })
    }

    /// Follows a renamed interface, lets go of a removed one, and tries to get a lost one back.
    pub(super) fn look_after(&mut self, plan: &CapturePlan, now_us: u64) -> Option<Report> {
        if self.rings.is_none() {
            return self.retry(plan, now_us);
        }
        if if_nametoindex(self.interface.name.as_str()) == Ok(self.interface.index) {
            return None;
        }
        // The kernel knows the socket's interface by its number, so a new name changes nothing for the ring.
        // For a number that is gone nix may answer with an empty name.
        let name = if_indextoname(self.interface.index).ok().and_then(|name| name.into_string().ok());
        if let Some(to) = name.filter(|name| !name.is_empty()) {
            let from = std::mem::replace(&mut self.interface.name, to.clone());
            return Some(Report::Renamed { from, to });
        }
        self.past = self.take_losses();
        self.rings = None;
        self.retry_us = RETRY_FIRST_US;
        self.retry_at_us = now_us + self.retry_us;
        Some(Report::Lost { interface: self.interface.name.clone(), why: "it was removed".to_owned() })
    }

    fn retry(&mut self, plan: &CapturePlan, now_us: u64) -> Option<Report> {
        if now_us < self.retry_at_us {
            return None;
        }
        self.retry_us = (self.retry_us * 2).min(RETRY_MAX_US);
        self.retry_at_us = now_us + self.retry_us;
        let index = if_nametoindex(self.interface.name.as_str()).ok()?;
        self.interface.index = index;
        match Rings::open(&self.interface, plan, self.options) {
            Ok(rings) => {
                self.rings = Some(rings);
                Some(Report::Reopened { interface: self.interface.name.clone() })
            }
            Err(error) => {
                Some(Report::Lost { interface: self.interface.name.clone(), why: error.to_string() })
            }
        }
    }
}
