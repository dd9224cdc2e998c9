//! Talking to nf_tables without programs: batches of elements and objects in, counters and structure out.
//!
//! `nft` loads whole sets before it answers (430 ms with 100,000 elements, *measured*), so it is for structure
//! only. A socket belongs to the network namespace of the thread that opened it.

pub mod batch;
pub mod connections;
pub mod message;
pub mod read;

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket;

use crate::FirewallError;
use crate::limits;
use crate::plan::Change;
use message::Writer;
use message::kernel;

/// Room for one datagram of a dump; the kernel fills at most 32 KiB.
const DATAGRAM_BYTES: usize = 64 << 10;
/// Room for a large batch on its way in.
const SEND_BYTES: usize = 8 << 20;
/// Room for the errors of a large batch on their way out.
const RECEIVE_BYTES: usize = 4 << 20;

/// What one change takes at most: an element has some 300 bytes and takes part in three messages.
const CHANGE_BYTES: usize = 1_024;

/// One message that the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which message of the batch.
    pub sequence: u32,
    /// Why.
    pub errno: Errno,
}

/// A socket to nf_tables.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket in the network namespace of this thread.
    pub fn open() -> Result<Self, FirewallError> {
        let failed = |errno| FirewallError::kernel("opening a netfilter netlink socket", errno);
        let socket = socket::socket(
            socket::AddressFamily::Netlink,
            socket::SockType::Raw,
            socket::SockFlag::SOCK_CLOEXEC,
            socket::SockProtocol::NetlinkNetFilter,
        )
        .map_err(failed)?;
        socket::bind(socket.as_raw_fd(), &socket::NetlinkAddr::new(0, 0)).map_err(failed)?;
        // Forced, because the plain options are cut to limits of the node that are smaller than a large batch.
        socket::setsockopt(&socket, socket::sockopt::SndBufForce, &SEND_BYTES)
            .and_then(|()| socket::setsockopt(&socket, socket::sockopt::RcvBufForce, &RECEIVE_BYTES))
            .map_err(|errno| FirewallError::kernel("sizing the netlink socket", errno))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// Applies changes as transactions of bounded size and returns what the kernel refused, by change.
    ///
    /// If a transaction is refused, its changes are tried one by one, so that one that cannot be does not hold up
    /// the others.
    pub fn apply(&mut self, changes: &[Change]) -> Result<Vec<(usize, Errno)>, FirewallError> {
        let mut refused = Vec::new();
        let mut first = 0;
        for part in changes.chunks(limits::BATCH_BYTES / CHANGE_BYTES) {
            if !self.transact(&batch::write(self.sequence, part))?.is_empty() {
                for (index, change) in part.iter().enumerate() {
                    let alone = std::slice::from_ref(change);
                    if let Some(error) = self.transact(&batch::write(self.sequence, alone))?.first() {
                        refused.push((first + index, error.errno));
                    }
                }
            }
            first += part.len();
        }
        Ok(refused)
    }

    /// Sends one transaction. The kernel works on it before the send returns, so whatever it refuses is there.
    pub fn transact(&mut self, writer: &Writer) -> Result<Vec<Refused>, FirewallError> {
        self.sequence = writer.sequence();
        self.send(writer, "sending a netlink batch")?;
        let mut refused = Vec::new();
        while let Some(len) = self.receive(socket::MsgFlags::MSG_DONTWAIT, "reading the answer to a batch")? {
            for message in message::messages(&self.buffer[..len]) {
                match message.error() {
                    Some(0) | None => (),
                    Some(code) => {
                        refused.push(Refused { sequence: message.sequence, errno: Errno::from_raw(code) });
                    }
                }
            }
        }
        Ok(refused)
    }

    fn send(&self, writer: &Writer, doing: &'static str) -> Result<(), FirewallError> {
        let kernel = socket::NetlinkAddr::new(0, 0);
        let sent =
            socket::sendto(self.socket.as_raw_fd(), writer.bytes(), &kernel, socket::MsgFlags::empty());
        sent.map(drop).map_err(|errno| FirewallError::kernel(doing, errno))
    }

    /// One datagram into the buffer; `None` when there is none and none was waited for.
    fn receive(
        &mut self,
        flags: socket::MsgFlags,
        doing: &'static str,
    ) -> Result<Option<usize>, FirewallError> {
        loop {
            let mut into = [IoSliceMut::new(&mut self.buffer)];
            match socket::recvmsg::<()>(self.socket.as_raw_fd(), &mut into, None, flags) {
                Ok(received) => return Ok(Some(received.bytes)),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => (),
                Err(errno) => return Err(FirewallError::kernel(doing, errno)),
            }
        }
    }

    /// Sends one request and hands every message of the answer to `each`. An answer of "there is none" is empty.
    pub(crate) fn ask(
        &mut self,
        doing: &'static str,
        kind: u16,
        flags: u16,
        family: u8,
        body: impl FnOnce(&mut Writer),
        each: impl FnMut(message::Message<'_>),
    ) -> Result<(), FirewallError> {
        self.ask_of(kernel::NFNL_SUBSYS_NFTABLES, doing, kind, flags, family, body, each)
    }

    /// The same of any subsystem.
    #[expect(clippy::too_many_arguments, reason = "they are the parts of one message")]
    fn ask_of(
        &mut self,
        subsystem: u16,
        doing: &'static str,
        kind: u16,
        flags: u16,
        family: u8,
        body: impl FnOnce(&mut Writer),
        mut each: impl FnMut(message::Message<'_>),
    ) -> Result<(), FirewallError> {
        let mut writer = Writer::after(self.sequence);
        writer.message_of(subsystem, kind, flags | kernel::NLM_F_ACK, family, body);
        self.sequence = writer.sequence();
        self.send(&writer, doing)?;
        let mut interrupted = false;
        loop {
            let len = self.receive(socket::MsgFlags::empty(), doing)?.unwrap_or_default();
            for message in message::messages(&self.buffer[..len]) {
                if message.sequence != self.sequence {
                    continue;
                }
                interrupted |= message.flags & kernel::NLM_F_DUMP_INTR != 0;
                match (message.kind, message.error()) {
                    (kernel::NLMSG_DONE, _) | (_, Some(0)) => {
                        return if interrupted {
                            Err(FirewallError::kernel(doing, Errno::EINTR))
                        } else {
                            Ok(())
                        };
                    }
                    (_, Some(libc::ENOENT)) => return Ok(()),
                    (_, Some(code)) => return Err(FirewallError::kernel(doing, Errno::from_raw(code))),
                    (_, None) => each(message),
                }
            }
        }
    }
}
