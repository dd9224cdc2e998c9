//! Valve's server queries and the other messages without a connection: `ff ff ff ff` and a type.
//!
//! Facts: developer.valvesoftware.com/wiki/Server_queries; node-gamedig `protocols/valve.js` and python-a2s
//! (measured: the first player challenge is `ff ff ff ff` with one and `00 00 00 00` with the other); the layout of
//! the server's connection challenge as public Source protocol headers give it: magic, challenge, then the client's
//! own number.

use super::Chosen;
use crate::Payload;

/// The kind of a query's challenge in [`Chosen`].
pub const QUERY_CHALLENGE: u8 = 1;
/// The kind of a connection's challenge in [`Chosen`].
pub const CONNECT_CHALLENGE: u8 = 2;

/// The four bytes before every message without a connection.
pub const HEADER: [u8; 4] = [0xff; 4];

/// The text of an INFO request with its end.
pub const INFO_TEXT: &[u8; 20] = b"Source Engine Query\0";

/// `S2C_MAGICVERSION`, little endian: it stands before the challenge of a connection.
const MAGIC_VERSION: u32 = 0x5a4f_4933;

/// A client's message without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// INFO, with the challenge if the server gave one.
    Info(Option<u32>),
    /// PLAYER or RULES with a challenge; `ffffffff` and `00000000` ask for one.
    Listing(u32),
    /// A request for a query challenge, the ping, or one of GoldSrc's queries in words.
    OldQuery,
    /// The first word of a connection: `q`.
    ConnectChallenge,
    /// The connection: `k`, with the server's challenge.
    Connect(u32),
    /// GoldSrc's words of a connection: `getchallenge`, and `connect` with the server's challenge.
    ConnectWords(Option<u32>),
    /// GoldSrc's remote control.
    RemoteControl,
    /// Other types that clients of Source send: reservations, pings, sessions.
    Client(u8),
    /// Steam's discovery of players in the same house, which is sent to everyone.
    Discovery,
    /// A type of which nothing is known.
    Other(u8),
}

/// Why a message is not what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The capture ends before the answer. Never a fault of the client.
    Cut,
    /// The message ends right behind the header.
    NoType,
    /// INFO with another text.
    InfoText,
    /// A query of another length than clients send.
    Length,
    /// An answer of a server to a query: INFO, PLAYER, RULES or the ping's.
    ServerAnswer,
    /// A server's word in a connection, or a line of its log.
    ServerWord,
}

/// Reads a client's message; `None` if it has no [`HEADER`], or the header was not captured.
pub fn message(payload: &Payload<'_>) -> Option<Result<Message, Flaw>> {
    if !payload.starts_with(&HEADER) {
        return None;
    }
    if payload.len() == HEADER.len() {
        return Some(Err(Flaw::NoType));
    }
    Some(match (payload.u8(4), words(payload)) {
        (_, Ok(Some(message))) => Ok(message),
        (_, Err(flaw)) => Err(flaw),
        (None, _) => Err(Flaw::Cut),
        (Some(kind), Ok(None)) => typed(payload, kind),
    })
}

/// Keeps what the server chose in the note; whether it chose anything.
pub fn remember(payload: &Payload<'_>, note: &mut u64) -> bool {
    let query = query_challenge(payload).map(|challenge| (QUERY_CHALLENGE, challenge));
    let connect = || connect_challenge(payload).or_else(|| connect_words_challenge(payload));
    let Some((kind, challenge)) = query.or_else(|| connect().map(|challenge| (CONNECT_CHALLENGE, challenge)))
    else {
        return false;
    };
    *note = Chosen::new(kind, u64::from(challenge)).write(*note);
    true
}

/// Whether the message returns what the server chose.
pub fn echoes(message: Message, note: u64) -> bool {
    let (kind, challenge) = match message {
        Message::Info(Some(challenge)) | Message::Listing(challenge) => (QUERY_CHALLENGE, challenge),
        Message::Connect(challenge) | Message::ConnectWords(Some(challenge)) => {
            (CONNECT_CHALLENGE, challenge)
        }
        _ => return false,
    };
    Chosen::from_note(note).is(kind, u64::from(challenge))
}

/// How many INFO requests without a challenge came in a row although the server had sent one, at most 15. Kept in
/// the note's topmost four bits, which the plugin must leave to this function.
pub fn bare_infos(message: Message, note: &mut u64) -> u32 {
    const SHIFT: u32 = 60;
    let knows_better = Chosen::from_note(*note).knows(QUERY_CHALLENGE);
    let before = *note >> SHIFT;
    let after = match message {
        Message::Info(None) if knows_better => (before + 1).min(15),
        Message::Info(Some(_)) => 0,
        _ => before,
    };
    *note = (*note & !(0x0f << SHIFT)) | (after << SHIFT);
    after as u32
}

/// The query challenge in a server's answer, if the payload is one: exactly nine bytes.
pub fn query_challenge(payload: &Payload<'_>) -> Option<u32> {
    let is_one = payload.len() == 9 && payload.starts_with(&HEADER) && payload.u8(4) == Some(0x41);
    is_one.then(|| payload.u32_le(5)).flatten().filter(|&challenge| is_chosen(challenge))
}

