//! What a light player of Minecraft Bedrock says: the whole RakNet exchange, and then RakNet's own pings, which every
//! client sends and every server answers. It never logs in to the game above it: that takes keys and 22 datagrams a
//! player, and nothing between the two ends reads it.

use std::net::SocketAddr;
use std::net::SocketAddrV4;

const MAGIC: [u8; 16] = *b"\x00\xff\xff\x00\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78";
/// What the npm server speaks.
const PROTOCOL: u8 = 10;
/// Payload of the first request: an MTU of 1,200.
const REQUEST_BYTES: usize = 1_172;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    First,
    Second,
    Connecting,
    Play,
    Over,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Talk {
    phase: Phase,
    server: SocketAddr,
    id: u64,
    sequence: u32,
}

impl Talk {
    pub(super) fn new(server: SocketAddr, id: u64) -> Self {
        Self { phase: Phase::default(), server, id, sequence: 0 }
    }

    /// What is said first, and again every half second until it is answered.
    pub(super) fn open(&mut self) -> Vec<u8> {
        match self.phase {
            Phase::First => request1(),
            Phase::Second => request2(self.server, self.id),
            Phase::Connecting => self.request(),
            Phase::Play | Phase::Over => Vec::new(),
        }
    }

    /// Reads what came; returns what has to be answered.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        match (self.phase, bytes.first().copied()) {
            (Phase::First, Some(0x06)) => {
                self.phase = Phase::Second;
                return request2(self.server, self.id);
            }
            (Phase::First | Phase::Second, Some(0x08)) => {
                self.phase = Phase::Connecting;
                return self.request();
            }
            (Phase::Connecting, Some(0x80..=0x8f)) if message(bytes) == Some(0x10) => {
                self.phase = Phase::Play;
                return self.confirm();
            }
            (Phase::Play, Some(0x80..=0x8f)) if message(bytes) == Some(0x15) => self.phase = Phase::Over,
            _ => {}
        }
        Vec::new()
    }

    /// The next packet of somebody who plays: a connected ping.
    pub(super) fn step(&mut self) -> Vec<u8> {
        let time = u64::from(self.sequence);
        self.datagram(&[&[0x00], &time.to_be_bytes()[..]].concat())
    }

    /// What a client says that leaves.
    pub(super) fn part(&mut self) -> Vec<u8> {
        self.datagram(&[0x15])
    }

    pub(super) fn is_in(&self) -> bool {
        self.phase == Phase::Play
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    fn request(&mut self) -> Vec<u8> {
        let mut body = vec![0x09];
        body.extend(self.id.to_be_bytes());
        body.extend([0; 9]);
        self.datagram(&body)
    }

    fn confirm(&mut self) -> Vec<u8> {
        let mut body = vec![0x13];
        body.extend(address(self.server));
        for _ in 0..20 {
            body.extend(address(SocketAddr::from(([0, 0, 0, 0], 0))));
        }
        body.extend([0; 16]);
        self.datagram(&body)
    }

    /// One message in one unreliable frame.
    fn datagram(&mut self, body: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0x84];
        datagram.extend(&self.sequence.to_le_bytes()[..3]);
        self.sequence += 1;
        datagram.push(0);
        datagram.extend(((body.len() * 8) as u16).to_be_bytes());
        datagram.extend(body);
        datagram
    }
}

/// The first request of any RakNet client.
pub(crate) fn request1() -> Vec<u8> {
    let mut request = vec![0x05];
    request.extend(MAGIC);
    request.push(PROTOCOL);
    request.resize(REQUEST_BYTES, 0);
    request
}

/// The second one.
pub(crate) fn request2(server: SocketAddr, id: u64) -> Vec<u8> {
    let mut request = vec![0x07];
    request.extend(MAGIC);
    request.extend(address(server));
    request.extend(1_200_u16.to_be_bytes());
    request.extend(id.to_be_bytes());
    request
}

/// The id of the message in an unreliable frame.
fn message(datagram: &[u8]) -> Option<u8> {
    // Reliable frames carry three bytes more, ordered ones seven.
    let at = match datagram.get(4)? >> 5 {
        0 => 7,
        2 => 10,
        3 => 14,
        _ => return None,
    };
    datagram.get(at).copied()
}

/// As RakNet writes addresses: every byte of the address turned over.
fn address(at: SocketAddr) -> Vec<u8> {
    let v4 = match at {
        SocketAddr::V4(v4) => v4,
        SocketAddr::V6(v6) => {
            let mut bytes = vec![6, 10, 0];
            bytes.extend(v6.port().to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(v6.ip().octets());
            bytes.extend([0; 4]);
            return bytes;
        }
    };
    let turned = |v4: SocketAddrV4| v4.ip().octets().map(|byte| !byte);
    [&[4], &turned(v4)[..], &v4.port().to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_leads_in() {
        let server = "203.0.113.10:19132".parse().expect("an address");
        let mut talk = Talk::new(server, 7);
        assert_eq!(talk.open().len(), REQUEST_BYTES);
        let request = talk.hear(&[0x06; 28]);
        assert_eq!((request.len(), request[0]), (34, 0x07));
        assert_eq!(talk.hear(&[0x08; 35])[7], 0x09);
        let accepted = [0x80, 0, 0, 0, 0, 0, 8, 0x10];
        assert_eq!(talk.hear(&accepted).len(), 7 + 1 + 21 * 7 + 16);
        assert!(talk.is_in());
        assert_eq!(talk.step()[7], 0x00);
        assert_eq!(talk.part()[7..], [0x15]);
    }
}
