//! RakNet inside a connection: frames, receipts for what arrived, and requests for what did not.

use super::{Flaw, RECEIPT_SPAN_MAX, SPLIT_PARTS_MAX, SPLIT_PARTS_USUAL};
use crate::Payload;
use crate::protocol::{Lack, Walk};

/// A datagram of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connected {
    /// Frames.
    Data(Data),
    /// A receipt.
    Ack,
    /// A request to send again.
    Nack,
    /// Flags of which Bedrock uses none; RakNet knows them.
    OtherFlags(u8),
}

/// What was read of a datagram with frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Number of the datagram, 24 bits.
    pub sequence: u32,
    /// Frames read.
    pub frames: u32,
    /// First byte of the first message that is not a later part of one.
    pub message: Option<u8>,
    /// A message in more parts than servers take.
    pub many_parts: bool,
    /// The lower half of a frame's flags is not zero.
    pub odd_flags: bool,
}

/// Frames looked at in one datagram. A full one of the smallest frames has 365.
const FRAMES_MAX: u32 = 48;
/// Records looked at in one receipt.
const RECORDS_MAX: u16 = 64;

/// Reads a datagram of a connection; `None` if its first byte is of no connection, or was not captured.
pub fn connected(payload: &Payload<'_>) -> Option<Result<Connected, Flaw>> {
    match payload.u8(0)? {
        0xc0 => Some(receipt(payload).map(|()| Connected::Ack)),
        0xa0 => Some(receipt(payload).map(|()| Connected::Nack)),
        // Bits 3 and 2, "continuous send" and "wants bandwidth", change nothing in the layout.
        0x80..=0x8f => Some(data(payload).map(Connected::Data)),
        flags @ 0x90..=0xff => Some(Ok(Connected::OtherFlags(flags))),
        _ => None,
    }
}

fn data(payload: &Payload<'_>) -> Result<Data, Flaw> {
    if payload.len() < 4 {
        return Err(Flaw::Short);
    }
    let mut data = Data { sequence: payload.u24_le(1).ok_or(Flaw::Cut)?, ..Data::default() };
    let mut walk = Walk::new(*payload, 4);
    if walk.left() == 0 {
        return Err(Flaw::NoFrame);
    }
    while walk.left() > 0 && data.frames < FRAMES_MAX {
        match frame(&mut walk, &mut data) {
            Ok(()) => data.frames += 1,
            // What was captured is in order; the rest was not captured.
            Err(Flaw::Cut) => break,
            Err(flaw) => return Err(flaw),
        }
    }
    Ok(data)
}

fn frame(walk: &mut Walk<'_>, data: &mut Data) -> Result<(), Flaw> {
    let field = |lack| if lack == Lack::Cut { Flaw::Cut } else { Flaw::FrameOverrun };
    let flags = walk.u8().map_err(field)?;
    let content_bytes = usize::from(walk.u16_be().map_err(field)?).div_ceil(8);
    if content_bytes == 0 {
        return Err(Flaw::EmptyFrame);
    }
    data.odd_flags |= flags & 0x0f != 0;
    // Reliability in the upper three bits: 5 to 7 are 0, 2 and 3 with a receipt for the application.
    let (reliable, sequenced, ordered) = match flags >> 5 {
        1 => (false, true, true),
        2 | 6 => (true, false, false),
        3 | 7 => (true, false, true),
        4 => (true, true, true),
        _ => (false, false, false),
    };
    let header_bytes = 3 * usize::from(reliable) + 3 * usize::from(sequenced) + 4 * usize::from(ordered);
    walk.skip(header_bytes).map_err(field)?;
    let mut part = 0;
    if flags & 0x10 != 0 {
        // The length is known to be enough before the count is believed, so that a cut changes nothing.
        if walk.left() < 10 + content_bytes {
            return Err(Flaw::FrameOverrun);
        }
        let count = walk.u32_be().map_err(field)?;
        walk.skip(2).map_err(field)?;
        part = walk.u32_be().map_err(field)?;
        check_parts(count, part, data)?;
    }
    if walk.left() < content_bytes {
        return Err(Flaw::FrameOverrun);
    }
    if data.message.is_none() && part == 0 {
        data.message = walk.peek().ok();
    }
    walk.skip(content_bytes).map_err(field)
}

fn check_parts(count: u32, part: u32, data: &mut Data) -> Result<(), Flaw> {
    if count > SPLIT_PARTS_MAX {
        return Err(Flaw::SplitHuge);
    }
    if part >= count {
        return Err(Flaw::SplitBounds);
    }
    data.many_parts |= count > SPLIT_PARTS_USUAL;
    Ok(())
}

