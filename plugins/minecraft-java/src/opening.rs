//! The first bytes of a client: an optional PROXY header, then a legacy ping or a handshake and what follows it.
//!
//! Up to the handshake everything is read from the start of the stream each time more of it is there; the frames behind
//! it are read once, from the [`Place`] where reading stopped. A frame is judged by itself and the bytes of a head never
//! change, so that both find the same. Sources: PaperMC/Velocity HandshakePacket.java and
//! MinecraftVarintFrameDecoder.java, npm minecraft-data 3.117, HAProxy's PROXY protocol specification (v1 in 2.1, v2 in
//! 2.2), measured clients.

use ftagent_plugin::Cursor;
use ftagent_plugin::Stop;

use crate::note::Place;
use crate::reason;

/// What the first bytes are, as far as they are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A PROXY header alone, or one that this server was not said to expect: nothing is known of the client.
    Relayed,
    /// The whole or the beginning of a ping from before 1.7.
    Legacy,
    /// A handshake that asks for the status, and perhaps the request; read as far as this.
    Status(Place),
    /// A handshake that announces a login; its first packet is not here yet.
    LoginAnnounced,
    /// A handshake and a login's first packet, and behind it what clients send there; read as far as this.
    Login(Place),
}

/// What the server of this service expects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// A PROXY header may come first.
    pub(crate) proxy_header: bool,
    /// Handshakes may carry forwarded player data.
    pub(crate) forwarding: bool,
}

const PROXY_V1: &[u8] = b"PROXY ";
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The specification's bound, with CR and LF.
const PROXY_V1_BYTES_MAX: usize = 107;

/// "MC|PingHost" behind fe 01: plugin message, 11 letters, UTF-16BE.
const LEGACY_HOST: &[u8] = b"\xfa\0\x0b\0M\0C\0|\0P\0i\0n\0g\0H\0o\0s\0t";

const LENGTH_BYTES_MAX: u32 = 3;
const NUMBER_BYTES_MAX: u32 = 5;
/// Id, protocol, an empty host, port, next.
const HANDSHAKE_BYTES_MIN: u32 = 6;
/// Velocity's bound: 9 + 3 * (255 + len("\0FML\0") + 1), rounded up for longer marks of mod loaders.
const HANDSHAKE_BYTES_MAX: u32 = 9 + 3 * 272;
/// 16 characters of UTF-8; letters outside the first plane are four bytes but count as two characters.
const NAME_BYTES_MAX: u32 = 48;
/// Id, name, and for 1.19 to 1.19.2 a key (at most 512 bytes) and its signature (at most 4096).
const LOGIN_BYTES_MAX: u32 = 5_000;

/// Behind a handshake for the status clients send two, and six if they try twice more. One segment may bring many, so what
/// a stranger may make us read is bounded.
const STATUS_FRAMES_MAX: u8 = 8;

/// The same behind a login.
const LOGIN_FRAMES_MAX: u8 = 8;
/// An encryption response holds two numbers as long as the server's key (RSA, 1,024 bits), or one of them and a signature.
const ENCRYPTION_RESPONSE_ID: u8 = 1;
/// See there.
const ENCRYPTION_RESPONSE_BYTES_MIN: u32 = 1 + 2 + 128;
/// Ids of clients end below; the highest of 1.21 is 0x41.
const IDS_END: u8 = 0x60;
/// What begins a zlib stream with a window of 32 KiB (RFC 1950 2.2), as every compressor that clients use writes it.
const ZLIB: u8 = 0x78;

/// Reads as much as is here, from the stream's first byte.
pub(crate) fn read(cursor: &mut Cursor<'_>, expected: Expected) -> Result<Opening, Stop> {
    match cursor.peek()? {
        b'\r' if starts_like(cursor, PROXY_V2) => {
            if !expected.proxy_header {
                return Ok(Opening::Relayed);
            }
            skip_proxy_v2(cursor)?;
        }
        b'P' if starts_like(cursor, PROXY_V1) => {
            if !expected.proxy_header {
                return Ok(Opening::Relayed);
            }
            cursor.until(b'\n', PROXY_V1_BYTES_MAX, reason::NOT_MINECRAFT)?;
        }
        _ => {}
    }
    if cursor.is_at_end() {
        return Ok(Opening::Relayed);
    }
    if cursor.peek()? == 0xfe && is_legacy(cursor.rest())? {
        return Ok(Opening::Legacy);
    }
    match handshake(cursor, expected)? {
        1 => status(cursor, Place::at(cursor.position()), expected),
        _ if cursor.is_at_end() => Ok(Opening::LoginAnnounced),
        _ => login(cursor),
    }
}

