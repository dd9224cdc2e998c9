//! Reading a client's bytes one after another without ever meeting a split segment or a bound.
//!
//! A parser is a function of a [`Cursor`] that uses `?`. It is run again from the start whenever more bytes are
//! there, so it needs no state; the notes keep what should be known afterwards.

use crate::opinion::Reason;

/// Why a parser stopped early. `?` hands it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The bytes end before the answer; more may come, or were not captured.
    NeedMore,
    /// No client sends this.
    Bad(Reason),
}

/// What became of a parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse<T> {
    /// The bytes end before the answer. Never a fault of the client by itself.
    NeedMore,
    /// Read.
    Ok(T),
    /// No client sends this.
    Bad(Reason),
}

impl<T> From<Result<T, Stop>> for Parse<T> {
    fn from(result: Result<T, Stop>) -> Self {
        match result {
            Ok(value) => Self::Ok(value),
            Err(Stop::NeedMore) => Self::NeedMore,
            Err(Stop::Bad(reason)) => Self::Bad(reason),
        }
    }
}

/// What it means when the bytes run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// More exist, or may exist.
    Unseen,
    /// The datagram ends here, and a shorter one is no client's.
    Final(Reason),
}

/// A place in a client's bytes.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    end: End,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8], end: End) -> Self {
        Self { bytes, at: 0, end }
    }

    /// How many bytes were read so far.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The bytes that were not read yet, as far as they are here.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Whether nothing is left of what is here.
    pub const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn stop(&self) -> Stop {
        match self.end {
            End::Unseen => Stop::NeedMore,
            End::Final(reason) => Stop::Bad(reason),
        }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.saturating_add(count);
        let taken = self.bytes.get(self.at..end).ok_or_else(|| self.stop())?;
        self.at = end;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let taken = self.rest().first_chunk().copied().ok_or_else(|| self.stop())?;
        self.at += N;
        Ok(taken)
    }

    /// The next byte without taking it.
    pub fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or_else(|| self.stop())
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Stop> {
        self.array().map(u8::from_le_bytes)
    }

    /// Two bytes, most significant first.
    pub fn u16_be(&mut self) -> Result<u16, Stop> {
        self.array().map(u16::from_be_bytes)
    }

    /// Two bytes, least significant first.
    pub fn u16_le(&mut self) -> Result<u16, Stop> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, most significant first.
    pub fn u32_be(&mut self) -> Result<u32, Stop> {
        self.array().map(u32::from_be_bytes)
    }

    /// Four bytes, least significant first.
    pub fn u32_le(&mut self) -> Result<u32, Stop> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, most significant first.
    pub fn u64_be(&mut self) -> Result<u64, Stop> {
        self.array().map(u64::from_be_bytes)
    }

    /// Exactly these bytes. The first one that differs is `bad`, even if the rest is still to come.
    pub fn tag(&mut self, wanted: &[u8], bad: Reason) -> Result<(), Stop> {
        let rest = self.rest();
        if rest.iter().zip(wanted).any(|(seen, wanted)| seen != wanted) {
            return Err(Stop::Bad(bad));
        }
        self.bytes(wanted.len()).map(|_| ())
    }

    /// A number in groups of seven bits, least significant first, the top bit meaning "another byte follows"
    /// (LEB128, Minecraft's VarInt). One that does not end within `max_bytes` (at most 5) is `bad`. Bits above 32
    /// are dropped, as the clients of such protocols do.
    pub fn varint(&mut self, max_bytes: u32, bad: Reason) -> Result<u32, Stop> {
        let mut value = 0;
        for index in 0..max_bytes.min(5) {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Stop::Bad(bad))
    }

    /// `len` bytes that are UTF-8; anything else is `bad`.
    pub fn utf8(&mut self, len: usize, bad: Reason) -> Result<&'a str, Stop> {
        core::str::from_utf8(self.bytes(len)?).map_err(|_| Stop::Bad(bad))
    }

    /// Bytes up to and without the next `until`, which is taken too. None within `max_bytes` is `bad`.
    pub fn until(&mut self, until: u8, max_bytes: usize, bad: Reason) -> Result<&'a [u8], Stop> {
        let rest = self.rest();
        match rest.iter().take(max_bytes.saturating_add(1)).position(|&byte| byte == until) {
            Some(len) => {
                let taken = self.bytes(len)?;
                self.at += 1;
                Ok(taken)
            }
            None if rest.len() > max_bytes => Err(Stop::Bad(bad)),
            None => Err(self.stop()),
        }
    }
}

/// The beginning of the client's TCP stream as far as it is known: contiguous, retransmissions merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    bytes: &'a [u8],
    complete: bool,
    gap: bool,
}

impl<'a> Head<'a> {
    /// A head of `bytes`; `complete` when it has the length that the manifest asked for, `gap` when bytes behind
    /// it were missed.
    pub const fn new(bytes: &'a [u8], complete: bool, gap: bool) -> Self {
        Self { bytes, complete, gap }
    }

    /// The stream from its first byte.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there is none: the host did not see the start of the stream, or keeps it no longer.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether it has the length that the manifest asked for.
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether bytes behind it were missed, so that it may never grow.
    pub const fn has_gap(&self) -> bool {
        self.gap
    }

    /// Reads the stream from its first byte. Reading past what is known is `NeedMore`.
    pub fn parse<T>(&self, read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Stop>) -> Parse<T> {
        Parse::from(read(&mut Cursor::new(self.bytes, End::Unseen)))
    }
}

#[cfg(test)]
mod tests;
