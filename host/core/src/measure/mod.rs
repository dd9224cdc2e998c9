//! What is done against an attack: the ladder of measures from the weakest up, what each would hit, and why none
//! stronger was taken.
//!
//! Every measure has a reason, an end and an undo. The safe ones are there at once; a further one is taken only
//! where the kernel's counters say that those before it are not enough, so that without such counters (a replay)
//! nothing is ever escalated.

mod answer;
mod blast;
mod ladder;
mod network;
mod pressure;
mod traits;

use std::sync::Arc;

pub(crate) use answer::Answer;
pub(crate) use answer::Finding;
pub(crate) use blast::refusal;
pub(crate) use ladder::Climb;
pub(crate) use ladder::Ladder;
pub(crate) use ladder::View;
pub(crate) use network::Leased;
pub(crate) use network::Leases;
pub(crate) use network::Network;
pub(crate) use network::part;
pub(crate) use pressure::Pressure;
pub(crate) use pressure::Rates;
pub(crate) use traits::Traits;

use crate::service::ServiceKey;
use crate::time::Instant;

/// A kind of measure, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Drop a declared shape.
    Shape,
    /// Drop a shape that was found in this attack.
    FoundShape,
    /// Ask strangers to come again.
    SecondTry,
    /// Limit strangers by hashed source or network.
    BucketLimit,
    /// Limit strangers as a crowd.
    CrowdLimit,
    /// Block proven hostile sources.
    Leases,
    /// Block networks of proven hostile sources.
    PrefixLeases,
    /// Let the kernel answer SYNs.
    SynProxy,
}

impl Measure {
    /// Kebab-case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::FoundShape => "found-shape",
            Self::SecondTry => "second-try",
            Self::BucketLimit => "bucket-limit",
            Self::CrowdLimit => "crowd-limit",
            Self::Leases => "leases",
            Self::PrefixLeases => "prefix-leases",
            Self::SynProxy => "syn-proxy",
        }
    }
}

/// What came of considering a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Came {
    /// It runs as a counter first.
    Trial,
    /// It was taken.
    Taken,
    /// It would not help here.
    Passed,
    /// It would have hit players.
    Refused,
    /// It was taken back before its time.
    Withdrawn,
    /// It ran out.
    Ended,
}

impl Came {
    /// Lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Taken => "taken",
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Ended => "ended",
        }
    }
}

/// One step of an answer to an attack, as `explain` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Instant,
    /// Where.
    pub service: ServiceKey,
    /// Which measure.
    pub measure: Measure,
    /// What came of it.
    pub came: Came,
    /// Why, with numbers.
    pub says: Arc<str>,
}
