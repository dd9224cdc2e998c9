//! RakNet before there is a connection: pings and the two open connection requests.

use super::{Flaw, MAGIC};
use crate::Payload;

/// What a client says outside a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// A server list asks for the message of the day.
    Ping,
    /// The first request of a connection, padded to find the path's packet size.
    Request1 {
        /// The client's RakNet protocol: 10 or 11 for Bedrock, 5 or 6 for RakNet 4.
        protocol: u8,
    },
    /// The second request.
    Request2 {
        /// The number from the server's first reply, if the server gave one.
        cookie: Option<u32>,
    },
}

/// Shortest padded first request: RakNet's smallest packet size 400 without IPv4 and UDP headers.
const REQUEST1_BYTES_MIN: usize = 372;
/// Longest first request that an Ethernet frame holds: 1500 without IPv4 and UDP headers.
const REQUEST1_BYTES_MAX: usize = 1472;

/// Reads a client's message outside a connection; `None` if its first byte is of no such message, or was not
/// captured.
pub fn offline(payload: &Payload<'_>) -> Option<Result<Offline, Flaw>> {
    match payload.u8(0)? {
        0x01 | 0x02 => Some(ping(payload)),
        0x05 => Some(request1(payload)),
        0x07 => Some(request2(payload)),
        _ => None,
    }
}

/// The cookie in a server's open connection reply 1, if the payload is one and has one.
pub fn reply_cookie(payload: &Payload<'_>) -> Option<u32> {
    let has_security = payload.u8(25)? == 1;
    (payload.u8(0)? == 0x06 && payload.magic_at(1, &MAGIC) && payload.len() == 32 && has_security)
        .then(|| payload.u32_be(26))
        .flatten()
}

/// Whether only a server says this: pong `1c`, replies `06` and `08`, refusals with [`MAGIC`] at their place.
pub fn is_server_word(payload: &Payload<'_>) -> bool {
    match payload.u8(0) {
        Some(0x1c) => payload.magic_at(17, &MAGIC),
        Some(0x06 | 0x08) => payload.magic_at(1, &MAGIC),
        Some(0x19) => payload.magic_at(2, &MAGIC),
        _ => false,
    }
}

fn ping(payload: &Payload<'_>) -> Result<Offline, Flaw> {
    check_magic(payload, 9)?;
    // The id of the client, 8 bytes, is left out by old implementations.
    match payload.len() {
        25 | 33 => Ok(Offline::Ping),
        _ => Err(Flaw::Length),
    }
}

fn request1(payload: &Payload<'_>) -> Result<Offline, Flaw> {
    check_magic(payload, 1)?;
    if payload.len() < 18 {
        return Err(Flaw::Short);
    }
    let protocol = payload.u8(17).ok_or(Flaw::Cut)?;
    if (REQUEST1_BYTES_MIN..=REQUEST1_BYTES_MAX).contains(&payload.len()) {
        Ok(Offline::Request1 { protocol })
    } else {
        Err(Flaw::Length)
    }
}

fn request2(payload: &Payload<'_>) -> Result<Offline, Flaw> {
    check_magic(payload, 1)?;
    // Address, packet size u16 and client id u64 follow, after a cookie u32 and a bool where the server gave one.
    let (address_at, family) = match payload.len() {
        34 => (17, 4),
        39 => (22, 4),
        56 => (17, 6),
        61 => (22, 6),
        0..34 => return Err(Flaw::Short),
        _ => return Err(Flaw::Length),
    };
    if payload.u8(address_at).ok_or(Flaw::Cut)? != family {
        return Err(Flaw::Address);
    }
    let cookie = if address_at == 22 { Some(payload.u32_be(17).ok_or(Flaw::Cut)?) } else { None };
    Ok(Offline::Request2 { cookie })
}

