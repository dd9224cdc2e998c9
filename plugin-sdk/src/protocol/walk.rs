//! Walking through a datagram whose true length is known although its end may not have been captured.
//!
//! [`crate::Cursor`] stops where the capture stops. A protocol made of frames can be checked further: a frame
//! that runs over the end of the datagram is wrong even if the end was not captured.

use crate::Payload;

/// Why a field cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It was on the wire but not captured. Never a fault of the client.
    Cut,
    /// The datagram ends before it.
    Short,
}

/// A place in a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'a> {
    payload: Payload<'a>,
    at: usize,
}

impl<'a> Walk<'a> {
    /// Starts `at` bytes into the payload.
    pub const fn new(payload: Payload<'a>, at: usize) -> Self {
        Self { payload, at }
    }

    /// Bytes from here to the true end of the datagram.
    pub const fn left(&self) -> usize {
        self.payload.len().saturating_sub(self.at)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Lack> {
        if self.left() < N {
            return Err(Lack::Short);
        }
        let taken = self.payload.array(self.at).ok_or(Lack::Cut)?;
        self.at += N;
        Ok(taken)
    }

    /// The next byte without taking it.
    pub fn peek(&self) -> Result<u8, Lack> {
        if self.left() == 0 { Err(Lack::Short) } else { self.payload.u8(self.at).ok_or(Lack::Cut) }
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Lack> {
        self.array().map(u8::from_le_bytes)
    }

    /// Two bytes, most significant first.
    pub fn u16_be(&mut self) -> Result<u16, Lack> {
        self.array().map(u16::from_be_bytes)
    }

    /// Three bytes, least significant first.
    pub fn u24_le(&mut self) -> Result<u32, Lack> {
        self.array().map(|[a, b, c]: [u8; 3]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// Four bytes, most significant first.
    pub fn u32_be(&mut self) -> Result<u32, Lack> {
        self.array().map(u32::from_be_bytes)
    }

    /// Passes over `count` bytes, which need not have been captured.
    pub fn skip(&mut self, count: usize) -> Result<(), Lack> {
        if self.left() < count {
            return Err(Lack::Short);
        }
        self.at += count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_captured_is_cut_and_what_does_not_exist_is_short() {
        let mut walk = Walk::new(Payload::new(&[1, 2, 3, 4, 5, 6], 10), 0);
        assert_eq!(walk.u16_be(), Ok(0x0102));
        assert_eq!(walk.u24_le(), Ok(0x05_0403));
        assert_eq!(walk.u32_be(), Err(Lack::Cut));
        assert_eq!(walk.skip(4), Ok(()));
        assert_eq!(walk.peek(), Err(Lack::Cut));
        assert_eq!(walk.left(), 1);
        assert_eq!(walk.u16_be(), Err(Lack::Short));
        assert_eq!(walk.skip(2), Err(Lack::Short));
        assert_eq!(walk.skip(1), Ok(()));
        assert_eq!(walk.peek(), Err(Lack::Short));
    }
}
