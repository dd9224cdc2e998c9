//! Many light players in one thread: each has an address and a socket of its own, joins as a client of its game does,
//! plays at a fixed rate and says when it lost its connection. They are ours, and stand beside the real clients to
//! make numbers of packets that a share of a thousandth can be read from.
//!
//! What must stay true: a light player sends only what a client of its game sends, from ports that no attacker uses,
//! and one that was thrown out is counted before it joins again.

mod java;
pub(crate) mod raknet;
pub(crate) mod socket;
mod source;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;

use crate::Lab;
use crate::clients::Game;
use crate::clock;
use crate::namespace;
use socket::Socket;

/// How often each player is looked after.
const ROUND: Duration = Duration::from_millis(5);
/// And each guest: they are in crowds of few at many servers, and every round costs its thread's waking up.
const GUESTS_ROUND: Duration = Duration::from_millis(20);
/// Who hears nothing for so long has lost the connection: clients begin to warn then and give up soon after.
const SILENCE_MS: u64 = 5_000;
/// What was not answered while joining is said again.
const AGAIN_MS: u64 = 500;
/// A newcomer who does not get in within this time gives up.
const JOINING_MS: u64 = 10_000;
/// Those who always play are patient, so that a slow server is not asked for the same again and again.
const JOINING_PATIENTLY_MS: u64 = 60_000;
/// Who was thrown out comes back after so long.
const BACK_MS: u64 = 1_000;

/// When players are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// They always play, and who was thrown out comes back.
    Always,
    /// They come once, and who leaves or gives up does not come back: newcomers, whose joins are counted.
    Once,
    /// They come and go as [`Crowd::attend`] says, nobody at first. Each coming is a join that is counted.
    Guests,
}

/// Who plays what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The game; Java, Bedrock and Source can be played lightly.
    pub game: Game,
    /// The server.
    pub public: SocketAddr,
    /// One player from each of these.
    pub from: Vec<IpAddr>,
    /// Packets of each player a second.
    pub per_second: u64,
    /// Players that join a second; 0 is all at once.
    pub joining_per_second: u64,
    /// When they are there.
    pub stay: Stay,
}

/// What became of one player.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// When it began to join for the first time; 0 if it did not.
    pub began_ms: u64,
    /// When it was in; 0 if it is not.
    pub joined_ms: u64,
    /// When it was in for the first time.
    pub first_joined_ms: u64,
    /// When it gave up; 0 if it did not.
    pub gave_up_ms: u64,
    /// How often it lost its connection.
    pub disconnected: u64,
    /// When it lost it last.
    pub disconnected_ms: u64,
}

/// Light players at work; they leave when dropped.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
    players: usize,
    stay: Stay,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    paused: AtomicBool,
    per_second: AtomicU64,
    /// Of guests: who is to be there, as the first one's number and how many from him on, round and round.
    attending: Mutex<(usize, usize)>,
    seen: Mutex<Vec<Seen>>,
    /// Guests' stays that are over.
    over: Mutex<Vec<Seen>>,
}

impl Crowd {
    /// Lets them join.
    pub fn start(lab: &Lab, plan: Plan) -> Self {
        let shared = Arc::new(Shared::default());
        shared.per_second.store(plan.per_second, Ordering::Relaxed);
        let (players, stay) = (plan.from.len(), plan.stay);
        *shared.seen.lock().unwrap_or_else(PoisonError::into_inner) = vec![Seen::default(); players];
        let (told, path, held) = (Arc::clone(&shared), lab.players().path(), lab.clone());
        let thread = std::thread::spawn(move || {
            namespace::move_thread(&path)?;
            let result = run(&plan, &told);
            drop(held);
            result
        });
        Self { shared, thread: Some(thread), players, stay }
    }

    /// How many they are.
    #[must_use]
    pub fn players(&self) -> usize {
        self.players
    }

    /// What became of each so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of each coming of a player what became of it: guests come more than once.
    #[must_use]
    pub fn stays(&self) -> Vec<Seen> {
        // Both are written under the lock of the first.
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let over = self.shared.over.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().chain(over.iter()).copied().collect()
    }

