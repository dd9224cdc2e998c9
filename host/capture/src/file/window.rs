//! A sliding window over a stream: the only buffer of a file that is being read.

use std::fmt;
use std::io;
use std::io::Read;

use super::WINDOW_BYTES_MAX;

/// Bytes of a stream that were read and not yet consumed, never more than [`WINDOW_BYTES_MAX`].
pub(super) struct Window {
    stream: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is unread.
    start: usize,
    end: usize,
    /// The offset in the stream of `buffer[start]`.
    offset: u64,
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl Window {
    pub(super) fn new(stream: Box<dyn Read + Send>) -> Self {
        Self { stream, buffer: vec![0; WINDOW_BYTES_MAX], start: 0, end: 0, offset: 0 }
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads until so many bytes are unread; `false` if the stream ends before.
    pub(super) fn fill(&mut self, bytes: usize) -> io::Result<bool> {
        assert!(bytes <= WINDOW_BYTES_MAX, "callers compare every claimed length with the limit first");
        if self.end - self.start >= bytes {
            return Ok(true);
        }
        if self.start + bytes > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < bytes {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Passes over bytes that were filled.
    pub(super) fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.end - self.start);
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Hands out a part of the unread bytes and passes over the record it is in.
    pub(super) fn hand_out(&mut self, start: usize, bytes: usize, record_bytes: usize) -> &[u8] {
        let from = (self.start + start).min(self.end);
        let to = (from + bytes).min(self.end);
        self.consume(record_bytes);
        &self.buffer[from..to]
    }

    /// Passes over any number of bytes without holding them; `false` if the stream ends before.
    pub(super) fn skip(&mut self, mut bytes: u64) -> io::Result<bool> {
        while bytes > 0 {
            if !self.fill(1)? {
                return Ok(false);
            }
            let now = bytes.min(self.unread().len() as u64);
            self.consume(now as usize);
            bytes -= now;
        }
        Ok(true)
    }
}

/// So that a decoder can read on where the magic was looked at.
impl Read for Window {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill(1)?;
        let bytes = into.len().min(self.unread().len());
        into[..bytes].copy_from_slice(&self.unread()[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}