/// Whether what is here agrees with `mark` as far as both go. "PROX" may still become a header.
fn starts_like(cursor: &Cursor<'_>, mark: &[u8]) -> bool {
    cursor.rest().iter().zip(mark).all(|(seen, wanted)| seen == wanted)
}

fn skip_proxy_v2(cursor: &mut Cursor<'_>) -> Result<(), Stop> {
    cursor.tag(PROXY_V2, reason::NOT_MINECRAFT)?;
    let version = cursor.u8()?;
    if version >> 4 != 2 {
        return Err(Stop::Bad(reason::NOT_MINECRAFT));
    }
    cursor.u8()?;
    let len = cursor.u16_be()?;
    cursor.bytes(usize::from(len)).map(|_| ())
}

/// Whether bytes that begin with fe are a legacy ping. `fe 01 00` is a handshake of 254 bytes, so that two bytes are
/// not enough to tell; `fe` and `fe 01` alone are whole pings of old clients.
fn is_legacy(bytes: &[u8]) -> Result<bool, Stop> {
    match bytes {
        [_] | [_, 1] => Ok(true),
        [_, 1, 0, ..] => Ok(false),
        [_, 1, rest @ ..] => {
            let differs = rest.iter().zip(LEGACY_HOST).any(|(seen, wanted)| seen != wanted);
            if differs { Err(Stop::Bad(reason::BAD_LEGACY_PING)) } else { Ok(true) }
        }
        // More of them: the null ping's cousin.
        [_, 0xfe, ..] => Err(Stop::Bad(reason::BAD_LEGACY_PING)),
        _ => Ok(false),
    }
}

/// The length of the next frame.
fn frame(cursor: &mut Cursor<'_>) -> Result<u32, Stop> {
    match cursor.varint(LENGTH_BYTES_MAX, reason::ENDLESS_LENGTH)? {
        0 => Err(Stop::Bad(reason::NULL_PING)),
        len => Ok(len),
    }
}

/// Reads the handshake's frame; gives the state that it asks for.
fn handshake(cursor: &mut Cursor<'_>, expected: Expected) -> Result<u8, Stop> {
    let len = frame(cursor)?;
    let start = cursor.position();
    if cursor.u8()? != 0 {
        return Err(Stop::Bad(reason::NOT_MINECRAFT));
    }
    handshake_body(cursor, len, start, expected)
}

/// The rest of a handshake's frame of `len` bytes, whose id stood at `start`.
fn handshake_body(cursor: &mut Cursor<'_>, len: u32, start: usize, expected: Expected) -> Result<u8, Stop> {
    if len < HANDSHAKE_BYTES_MIN {
        return Err(Stop::Bad(reason::BAD_HANDSHAKE));
    }
    if len > HANDSHAKE_BYTES_MAX && !expected.forwarding {
        return Err(Stop::Bad(reason::OVERSIZED_HANDSHAKE));
    }
    cursor.varint(NUMBER_BYTES_MAX, reason::BAD_HANDSHAKE)?;
    let host_bytes = cursor.varint(LENGTH_BYTES_MAX, reason::BAD_HANDSHAKE)?;
    // Port and next state follow the host and end the frame. Known before the host itself is here.
    let read = u32::try_from(cursor.position() - start).unwrap_or(u32::MAX);
    if host_bytes.saturating_add(read).saturating_add(3) != len {
        return Err(Stop::Bad(reason::BAD_HANDSHAKE));
    }
    cursor.bytes(host_bytes as usize)?;
    cursor.u16_be()?;
    match cursor.u8()? {
        next @ 1..=3 => Ok(next),
        _ => Err(Stop::Bad(reason::BAD_HANDSHAKE)),
    }
}

