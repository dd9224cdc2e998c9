//! Writes pcapng files with a comment on the section and on every packet, bounded in packets and bytes.
//!
//! Blocks as in <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>, little-endian, times in
//! microseconds since 1970; one interface for each link type, described where it is first needed.

use std::io;
use std::io::Write;

use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;

use super::link_type;
use crate::file::PACKET_BYTES_MAX;

/// Bytes of a comment; what is longer is cut.
pub const COMMENT_BYTES_MAX: usize = 512;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const OPTION_FLAGS: u16 = 2;
const OPTION_APPLICATION: u16 = 4;

/// How large a file may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Packets.
    pub packets_max: u64,
    /// Bytes of the whole file.
    pub bytes_max: u64,
}

/// A pcapng file.
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    sink: W,
    links: Vec<Link>,
    left: Bounds,
    block: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a file with a comment on all of it.
    ///
    /// # Errors
    /// The sink fails.
    pub fn new(sink: W, comment: &str, bounds: Bounds) -> io::Result<Self> {
        let mut writer = Self { sink, links: Vec::new(), left: bounds, block: Vec::new() };
        writer.begin(SECTION);
        writer.block.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        writer.block.extend_from_slice(&1_u16.to_le_bytes());
        writer.block.extend_from_slice(&0_u16.to_le_bytes());
        // The length of the section: not said.
        writer.block.extend_from_slice(&u64::MAX.to_le_bytes());
        writer.option(OPTION_COMMENT, cut(comment).as_bytes());
        writer.option(OPTION_APPLICATION, concat!("ftagent ", env!("CARGO_PKG_VERSION")).as_bytes());
        writer.option(OPTION_END, &[]);
        writer.end(0)?;
        Ok(writer)
    }

    /// Writes one frame with its comment; `false` if it is too long or the file is full. The frame's time is written
    /// as microseconds since 1970.
    ///
    /// # Errors
    /// The sink fails.
    pub fn frame(&mut self, frame: &Frame<'_>, comment: &str) -> io::Result<bool> {
        if self.left.packets_max == 0 || frame.bytes.len() > PACKET_BYTES_MAX as usize {
            return Ok(false);
        }
        let interface = match self.links.iter().position(|link| *link == frame.link) {
            Some(known) => known,
            None if self.describe(frame.link)? => self.links.len() - 1,
            None => return Ok(false),
        };
        self.begin(PACKET);
        let micros = frame.at.as_micros();
        let fields = [
            interface as u32,
            (micros >> 32) as u32,
            micros as u32,
            frame.bytes.len() as u32,
            frame.wire_bytes,
        ];
        fields.iter().for_each(|field| self.block.extend_from_slice(&field.to_le_bytes()));
        self.block.extend_from_slice(frame.bytes);
        self.pad();
        self.option(OPTION_COMMENT, cut(comment).as_bytes());
        let flags: u32 = match frame.passage {
            Passage::Unknown => 0,
            Passage::Ingress => 1,
            Passage::Egress => 2,
        };
        self.option(OPTION_FLAGS, &flags.to_le_bytes());
        self.option(OPTION_END, &[]);
        self.end(1)
    }

    /// Packets that still fit, if bytes do.
    pub const fn packets_left(&self) -> u64 {
        self.left.packets_max
    }

    /// The sink; the file is whole after each packet.
    pub const fn sink(&mut self) -> &mut W {
        &mut self.sink
    }

    /// Hands the sink back; the caller flushes or closes it.
    pub fn into_inner(self) -> W {
        self.sink
    }

    fn describe(&mut self, link: Link) -> io::Result<bool> {
        self.begin(INTERFACE);
        self.block.extend_from_slice(&link_type(link).to_le_bytes());
        self.block.extend_from_slice(&0_u16.to_le_bytes());
        self.block.extend_from_slice(&PACKET_BYTES_MAX.to_le_bytes());
        let fits = self.end(0)?;
        if fits {
            self.links.push(link);
        }
        Ok(fits)
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.block.extend_from_slice(&kind.to_le_bytes());
        self.block.extend_from_slice(&[0; 4]);
    }

    fn pad(&mut self) {
        let padded = self.block.len().next_multiple_of(4);
        self.block.resize(padded, 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.block.extend_from_slice(&code.to_le_bytes());
        self.block.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.block.extend_from_slice(value);
        self.pad();
    }

    /// Writes the block in one piece, if it fits.
    fn end(&mut self, packets: u64) -> io::Result<bool> {
        let bytes = self.block.len() + 4;
        if bytes as u64 > self.left.bytes_max {
            return Ok(false);
        }
        self.block[4..8].copy_from_slice(&(bytes as u32).to_le_bytes());
        self.block.extend_from_slice(&(bytes as u32).to_le_bytes());
        self.sink.write_all(&self.block)?;
        self.left.bytes_max -= bytes as u64;
        self.left.packets_max -= packets;
        Ok(true)
    }
}

