//! Counters of nf_tables as the kernel holds them, read over netlink within a fraction of a millisecond. No program is
//! started and nothing of ftagent is used: what is measured must not hold the ruler.
//!
//! Numbers are those of linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Context;
use anyhow::bail;
use nix::sys::socket;

use crate::namespace;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NFT_MSG_GETRULE: u16 = 0x0a07;
const NFT_MSG_GETOBJ: u16 = 0x0a13;
const NFT_OBJECT_COUNTER: u32 = 1;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER_BYTES: usize = 20;
/// One datagram of a dump; the kernel fills at most 32 KiB.
const DATAGRAM_BYTES: usize = 64 << 10;

/// Families of tables.
pub mod family {
    /// `inet`.
    pub const INET: u8 = 1;
    /// `ip`.
    pub const V4: u8 = 2;
    /// `ip6`.
    pub const V6: u8 = 10;
}

/// A socket to nf_tables of one network namespace.
#[derive(Debug)]
pub struct Reader {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Reader {
    /// Opens a socket in the network namespace of that file.
    pub fn open(namespace: &Path) -> anyhow::Result<Self> {
        let open = || {
            let flags = socket::SockFlag::SOCK_CLOEXEC;
            let protocol = socket::SockProtocol::NetlinkNetFilter;
            let socket =
                socket::socket(socket::AddressFamily::Netlink, socket::SockType::Raw, flags, protocol)?;
            socket::bind(socket.as_raw_fd(), &socket::NetlinkAddr::new(0, 0))?;
            nix::Result::Ok(socket)
        };
        let socket = namespace::within(namespace, open)?.context("cannot open a netlink socket")?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// Hands the packets of each named counter of a table to `each`; none where there is no such table.
    pub fn counters(&mut self, table: &str, mut each: impl FnMut(&str, u64)) -> anyhow::Result<()> {
        let mut body = Vec::new();
        attribute(&mut body, 1, &[table.as_bytes(), &[0]].concat());
        attribute(&mut body, 3, &NFT_OBJECT_COUNTER.to_be_bytes());
        self.dump(NFT_MSG_GETOBJ, family::INET, &body, |object| {
            if let (Some(name), Some(data)) = (object.text(2), object.nest(4)) {
                each(name, data.u64(2).unwrap_or(0));
            }
        })
    }

    /// Packets that the dropping rules of a chain have counted; 0 where there is no such chain.
    pub fn dropped_by(&mut self, family: u8, table: &str, chain: &str) -> anyhow::Result<u64> {
        let mut body = Vec::new();
        attribute(&mut body, 1, &[table.as_bytes(), &[0]].concat());
        attribute(&mut body, 2, &[chain.as_bytes(), &[0]].concat());
        let mut dropped = 0;
        self.dump(NFT_MSG_GETRULE, family, &body, |rule| {
            // Kernels before 5.14 hand out every rule of the family.
            if rule.text(1) == Some(table) && rule.text(2) == Some(chain) {
                dropped += rule.nest(4).map_or(0, dropped_by_rule);
            }
        })?;
        Ok(dropped)
    }

    fn dump(
        &mut self,
        kind: u16,
        family: u8,
        body: &[u8],
        mut each: impl FnMut(Attributes<'_>),
    ) -> anyhow::Result<()> {
        self.sequence += 1;
        let mut request = Vec::with_capacity(HEADER_BYTES + body.len());
        request.extend(((HEADER_BYTES + body.len()) as u32).to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        request.extend([0; 4]);
        request.extend([family, 0, 0, 0]);
        request.extend(body);
        let kernel = socket::NetlinkAddr::new(0, 0);
        socket::sendto(self.socket.as_raw_fd(), &request, &kernel, socket::MsgFlags::empty())
            .context("cannot ask nf_tables")?;
        loop {
            let mut into = [IoSliceMut::new(&mut self.buffer)];
            let none = socket::MsgFlags::empty();
            let bytes = socket::recvmsg::<()>(self.socket.as_raw_fd(), &mut into, None, none)
                .context("nf_tables does not answer")?
                .bytes;
            let mut rest = &self.buffer[..bytes];
            while let Some((kind, sequence, message)) = next_message(&mut rest) {
                if sequence != self.sequence {
                    continue;
                }
                match kind {
                    NLMSG_DONE => return Ok(()),
                    // There is no such table or chain.
                    NLMSG_ERROR if message.starts_with(&(-2_i32).to_ne_bytes()) => return Ok(()),
                    NLMSG_ERROR => bail!("nf_tables refuses to answer: {:?}", message.get(..4)),
                    _ => each(Attributes(message.get(4..).unwrap_or_default())),
                }
            }
        }
    }
}

/// The packets of a rule whose verdict is "drop".
fn dropped_by_rule(expressions: Attributes<'_>) -> u64 {
    let (mut packets, mut drops) = (0, false);
    for (_, expression) in expressions {
        let expression = Attributes(expression);
        let Some(data) = expression.nest(2) else { continue };
        match expression.text(1) {
            Some("counter") => packets += data.u64(2).unwrap_or(0),
            Some("immediate") => {
                let code = data.nest(2).and_then(|value| value.nest(2)).and_then(|verdict| verdict.u32(1));
                drops |= code == Some(0);
            }
            _ => {}
        }
    }
    if drops { packets } else { 0 }
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend(((4 + value.len()) as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Kind, sequence number and what is behind the header.
fn next_message<'a>(rest: &mut &'a [u8]) -> Option<(u16, u32, &'a [u8])> {
    let header = rest.get(..16)?;
    let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let message = rest.get(16..length)?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, sequence, message))
}

/// Attributes in a message or a nest; ends at the first that does not fit.
#[derive(Clone, Copy)]
struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    fn get(self, kind: u16) -> Option<&'a [u8]> {
        let mut all = self;
        all.find(|&(this, _)| this == kind).map(|(_, value)| value)
    }

    fn nest(self, kind: u16) -> Option<Self> {
        self.get(kind).map(Self)
    }

    fn text(self, kind: u16) -> Option<&'a str> {
        let value = self.get(kind)?;
        std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
    }

    fn u32(self, kind: u16) -> Option<u32> {
        self.get(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn u64(self, kind: u16) -> Option<u64> {
        self.get(kind)?.try_into().ok().map(u64::from_be_bytes)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.0.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        // The two highest bits say that it is nested or in network order.
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}