    /// Whether everybody who was to come is in or has given up.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let absent = |seen: &Seen| seen.began_ms == 0 && self.stay == Stay::Guests;
        let settled = |seen: &Seen| seen.began_ms > 0 && (seen.first_joined_ms > 0 || seen.gave_up_ms > 0);
        self.seen().iter().all(|seen| absent(seen) || settled(seen))
    }

    /// From now on so many guests are there, from that one on; whoever is too many leaves.
    pub fn attend(&self, first: usize, count: usize) {
        *self.shared.attending.lock().unwrap_or_else(PoisonError::into_inner) = (first, count);
    }

    /// How many are in.
    #[must_use]
    pub fn playing(&self) -> usize {
        self.seen().iter().filter(|seen| seen.joined_ms > 0).count()
    }

    /// Waits until all are in; says how many are.
    pub fn wait_until_in(&self, timeout: Duration) -> usize {
        clock::wait_for(timeout, || (self.playing() == self.players).then_some(()));
        self.playing()
    }

    /// How often connections were lost between two times.
    #[must_use]
    pub fn disconnected(&self, from_ms: u64, to_ms: u64) -> u64 {
        let lost = |seen: &&Seen| seen.disconnected > 0 && (from_ms..to_ms).contains(&seen.disconnected_ms);
        self.stays().iter().filter(lost).count() as u64
    }

    /// Packets of each player a second from now on.
    pub fn play_at(&self, per_second: u64) {
        self.shared.per_second.store(per_second, Ordering::Relaxed);
    }

    /// While paused they send nothing, so that what is on its way can be counted.
    pub fn pause(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::Relaxed);
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a player says, by its game.
#[derive(Debug)]
enum Talk {
    Java(java::Talk),
    Bedrock(raknet::Talk),
    Source(source::Talk),
}

impl Talk {
    fn new(plan: &Plan, number: usize) -> anyhow::Result<Self> {
        match plan.game {
            Game::Java => Ok(Self::Java(java::Talk::default())),
            Game::Bedrock => Ok(Self::Bedrock(raknet::Talk::new(plan.public, 0x1a2b_0000 + number as u64))),
            Game::Source => Ok(Self::Source(source::Talk::default())),
            Game::BzFlag => anyhow::bail!("there are no light players of BZFlag"),
        }
    }

    /// What is said first or, if it was not answered, again. TCP repeats by itself.
    fn open(&mut self, name: &str, again: bool) -> Vec<u8> {
        match self {
            Self::Java(_) if again => Vec::new(),
            Self::Java(talk) => talk.open(name),
            Self::Bedrock(talk) => talk.open(),
            Self::Source(talk) => talk.open(),
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Java(talk) => talk.hear(bytes),
            Self::Bedrock(talk) => talk.hear(bytes),
            Self::Source(talk) => talk.hear(bytes),
        }
    }

    fn step(&mut self) -> Vec<u8> {
        match self {
            Self::Java(talk) => talk.step(),
            Self::Bedrock(talk) => talk.step(),
            Self::Source(talk) => talk.step(),
        }
    }

    /// What is said at parting; who plays over TCP hangs up.
    fn part(&mut self) -> Vec<u8> {
        match self {
            Self::Java(_) => Vec::new(),
            Self::Bedrock(talk) => talk.part(),
            Self::Source(talk) => talk.part(),
        }
    }

    fn is_in(&self) -> bool {
        match self {
            Self::Java(talk) => talk.is_in(),
            Self::Bedrock(talk) => talk.is_in(),
            Self::Source(talk) => talk.is_in(),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Java(talk) => talk.is_over(),
            Self::Bedrock(talk) => talk.is_over(),
            Self::Source(_) => false,
        }
    }
}

/// A player with a connection.
struct Connected {
    talk: Talk,
    socket: Socket,
    said_ms: u64,
    heard_ms: u64,
    due_us: u64,
    /// Its opening was said.
    opened: bool,
}

/// A player.
#[derive(Default)]
struct Player {
    connected: Option<Connected>,
    seen: Seen,
    /// It does nothing before.
    not_before_ms: u64,
    /// When it last began to join.
    tried_ms: u64,
    /// Guests' stays that ended since the last round.
    over: Vec<Seen>,
}

impl Shared {
    /// Whether this guest of so many is to be there.
    fn attends(&self, number: usize, players: usize) -> bool {
        let (first, count) = *self.attending.lock().unwrap_or_else(PoisonError::into_inner);
        (number + players - first % players) % players < count
    }
}

fn run(plan: &Plan, shared: &Shared) -> anyhow::Result<()> {
    let begun_ms = clock::now_ms();
    let mut players: Vec<Player> = Vec::new();
    for number in 0..plan.from.len() as u64 {
        let later_ms = (number * 1_000).checked_div(plan.joining_per_second).unwrap_or(0);
        players.push(Player { not_before_ms: begun_ms + later_ms, ..Player::default() });
    }
    let round = if plan.stay == Stay::Guests { GUESTS_ROUND } else { ROUND };
    while !shared.stop.load(Ordering::Relaxed) {
        for (number, player) in players.iter_mut().enumerate() {
            player.look_after(plan, number, shared).context("a light player cannot go on")?;
        }
        let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut over = shared.over.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = players.iter().map(|player| player.seen).collect();
        players.iter_mut().for_each(|player| over.append(&mut player.over));
        drop((seen, over));
        std::thread::sleep(round);
    }
    Ok(())
}