/// At most [`COMMENT_BYTES_MAX`], and never half a character.
fn cut(comment: &str) -> &str {
    &comment[..comment.floor_char_boundary(COMMENT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CaptureFile;
    use crate::Ended;
    use ftagent_core::time::Instant;
    use std::io::Cursor;

    fn frame(bytes: &[u8], link: Link, at_micros: u64) -> Frame<'_> {
        let wire_bytes = bytes.len() as u32 + 10;
        let at = Instant::from_micros(at_micros);
        Frame { at, link, passage: Passage::Ingress, bytes, wire_bytes, sample_rate: 1 }
    }

    const OPEN: Bounds = Bounds { packets_max: 100, bytes_max: 1 << 20 };

    #[test]
    fn what_is_written_is_read_back_with_its_comments() {
        let mut writer = PcapngWriter::new(Vec::new(), "incident 7", OPEN).expect("memory");
        let at = 1_763_800_000_123_456;
        let packets = [
            (Link::Ethernet, &b"\x01\x02\x03"[..], "hostile a/b stranger limit"),
            (Link::RawIp, b"\x45", ""),
            (Link::Ethernet, b"", "genuine - player pass \u{e4}"),
        ];
        for (link, bytes, comment) in packets {
            assert!(writer.frame(&frame(bytes, link, at), comment).expect("memory"));
        }
        let written = writer.into_inner();
        let mut file = CaptureFile::from_reader("test", Cursor::new(written)).expect("a capture");
        for (link, bytes, comment) in packets {
            let read = file.next_frame().expect("a packet");
            assert_eq!((read.link, read.bytes, read.at.as_micros()), (link, bytes, at));
            assert_eq!(read.wire_bytes, bytes.len() as u32 + 10);
            assert_eq!((file.comment(), file.direction()), (comment, Passage::Ingress));
        }
        assert!(file.next_frame().is_none());
        assert_eq!(file.ended(), Some(&Ended::Clean));
        assert_eq!(file.section_comment(), "incident 7");
    }

    #[test]
    fn l15_a_full_file_takes_no_more_and_stays_whole() {
        for bounds in [Bounds { packets_max: 3, ..OPEN }, Bounds { bytes_max: 400, ..OPEN }] {
            let mut writer = PcapngWriter::new(Vec::new(), "", bounds).expect("memory");
            let bytes = [7; 40];
            let written = |writer: &mut PcapngWriter<Vec<u8>>| {
                writer.frame(&frame(&bytes, Link::Ethernet, 0), "x").expect("memory")
            };
            let fit = (0..100).filter(|_| written(&mut writer)).count() as u64;
            let written = writer.into_inner();
            assert!(fit > 0 && fit <= bounds.packets_max && written.len() as u64 <= bounds.bytes_max);
            let mut file = CaptureFile::from_reader("test", Cursor::new(written)).expect("a capture");
            while file.next_frame().is_some() {}
            assert_eq!((file.frames(), file.ended()), (fit, Some(&Ended::Clean)));
        }
    }

    #[test]
    fn a_comment_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"\u{e4}".repeat(300)).len(), COMMENT_BYTES_MAX);
        assert_eq!(cut(&("x".to_owned() + &"\u{e4}".repeat(300))).len(), COMMENT_BYTES_MAX - 1);
    }
}
