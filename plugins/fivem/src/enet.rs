//! ENet 1.3 from a client: the CONNECT before there is a peer, and the commands after.
//!
//! Facts: Debian libenet-dev 1.3.17 `enet/protocol.h`, lsalzman/enet `protocol.c`; measured with pyenet and
//! SuperTuxKart: the first datagram has 52 bytes.

use ftagent_plugin::Payload;
use ftagent_plugin::protocol::Lack;
use ftagent_plugin::protocol::Walk;

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Datagram {
    /// It asks for a connection.
    Connect {
        /// The number that belongs to the token of the join over TCP.
        token: u32,
    },
    /// It takes its CONNECT back.
    GivesUp,
    /// Commands of a connection.
    Commands {
        /// Whether one of them carries bytes of the game.
        carries_game: bool,
    },
    /// Commands that are compressed.
    Compressed,
}

/// Why a datagram is not what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The capture ends before the answer. Never a fault of the client.
    Cut,
    /// No peer number, and a command other than CONNECT and DISCONNECT.
    NotConnect,
    /// A CONNECT with fields that ENet never writes.
    BadConnect,
    /// A CONNECT of another length, or compressed.
    OddConnect,
    /// A command that does not exist, or is longer than the datagram.
    BadCommand,
}

const SENT_TIME: u16 = 0x8000;
const COMPRESSED: u16 = 0x4000;
/// The peer number of who has none yet.
const NO_PEER: u16 = 0x0fff;

const CONNECT: u8 = 2;
const DISCONNECT: u8 = 4;
/// "Acknowledge this", the flag that a CONNECT always has.
const ACKNOWLEDGE: u8 = 0x80;
const COMMAND: u8 = 0x0f;

/// Header and command.
const CONNECT_BYTES: usize = 52;
const CHECKSUM_BYTES: usize = 4;
/// Commands in one datagram, as ENet writes them.
const COMMANDS_MAX: u32 = 32;

/// Bytes of each command by its number, header included; 0 for none. Some are followed by content.
const COMMAND_BYTES: [usize; 13] = [0, 8, 48, 44, 8, 4, 6, 8, 24, 8, 12, 16, 24];

/// Reads a client's datagram.
pub(crate) fn datagram(payload: &Payload<'_>) -> Result<Datagram, Flaw> {
    let mut walk = Walk::new(*payload, 0);
    let peer = walk.u16_be().map_err(command_lack)?;
    if peer & NO_PEER == NO_PEER {
        return without_peer(payload, peer);
    }
    if peer & COMPRESSED != 0 {
        return Ok(Datagram::Compressed);
    }
    if peer & SENT_TIME != 0 {
        walk.skip(2).map_err(command_lack)?;
    }
    let mut carries_game = false;
    let mut count = 0;
    while walk.left() > 0 && count < COMMANDS_MAX {
        match command(&mut walk) {
            Ok(carries) => carries_game |= carries,
            // What was captured is in order; the rest was not captured.
            Err(Flaw::Cut) => break,
            Err(flaw) => return Err(flaw),
        }
        count += 1;
    }
    Ok(Datagram::Commands { carries_game })
}

fn without_peer(payload: &Payload<'_>, peer: u16) -> Result<Datagram, Flaw> {
    if peer & COMPRESSED != 0 {
        return Err(Flaw::OddConnect);
    }
    let at = if peer & SENT_TIME != 0 { 4 } else { 2 };
    if payload.len() <= at {
        return Err(Flaw::NotConnect);
    }
    let first = payload.u8(at).ok_or(Flaw::Cut)?;
    match first & COMMAND {
        CONNECT if at == 4 => connect(payload, first),
        DISCONNECT => Ok(Datagram::GivesUp),
        // With a checksum the command stands four bytes later.
        _ if payload.u8(at + CHECKSUM_BYTES).is_none() && payload.len() > at + CHECKSUM_BYTES => {
            Err(Flaw::Cut)
        }
        _ if has_checksum(payload, at) => Err(Flaw::OddConnect),
        _ => Err(Flaw::NotConnect),
    }
}

/// Whether a CONNECT stands behind a checksum.
fn has_checksum(payload: &Payload<'_>, at: usize) -> bool {
    let behind = payload.u8(at + CHECKSUM_BYTES) == Some(ACKNOWLEDGE | CONNECT);
    behind && payload.len() == CONNECT_BYTES + CHECKSUM_BYTES
}

fn connect(payload: &Payload<'_>, first: u8) -> Result<Datagram, Flaw> {
    if payload.len() < CONNECT_BYTES {
        return Err(Flaw::BadConnect);
    }
    if payload.len() > CONNECT_BYTES {
        return Err(Flaw::OddConnect);
    }
    if first != ACKNOWLEDGE | CONNECT || payload.differs_at(5, &[0xff, 0, 1]) {
        return Err(Flaw::BadConnect);
    }
    let field = |at| payload.u32_be(at).ok_or(Flaw::Cut);
    let (packet_bytes, window, channels) = (field(12)?, field(16)?, field(20)?);
    let fits = (576..=4096).contains(&packet_bytes)
        && (4096..=65_536).contains(&window)
        && (1..=255).contains(&channels);
    if fits { Ok(Datagram::Connect { token: field(48)? }) } else { Err(Flaw::BadConnect) }
}

