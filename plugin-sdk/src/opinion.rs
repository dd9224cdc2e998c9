//! What a plugin says about one packet.
//!
//! An opinion is never an order: the host decides what follows from it. `hostile` cannot be said without a
//! reason, because the constructors do not allow it.

/// One of the manifest's `[[reasons]]`. The macro writes a constant for each into the module `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason(
    /// Its place in the manifest, counted from 1.
    pub u16,
);

/// One of the manifest's `[[flags]]`. The macro writes a constant for each into the module `flag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flag(
    /// Its bit.
    pub u8,
);

/// What a packet is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// The plugin does not say.
    #[default]
    None = 0,
    /// The first words of a connection.
    Opening = 1,
    /// A question about the server.
    Query = 2,
    /// Between the first words and playing.
    Join = 3,
    /// Playing.
    Play = 4,
    /// Acknowledgements, keep-alives, farewells.
    Control = 5,
}

/// The three things that can be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Judgement {
    /// Too little is known. Always right where the evidence is not there.
    #[default]
    Unknown = 0,
    /// A client of this game sends this.
    Genuine = 1,
    /// See the reason.
    Hostile = 2,
}

/// What a plugin thinks of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct Opinion {
    judgement: Judgement,
    class: Class,
    reason: u16,
    echoed: bool,
    detail: u32,
}

impl Opinion {
    /// Too little is known of this packet.
    pub const fn unknown() -> Self {
        Self { judgement: Judgement::Unknown, class: Class::None, reason: 0, echoed: false, detail: 0 }
    }

    /// A client of this game sends this.
    pub const fn genuine(class: Class) -> Self {
        Self { judgement: Judgement::Genuine, class, ..Self::unknown() }
    }

    /// No good client sends this, or not so much of it: the reason's certainty in the manifest says which.
    pub const fn hostile(class: Class, reason: Reason) -> Self {
        Self { judgement: Judgement::Hostile, class, reason: reason.0, ..Self::unknown() }
    }

    /// What the packet is for, where the constructor did not say (`unknown().of(Class::Opening)`).
    pub const fn of(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// The client returned what the server had chosen (a cookie, a challenge), which a forged source cannot. Say
    /// it only after seeing the server's choice, or where the value cannot be guessed.
    pub const fn echoed(self) -> Self {
        Self { echoed: true, ..self }
    }

    /// A number for `ftagent explain` and for tests; it changes nothing.
    pub const fn detail(self, detail: u32) -> Self {
        Self { detail, ..self }
    }

    /// What was said.
    pub const fn judgement(self) -> Judgement {
        self.judgement
    }

    /// What the packet is for.
    pub const fn class(self) -> Class {
        self.class
    }

    /// Why, if a reason was given.
    pub const fn reason(self) -> Option<Reason> {
        if self.reason == 0 { None } else { Some(Reason(self.reason)) }
    }

    /// Whether it was said that the client echoed the server's choice.
    pub const fn is_echoed(self) -> bool {
        self.echoed
    }

    /// The number for people.
    pub const fn detail_number(self) -> u32 {
        self.detail
    }

    /// Whether this is a hostile opinion.
    pub const fn is_hostile(self) -> bool {
        matches!(self.judgement, Judgement::Hostile)
    }

    /// Whether this is a genuine opinion.
    pub const fn is_genuine(self) -> bool {
        matches!(self.judgement, Judgement::Genuine)
    }
}