impl Player {
    fn look_after(&mut self, plan: &Plan, number: usize, shared: &Shared) -> anyhow::Result<()> {
        let now_ms = clock::now_ms();
        let attends = plan.stay != Stay::Guests || shared.attends(number, plan.from.len());
        let Some(connected) = &mut self.connected else {
            let was_there = plan.stay == Stay::Once && self.seen.began_ms > 0;
            let may = attends && now_ms >= self.not_before_ms && !was_there;
            if may && !shared.paused.load(Ordering::Relaxed) {
                self.begin(plan, number, now_ms)?;
            }
            return Ok(());
        };
        let alive = connected.exchange(number, shared, now_ms);
        if connected.talk.is_in() && self.seen.joined_ms == 0 {
            self.seen.joined_ms = clock::now_ms();
            if self.seen.first_joined_ms == 0 {
                self.seen.first_joined_ms = self.seen.joined_ms;
            }
        }
        let joined = self.seen.joined_ms > 0;
        if !attends && !shared.paused.load(Ordering::Relaxed) {
            self.part(now_ms);
            return Ok(());
        }
        let patience_ms = if plan.stay == Stay::Always { JOINING_PATIENTLY_MS } else { JOINING_MS };
        let gives_up = !joined && now_ms > self.tried_ms + patience_ms;
        let lost = joined && now_ms > connected.heard_ms + SILENCE_MS;
        if !alive || gives_up || lost {
            self.leave(now_ms, joined);
            if plan.stay == Stay::Guests {
                self.over.push(std::mem::take(&mut self.seen));
            }
        }
        Ok(())
    }

    fn begin(&mut self, plan: &Plan, number: usize, now_ms: u64) -> anyhow::Result<()> {
        let socket = Socket::connect(plan.game == Game::Java, plan.from[number], plan.public)?;
        let talk = Talk::new(plan, number)?;
        // Spread over a step's time, so that not all send at once.
        let due_us = clock::now_us() + number as u64 * 7_919 % 50_000;
        self.tried_ms = now_ms;
        if self.seen.began_ms == 0 {
            self.seen.began_ms = now_ms;
        }
        self.connected =
            Some(Connected { talk, socket, said_ms: 0, heard_ms: now_ms, due_us, opened: false });
        Ok(())
    }

    /// Leaves because it wants to. Whoever is not in yet changed his mind, which is no join that failed.
    fn part(&mut self, now_ms: u64) {
        if let Some(mut connected) = self.connected.take()
            && connected.talk.is_in()
        {
            let words = connected.talk.part();
            if !words.is_empty() {
                connected.socket.send(&words);
            }
        }
        self.not_before_ms = now_ms + BACK_MS;
        let seen = std::mem::take(&mut self.seen);
        if seen.first_joined_ms > 0 {
            self.over.push(seen);
        }
    }

    fn leave(&mut self, now_ms: u64, joined: bool) {
        self.connected = None;
        self.not_before_ms = now_ms + BACK_MS;
        if joined {
            self.seen.disconnected += 1;
            self.seen.disconnected_ms = now_ms;
            self.seen.joined_ms = 0;
        } else {
            self.seen.gave_up_ms = now_ms;
        }
    }
}

impl Connected {
    /// Hears and says what there is; whether the connection still stands.
    fn exchange(&mut self, number: usize, shared: &Shared, now_ms: u64) -> bool {
        while let Some(bytes) = self.socket.receive() {
            if bytes.is_empty() {
                return false;
            }
            self.heard_ms = now_ms;
            let answer = self.talk.hear(&bytes);
            if !answer.is_empty() && !self.socket.send(&answer) {
                return false;
            }
        }
        if self.talk.is_over() {
            return false;
        }
        if shared.paused.load(Ordering::Relaxed) {
            return true;
        }
        if !self.talk.is_in() {
            if !self.socket.is_open() || now_ms < self.said_ms + AGAIN_MS {
                return true;
            }
            self.said_ms = now_ms;
            let words = self.talk.open(&format!("Light{number}"), self.opened);
            self.opened = true;
            return words.is_empty() || self.socket.send(&words);
        }
        let now_us = clock::now_us();
        if now_us < self.due_us {
            return true;
        }
        // Who fell behind does not make up for it.
        let every_us = 1_000_000 / shared.per_second.load(Ordering::Relaxed).max(1);
        self.due_us = (self.due_us + every_us).max(now_us);
        let step = self.talk.step();
        self.socket.send(&step)
    }
}
