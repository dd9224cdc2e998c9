//! What the server chose and a client has to return, kept in a flow's note.
//!
//! The number is kept folded to 32 bits: a forger who never saw it hits it once in four thousand million tries.
//! It lies in the note's lower [`Chosen::BITS`] bits; the rest belongs to the plugin.

/// A cookie, token or challenge of the server, and which one it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    kind: u8,
    folded: u32,
}

impl Chosen {
    /// Bits of the note that this takes.
    pub const BITS: u32 = 36;

    /// Reads it from a note.
    pub const fn from_note(note: u64) -> Self {
        Self { kind: (note >> 32) as u8 & 0x0f, folded: note as u32 }
    }

    /// Writes it into a note and leaves the upper bits as they are.
    pub const fn write(self, note: u64) -> u64 {
        (note >> Self::BITS << Self::BITS) | ((self.kind as u64) << 32) | self.folded as u64
    }

    /// The number `value` of this `kind`: 1 to 15, as the plugin counts the things that a server of its game
    /// chooses.
    pub const fn new(kind: u8, value: u64) -> Self {
        Self { kind: kind & 0x0f, folded: (value ^ (value >> 32)) as u32 }
    }

    /// Whether the server was seen choosing something of this `kind`.
    pub const fn knows(self, kind: u8) -> bool {
        self.kind == kind
    }

    /// Whether this is what the server chose.
    pub const fn is(self, kind: u8, value: u64) -> bool {
        let other = Self::new(kind, value);
        self.kind == other.kind && self.folded == other.folded && kind != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_the_note_and_leaves_the_rest_alone() {
        let rest = 0x0bad_cafe << Chosen::BITS;
        let note = Chosen::new(3, 0x1122_3344_5566_7788).write(rest | 0xf_ffff_ffff);
        assert_eq!(note >> Chosen::BITS, rest >> Chosen::BITS);
        let chosen = Chosen::from_note(note);
        assert!(chosen.knows(3) && chosen.is(3, 0x1122_3344_5566_7788));
        assert!(!chosen.is(2, 0x1122_3344_5566_7788));
        assert!(!chosen.is(3, 0x1122_3344_5566_7789));
    }

    #[test]
    fn an_empty_note_knows_nothing() {
        assert!(!Chosen::from_note(0).is(0, 0));
        assert!(!Chosen::from_note(0).is(1, 0));
    }
}
