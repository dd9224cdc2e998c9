//! When the first attack packet came and when the kernel first dropped one.
//!
//! The first is the kernel's own time stamp of the packet on the node's uplink. The second is the moment at which a
//! counter of a dropping rule was seen to have moved: the rules of `FTAGENT` in both `filter` tables, and the counters
//! of the early hook. They are read over netlink about every millisecond, so the figure is late by one reading and
//! never early; how long the readings were apart is told beside it.

use std::io::IoSliceMut;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::socket;
use nix::sys::socket::ControlMessageOwned;
use nix::sys::socket::LinkAddr;
use nix::sys::socket::sockopt;
use nix::time::ClockId;
use nix::time::clock_gettime;

use crate::Lab;
use crate::address;
use crate::clock;
use crate::kernel::Reader;
use crate::kernel::family;
use crate::namespace;

/// Between two readings of the counters.
const READING: Duration = Duration::from_millis(1);
/// Counters of our table that count what was dropped, by the beginning of their names.
const DROPPED: [&str; 3] = ["node_early", "node_fragments_over", "node_strays"];

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Onset {
    /// Time stamp of the first attack packet, in microseconds of the monotonic clock.
    pub(crate) first_packet_us: Option<u64>,
    /// When the first drop was seen.
    pub(crate) dropped_us: Option<u64>,
    /// How long before that the counters were read last.
    pub(crate) apart_us: u64,
}

impl Onset {
    /// From the first attack packet to the first drop.
    pub(crate) fn first_drop_us(&self) -> Option<u64> {
        self.first_packet_us.zip(self.dropped_us).map(|(packet, drop)| drop.saturating_sub(packet))
    }
}

/// Two threads that watch.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    tap: JoinHandle<anyhow::Result<Option<u64>>>,
    drops: JoinHandle<anyhow::Result<Option<(u64, u64)>>>,
}

impl Watch {
    /// Begins; to be called before anything is sent.
    pub(crate) fn start(lab: &Lab) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let socket = namespace::within(&lab.node().path(), open_tap)??;
        let mut reader = Reader::open(&lab.node().path())?;
        let before = dropped(&mut reader)?;
        let told = Arc::clone(&stop);
        let tap = std::thread::spawn(move || first_packet(&socket, &told));
        let told = Arc::clone(&stop);
        let drops = std::thread::spawn(move || first_drop(&mut reader, before, &told));
        Ok(Self { stop, tap, drops })
    }

    /// Ends and says what was seen.
    pub(crate) fn end(self) -> anyhow::Result<Onset> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow::anyhow!("a watching thread panicked");
        let first_packet_us = self.tap.join().map_err(panicked)??;
        let drop = self.drops.join().map_err(panicked)??;
        Ok(Onset {
            first_packet_us,
            dropped_us: drop.map(|(at, _)| at),
            apart_us: drop.map_or(0, |(_, apart)| apart),
        })
    }
}

/// Packets that ftagent's rules have dropped in the node.
pub(crate) fn dropped(reader: &mut Reader) -> anyhow::Result<u64> {
    let mut packets = reader.dropped_by(family::V4, "filter", "FTAGENT")?;
    packets += reader.dropped_by(family::V6, "filter", "FTAGENT")?;
    reader.counters("ftagent", |name, counted| {
        if DROPPED.iter().any(|begins| name.starts_with(begins)) {
            packets += counted;
        }
    })?;
    Ok(packets)
}

fn first_drop(reader: &mut Reader, before: u64, stop: &AtomicBool) -> anyhow::Result<Option<(u64, u64)>> {
    let mut last_us = clock::now_us();
    // A table that is made anew begins at zero.
    let mut before = before;
    while !stop.load(Ordering::Relaxed) {
        let packets = dropped(reader).unwrap_or(before);
        let now_us = clock::now_us();
        if packets > before {
            return Ok(Some((now_us, now_us - last_us)));
        }
        (before, last_us) = (packets, now_us);
        std::thread::sleep(READING);
    }
    Ok(None)
}

