//! Source RCON over TCP: packets with a length, an id, a type and two strings.
//!
//! Facts: developer.valvesoftware.com/wiki/Source_RCON_Protocol. Sizes are 10 to 4096, and the first packet of a
//! client asks to be let in.

use crate::{Cursor, Head, Parse, Reason, Stop};

/// Type of the packet with the password.
const AUTH: u32 = 3;

/// The first packet of a client as far as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The password.
    Auth,
    /// Something else, which no server obeys before the password.
    Other(u32),
}

/// Reads the first packet's header; a size that no packet has is `bad`.
pub fn first(head: &Head<'_>, bad: Reason) -> Parse<First> {
    head.parse(|cursor| read_first(cursor, bad))
}

fn read_first(cursor: &mut Cursor<'_>, bad: Reason) -> Result<First, Stop> {
    let size = cursor.u32_le()?;
    if !(10..=4096).contains(&size) {
        return Err(Stop::Bad(bad));
    }
    cursor.u32_le()?;
    Ok(match cursor.u32_le()? {
        AUTH => First::Auth,
        other => First::Other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Reason = Reason(1);

    fn check(bytes: &[u8], wanted: Parse<First>) {
        assert_eq!(first(&Head::new(bytes, false, false), BAD), wanted, "{bytes:02x?}");
    }

    #[test]
    fn first_packets() {
        let auth = [14, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, b'p', b'w', b'd', b'!', 0, 0];
        check(&auth, Parse::Ok(First::Auth));
        for cut in 0..12 {
            check(&auth[..cut], Parse::NeedMore);
        }
        check(&[10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0], Parse::Ok(First::Other(2)));
        check(&[9, 0, 0, 0], Parse::Bad(BAD));
        check(&[1, 16, 0, 0], Parse::Bad(BAD));
        check(b"GET / HTTP/1.1\r\n", Parse::Bad(BAD));
    }
}
