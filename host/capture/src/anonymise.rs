//! Makes a captured frame fit to be given away: addresses replaced with a key, prefixes preserved; hardware addresses
//! zeroed; payload cut.
//!
//! The addresses are replaced as Crypto-PAn does it (Xu, Fan, Ammar, Moon: *Prefix-Preserving IP Address
//! Anonymization*, 2002), for IPv6 over 128 bits in the same way: two addresses that share a prefix of n bits share
//! one of exactly n bits afterwards. Without the key nobody gets back; with it the owner recognises his own.
//!
//! What must stay true: nothing of an original address stays in the frame. So checksums over addresses are zeroed
//! (TCP, UDP, ICMP) or made anew (IPv4), IPv4 options and IPv6 extension headers are blanked, and what ICMP quotes is cut.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use aes::Aes128;
use aes::cipher::BlockEncrypt as _;
use aes::cipher::KeyInit as _;
use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;

use crate::layers::Inner;
use crate::layers::Layers;
use crate::layers::layers;

/// A key at work.
pub struct Anonymiser {
    cipher: Aes128,
    pad: u128,
}

impl std::fmt::Debug for Anonymiser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Anonymiser")
    }
}

impl Anonymiser {
    /// With a random key. Under one key equal addresses stay equal, also in different files.
    pub fn new(key: &[u8; 32]) -> Self {
        let mut cipher_key = [0; 16];
        cipher_key.copy_from_slice(&key[..16]);
        let cipher = Aes128::new(&cipher_key.into());
        let mut pad = [0; 16];
        pad.copy_from_slice(&key[16..]);
        let pad = encrypt(&cipher, u128::from_be_bytes(pad));
        Self { cipher, pad }
    }

    /// What stands for an address.
    pub fn address(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) => {
                let bits = u128::from(ip.to_bits()) << 96;
                IpAddr::V4(Ipv4Addr::from_bits((self.bits(bits, 32) >> 96) as u32))
            }
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(self.bits(ip.to_bits(), 128))),
        }
    }

    /// Replaces the uppermost bits.
    fn bits(&self, original: u128, bits: u32) -> u128 {
        let mut flips = 0;
        for at in 0..bits {
            // The first `at` bits of the address, the rest of the pad.
            let mask = u128::MAX.checked_shl(128 - at).unwrap_or(0);
            let block = original & mask | self.pad & !mask;
            flips |= encrypt(&self.cipher, block) >> 127 << (127 - at);
        }
        original ^ flips
    }

    /// Writes what may be given away of a frame into `into`, with at most so many bytes of its payload; `false` if
    /// it carries no IP and nothing of it may.
    pub fn frame(&self, frame: &Frame<'_>, payload_bytes_kept: usize, into: &mut Vec<u8>) -> bool {
        into.clear();
        let Some(layers) = layers(frame) else { return false };
        let kept = match layers.inner {
            Inner::Tcp | Inner::Udp => payload_bytes_kept,
            Inner::Icmp | Inner::Other => 0,
        };
        let end = layers.payload_at.saturating_add(kept).min(frame.bytes.len());
        into.extend_from_slice(&frame.bytes[..end]);
        blank_link(frame.link, into, layers.ip_at);
        if layers.v6 {
            self.replace_v6(into, &layers)
        } else {
            self.replace_v4(into, &layers)
        }
        let checksum_at = match layers.inner {
            Inner::Tcp => Some(16),
            Inner::Udp => Some(6),
            Inner::Icmp => Some(2),
            Inner::Other => None,
        };
        if let Some(at) = checksum_at {
            zero(into, layers.inner_at + at, 2);
        }
        true
    }

    fn replace_v4(&self, bytes: &mut [u8], layers: &Layers) {
        let at = layers.ip_at;
        for place in [at + 12, at + 16] {
            if let Some(place) =
                bytes.get_mut(place..place + 4).and_then(|bytes| bytes.first_chunk_mut::<4>())
            {
                let bits = u128::from(u32::from_be_bytes(*place)) << 96;
                *place = ((self.bits(bits, 32) >> 96) as u32).to_be_bytes();
            }
        }
        // Options can hold addresses (record route); "no operation" holds nothing.
        if let Some(options) = bytes.get_mut(at + 20..layers.inner_at) {
            options.fill(1);
        }
        zero(bytes, at + 10, 2);
        let header = bytes.get(at..layers.inner_at).unwrap_or_default();
        let sum =
            header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
        let folded = (sum & 0xffff) + (sum >> 16);
        let checksum = !(((folded & 0xffff) + (folded >> 16)) as u16);
        if let Some(place) = bytes.get_mut(at + 10..at + 12) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
    }

    fn replace_v6(&self, bytes: &mut [u8], layers: &Layers) {
        let at = layers.ip_at;
        for place in [at + 8, at + 24] {
            if let Some(place) =
                bytes.get_mut(place..place + 16).and_then(|bytes| bytes.first_chunk_mut::<16>())
            {
                *place = self.bits(u128::from_be_bytes(*place), 128).to_be_bytes();
            }
        }
        // The flow label can tell a host; it is random to everybody else.
        if let Some(place) = bytes.get_mut(at + 1..at + 4) {
            place[0] &= 0xf0;
            place[1..].fill(0);
        }
        blank_extensions(bytes, layers);
    }
}

/// Keeps of each extension header what it is and how long it is.
fn blank_extensions(bytes: &mut [u8], layers: &Layers) {
    let (mut next, mut at) = (bytes.get(layers.ip_at + 6).copied().unwrap_or(59), layers.ip_at + 40);
    while at + 8 <= layers.inner_at {
        let (following, length) = (bytes[at], usize::from(bytes[at + 1]));
        match next {
            // A fragment header has a fixed length and holds no address.
            44 => at += 8,
            _ => {
                let end = (at + (length + 1) * 8).min(layers.inner_at);
                zero(bytes, at + 2, end - at - 2);
                at = end;
            }
        }
        next = following;
    }
}

/// Hardware addresses, VLAN numbers and the index of the interface.
fn blank_link(link: Link, bytes: &mut [u8], ip_at: usize) {
    match link {
        Link::Ethernet => {
            zero(bytes, 0, 12);
            for tag_at in (14..ip_at.saturating_sub(2)).step_by(4) {
                zero(bytes, tag_at, 2);
            }
        }
        Link::LinuxCooked => zero(bytes, 6, 8),
        Link::LinuxCooked2 => {
            zero(bytes, 4, 4);
            zero(bytes, 12, 8);
        }
        Link::RawIp | Link::Loopback => {}
    }
}

fn zero(bytes: &mut [u8], at: usize, length: usize) {
    let end = (at + length).min(bytes.len());
    if let Some(place) = bytes.get_mut(at..end) {
        place.fill(0);
    }
}

fn encrypt(cipher: &Aes128, block: u128) -> u128 {
    let mut bytes = block.to_be_bytes().into();
    cipher.encrypt_block(&mut bytes);
    u128::from_be_bytes(bytes.into())
}

#[cfg(test)]
mod tests;
