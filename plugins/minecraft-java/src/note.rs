//! What is remembered of a flow, in 64 bits:
//!
//! ```text
//! bits 0..8   phase
//! bits 8..24  the reason, if the phase is `Hostile`
//! bits 32..64 milliseconds since the flow's first packet when the login came
//! ```

use ftagent_plugin::Reason;

/// Where a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known, or too little was sent.
    New,
    /// It asks for the server's status.
    Status,
    /// It asks as clients before 1.7 did.
    Legacy,
    /// A login began this many milliseconds after the flow.
    Login(u32),
    /// Its first bytes are no client's.
    Hostile(Reason),
}

impl Phase {
    /// What a note says. A note of an unknown form says nothing.
    pub(crate) const fn read(note: u64) -> Self {
        match note & 0xff {
            1 => Self::Status,
            2 => Self::Legacy,
            3 => Self::Login((note >> 32) as u32),
            4 => Self::Hostile(Reason((note >> 8) as u16)),
            _ => Self::New,
        }
    }

    /// The note that says this.
    pub(crate) const fn written(self) -> u64 {
        match self {
            Self::New => 0,
            Self::Status => 1,
            Self::Legacy => 2,
            Self::Login(at_ms) => 3 | (at_ms as u64) << 32,
            Self::Hostile(reason) => 4 | (reason.0 as u64) << 8,
        }
    }
}
