//! Steam networking sockets over UDP without a relay.
//!
//! Facts: ValveSoftware/GameNetworkingSockets `steamnetworkingsockets_udp.cpp` and
//! `steamnetworkingsockets_messages_udp.proto`: requests are padded to 512 bytes against amplification, no packet
//! is longer than 1300, and the challenge is field 2 of both the server's reply and the client's request.

use super::Chosen;
use super::{Lack, Walk};
use crate::Payload;

/// The kind of this challenge in [`Chosen`].
pub const CHALLENGE: u8 = 3;

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// It asks for a challenge.
    ChallengeRequest,
    /// It connects, with the challenge if it was captured.
    ConnectRequest {
        /// The server's number.
        challenge: Option<u64>,
    },
    /// A farewell, or the answer to one.
    Closed,
    /// Bytes of a connection.
    Data,
}

/// Why a packet is not what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The capture ends before the answer. Never a fault of the client.
    Cut,
    /// A request that is not padded, or whose message does not fit in it.
    Padding,
    /// The packet ends inside its header, or its fields are not there.
    Short,
    /// Longer than any packet.
    Long,
    /// A server's word.
    ServerWord,
}

/// Requests and farewells are at least this long.
const PADDED_BYTES_MIN: usize = 512;
/// No packet is longer.
const PACKET_BYTES_MAX: usize = 1300;
/// Fields of a message that are looked at.
const FIELDS_MAX: usize = 16;

/// Reads a client's packet; `None` if its first byte is of no such packet, or was not captured.
pub fn message(payload: &Payload<'_>) -> Option<Result<Message, Flaw>> {
    let first = payload.u8(0)?;
    if !matches!(first, 0x20..=0x25 | 0x80..) {
        return None;
    }
    Some(if payload.len() > PACKET_BYTES_MAX {
        Err(Flaw::Long)
    } else {
        match first {
            0x20 => padded(payload, true).map(|()| Message::ChallengeRequest),
            0x22 => connect_request(payload),
            0x24 => padded(payload, false).map(|()| Message::Closed),
            0x25 if payload.len() < 5 => Err(Flaw::Short),
            0x25 => Ok(Message::Closed),
            0x21 | 0x23 => Err(Flaw::ServerWord),
            // Flags u8, connection u32, number u16.
            _ if payload.len() < 7 => Err(Flaw::Short),
            _ => Ok(Message::Data),
        }
    })
}

/// Keeps the server's challenge in the note; whether the payload had one.
pub fn remember(payload: &Payload<'_>, note: &mut u64) -> bool {
    let Some(challenge) = reply_challenge(payload) else { return false };
    *note = Chosen::new(CHALLENGE, challenge).write(*note);
    true
}

/// Whether the message returns the server's challenge.
pub fn echoes(message: Message, note: u64) -> bool {
    match message {
        Message::ConnectRequest { challenge: Some(challenge) } => {
            Chosen::from_note(note).is(CHALLENGE, challenge)
        }
        _ => false,
    }
}

/// Whether the payload is the server's word that the connection stands.
pub fn is_connect_ok(payload: &Payload<'_>) -> bool {
    payload.u8(0) == Some(0x23) && payload.u8(1) == Some(0x0d)
}

/// The challenge in a server's reply, if the payload is one.
pub fn reply_challenge(payload: &Payload<'_>) -> Option<u64> {
    (payload.u8(0)? == 0x21).then(|| field2(payload)).flatten()
}

/// A padded message: its length u16 LE, then its fields, of which the first is the connection's number and not 0.
fn padded(payload: &Payload<'_>, has_connection: bool) -> Result<(), Flaw> {
    if payload.len() < PADDED_BYTES_MIN {
        return Err(Flaw::Padding);
    }
    let message_bytes = usize::from(payload.u16_le(1).ok_or(Flaw::Cut)?);
    if message_bytes == 0 || message_bytes + 3 > payload.len() {
        return Err(Flaw::Padding);
    }
    if has_connection {
        connection(payload, 3)?;
    }
    Ok(())
}

fn connect_request(payload: &Payload<'_>) -> Result<Message, Flaw> {
    if payload.len() < 6 {
        return Err(Flaw::Short);
    }
    connection(payload, 1)?;
    Ok(Message::ConnectRequest { challenge: field2(payload) })
}

