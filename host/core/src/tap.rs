//! What the engine tells of single packets while somebody records them: where a frame belongs and how it was judged.
//!
//! What must stay true: without a recorder nothing is kept and nothing is asked; with one, a packet costs a few stores.

use crate::flow::Verdict;
use crate::judge::Judgement;
use crate::judge::Why;
use crate::limits;
use crate::standing::Standing;

/// Where the last frame belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The place of the service, good for [`crate::Engine::service_at`] until the services change; 0 for nobody's
    /// ports.
    pub site: u32,
    /// The server sent it.
    pub reply: bool,
}

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Number of the frame as [`crate::Engine::frame_number`] gave it.
    pub frame: u32,
    /// As in [`Placed`].
    pub site: u32,
    /// The standing of its flow when it was judged.
    pub standing: Standing,
    /// What has become of its flow so far.
    pub verdict: Verdict,
    pub(crate) judgement: Judgement,
    pub(crate) why: Option<Why>,
}

impl Judged {
    /// `genuine`, `hostile` or `unknown`.
    pub const fn judgement(&self) -> &'static str {
        match self.judgement {
            Judgement::Genuine => "genuine",
            Judgement::Hostile => "hostile",
            Judgement::Unknown => "unknown",
        }
    }

    /// Whether it is hostile.
    pub const fn is_hostile(&self) -> bool {
        matches!(self.judgement, Judgement::Hostile)
    }
}

/// What waits for the recorder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap {
    pub(crate) placed: Option<Placed>,
    pub(crate) judged: Vec<Judged>,
}

impl Tap {
    /// Keeps what became of a packet. A recorder that does not listen misses the rest.
    pub(crate) fn judged(&mut self, judged: Judged) {
        if self.judged.len() < limits::TAPPED {
            self.judged.push(judged);
        }
    }
}