fn open_tap() -> anyhow::Result<OwnedFd> {
    let flags = socket::SockFlag::SOCK_CLOEXEC | socket::SockFlag::SOCK_NONBLOCK;
    let family = socket::AddressFamily::Packet;
    let socket = socket::socket(family, socket::SockType::Datagram, flags, socket::SockProtocol::EthAll)
        .context("cannot open a packet socket")?;
    socket::setsockopt(&socket, sockopt::ReceiveTimestampns, &true).context("cannot ask for time stamps")?;
    Ok(socket)
}

fn first_packet(socket: &OwnedFd, stop: &AtomicBool) -> anyhow::Result<Option<u64>> {
    while !stop.load(Ordering::Relaxed) {
        let mut asked = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut asked, PollTimeout::from(20_u8)).context("cannot poll")?;
        let mut bytes = [0; 128];
        let mut space = nix::cmsg_space!(nix::sys::time::TimeSpec);
        loop {
            let mut into = [IoSliceMut::new(&mut bytes)];
            let none = socket::MsgFlags::empty();
            let received = socket::recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut into, Some(&mut space), none);
            let Ok(received) = received else { break };
            // Type 0 is "for this host".
            let arrived = received.address.is_some_and(|link| link.pkttype() == 0);
            let stamp = received.cmsgs().ok().and_then(|mut all| all.find_map(stamp_us));
            let length = received.bytes;
            if arrived && is_attack(&bytes[..length]) {
                return Ok(Some(stamp.map_or_else(clock::now_us, to_monotonic)));
            }
        }
    }
    Ok(None)
}

fn stamp_us(message: ControlMessageOwned) -> Option<u64> {
    let ControlMessageOwned::ScmTimestampns(at) = message else { return None };
    Some(at.tv_sec() as u64 * 1_000_000 + at.tv_nsec() as u64 / 1_000)
}

/// Time stamps are of the clock on the wall.
fn to_monotonic(stamp_us: u64) -> u64 {
    let wall = clock_gettime(ClockId::CLOCK_REALTIME)
        .map_or(0, |now| now.tv_sec() as u64 * 1_000_000 + now.tv_nsec() as u64 / 1_000);
    clock::now_us().saturating_sub(wall.saturating_sub(stamp_us))
}

/// Whether a packet comes from neither a player nor the node itself nor its neighbours on the wire.
pub(crate) fn is_attack(packet: &[u8]) -> bool {
    let (source, protocol, header) = match packet {
        [first, ..] if first >> 4 == 4 && packet.len() >= 20 => {
            let source = Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]);
            (IpAddr::V4(source), packet[9], usize::from(first & 0x0f) * 4)
        }
        [first, ..] if first >> 4 == 6 && packet.len() >= 40 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(&packet[8..24]);
            (IpAddr::V6(Ipv6Addr::from(octets)), packet[6], 40)
        }
        _ => return false,
    };
    if !address::is_players(source) {
        return !address::is_infrastructure(source);
    }
    // Whoever attacks from a player's address does it from other ports.
    let port = packet.get(header..header + 2).map(|port| u16::from_be_bytes([port[0], port[1]]));
    matches!(protocol, 6 | 17) && port.is_some_and(|port| port < address::PLAYERS_PORTS_BEGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_packets_are_told_from_players() {
        let packet = |source: [u8; 4], port: u16| {
            let mut packet = vec![0; 28];
            (packet[0], packet[9]) = (0x45, 17);
            packet[12..16].copy_from_slice(&source);
            packet[20..22].copy_from_slice(&port.to_be_bytes());
            packet
        };
        assert!(is_attack(&packet([198, 18, 4, 4], 50_000)));
        assert!(is_attack(&packet([192, 0, 2, 50], 2_000)));
        assert!(!is_attack(&packet([192, 0, 2, 50], 50_000)));
        assert!(!is_attack(&packet([198, 19, 128, 1], 50_000)));
        assert!(!is_attack(&packet([203, 0, 113, 1], 2_000)));
        assert!(!is_attack(&packet([172, 18, 0, 2], 2_000)));
        assert!(!is_attack(b""));
    }
}
