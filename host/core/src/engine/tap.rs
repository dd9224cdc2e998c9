//! The recorder's side of the engine: switched on by it, asked after every frame and every answer.

use std::sync::Arc;

use super::Engine;
use crate::flow::Verdict;
use crate::judge::Judgement;
use crate::judge::Why;
use crate::outbox::Waiting;
use crate::service::Service;
use crate::site::NODE;
use crate::standing::Standing;
use crate::tap::Judged;
use crate::tap::Placed;
use crate::tap::Tap;

impl Engine {
    /// Begins or ends keeping what a recorder wants to know.
    pub fn set_tap(&mut self, on: bool) {
        self.tap = on.then(Tap::default);
    }

    /// Number of the last frame; it wraps.
    pub const fn frame_number(&self) -> u32 {
        self.ledger.counts.total as u32
    }

    /// Where the last frame belongs; `None` if it is none of ours, malformed, or the tap is off.
    pub fn placed(&self) -> Option<Placed> {
        self.tap.as_ref()?.placed
    }

    /// What became of packets since this was asked last, in the order in which it was decided; at most
    /// [`crate::limits::TAPPED`] wait. What `into` held is forgotten, its memory is used again.
    pub fn take_judged(&mut self, into: &mut Vec<Judged>) {
        into.clear();
        if let Some(tap) = &mut self.tap {
            std::mem::swap(&mut tap.judged, into);
        }
    }

    /// The service of a place; `None` for nobody's ports and for places that are not in use.
    pub fn service_at(&self, site: u32) -> Option<&Arc<Service>> {
        self.sites.get(site as usize).filter(|_| site != NODE).map(|site| &site.service)
    }

    /// What the plugin of a place reads, in bytes: of every packet's payload, of the beginning of a stream, and whether
    /// it reads the server's packets too. Zeros where no plugin judges.
    pub fn reads_at(&self, site: u32) -> (u16, u16, bool) {
        let plugin = self.sites.get(site as usize).filter(|_| site != NODE).and_then(|site| site.plugin);
        let manifest = plugin.and_then(|plugin| self.roster.manifest(plugin));
        manifest.map_or((0, 0, false), |m| (m.payload_bytes, m.stream_head, m.replies))
    }

    /// Why a packet is hostile: `plugin/reason` or `host/reason`.
    pub fn reason_of(&self, judged: &Judged) -> Option<Arc<str>> {
        let why = judged.why.filter(|_| (judged.site as usize) < self.sites.len())?;
        Some(self.reason_name(judged.site, why))
    }

    /// A new frame: nothing is known of it yet.
    pub(super) fn tap_frame(&mut self) {
        if let Some(tap) = &mut self.tap {
            tap.placed = None;
        }
    }

    pub(super) fn tap_placed(&mut self, site: u32, reply: bool) {
        if let Some(tap) = &mut self.tap {
            tap.placed = Some(Placed { site, reply });
        }
    }

    pub(super) fn tap_judged(
        &mut self,
        waiting: &Waiting,
        judgement: Judgement,
        why: Option<Why>,
        standing: Standing,
    ) {
        let Some(tap) = &mut self.tap else { return };
        let verdict = self.flows.get(waiting.flow).map_or(Verdict::Pass, |entry| entry.value.verdict);
        let (frame, site) = (waiting.frame, waiting.site);
        tap.judged(Judged { frame, site, standing, verdict, judgement, why });
    }
}
