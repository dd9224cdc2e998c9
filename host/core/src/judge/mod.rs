//! What opinions are worth. A plugin says what a packet is; only here is decided how gently to act.

pub(crate) mod attack;
pub(crate) mod change;
pub(crate) mod lane;
pub(crate) mod lease;
pub(crate) mod level;

use crate::count::HostReason;
use crate::manifest::Certainty;
use crate::manifest::Class;
use crate::manifest::Manifest;
use crate::question::OpinionRow;
use crate::standing::Standing;

/// Packets a second of a `rate` reason that are nothing unusual where the manifest names no rate for the class.
const RATE_PPS: u32 = 10;

/// A judged packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Genuine,
    Hostile,
    Unknown,
}

/// Why a packet is hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A plugin's reason, from 1.
    Plugin(u16),
    /// The host's.
    Host(HostReason),
}

/// In the kept reasons of flows and sources the host's stand behind all that a manifest can have.
const HOST_REASONS: u16 = 0xff00;

impl Why {
    /// As flows and sources keep it.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Plugin(reason) => reason.min(HOST_REASONS - 1),
            Self::Host(reason) => HOST_REASONS + reason as u16,
        }
    }

    /// From what flows and sources keep.
    pub(crate) fn from_code(code: u16) -> Self {
        match code.checked_sub(HOST_REASONS).and_then(|at| HostReason::ALL.get(usize::from(at))) {
            Some(reason) => Self::Host(*reason),
            None => Self::Plugin(code),
        }
    }
}

/// What is known of one packet when it is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opinion {
    pub(crate) judgement: Judgement,
    pub(crate) class: Class,
    pub(crate) echoed: bool,
    /// With `Hostile`.
    pub(crate) why: Option<(Why, Certainty)>,
}

impl Opinion {
    /// Nobody has one.
    pub(crate) const NONE: Self =
        Self { judgement: Judgement::Unknown, class: Class::None, echoed: false, why: None };

    /// From a plugin's row. What a manifest does not know is no opinion.
    pub(crate) fn of_row(row: &OpinionRow, manifest: &Manifest) -> Self {
        let class = match row.class {
            1 => Class::Opening,
            2 => Class::Query,
            3 => Class::Join,
            4 => Class::Play,
            5 => Class::Control,
            _ => Class::None,
        };
        let reason = row.reason.checked_sub(1).and_then(|at| manifest.reasons.get(usize::from(at)));
        let (judgement, why) = match (row.judgement, reason) {
            (1, _) => (Judgement::Genuine, None),
            (2, Some(reason)) => (Judgement::Hostile, Some((Why::Plugin(row.reason), reason.certainty))),
            _ => (Judgement::Unknown, None),
        };
        Self { judgement, class, echoed: row.proof == 1, why }
    }

    /// An opinion of the host.
    pub(crate) fn of_host(reason: HostReason) -> Self {
        let why = Some((Why::Host(reason), reason.certainty()));
        Self { judgement: Judgement::Hostile, class: Class::None, echoed: false, why }
    }

    /// Whether it is only bad if there is too much of it.
    pub(crate) fn is_rate(&self) -> bool {
        matches!(self.why, Some((_, Certainty::Rate)))
    }
}

/// How many packets a second of this class one source may send; `None` if nothing says.
pub(crate) fn allowed_pps(manifest: &Manifest, opinion: &Opinion, standing: Standing) -> Option<u32> {
    let rate = manifest.rates.iter().find(|rate| rate.class == opinion.class);
    match rate {
        Some(rate) if standing == Standing::Player => Some(rate.per_player),
        Some(rate) => Some(rate.per_source),
        None => opinion.is_rate().then_some(RATE_PPS),
    }
}