/// The challenge of a connection in a server's answer. Only the form with the magic is read: in it the place of the
/// server's number is certain, and not that of the client's own.
pub fn connect_challenge(payload: &Payload<'_>) -> Option<u32> {
    let is_one = payload.len() > 13 && payload.starts_with(&HEADER) && payload.u8(4) == Some(0x41);
    let has_magic = payload.u32_le(5) == Some(MAGIC_VERSION);
    (is_one && has_magic).then(|| payload.u32_le(9)).flatten().filter(|&challenge| is_chosen(challenge))
}

/// The challenge of a connection in GoldSrc's words: `A00000000`, a blank and the number (ReHLDS `sv_main.cpp`).
pub fn connect_words_challenge(payload: &Payload<'_>) -> Option<u32> {
    const WORDS: &[u8] = b"A00000000 ";
    payload.starts_with(&HEADER).then_some(())?;
    payload.magic_at(4, WORDS).then_some(())?;
    number(payload, 4 + WORDS.len()).filter(|&challenge| is_chosen(challenge))
}

/// Decimal digits that begin at `at` and end at a blank; at most the ten that a u32 has.
fn number(payload: &Payload<'_>, at: usize) -> Option<u32> {
    let digits = payload.captured().get(at..)?.split(|&byte| byte == b' ').next()?;
    let ends = payload.captured().len() > at + digits.len();
    let text = core::str::from_utf8(digits).ok().filter(|text| ends && text.len() <= 10)?;
    text.parse().ok()
}

/// Whether a server chose this number: all ones and all zeros are how clients ask.
const fn is_chosen(challenge: u32) -> bool {
    challenge != 0 && challenge != u32::MAX
}

/// GoldSrc speaks in words. They are looked at before the types, because `info` begins with the type `i`.
fn words(payload: &Payload<'_>) -> Result<Option<Message>, Flaw> {
    const CONNECT: &[u8] = b"connect ";
    // The protocol's number, two digits, comes before the challenge.
    const CHALLENGE_AT: usize = 4 + CONNECT.len() + 3;
    let table: [(&[u8], Message); 9] = [
        (b"details", Message::OldQuery),
        (b"ping", Message::OldQuery),
        (b"info", Message::OldQuery),
        (b"players", Message::OldQuery),
        (b"rules", Message::OldQuery),
        (CONNECT, Message::ConnectWords(number(payload, CHALLENGE_AT))),
        (b"getchallenge", Message::ConnectWords(None)),
        (b"rcon ", Message::RemoteControl),
        (b"challenge rcon", Message::RemoteControl),
    ];
    for (word, message) in table {
        if payload.magic_at(4, word) {
            return Ok(Some(message));
        }
        if !payload.differs_at(4, word) {
            return Err(Flaw::Cut);
        }
    }
    Ok(None)
}

fn typed(payload: &Payload<'_>, kind: u8) -> Result<Message, Flaw> {
    match kind {
        0x54 => info(payload),
        0x55 | 0x56 if payload.len() == 9 => payload.u32_le(5).map(Message::Listing).ok_or(Flaw::Cut),
        0x55 | 0x56 => Err(Flaw::Length),
        0x57 | 0x69 => Ok(Message::OldQuery),
        0x71 => connect_request(payload),
        // `k`: protocol version, how the player is checked, then the challenge.
        0x6b if payload.len() < 17 => Err(Flaw::Length),
        0x6b => payload.u32_le(13).map(Message::Connect).ok_or(Flaw::Cut),
        0x21 if payload.magic_at(5, &[0x4c, 0x5f, 0xa0]) => Ok(Message::Discovery),
        0x21 | 0x24 | 0x33 | 0x35 | 0x38 | 0x3f | 0x6e => Ok(Message::Client(kind)),
        0x44 | 0x45 | 0x49 | 0x6a => Err(Flaw::ServerAnswer),
        0x39 | 0x41 | 0x42 | 0x4c | 0x52 | 0x53 => Err(Flaw::ServerWord),
        _ => Ok(Message::Other(kind)),
    }
}

fn info(payload: &Payload<'_>) -> Result<Message, Flaw> {
    if payload.differs_at(5, INFO_TEXT) {
        return Err(Flaw::InfoText);
    }
    if !payload.magic_at(5, INFO_TEXT) {
        return Err(Flaw::Cut);
    }
    match payload.len() {
        25 => Ok(Message::Info(None)),
        29 => payload.u32_le(25).map(|challenge| Message::Info(Some(challenge))).ok_or(Flaw::Cut),
        _ => Err(Flaw::Length),
    }
}

