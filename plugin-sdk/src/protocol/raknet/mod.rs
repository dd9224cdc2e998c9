//! RakNet as Bedrock, Rust and others speak it: the words before a connection and the datagrams after it.
//!
//! Facts: Sandertv/go-raknet, CloudburstMC/Network `RakConstants.java`, pmmp/RakLib, facebookarchive/RakNet; lengths
//! measured with jsp-raknet, mcstatus and node-gamedig. Ids differ between titles (Roblox has its own), so a plugin
//! says which of these it believes.

mod connected;
mod offline;

pub use connected::{Connected, Data, connected};
pub use offline::{Offline, is_server_word, offline, reply_cookie};

/// The sixteen bytes that stand in every message outside a connection.
pub const MAGIC: [u8; 16] =
    [0x00, 0xff, 0xff, 0x00, 0xfe, 0xfe, 0xfe, 0xfe, 0xfd, 0xfd, 0xfd, 0xfd, 0x12, 0x34, 0x56, 0x78];

/// Why bytes are not what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The capture ends before the answer. Never a fault of the client.
    Cut,
    /// A message outside a connection without [`MAGIC`] at its place.
    Magic,
    /// The message ends before its fields.
    Short,
    /// A length that no known client gives this message.
    Length,
    /// The address in open connection request 2 is of another family than the message's length.
    Address,
    /// A datagram without a single frame.
    NoFrame,
    /// A frame without content.
    EmptyFrame,
    /// A frame that is longer than what is left of the datagram.
    FrameOverrun,
    /// A part of a message outside the message: part `index` of `count` with `index >= count`.
    SplitBounds,
    /// A message in more than [`SPLIT_PARTS_MAX`] parts.
    SplitHuge,
    /// A receipt whose records are of an unknown kind, backwards, or run over the end.
    Receipt,
    /// A receipt for more than [`RECEIPT_SPAN_MAX`] datagrams in one record.
    ReceiptHuge,
}

/// More parts than this has no message: at the smallest datagram it would be 24 MB, and servers refuse beyond 512
/// (go-raknet) or 8192 (Cloudburst).
pub const SPLIT_PARTS_MAX: u32 = 65_535;

/// More parts than this is refused by every server that counts them (Cloudburst's larger limit).
pub const SPLIT_PARTS_USUAL: u32 = 8_192;

/// One record of a receipt never names more datagrams: at 1400 bytes each they would hold 90 MB unacknowledged.
pub const RECEIPT_SPAN_MAX: u32 = 65_535;
