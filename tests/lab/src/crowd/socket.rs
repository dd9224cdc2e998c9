//! The socket of a light player: TCP or UDP, bound to the player's address, never waiting.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use anyhow::Context;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;
use nix::sys::socket::SockaddrStorage;
use nix::sys::socket::bind;
use nix::sys::socket::connect;
use nix::sys::socket::recv;
use nix::sys::socket::send;
use nix::sys::socket::setsockopt;
use nix::sys::socket::socket;
use nix::sys::socket::sockopt;

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: OwnedFd,
    open: std::cell::Cell<bool>,
    stream: bool,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Socket {
    /// Begins to connect.
    pub(crate) fn connect(stream: bool, from: IpAddr, to: SocketAddr) -> anyhow::Result<Self> {
        Self::connect_from(stream, SocketAddr::new(from, 0), to)
    }

    /// Begins to connect from that port.
    pub(crate) fn connect_from(stream: bool, from: SocketAddr, to: SocketAddr) -> anyhow::Result<Self> {
        let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let kind = if stream { SockType::Stream } else { SockType::Datagram };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, kind, flags, None).context("cannot open a socket")?;
        if stream {
            setsockopt(&socket, sockopt::TcpNoDelay, &true).context("cannot set TCP_NODELAY")?;
            // A player who reconnects from a fixed port must not wait for its last connection to be forgotten.
            setsockopt(&socket, sockopt::ReuseAddr, &true).context("cannot set SO_REUSEADDR")?;
        }
        bind(socket.as_raw_fd(), &SockaddrStorage::from(from))
            .with_context(|| format!("cannot bind {from}"))?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot connect to {to}")),
        }
        Ok(Self { socket, open: std::cell::Cell::new(!stream), stream })
    }

    /// Whether words can be said already.
    pub(crate) fn is_open(&self) -> bool {
        if !self.open.get() {
            let mut asked = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
            let ready = poll(&mut asked, PollTimeout::ZERO).unwrap_or(0) > 0;
            self.open.set(ready);
        }
        self.open.get()
    }

    /// What has come; empty at the end of the connection, nothing if there is nothing.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        if !self.is_open() {
            return None;
        }
        let mut bytes = [0; 4_096];
        match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            // An empty datagram says nothing; the end of a stream does.
            Ok(0) if !self.stream => None,
            Ok(count) => Some(bytes[..count].to_vec()),
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Err(Errno::ECONNREFUSED) if !self.stream => None,
            Err(_) => Some(Vec::new()),
        }
    }

    /// Says something; whether the connection still stands. What does not fit at the moment is not said.
    pub(crate) fn send(&self, bytes: &[u8]) -> bool {
        match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => true,
            Err(Errno::ECONNREFUSED) if !self.stream => true,
            Err(_) => false,
        }
    }
}
