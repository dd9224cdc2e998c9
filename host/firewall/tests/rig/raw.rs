//! TCP segments from any address, of no socket: to be made and sent within the players' namespace.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;

use nix::sys::socket;

use super::PORT;

/// TCP flags (RFC 9293, section 3.1).
pub(crate) const SYN: u8 = 0x02;
pub(crate) const SYN_ACK: u8 = 0x12;

/// A socket that sends whole packets.
pub(crate) struct Raw(OwnedFd);

impl Raw {
    pub(crate) fn open() -> Self {
        let (family, kind) = (socket::AddressFamily::Inet, socket::SockType::Raw);
        let flags = socket::SockFlag::SOCK_CLOEXEC;
        Self(socket::socket(family, kind, flags, socket::SockProtocol::Raw).unwrap())
    }

    /// Sends a segment without options or payload to the service's port of an address.
    pub(crate) fn send(&self, from: Ipv4Addr, to: Ipv4Addr, flags: u8, sequence: u32) {
        let target = socket::SockaddrIn::from(std::net::SocketAddrV4::new(to, 0));
        let packet = segment(from, to, flags, sequence);
        let _ = socket::sendto(self.0.as_raw_fd(), &packet, &target, socket::MsgFlags::empty());
    }
}

fn segment(from: Ipv4Addr, to: Ipv4Addr, flags: u8, sequence: u32) -> [u8; 40] {
    let mut packet = [0_u8; 40];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&40_u16.to_be_bytes());
    (packet[8], packet[9]) = (64, 6);
    packet[12..16].copy_from_slice(&from.octets());
    packet[16..20].copy_from_slice(&to.octets());
    packet[20..22].copy_from_slice(&(1_024 + (sequence % 60_000) as u16).to_be_bytes());
    packet[22..24].copy_from_slice(&PORT.to_be_bytes());
    packet[24..28].copy_from_slice(&sequence.to_be_bytes());
    (packet[32], packet[33]) = (0x50, flags);
    packet[34..36].copy_from_slice(&1_024_u16.to_be_bytes());
    let words = packet[12..].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    // The pseudo header: both addresses stand before the TCP header already; protocol and length.
    let mut sum: u32 = words.sum::<u32>() + 6 + 20;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[36..38].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    packet
}