fn check_magic(payload: &Payload<'_>, at: usize) -> Result<(), Flaw> {
    if payload.len() < at + MAGIC.len() {
        return Err(Flaw::Short);
    }
    if payload.differs_at(at, &MAGIC) {
        return Err(Flaw::Magic);
    }
    if payload.magic_at(at, &MAGIC) { Ok(()) } else { Err(Flaw::Cut) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(head: &[u8], tail: &[u8], pad_to: usize) -> Vec<u8> {
        let mut bytes = [head, &MAGIC, tail].concat();
        bytes.resize(pad_to.max(bytes.len()), 0);
        bytes
    }

    fn check(bytes: &[u8], wanted: Option<Result<Offline, Flaw>>) {
        let len = u32::try_from(bytes.len()).unwrap();
        assert_eq!(offline(&Payload::new(bytes, len)), wanted, "{bytes:02x?}");
        for cut in 0..bytes.len() {
            let seen = offline(&Payload::new(&bytes[..cut], len));
            assert!(
                seen.is_none() || seen == wanted || seen == Some(Err(Flaw::Cut)),
                "cut at {cut}: {seen:?}"
            );
        }
    }

    #[test]
    fn pings() {
        let time = [1, 0, 0, 0, 0, 0, 0, 0, 0];
        check(&message(&time, &[], 33), Some(Ok(Offline::Ping)));
        check(&message(&time, &[], 25), Some(Ok(Offline::Ping)));
        check(&message(&[2, 0, 0, 0, 0, 0, 0, 0, 0], &[], 33), Some(Ok(Offline::Ping)));
        check(&message(&time, &[], 32), Some(Err(Flaw::Length)));
        check(&message(&time, &[], 512), Some(Err(Flaw::Length)));
        check(&[1], Some(Err(Flaw::Short)));
        check(&[1; 33], Some(Err(Flaw::Magic)));
        check(&[], None);
        check(&[0x1c], None);
    }

    #[test]
    fn first_requests() {
        for bytes in [1464, 1172, 548, 1372, 372, 1399, 1472] {
            check(&message(&[5], &[11], bytes), Some(Ok(Offline::Request1 { protocol: 11 })));
        }
        check(&message(&[5], &[11], 371), Some(Err(Flaw::Length)));
        check(&message(&[5], &[11], 1473), Some(Err(Flaw::Length)));
        check(&message(&[5], &[], 17), Some(Err(Flaw::Short)));
        check(&[5; 1464], Some(Err(Flaw::Magic)));
    }

    #[test]
    fn second_requests() {
        let v4 = [4, 0x80, 0xff, 0xff, 0xfe, 0x4a, 0xbc];
        check(&message(&[7], &v4, 34), Some(Ok(Offline::Request2 { cookie: None })));
        let with_cookie = [&[1, 2, 3, 4, 0][..], &v4].concat();
        check(&message(&[7], &with_cookie, 39), Some(Ok(Offline::Request2 { cookie: Some(0x0102_0304) })));
        check(&message(&[7], &[6], 56), Some(Ok(Offline::Request2 { cookie: None })));
        check(&message(&[7], &[0, 0, 0, 9, 1, 6], 61), Some(Ok(Offline::Request2 { cookie: Some(9) })));
        check(&message(&[7], &v4, 56), Some(Err(Flaw::Address)));
        check(&message(&[7], &v4, 33), Some(Err(Flaw::Short)));
        check(&message(&[7], &v4, 46), Some(Err(Flaw::Length)));
    }

    #[test]
    fn the_servers_cookie() {
        let reply = |security, bytes| {
            let mut reply = message(&[6], &[0; 8], bytes);
            reply[25] = security;
            if bytes > 29 {
                reply[26..30].copy_from_slice(&[1, 2, 3, 4]);
            }
            reply
        };
        let read = |bytes: &[u8]| reply_cookie(&Payload::new(bytes, u32::try_from(bytes.len()).unwrap()));
        assert_eq!(read(&reply(1, 32)), Some(0x0102_0304));
        assert_eq!(read(&reply(0, 28)), None);
        assert!(is_server_word(&Payload::new(&reply(0, 28), 28)));
        assert!(!is_server_word(&Payload::new(&message(&[5], &[], 0), 17)));
    }
}
