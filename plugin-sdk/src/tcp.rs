//! TCP flags and options as sets.

/// The flags of a TCP segment (RFC 9293 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(
    /// FIN in bit 0 to CWR in bit 7.
    pub u8,
);

impl TcpFlags {
    /// No more bytes from the sender.
    pub const FIN: Self = Self(0x01);
    /// The sender begins.
    pub const SYN: Self = Self(0x02);
    /// The connection is refused or gone.
    pub const RST: Self = Self(0x04);
    /// Hand the bytes up at once.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    /// Both sets together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether none is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this segment asks for a connection: SYN without ACK.
    pub const fn is_opening(self) -> bool {
        self.has(Self::SYN) && !self.any(Self::ACK)
    }
}

/// The options that a TCP segment carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpOptions(
    /// Bits as in the contract: MSS in bit 0.
    pub u16,
);

impl TcpOptions {
    /// Maximum segment size.
    pub const MSS: Self = Self(1);
    /// Window scale.
    pub const WINDOW_SCALE: Self = Self(1 << 1);
    /// Selective acknowledgements permitted.
    pub const SACK_PERMITTED: Self = Self(1 << 2);
    /// Selective acknowledgements.
    pub const SACK: Self = Self(1 << 3);
    /// Timestamps.
    pub const TIMESTAMPS: Self = Self(1 << 4);
    /// Fast open (RFC 7413).
    pub const FAST_OPEN: Self = Self(1 << 5);
    /// MD5 signature or authentication option.
    pub const AUTHENTICATION: Self = Self(1 << 6);
    /// A kind that the host does not know.
    pub const OTHER: Self = Self(1 << 14);
    /// The list of options is malformed.
    pub const MALFORMED: Self = Self(1 << 15);

    /// Both sets together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are there.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