fn receipt(payload: &Payload<'_>) -> Result<(), Flaw> {
    let field = |lack| if lack == Lack::Cut { Flaw::Cut } else { Flaw::Receipt };
    let mut walk = Walk::new(*payload, 1);
    let records = walk.u16_be().map_err(field)?;
    // A record has at least four bytes.
    if walk.left() < 4 * usize::from(records) {
        return Err(Flaw::Receipt);
    }
    for _ in 0..records.min(RECORDS_MAX) {
        let kind = walk.u8().map_err(field)?;
        let first = walk.u24_le().map_err(field)?;
        match kind {
            1 => {}
            0 => {
                let last = walk.u24_le().map_err(field)?;
                let span = last.checked_sub(first).ok_or(Flaw::Receipt)?;
                if span > RECEIPT_SPAN_MAX {
                    return Err(Flaw::ReceiptHuge);
                }
            }
            _ => return Err(Flaw::Receipt),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Option<Result<Connected, Flaw>> {
        connected(&Payload::new(bytes, u32::try_from(bytes.len()).unwrap()))
    }

    fn bad(bytes: &[u8], flaw: Flaw) {
        assert_eq!(read(bytes), Some(Err(flaw)), "{bytes:02x?}");
    }

    fn good(bytes: &[u8], message: Option<u8>, frames: u32) {
        let Some(Ok(Connected::Data(data))) = read(bytes) else { panic!("{:?} {bytes:02x?}", read(bytes)) };
        assert_eq!((data.message, data.frames), (message, frames));
    }

    #[test]
    fn frames() {
        // Unreliable, 1 byte; reliable; reliable ordered.
        good(&[0x84, 1, 0, 0, 0x00, 0, 8, 0xfe], Some(0xfe), 1);
        good(&[0x84, 1, 0, 0, 0x40, 0, 8, 0, 0, 0, 9], Some(9), 1);
        good(&[0x80, 1, 0, 0, 0x60, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0x13], Some(0x13), 1);
        good(&[0x80, 1, 0, 0, 0x00, 0, 8, 0xfe, 0x00, 0, 8, 1], Some(0xfe), 2);
        // Part 1 of 2 names no message.
        good(&[0x84, 1, 0, 0, 0x50, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0xaa], None, 1);
        bad(&[0x84, 1, 0, 0], Flaw::NoFrame);
        bad(&[0x84, 1, 0], Flaw::Short);
        bad(&[0x84, 1, 0, 0, 0x00, 0, 0, 0xfe], Flaw::EmptyFrame);
        bad(&[0x84, 1, 0, 0, 0x00, 0, 16, 0xfe], Flaw::FrameOverrun);
        bad(&[0x84, 1, 0, 0, 0x40, 0, 8, 0], Flaw::FrameOverrun);
        bad(&[0x84, 1, 0, 0, 0x00], Flaw::FrameOverrun);
    }

    #[test]
    fn parts() {
        let part = |count: u32, index: u32| {
            let mut bytes = vec![0x84, 1, 0, 0, 0x50, 0, 8, 0, 0, 0];
            bytes.extend(count.to_be_bytes());
            bytes.extend([0, 7]);
            bytes.extend(index.to_be_bytes());
            bytes.push(0xaa);
            bytes
        };
        good(&part(22, 0), Some(0xaa), 1);
        good(&part(65_535, 65_534), None, 1);
        bad(&part(65_536, 0), Flaw::SplitHuge);
        bad(&part(1 << 31, 0), Flaw::SplitHuge);
        bad(&part(22, 22), Flaw::SplitBounds);
        bad(&part(0, 0), Flaw::SplitBounds);
        let Some(Ok(Connected::Data(data))) = read(&part(8_193, 0)) else { panic!() };
        assert!(data.many_parts);
    }

    #[test]
    fn receipts() {
        assert_eq!(read(&[0xc0, 0, 1, 1, 0, 0, 0]), Some(Ok(Connected::Ack)));
        assert_eq!(read(&[0xa0, 0, 1, 0, 1, 0, 0, 9, 0, 0]), Some(Ok(Connected::Nack)));
        bad(&[0xc0, 0, 1, 1, 0, 0], Flaw::Receipt);
        bad(&[0xc0, 0], Flaw::Receipt);
        bad(&[0xc0, 0, 1, 2, 0, 0, 0], Flaw::Receipt);
        bad(&[0xa0, 0, 1, 0, 9, 0, 0, 1, 0, 0], Flaw::Receipt);
        bad(&[0xc0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff], Flaw::ReceiptHuge);
        bad(&[0xc0, 0xff, 0xff, 1, 0, 0, 0], Flaw::Receipt);
        assert_eq!(read(&[0xe0, 0]), Some(Ok(Connected::OtherFlags(0xe0))));
        assert_eq!(read(&[0x7f, 0]), None);
    }

    proptest! {
        #[test]
        fn a_cut_never_makes_a_flaw(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            first in prop_oneof![Just(0x84u8), Just(0x80), Just(0xc0), Just(0xa0)],
            cut in 0usize..80,
        ) {
            let bytes = [&[first][..], &bytes].concat();
            let whole = read(&bytes);
            let seen = connected(&Payload::new(&bytes[..cut.min(bytes.len())], u32::try_from(bytes.len()).unwrap()));
            if let Some(Err(flaw)) = seen {
                prop_assert!(flaw == Flaw::Cut || whole == Some(Err(flaw)), "{flaw:?} of {whole:?}");
            }
        }

        #[test]
        fn well_made_frames_are_read(contents in proptest::collection::vec((0u8..8, 1usize..40), 1..10)) {
            let mut bytes = vec![0x84, 1, 2, 3];
            for &(reliability, length) in &contents {
                bytes.push(reliability << 5);
                bytes.extend(u16::try_from(8 * length).unwrap().to_be_bytes());
                let header = [0, 7, 3, 7, 10, 0, 3, 7][usize::from(reliability)];
                bytes.extend(std::iter::repeat_n(0, header + length));
            }
            let Some(Ok(Connected::Data(data))) = read(&bytes) else { panic!("{:?}", read(&bytes)) };
            prop_assert_eq!(data.frames as usize, contents.len());
        }
    }
}