/// The frames behind a handshake for the status, from `place` on.
pub(crate) fn status(cursor: &mut Cursor<'_>, place: Place, expected: Expected) -> Result<Opening, Stop> {
    let frame = |cursor: &mut Cursor<'_>| status_frame(cursor, expected).map(|()| Some(cursor.position()));
    frames(cursor, place, STATUS_FRAMES_MAX, frame).map(Opening::Status)
}

/// The frames behind a login's first packet, from `place` on.
pub(crate) fn behind_login(cursor: &mut Cursor<'_>, place: Place) -> Result<Opening, Stop> {
    frames(cursor, place, LOGIN_FRAMES_MAX, login_frame).map(Opening::Login)
}

/// Reads the frames that begin within what is here, at most `frames_max` of a stream; `read` gives where the next one
/// begins, or nothing where no more can be read. One that is not whole yet ends the reading without blame.
fn frames(
    cursor: &mut Cursor<'_>,
    mut place: Place,
    frames_max: u8,
    read: impl Fn(&mut Cursor<'_>) -> Result<Option<usize>, Stop>,
) -> Result<Place, Stop> {
    loop {
        let ahead = usize::from(place.next()).saturating_sub(cursor.position());
        if cursor.bytes(ahead).is_err() || cursor.is_at_end() {
            return Ok(place);
        }
        match read(cursor) {
            Ok(next) => place = place.behind(next, frames_max),
            Err(Stop::NeedMore) => return Ok(place),
            Err(bad) => return Err(bad),
        }
    }
}

/// The request or the ping. mcstatus tries a ping again on the same connection, with the handshake before it.
fn status_frame(cursor: &mut Cursor<'_>, expected: Expected) -> Result<(), Stop> {
    let len = frame(cursor)?;
    let start = cursor.position();
    let id = cursor.u8()?;
    match (len, id) {
        (1, 0) => Ok(()),
        (9, 1) => cursor.bytes(8).map(|_| ()),
        (HANDSHAKE_BYTES_MIN.., 0) => match handshake_body(cursor, len, start, expected)? {
            1 => Ok(()),
            _ => Err(Stop::Bad(reason::BAD_STATUS)),
        },
        _ => Err(Stop::Bad(reason::BAD_STATUS)),
    }
}

/// The login's first packet: id 0 and a name. What follows the name depends on the version.
fn login(cursor: &mut Cursor<'_>) -> Result<Opening, Stop> {
    let len = frame(cursor)?;
    let start = cursor.position();
    let id = cursor.u8()?;
    let name_bytes = cursor.varint(LENGTH_BYTES_MAX, reason::BAD_LOGIN)?;
    let fits = len <= LOGIN_BYTES_MAX && name_bytes.saturating_add(2) <= len;
    if id != 0 || !(1..=NAME_BYTES_MAX).contains(&name_bytes) || !fits {
        return Err(Stop::Bad(reason::BAD_LOGIN));
    }
    cursor.bytes(name_bytes as usize)?;
    let next = frame_end(cursor, len, start);
    behind_login(cursor, Place::at(next))
}

/// A frame behind a login's first packet: an id, or, once the server has asked for compression, the length of what is
/// compressed and a zlib stream, or a length of 0 and an id. Gives where the next begins, or nothing where everything
/// from here on is encrypted.
fn login_frame(cursor: &mut Cursor<'_>) -> Result<Option<usize>, Stop> {
    let len = frame(cursor)?;
    let start = cursor.position();
    match cursor.peek()? {
        ENCRYPTION_RESPONSE_ID if len >= ENCRYPTION_RESPONSE_BYTES_MIN => return Ok(None),
        ..IDS_END => {}
        _ => {
            cursor.varint(LENGTH_BYTES_MAX, reason::BAD_LOGIN_STREAM)?;
            if cursor.u8()? != ZLIB {
                return Err(Stop::Bad(reason::BAD_LOGIN_STREAM));
            }
        }
    }
    Ok(Some(frame_end(cursor, len, start)))
}

/// Where a frame of `len` bytes that began at `start` ends; not before what was read of it.
fn frame_end(cursor: &Cursor<'_>, len: u32, start: usize) -> usize {
    start.saturating_add(len as usize).max(cursor.position())
}
