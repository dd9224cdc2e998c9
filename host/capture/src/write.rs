//! Writes capture files, bounded in bytes: pcap for tests, pcapng for forensics.

mod pcapng;

use std::io;
use std::io::Write;

use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;

use crate::file::PACKET_BYTES_MAX;

pub use pcapng::Bounds;
pub use pcapng::COMMENT_BYTES_MAX;
pub use pcapng::PcapngWriter;

const HEADER_BYTES: u64 = 24;
const RECORD_HEADER_BYTES: u64 = 16;

/// A pcap file of one link type, with times in microseconds.
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    sink: W,
    link: Link,
    bytes_left: u64,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the header of a file that never grows past `bytes_max`.
    ///
    /// # Errors
    /// The sink fails.
    pub fn new(mut sink: W, link: Link, bytes_max: u64) -> io::Result<Self> {
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
        header.extend_from_slice(&2_u16.to_le_bytes());
        header.extend_from_slice(&4_u16.to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        header.extend_from_slice(&PACKET_BYTES_MAX.to_le_bytes());
        header.extend_from_slice(&u32::from(link_type(link)).to_le_bytes());
        sink.write_all(&header)?;
        Ok(Self { sink, link, bytes_left: bytes_max.saturating_sub(HEADER_BYTES) })
    }

    /// Writes one frame; `false` if it has another link type, is too long, or the file is full. The
    /// frame's time is written as microseconds since 1970.
    ///
    /// # Errors
    /// The sink fails.
    pub fn frame(&mut self, frame: &Frame<'_>) -> io::Result<bool> {
        let record_bytes = RECORD_HEADER_BYTES + frame.bytes.len() as u64;
        let fits = record_bytes <= self.bytes_left && frame.bytes.len() <= PACKET_BYTES_MAX as usize;
        let Ok(seconds) = u32::try_from(frame.at.as_micros() / 1_000_000) else { return Ok(false) };
        if frame.link != self.link || !fits {
            return Ok(false);
        }
        let micros = (frame.at.as_micros() % 1_000_000) as u32;
        let mut header = [0; RECORD_HEADER_BYTES as usize];
        let fields = [seconds, micros, frame.bytes.len() as u32, frame.wire_bytes];
        for (place, field) in header.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        self.sink.write_all(&header)?;
        self.sink.write_all(frame.bytes)?;
        self.bytes_left -= record_bytes;
        Ok(true)
    }

    /// Hands the sink back; the caller flushes or closes it.
    pub fn into_inner(self) -> W {
        self.sink
    }
}

/// The number of a link type in tcpdump.org's list.
const fn link_type(link: Link) -> u16 {
    match link {
        Link::Ethernet => 1,
        Link::RawIp => 101,
        Link::LinuxCooked => 113,
        Link::LinuxCooked2 => 276,
        Link::Loopback => 0,
    }
}