/// Field 1, fixed32, not zero.
fn connection(payload: &Payload<'_>, at: usize) -> Result<(), Flaw> {
    if payload.u8(at).ok_or(Flaw::Cut)? != 0x0d {
        return Err(Flaw::Short);
    }
    if payload.u32_le(at + 1).ok_or(Flaw::Cut)? == 0 { Err(Flaw::Short) } else { Ok(()) }
}

/// Field 2, fixed64, of a message that is not padded.
fn field2(payload: &Payload<'_>) -> Option<u64> {
    let mut walk = Walk::new(*payload, 1);
    for _ in 0..FIELDS_MAX {
        // Field numbers above 15 take a second byte; none of these messages has one.
        let tag = walk.u8().ok()?;
        match tag & 0x07 {
            0 => skip_varint(&mut walk).ok()?,
            1 if tag >> 3 == 2 => return walk.array().map(u64::from_le_bytes).ok(),
            1 => walk.skip(8).ok()?,
            2 => {
                let length = walk.u8().ok().filter(|length| length & 0x80 == 0)?;
                walk.skip(usize::from(length)).ok()?;
            }
            5 => walk.skip(4).ok()?,
            _ => return None,
        }
    }
    None
}

fn skip_varint(walk: &mut Walk<'_>) -> Result<(), Lack> {
    for _ in 0..10 {
        if walk.u8()? & 0x80 == 0 {
            return Ok(());
        }
    }
    Err(Lack::Short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(first: u8, length: u16, fields: &[u8], pad_to: usize) -> Vec<u8> {
        let mut bytes = [&[first][..], &length.to_le_bytes(), fields].concat();
        bytes.resize(pad_to, 0);
        bytes
    }

    fn check(bytes: &[u8], wanted: Option<Result<Message, Flaw>>) {
        let len = u32::try_from(bytes.len()).unwrap();
        assert_eq!(message(&Payload::new(bytes, len)), wanted, "{:02x?}", &bytes[..bytes.len().min(16)]);
        for cut in 0..bytes.len() {
            if let Some(Err(flaw)) = message(&Payload::new(&bytes[..cut], len)) {
                assert!(flaw == Flaw::Cut || wanted == Some(Err(flaw)), "cut at {cut}: {flaw:?}");
            }
        }
    }

    const CONNECTION: [u8; 5] = [0x0d, 1, 2, 3, 4];

    #[test]
    fn requests() {
        check(&request(0x20, 5, &CONNECTION, 512), Some(Ok(Message::ChallengeRequest)));
        check(&request(0x20, 5, &CONNECTION, 511), Some(Err(Flaw::Padding)));
        check(&request(0x20, 0, &CONNECTION, 512), Some(Err(Flaw::Padding)));
        check(&request(0x20, 510, &CONNECTION, 512), Some(Err(Flaw::Padding)));
        check(&request(0x20, 5, &[0x0d, 0, 0, 0, 0], 512), Some(Err(Flaw::Short)));
        check(&request(0x20, 5, &CONNECTION, 1301), Some(Err(Flaw::Long)));
        check(&request(0x24, 5, &[], 512), Some(Ok(Message::Closed)));
        check(&[0x25, 0x15, 1, 2, 3, 4], Some(Ok(Message::Closed)));
        check(&[0x25], Some(Err(Flaw::Short)));
        check(&[0x21, 0], Some(Err(Flaw::ServerWord)));
        check(&[0x23, 0], Some(Err(Flaw::ServerWord)));
        check(&[0x26, 0], None);
        check(&[0x80, 1, 2, 3, 4, 5, 6], Some(Ok(Message::Data)));
        check(&[0x80, 1, 2, 3, 4], Some(Err(Flaw::Short)));
    }

    #[test]
    fn the_challenge_comes_back() {
        let reply = [&[0x21][..], &CONNECTION, &[0x11, 1, 2, 3, 4, 5, 6, 7, 8], &[0x20, 0x0a]].concat();
        let reply = Payload::new(&reply, 17);
        assert_eq!(reply_challenge(&reply), Some(0x0807_0605_0403_0201));
        // Fields in another order, one of them of variable length.
        let request = [&[0x22][..], &CONNECTION, &[0x3a, 1, 9, 0x11, 1, 2, 3, 4, 5, 6, 7, 8]].concat();
        let request = Payload::new(&request, 18);
        let wanted = Message::ConnectRequest { challenge: Some(0x0807_0605_0403_0201) };
        assert_eq!(message(&request), Some(Ok(wanted)));
        assert_eq!(reply_challenge(&request), None);
    }
}