/// `q`: `connect0x` and eight hex digits, or in older games four bytes.
fn connect_request(payload: &Payload<'_>) -> Result<Message, Flaw> {
    match payload.len() {
        5 | 9 => Ok(Message::ConnectChallenge),
        23 if !payload.differs_at(5, b"connect0x") => Ok(Message::ConnectChallenge),
        23 if payload.u8(13).is_none() => Err(Flaw::Cut),
        _ => Err(Flaw::Length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], wanted: Option<Result<Message, Flaw>>) {
        let bytes = [&HEADER, text].concat();
        let len = u32::try_from(bytes.len()).unwrap();
        assert_eq!(message(&Payload::new(&bytes, len)), wanted, "{text:02x?}");
        for cut in 0..bytes.len() {
            let seen = message(&Payload::new(&bytes[..cut], len));
            if let Some(Err(flaw)) = seen {
                assert!(flaw == Flaw::Cut || wanted == Some(Err(flaw)), "cut at {cut}: {flaw:?}");
            }
        }
    }

    #[test]
    fn queries() {
        check(b"TSource Engine Query\0", Some(Ok(Message::Info(None))));
        check(b"TSource Engine Query\0\x11\x22\x33\x44", Some(Ok(Message::Info(Some(0x4433_2211)))));
        check(b"U\xff\xff\xff\xff", Some(Ok(Message::Listing(u32::MAX))));
        check(b"U\0\0\0\0", Some(Ok(Message::Listing(0))));
        check(b"V\x01\0\0\0", Some(Ok(Message::Listing(1))));
        for old in [
            &b"W"[..],
            b"i",
            b"i\0",
            b"details",
            b"details\0",
            b"ping\0",
            b"info\0",
            b"players\0",
            b"rules\0",
        ] {
            check(old, Some(Ok(Message::OldQuery)));
        }
        check(b"TSource Engine Query", Some(Err(Flaw::InfoText)));
        check(b"TSource Engine Querx\0", Some(Err(Flaw::InfoText)));
        check(b"TSource Engine Query\0\x11", Some(Err(Flaw::Length)));
        check(b"U\0\0\0", Some(Err(Flaw::Length)));
        check(b"V\0\0\0\0\0", Some(Err(Flaw::Length)));
        check(b"", Some(Err(Flaw::NoType)));
    }

    #[test]
    fn connections() {
        check(b"qconnect0xDEADBEEF\0", Some(Ok(Message::ConnectChallenge)));
        check(b"q\0\0\0\0", Some(Ok(Message::ConnectChallenge)));
        check(b"qconnect0xDEADBEEF", Some(Err(Flaw::Length)));
        check(b"qdisconn0xDEADBEEF\0", Some(Err(Flaw::Length)));
        check(b"k\x11\0\0\0\x03\0\0\0\x01\x02\x03\x04rest", Some(Ok(Message::Connect(0x0403_0201))));
        check(b"k\x11\0", Some(Err(Flaw::Length)));
        check(b"getchallenge steam\n", Some(Ok(Message::ConnectWords(None))));
        check(b"connect 48 1", Some(Ok(Message::ConnectWords(None))));
        check(b"connect 48 17 \"\\prot\"", Some(Ok(Message::ConnectWords(Some(17)))));
        check(b"rcon 1 pw cmd", Some(Ok(Message::RemoteControl)));
        check(b"challenge rcon\n", Some(Ok(Message::RemoteControl)));
        check(b"\x21\x4c\x5f\xa0", Some(Ok(Message::Discovery)));
        check(b"\x24\0", Some(Ok(Message::Client(0x24))));
        check(b"\x01\0", Some(Ok(Message::Other(1))));
    }

    #[test]
    fn words_of_servers() {
        for answer in [0x49, 0x44, 0x45, 0x6a] {
            check(&[answer, 0, 0], Some(Err(Flaw::ServerAnswer)));
        }
        for word in [0x41, 0x42, 0x39, 0x4c, 0x52, 0x53] {
            check(&[word, 0, 0], Some(Err(Flaw::ServerWord)));
        }
    }

    #[test]
    fn challenges() {
        let read = |bytes: &[u8]| {
            let bytes = [&HEADER, bytes].concat();
            let payload = Payload::new(&bytes, u32::try_from(bytes.len()).unwrap());
            (query_challenge(&payload), connect_challenge(&payload))
        };
        assert_eq!(read(b"A\x0a\x0b\x0c\x0d"), (Some(0x0d0c_0b0a), None));
        assert_eq!(read(b"A\xff\xff\xff\xff"), (None, None));
        assert_eq!(read(b"A\x33\x49\x4f\x5a\x0a\x0b\x0c\x0d\x01\x01\x01\x01"), (None, Some(0x0d0c_0b0a)));
        assert_eq!(read(b"A\x01\x02\x03\x04\x0a\x0b\x0c\x0d\x01\x01\x01\x01"), (None, None));
        assert_eq!(message(&Payload::new(&[1, 2, 3, 4], 4)), None);
        let read =
            |text: &[u8]| connect_words_challenge(&Payload::new(text, u32::try_from(text.len()).unwrap()));
        assert_eq!(read(b"\xff\xff\xff\xffA00000000 1234567 3 901 0\n"), Some(1_234_567));
        assert_eq!(read(b"\xff\xff\xff\xffA00000000 1234567"), None);
        assert_eq!(read(b"\xff\xff\xff\xffA00000000 12345678901 3"), None);
    }
}
