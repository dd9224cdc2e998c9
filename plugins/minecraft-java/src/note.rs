//! What is remembered of a flow, in 64 bits:
//!
//! ```text
//! bits 0..8   phase
//! bits 8..24  the reason, if the phase is `Hostile`; where the next frame begins, if it is `Status` or `Login`
//! bits 24..32 frames that were read behind the opening, if the phase is `Status` or `Login`
//! bits 32..64 milliseconds since the flow's first packet when the login came
//! ```

use ftagent_plugin::Reason;

/// Where a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known, or too little was sent.
    New,
    /// It asks for the server's status; its head was read as far as this.
    Status(Place),
    /// It asks as clients before 1.7 did.
    Legacy,
    /// A login began.
    Login {
        /// Milliseconds since the flow's first packet.
        at_ms: u32,
        /// How far its head was read.
        place: Place,
    },
    /// Its first bytes are no client's.
    Hostile(Reason),
}

impl Phase {
    /// What a note says. A note of an unknown form says nothing.
    pub(crate) const fn read(note: u64) -> Self {
        match note & 0xff {
            1 => Self::Status(Place::read(note)),
            2 => Self::Legacy,
            3 => Self::Login { at_ms: (note >> 32) as u32, place: Place::read(note) },
            4 => Self::Hostile(Reason((note >> 8) as u16)),
            _ => Self::New,
        }
    }

    /// The note that says this.
    pub(crate) const fn written(self) -> u64 {
        match self {
            Self::New => 0,
            Self::Status(place) => 1 | place.written(),
            Self::Legacy => 2,
            Self::Login { at_ms, place } => 3 | place.written() | (at_ms as u64) << 32,
            Self::Hostile(reason) => 4 | (reason.0 as u64) << 8,
        }
    }
}

/// Between two frames of a stream whose opening was read: all before it was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    next: u16,
    frames: u8,
}

impl Place {
    /// Nothing behind it is read any more; no head is longer.
    const END: Self = Self { next: u16::MAX, frames: 0 };

    /// Where the first frame behind the opening begins.
    pub(crate) fn at(next: usize) -> Self {
        Self { next: u16::try_from(next).unwrap_or(u16::MAX), frames: 0 }
    }

    /// One frame further, if the next one's beginning is known and it is not one of too many.
    pub(crate) fn behind(self, next: Option<usize>, frames_max: u8) -> Self {
        let frames = self.frames.saturating_add(1);
        match next {
            Some(next) if frames < frames_max => Self { frames, ..Self::at(next) },
            _ => Self::END,
        }
    }

    /// Where the next frame begins in the stream, perhaps behind what is here.
    pub(crate) const fn next(self) -> u16 {
        self.next
    }

    const fn read(note: u64) -> Self {
        Self { next: (note >> 8) as u16, frames: (note >> 24) as u8 }
    }

    const fn written(self) -> u64 {
        (self.next as u64) << 8 | (self.frames as u64) << 24
    }
}
