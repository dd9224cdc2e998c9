//! GameSpy 4 queries, which Minecraft servers answer on their game port if they are told to.
//!
//! Facts: the UT3 query protocol as wiki.vg documents it; mcstatus sends 7 bytes first, node-gamedig 11 (measured).

use crate::Payload;

/// First bytes of every request.
const MAGIC: [u8; 2] = [0xfe, 0xfd];

/// Longest answer to a token question that is read: type, session, ten digits, a sign, and an end.
const TOKEN_DIGITS_MAX: usize = 11;

/// A client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// It asks for a token.
    Handshake,
    /// It asks for the state of the server with the token that it was given.
    State {
        /// The token as it came back.
        token: u32,
    },
    /// Neither as clients send it: another type or length.
    Other,
    /// The capture ends before the answer. Never a fault of the client.
    Cut,
}

/// Reads a request; `None` if it certainly is none.
pub fn query(payload: &Payload<'_>) -> Option<Query> {
    if payload.differs_at(0, &MAGIC) {
        return None;
    }
    let Some(kind) = payload.u8(2) else {
        return Some(if payload.is_cut() { Query::Cut } else { Query::Other });
    };
    Some(match (kind, payload.len()) {
        (0x09, 7..=11) => Query::Handshake,
        // Without a token: an older GameSpy client, which node-gamedig imitates.
        (0x00, 10) => Query::State { token: 0 },
        // Short and long form: session and token, then four bytes more for the long form.
        (0x00, 11..=15) => payload.u32_be(7).map_or(Query::Cut, |token| Query::State { token }),
        _ => Query::Other,
    })
}

/// The token that the server gives: type `09`, the session, and the number as text.
pub fn reply_token(payload: &Payload<'_>) -> Option<u32> {
    if payload.u8(0)? != 0x09 || payload.len() > 5 + TOKEN_DIGITS_MAX + 1 || payload.is_cut() {
        return None;
    }
    let text = payload.captured().get(5..)?.split(|&byte| byte == 0).next()?;
    let number: i32 = core::str::from_utf8(text).ok()?.parse().ok()?;
    Some(number.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<Query> {
        query(&Payload::new(bytes, u32::try_from(bytes.len()).unwrap()))
    }

    #[test]
    fn requests_of_real_clients() {
        assert_eq!(read(&[0xfe, 0xfd, 9, 2, 8, 7, 0x0d]), Some(Query::Handshake));
        assert_eq!(read(&[0xfe, 0xfd, 9, 0, 0, 0, 1, 0, 0, 0, 0]), Some(Query::Handshake));
        let state = [0xfe, 0xfd, 0, 0, 0, 0, 1, 0, 0x91, 0x29, 0x5b, 0, 0, 0, 0];
        assert_eq!(read(&state), Some(Query::State { token: 9_513_307 }));
        assert_eq!(read(&state[..11]), Some(Query::State { token: 9_513_307 }));
        assert_eq!(read(&[0xfe, 0xfd, 0, 0, 0, 0, 1, 0xff, 0, 0]), Some(Query::State { token: 0 }));
        assert_eq!(read(&[0xfe, 0xfd, 7, 0]), Some(Query::Other));
        assert_eq!(read(&[0xfe, 0xfd]), Some(Query::Other));
        assert_eq!(query(&Payload::new(&[0xfe], 7)), Some(Query::Cut));
        assert_eq!(query(&Payload::new(&state[..8], 15)), Some(Query::Cut));
        assert_eq!(read(&[0xfe, 0x01, 0xfa]), None);
    }

    #[test]
    fn tokens_of_servers() {
        let read = |bytes: &[u8]| reply_token(&Payload::new(bytes, u32::try_from(bytes.len()).unwrap()));
        assert_eq!(read(b"\x09\0\0\0\x019513307\0"), Some(9_513_307));
        assert_eq!(read(b"\x09\0\0\0\x01-9\0"), Some((-9i32).cast_unsigned()));
        assert_eq!(read(b"\x09\0\0\0\x01x\0"), None);
        assert_eq!(read(b"\x00\0\0\0\x011\0"), None);
        assert_eq!(read(b""), None);
    }
}
