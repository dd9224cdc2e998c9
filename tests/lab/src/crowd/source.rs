//! What a light player of a Source game says to the lab's own server: a challenge asked for and echoed, then numbered
//! datagrams as a Source client sends them.

/// The message of a numbered datagram that says farewell, and where it stands; the lab's server knows it.
const PART: &[u8] = b"\x01Disconnect by user.\0";
const PART_AT: usize = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Challenge,
    Connect([u8; 4]),
    Play,
}

/// One connection.
#[derive(Debug, Default)]
pub(super) struct Talk {
    phase: Phase,
    sequence: u32,
}

impl Talk {
    /// What is said first, and again every half second until it is answered.
    pub(super) fn open(&self) -> Vec<u8> {
        match self.phase {
            Phase::Challenge => b"\xff\xff\xff\xffqconnect0x00001a2b\0".to_vec(),
            Phase::Connect(challenge) => connect(challenge),
            Phase::Play => Vec::new(),
        }
    }

    /// Reads what came; returns what has to be answered.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        match (self.phase, bytes) {
            (Phase::Challenge, [0xff, 0xff, 0xff, 0xff, b'A', a, b, c, d, ..]) => {
                self.phase = Phase::Connect([*a, *b, *c, *d]);
                connect([*a, *b, *c, *d])
            }
            (Phase::Connect(_), [0xff, 0xff, 0xff, 0xff, b'B', ..]) => {
                self.phase = Phase::Play;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// The next packet of somebody who plays.
    pub(super) fn step(&mut self) -> Vec<u8> {
        self.sequence += 1;
        let mut datagram = self.sequence.to_le_bytes().to_vec();
        datagram.extend(self.sequence.saturating_sub(1).to_le_bytes());
        datagram.extend([0; 52]);
        datagram
    }

    /// What a client says that leaves: one more numbered datagram, with the message of that (1) and its words.
    pub(super) fn part(&mut self) -> Vec<u8> {
        let mut datagram = self.step();
        datagram.truncate(PART_AT);
        datagram.extend(PART);
        datagram
    }

    pub(super) fn is_in(&self) -> bool {
        self.phase == Phase::Play
    }
}

fn connect(challenge: [u8; 4]) -> Vec<u8> {
    let mut request = b"\xff\xff\xff\xffk\x18\0\0\0\x03\0\0\0".to_vec();
    request.extend(challenge);
    request.extend([1, 2, 3, 4]);
    request.extend(b"Light\0\x001.0\0");
    request.extend([0; 180]);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_echoed() {
        let mut talk = Talk::default();
        assert_eq!(talk.open().len(), 23);
        let connect = talk.hear(b"\xff\xff\xff\xffA\x01\x02\x03\x04rest");
        assert_eq!(&connect[13..17], &[1, 2, 3, 4]);
        assert_eq!(talk.hear(b"\xff\xff\xff\xffB\0"), b"");
        assert!(talk.is_in());
        assert!((16..=1_260).contains(&talk.step().len()));
        assert!(talk.part().ends_with(PART));
    }
}
