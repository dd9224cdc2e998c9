//! Sends packets that were made by hand: a raw socket that takes whole IP packets, 64 of them a system call, and a
//! pace that never catches up on more than a tenth of a second.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::ControlMessage;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::MultiHeaders;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockProtocol;
use nix::sys::socket::SockType;
use nix::sys::socket::SockaddrStorage;
use nix::sys::socket::sendmmsg;
use nix::sys::socket::socket;

use super::Attack;
use super::Progress;
use super::Sent;
use super::pace::Pace;
use super::random::Random;
use super::shape;
use crate::clock;

/// Packets in one system call.
const BATCH: usize = 64;

/// Sends until a bound is reached or somebody says stop.
pub(crate) fn run(attack: &Attack, progress: &Progress) -> anyhow::Result<Sent> {
    let family = if attack.target.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)
        .context("cannot open a raw socket")?;
    // A raw socket takes no port, and IPv6 insists.
    let target = [Some(SockaddrStorage::from(SocketAddr::new(attack.target.ip(), 0))); BATCH];
    let mut random = Random::new(u64::from(attack.target.port()) + 1);
    let mut buffers: Vec<Vec<u8>> = (0..BATCH).map(|_| Vec::with_capacity(1_600)).collect();
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut pace = Pace::new(attack);
    let mut sent = Sent::default();
    let mut number = 0;
    while let Some(wanted) = pace.next_batch(number, BATCH as u64, progress) {
        for buffer in &mut buffers[..wanted] {
            shape::write(attack, number, &mut random, buffer);
            number += 1;
        }
        let slices: Vec<[IoSlice<'_>; 1]> =
            buffers[..wanted].iter().map(|buffer| [IoSlice::new(buffer)]).collect();
        let none: [ControlMessage<'_>; 0] = [];
        let taken =
            sendmmsg(socket.as_raw_fd(), &mut headers, &slices, &target[..wanted], none, MsgFlags::empty());
        let taken = match taken {
            Ok(results) => results.count(),
            Err(Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR) => 0,
            Err(error) => return Err(error).context(format!("cannot send {:?}", attack.vector)),
        };
        account(&mut sent, &buffers[..wanted], taken);
        progress.packets.store(sent.packets, Ordering::Relaxed);
    }
    Ok(sent)
}

fn account(sent: &mut Sent, buffers: &[Vec<u8>], taken: usize) {
    sent.packets += taken as u64;
    sent.bytes += buffers[..taken].iter().map(|buffer| buffer.len() as u64).sum::<u64>();
    sent.failed += (buffers.len() - taken) as u64;
    if taken > 0 {
        sent.last_ms = clock::now_ms();
        if sent.first_ms == 0 {
            sent.first_ms = sent.last_ms;
        }
    }
}