/// One command; whether it carries bytes of the game.
fn command(walk: &mut Walk<'_>) -> Result<bool, Flaw> {
    let number = walk.peek().map_err(command_lack)? & COMMAND;
    let bytes = match COMMAND_BYTES.get(usize::from(number)) {
        Some(&bytes) if bytes > 0 => bytes,
        _ => return Err(Flaw::BadCommand),
    };
    // Where the length of the content stands: behind the fields that each kind has before it.
    let length_at = match number {
        6 => Some(4),
        7..=9 | 12 => Some(6),
        _ => None,
    };
    let Some(length_at) = length_at else {
        walk.skip(bytes).map_err(command_lack)?;
        return Ok(false);
    };
    walk.skip(length_at).map_err(command_lack)?;
    let content_bytes = usize::from(walk.u16_be().map_err(command_lack)?);
    walk.skip(bytes - length_at - 2 + content_bytes).map_err(command_lack)?;
    Ok(true)
}

fn command_lack(lack: Lack) -> Flaw {
    if lack == Lack::Cut { Flaw::Cut } else { Flaw::BadCommand }
}

#[cfg(test)]
mod tests {
    use ftagent_plugin::testing::hex;
    use proptest::prelude::*;

    use super::*;

    const VECTOR: &str = "8fff50ad 82ff0001 0000ffff 00000578 00010000 00000003 00000000 00000000
        00001388 00000002 00000002 039fcde2 11223344";

    fn check(text: &str, wanted: Result<Datagram, Flaw>) {
        let bytes = hex(text);
        let len = u32::try_from(bytes.len()).unwrap();
        assert_eq!(datagram(&Payload::new(&bytes, len)), wanted, "{text}");
        for cut in 0..bytes.len() {
            if let Err(flaw) = datagram(&Payload::new(&bytes[..cut], len)) {
                assert!(flaw == Flaw::Cut || wanted == Err(flaw), "{text} cut at {cut}: {flaw:?}");
            }
        }
    }

    #[test]
    fn connects() {
        check(VECTOR, Ok(Datagram::Connect { token: 0x1122_3344 }));
        check("0fff 44ff0001 00000000", Ok(Datagram::GivesUp));
        check(&VECTOR.replace("00000578", "0000023f"), Err(Flaw::BadConnect));
        check(&VECTOR.replace("00010000", "00010001"), Err(Flaw::BadConnect));
        check(&VECTOR.replace("00000003", "00000100"), Err(Flaw::BadConnect));
        check(&VECTOR.replace("82ff0001", "82ff0002"), Err(Flaw::BadConnect));
        check(&VECTOR.replace("82ff0001", "82000001"), Err(Flaw::BadConnect));
        check(&VECTOR.replace("82ff0001", "02ff0001"), Err(Flaw::BadConnect));
        check(&VECTOR.replace("11223344", ""), Err(Flaw::BadConnect));
        check(&format!("{VECTOR} 00"), Err(Flaw::OddConnect));
        check(&VECTOR.replace("50ad", "50ad 01020304"), Err(Flaw::OddConnect));
        check(&VECTOR.replace("8fff", "cfff"), Err(Flaw::OddConnect));
        check(&VECTOR.replace("82ff0001", "85ff0001"), Err(Flaw::NotConnect));
        check("ffff", Err(Flaw::OddConnect));
        check("8fff50ad", Err(Flaw::NotConnect));
    }

    #[test]
    fn commands() {
        let commands = |carries_game| Ok(Datagram::Commands { carries_game });
        check("8001 50ad 85ff0002", commands(false));
        check("9001 50ad 01ff0001 0001 50ad", commands(false));
        check("8001 50ad 86000003 0002 aabb", commands(true));
        check("8001 50ad 86000003 0002 aabb 85ff0002", commands(true));
        check("0001 07000003 0001 0002 aabb", commands(true));
        check("0001 49000003 0001 0002 aabb", commands(true));
        check("8001 50ad 88000003 0001 0002 00000002 00000000 00000004 00000000 aabb", commands(true));
        check("4001 aabbcc", Ok(Datagram::Compressed));
        check("8001 50ad 86000003 0003 aabb", Err(Flaw::BadCommand));
        check("8001 50ad 80000003", Err(Flaw::BadCommand));
        check("8001 50ad 8d000003", Err(Flaw::BadCommand));
        check("8001 50", Err(Flaw::BadCommand));
        check("80", Err(Flaw::BadCommand));
    }

    proptest! {
        #[test]
        fn a_cut_never_makes_a_flaw(bytes in proptest::collection::vec(any::<u8>(), 0..70), cut in 0usize..70) {
            let len = u32::try_from(bytes.len()).unwrap();
            let whole = datagram(&Payload::new(&bytes, len));
            if let Err(flaw) = datagram(&Payload::new(&bytes[..cut.min(bytes.len())], len)) {
                prop_assert!(flaw == Flaw::Cut || whole == Err(flaw), "{flaw:?} of {whole:?}");
            }
        }
    }
}
