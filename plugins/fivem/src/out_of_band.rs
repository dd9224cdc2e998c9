//! Queries beside ENet on the UDP port: `ff ff ff ff` and a word, as Quake 3 began it.
//!
//! Facts: citizenfx/fivem `outofbandhandlers/{GetInfo,GetStatus,Rcon}OutOfBand.h`; node-gamedig sends
//! `getinfo xxx` and a zero (measured).

use ftagent_plugin::Payload;

/// Before every word.
const HEADER: [u8; 4] = [0xff; 4];

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// `getinfo` or `getstatus`.
    State,
    /// `rcon` with a password.
    RemoteControl,
    /// A word of the list servers, to which the server itself has spoken.
    ListServer,
    /// An answer that only servers give.
    Answer,
    /// A word that the server does not know.
    Other,
    /// The capture ends before the answer.
    Cut,
}

/// Reads a query; `None` if it certainly is none.
pub(crate) fn query(payload: &Payload<'_>) -> Option<Query> {
    const WORDS: [(&[u8], Query); 8] = [
        (b"getinfo", Query::State),
        (b"getstatus", Query::State),
        (b"rcon", Query::RemoteControl),
        (b"getserversResponse", Query::ListServer),
        (b"getserversExtResponse", Query::ListServer),
        (b"infoResponse", Query::Answer),
        (b"statusResponse", Query::Answer),
        (b"print", Query::Answer),
    ];
    if payload.differs_at(0, &HEADER) {
        return None;
    }
    for (word, query) in WORDS {
        if payload.magic_at(HEADER.len(), word) {
            return Some(query);
        }
        if !payload.differs_at(HEADER.len(), word) {
            return Some(Query::Cut);
        }
    }
    Some(if payload.captured().len() > HEADER.len() || !payload.is_cut() { Query::Other } else { Query::Cut })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], wanted: Option<Query>) {
        let len = u32::try_from(bytes.len()).unwrap();
        assert_eq!(query(&Payload::new(bytes, len)), wanted, "{:?}", String::from_utf8_lossy(bytes));
        for cut in 0..bytes.len() {
            let seen = query(&Payload::new(&bytes[..cut], len));
            assert!(seen == wanted || seen == Some(Query::Cut), "cut at {cut}: {seen:?}");
        }
    }

    #[test]
    fn words() {
        check(b"\xff\xff\xff\xffgetinfo xxx\0", Some(Query::State));
        check(b"\xff\xff\xff\xffgetstatus\0", Some(Query::State));
        check(b"\xff\xff\xff\xffrcon pw status", Some(Query::RemoteControl));
        check(b"\xff\xff\xff\xffgetserversResponse\\", Some(Query::ListServer));
        check(b"\xff\xff\xff\xffinfoResponse\n\\", Some(Query::Answer));
        check(b"\xff\xff\xff\xffstatusResponse\n", Some(Query::Answer));
        check(b"\xff\xff\xff\xff\x01", Some(Query::Other));
        check(b"\xff\xff\xff\xff", Some(Query::Other));
        assert_eq!(query(&Payload::new(b"\x8f\xff\xff\xff", 52)), None);
    }
}
