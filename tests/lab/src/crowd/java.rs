//! What a light player of Minecraft Java says (1.20.4, offline): handshake, login, configuration, then a step twenty
//! times a second and an echo twice a second. It unpacks nothing: every packet that it has to answer is short, and the
//! protocol compresses only long ones.

use crate::clock;

/// Frames that wait for their end; what the server sends at a login is the longest.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// Between two echoes.
const ECHO_MS: u64 = 500;

/// What the server has led it to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Login,
    Configuration,
    Play,
    Over,
}

/// One connection.
#[derive(Debug, Default)]
pub(super) struct Talk {
    phase: Phase,
    compressed: bool,
    heard: Vec<u8>,
    steps: u64,
    asked_ms: u64,
}

impl Talk {
    /// What is said first.
    pub(super) fn open(&mut self, name: &str) -> Vec<u8> {
        let mut handshake = vec![0x00, 0xfd, 0x05, 16];
        handshake.extend(b"play.example.org");
        handshake.extend([0x63, 0xdd, 2]);
        let mut login = vec![0x00, name.len() as u8];
        login.extend(name.as_bytes());
        login.extend([7; 16]);
        [self.frame(&handshake), self.frame(&login)].concat()
    }

    /// Reads what came; returns what has to be answered.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.heard.extend_from_slice(bytes);
        let (mut answer, mut from) = (Vec::new(), 0);
        while let Some((length, header)) = number(&self.heard[from..]) {
            let end = from + header + length;
            if end > self.heard.len() {
                break;
            }
            let frame = self.heard[from + header..end].to_vec();
            answer.extend(self.read(&frame));
            from = end;
        }
        self.heard.drain(..from);
        if self.heard.len() > BUFFER_BYTES_MAX {
            self.phase = Phase::Over;
        }
        answer
    }

    fn read(&mut self, frame: &[u8]) -> Vec<u8> {
        let body = if self.compressed {
            match number(frame) {
                Some((0, header)) => &frame[header..],
                // Something long, of which nothing has to be answered; that it came says that the player is in.
                _ => &[],
            }
        } else {
            frame
        };
        match (self.phase, body.first()) {
            (Phase::Login, Some(0x03)) => self.compressed = true,
            (Phase::Login, Some(0x02)) => {
                self.phase = Phase::Configuration;
                return self.frame(&[0x03]);
            }
            (Phase::Configuration, Some(0x02)) => {
                self.phase = Phase::Play;
                return self.frame(&[0x02]);
            }
            (Phase::Configuration, Some(0x03)) => return self.frame(&[&[0x03], &body[1..]].concat()),
            (Phase::Play, Some(0x24)) => return self.frame(&[&[0x15], &body[1..]].concat()),
            (Phase::Login, Some(0x00)) | (Phase::Configuration, Some(0x01)) | (Phase::Play, Some(0x1b)) => {
                self.phase = Phase::Over;
            }
            _ => {}
        }
        Vec::new()
    }

    /// The next packet of somebody who plays.
    pub(super) fn step(&mut self) -> Vec<u8> {
        self.steps += 1;
        let now_ms = clock::now_ms();
        if now_ms >= self.asked_ms + ECHO_MS {
            self.asked_ms = now_ms;
            return self.frame(&[&[0x1e], &self.steps.to_be_bytes()[..]].concat());
        }
        let mut position = vec![0x17];
        for place in [(self.steps % 16) as f64, 64.0, 0.0] {
            position.extend(place.to_be_bytes());
        }
        position.push(1);
        self.frame(&position)
    }

    pub(super) fn is_in(&self) -> bool {
        self.phase == Phase::Play
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// A frame shorter than 128 bytes.
    fn frame(&self, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(body.len() + 2);
        frame.push((body.len() + usize::from(self.compressed)) as u8);
        if self.compressed {
            frame.push(0);
        }
        frame.extend(body);
        frame
    }
}

/// A number of seven bits a byte and how many bytes it takes.
fn number(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_is_led_in_and_keeps_alive() {
        let mut talk = Talk::default();
        assert!(talk.open("Light1").starts_with(b"\x17\x00\xfd\x05\x10play.example.org"));
        assert_eq!(talk.hear(&[0x03, 0x03, 0x80, 0x02]), b"");
        assert_eq!(talk.hear(&[0x04, 0x00, 0x02]), b"", "a frame that is not whole yet");
        assert_eq!(talk.hear(&[7, 7]), [0x02, 0x00, 0x03]);
        // Something long and compressed, then the end of the configuration.
        assert_eq!(talk.hear(&[0x03, 0x81, 0x02, 9, 0x02, 0x00, 0x02]), [0x02, 0x00, 0x02]);
        assert!(talk.is_in());
        assert_eq!(talk.hear(&[0x03, 0x00, 0x24, 5]), [0x03, 0x00, 0x15, 5]);
        assert_eq!((talk.step().len(), talk.step().len()), (11, 28), "an echo, then a step");
        assert_eq!(talk.hear(&[0x02, 0x00, 0x1b]), b"");
        assert!(talk.is_over());
    }
}
