//! Streams that may go on against datagrams that end, and any bytes at all.

use proptest::prelude::*;

use super::*;

const BAD: Reason = Reason(1);
const SHORT: Reason = Reason(2);

/// Reads the same bytes as a stream that may go on and as a datagram that ends.
fn check<T: PartialEq + core::fmt::Debug>(
    bytes: &[u8],
    read: impl Fn(&mut Cursor<'_>) -> Result<T, Stop>,
    stream: Parse<T>,
    datagram: Parse<T>,
) {
    assert_eq!(Head::new(bytes, false, false).parse(&read), stream);
    let len = u32::try_from(bytes.len()).unwrap();
    assert_eq!(crate::Payload::new(bytes, len).parse(SHORT, &read), datagram);
    // Cut away by the capture, a datagram is as open as a stream.
    let open = crate::Payload::new(bytes, len + 9).parse(SHORT, &read);
    assert_eq!(open, Head::new(bytes, false, false).parse(&read));
}

#[test]
fn varints_have_a_limit() {
    let varint = |limit| move |cursor: &mut Cursor<'_>| cursor.varint(limit, BAD);
    check(&[0x2f], varint(1), Parse::Ok(47), Parse::Ok(47));
    check(&[0xf2, 0x05], varint(3), Parse::Ok(754), Parse::Ok(754));
    check(&[0xff, 0xff, 0xff, 0xff, 0x0f], varint(5), Parse::Ok(u32::MAX), Parse::Ok(u32::MAX));
    check(&[0xff, 0xff], varint(3), Parse::NeedMore, Parse::Bad(SHORT));
    check(&[0xff, 0xff, 0xff], varint(3), Parse::Bad(BAD), Parse::Bad(BAD));
    check(&[0xff; 9], varint(9), Parse::Bad(BAD), Parse::Bad(BAD));
}

#[test]
fn tags_fail_at_the_first_byte_that_differs() {
    let tag = |cursor: &mut Cursor<'_>| cursor.tag(b"PROXY ", BAD);
    check(b"PROX", tag, Parse::NeedMore, Parse::Bad(SHORT));
    check(b"PROB", tag, Parse::Bad(BAD), Parse::Bad(BAD));
    check(b"PROXY TCP", tag, Parse::Ok(()), Parse::Ok(()));
}

#[test]
fn lines_have_a_limit() {
    let line = |cursor: &mut Cursor<'_>| cursor.until(b'\n', 4, BAD).map(<[u8]>::len);
    check(b"abcd\n", line, Parse::Ok(4), Parse::Ok(4));
    check(b"abcd", line, Parse::NeedMore, Parse::Bad(SHORT));
    check(b"abcde", line, Parse::Bad(BAD), Parse::Bad(BAD));
    check(b"abcde\n", line, Parse::Bad(BAD), Parse::Bad(BAD));
}

#[test]
fn numbers_and_text() {
    let numbers =
        |cursor: &mut Cursor<'_>| Ok((cursor.u8()?, cursor.u16_be()?, cursor.u16_le()?, cursor.u32_be()?));
    let bytes = [1, 0, 2, 3, 0, 0, 0, 0, 4];
    check(&bytes, numbers, Parse::Ok((1, 2, 3, 4)), Parse::Ok((1, 2, 3, 4)));
    check(&bytes[..8], numbers, Parse::NeedMore, Parse::Bad(SHORT));
    let text = |cursor: &mut Cursor<'_>| cursor.utf8(2, BAD).map(str::len);
    check("é".as_bytes(), text, Parse::Ok(2), Parse::Ok(2));
    check(&[0xff, 0xfe], text, Parse::Bad(BAD), Parse::Bad(BAD));
}

proptest! {
    #[test]
    fn a_cursor_never_leaves_its_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40), steps in prop::collection::vec((0u8..8, 0usize..50), 0..20)) {
        let mut cursor = Cursor::new(&bytes, End::Unseen);
        for (step, count) in steps {
            let before = cursor.position();
            let moved = match step {
                0 => cursor.u8().is_ok(),
                1 => cursor.u64_be().is_ok(),
                2 => cursor.bytes(count).is_ok(),
                3 => cursor.varint(5, BAD).is_ok(),
                4 => cursor.until(0, count, BAD).is_ok(),
                5 => cursor.bytes(usize::MAX).is_ok(),
                _ => cursor.utf8(count, BAD).is_ok(),
            };
            prop_assert!(cursor.position() <= bytes.len());
            prop_assert!(moved || step == 3 || cursor.position() == before || step == 6 || step == 7);
        }
    }
}
