//! A packet's payload as far as it was captured, and how long it was in truth.
//!
//! No access can panic or read past the end. "Not captured" is never "not there": what needs a byte that was cut
//! away answers `None` or `false`, and [`Payload::differs_at`] is true only where a captured byte contradicts.

use crate::opinion::Reason;
use crate::parse::{Cursor, End, Parse, Stop};

/// The payload of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    captured: &'a [u8],
    len: u32,
}

impl<'a> Payload<'a> {
    /// A view of `captured`, the first bytes of a payload that was `len` bytes long on the wire.
    pub const fn new(captured: &'a [u8], len: u32) -> Self {
        Self { captured, len }
    }

    /// Bytes that the payload had on the wire.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the packet had no payload at all.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that were captured: the payload's beginning.
    pub const fn captured(&self) -> &'a [u8] {
        self.captured
    }

    /// Whether bytes are missing at the end of what was captured.
    pub const fn is_cut(&self) -> bool {
        self.captured.len() < self.len as usize
    }

    /// These bytes, if all of them were captured.
    pub fn get(&self, range: core::ops::Range<usize>) -> Option<&'a [u8]> {
        self.captured.get(range)
    }

    /// The byte at `at`.
    pub fn u8(&self, at: usize) -> Option<u8> {
        self.captured.get(at).copied()
    }

    /// Two bytes, most significant first.
    pub fn u16_be(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    /// Two bytes, least significant first.
    pub fn u16_le(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    /// Three bytes, least significant first (RakNet).
    pub fn u24_le(&self, at: usize) -> Option<u32> {
        self.array(at).map(|[a, b, c]: [u8; 3]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// Four bytes, most significant first.
    pub fn u32_be(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    /// Four bytes, least significant first.
    pub fn u32_le(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// Eight bytes, most significant first.
    pub fn u64_be(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }

    /// Eight bytes, least significant first.
    pub fn u64_le(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// `N` bytes from `at`.
    pub fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.captured.get(at..)?.first_chunk().copied()
    }

    /// Whether the payload begins with `magic`.
    pub fn starts_with(&self, magic: &[u8]) -> bool {
        self.captured.starts_with(magic)
    }

    /// Whether `magic` stands at `at`.
    pub fn magic_at(&self, at: usize, magic: &[u8]) -> bool {
        self.captured.get(at..).is_some_and(|rest| rest.starts_with(magic))
    }

    /// Whether `magic` certainly does not stand at `at`: a captured byte differs, or the payload is too short.
    /// This, and not `!magic_at(..)`, is the test before `hostile`.
    pub fn differs_at(&self, at: usize, magic: &[u8]) -> bool {
        if self.len() < at + magic.len() {
            return true;
        }
        let rest = self.captured.get(at..).unwrap_or_default();
        rest.iter().zip(magic).any(|(seen, wanted)| seen != wanted)
    }

    /// Reads the datagram with a cursor. Reading past what was captured is `NeedMore`, reading past its true end
    /// is `Bad(short)`.
    pub fn parse<T>(&self, short: Reason, read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Stop>) -> Parse<T> {
        let end = if self.is_cut() { End::Unseen } else { End::Final(short) };
        Parse::from(read(&mut Cursor::new(self.captured, end)))
    }
}
