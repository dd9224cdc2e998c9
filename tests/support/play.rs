//! Players and attackers over real connections, and what a flood delivers while something happens to the agent.

use std::io::Read as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use ftagent_lab::Attack;
use ftagent_lab::Meter;
use ftagent_lab::address;
use ftagent_lab::attack::Running;
use ftagent_lab::attack::Vector;
use ftagent_lab::clock;

use super::node::Agent;
use super::node::Stage;
use super::packets::hex;

/// Sends until a drop was told of, so that a rule of ours is in force.
pub fn attacked(stage: &Stage, agent: &Agent, to: SocketAddr) -> Running {
    let begun = clock::now_ms();
    let attack = Attack::new(Vector::SynFlood, to).packets(200_000).per_second(2_000);
    let running = attack.lasting(Duration::from_secs(40)).start(&stage.lab).expect("an attack");
    agent.event("first-drop", begun, |_| true);
    running
}

/// A connection from one of the addresses that this namespace may use.
pub fn connect_from(source: IpAddr, to: SocketAddr) -> TcpStream {
    use nix::sys::socket;
    let family = if to.is_ipv4() { socket::AddressFamily::Inet } else { socket::AddressFamily::Inet6 };
    let open = socket::socket(family, socket::SockType::Stream, socket::SockFlag::SOCK_CLOEXEC, None);
    let open = open.expect("a socket");
    let source = socket::SockaddrStorage::from(SocketAddr::new(source, 0));
    socket::bind(open.as_raw_fd(), &source).expect("its address");
    socket::connect(open.as_raw_fd(), &socket::SockaddrStorage::from(to)).expect("the server answers");
    let stream = TcpStream::from(open);
    stream.set_nodelay(true).expect("it is TCP");
    stream
}

/// How somebody fared who was never disconnected.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    pub echoes: u64,
    /// A segment that is lost costs at least the 200 ms after which TCP sends it again.
    pub slowest: Duration,
}

/// Somebody who plays Minecraft Java as far as a server of busybox can tell: a login, then a step and its echo twenty
/// times a second. Ends when told; a lost connection is a panic.
pub struct Playing {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Played>,
}

impl Playing {
    /// Joins. Returns at once; whoever must have joined before something else waits.
    pub fn start(stage: &Stage, from: impl Into<IpAddr>, to: SocketAddr) -> Self {
        let (stop, from, namespace) =
            (Arc::new(AtomicBool::new(false)), from.into(), stage.lab.players().path());
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            ftagent_lab::namespace::move_thread(&namespace).expect("the players' namespace is there");
            play(from, to, &told)
        });
        Self { stop, thread }
    }

    /// Leaves.
    pub fn stop(self) -> Played {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it was never disconnected")
    }

    /// Leaves; it was never disconnected and never waited for long.
    pub fn unharmed(self, what: &str) {
        let played = self.stop();
        println!("{what}: {} echoes, the slowest took {:?}", played.echoes, played.slowest);
        assert!(played.echoes > 20, "{what}: only {} echoes", played.echoes);
        assert!(played.slowest < Duration::from_secs(1), "{what}: an echo took {:?}", played.slowest);
    }
}

fn play(from: IpAddr, to: SocketAddr, stop: &AtomicBool) -> Played {
    let mut stream = connect_from(from, to);
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("it is TCP");
    let mut echoed = |bytes: &[u8]| {
        let asked = Instant::now();
        stream.write_all(bytes).expect("it is connected");
        let mut answer = vec![0; bytes.len()];
        stream.read_exact(&mut answer).expect("it is connected");
        asked.elapsed()
    };
    let login =
        "1000fd05093132372e302e302e3163dd02 1d000b5265616c506c6179657231 00112233445566778899aabbccddeeff";
    let mut played = Played { echoes: 1, slowest: echoed(&hex(login)) };
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        played.slowest = played.slowest.max(echoed(&[7; 30]));
        played.echoes += 1;
    }
    played
}

/// A bot with a real connection that sends one empty frame after the other until it is dropped.
pub struct NullPinger {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Many of them, who wait for a word.
pub struct NullPingers {
    begin: Arc<Barrier>,
    _bots: Vec<NullPinger>,
}

impl NullPinger {
    pub fn start(stage: &Stage, from: impl Into<IpAddr>, to: SocketAddr) -> Self {
        Self::start_at(stage, from.into(), to, Arc::new(Barrier::new(1)))
    }

    /// Bots of one address each, of whom nobody says anything before all are connected and told to begin.
    pub fn many(stage: &Stage, count: u16, to: SocketAddr) -> NullPingers {
        let begin = Arc::new(Barrier::new(usize::from(count) + 1));
        let start = |n| Self::start_at(stage, address::bot(n).into(), to, Arc::clone(&begin));
        NullPingers { _bots: (0..count).map(start).collect(), begin }
    }

    fn start_at(stage: &Stage, from: IpAddr, to: SocketAddr, begin: Arc<Barrier>) -> Self {
        let (stop, namespace) = (Arc::new(AtomicBool::new(false)), stage.lab.attackers().path());
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            ftagent_lab::namespace::move_thread(&namespace).expect("the attackers' namespace is there");
            let mut stream = connect_from(from, to);
            begin.wait();
            for _ in 0..1_000 {
                // Once it is blocked nothing goes out any more.
                if told.load(Ordering::Relaxed) || stream.write_all(&[0]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl NullPingers {
    pub fn begin(&self) {
        self.begin.wait();
    }
}

impl Drop for NullPinger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// What a flood had sent and a container had received at a moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at_us: u64,
    sent: u64,
    arrived: u64,
}

/// How a flood got through while something happened.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// The longest stretch in which more than half of it arrived.
    pub longest_ms: u64,
    /// All that arrived, as the time that the flood takes to send so much.
    pub through_ms: u64,
    pub through: u64,
    pub offered: u64,
}

/// Does something and goes on for `after`, and measures what arrives meanwhile by counters in the container's own
/// network, some fifty times a second.
pub fn gap<T: Send>(
    meter: &Meter,
    flood: &Running,
    after: Duration,
    work: impl FnOnce() -> T + Send,
) -> (T, Gap) {
    let mut samples = Vec::new();
    let mut look = || {
        let arrived = meter.read().expect("counters").attackers;
        samples.push(Sample { at_us: clock::now_us(), sent: flood.packets(), arrived });
    };
    let done = std::thread::scope(|scope| {
        look();
        let working = scope.spawn(work);
        while !working.is_finished() {
            look();
        }
        let until = Instant::now() + after;
        while Instant::now() < until {
            look();
            std::thread::sleep(Duration::from_millis(5));
        }
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    (done, measure(&samples))
}

fn measure(samples: &[Sample]) -> Gap {
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let (through, offered) = (last.arrived - first.arrived, last.sent - first.sent);
    let lasted_ms = (last.at_us - first.at_us) / 1_000;
    let mut gap = Gap { longest_ms: 0, through_ms: through * lasted_ms / offered.max(1), through, offered };
    let mut open_us = 0;
    for pair in samples.windows(2) {
        let (sent, arrived) = (pair[1].sent - pair[0].sent, pair[1].arrived - pair[0].arrived);
        let open = sent > 0 && arrived * 2 > sent;
        open_us = if open { open_us + pair[1].at_us - pair[0].at_us } else { 0 };
        gap.longest_ms = gap.longest_ms.max(open_us / 1_000);
    }
    gap
}
