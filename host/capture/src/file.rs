//! Capture files: pcap and pcapng, plain or gzip, from a path or from standard input, as a stream.
//!
//! The file is hostile. Memory is one window of [`WINDOW_BYTES_MAX`], whatever lengths the file claims
//! and however well it was compressed; what was read before the damage is kept, and [`Ended`] says
//! where and why reading stopped. Times are absolute: microseconds since 1970-01-01 UTC as the
//! [`Instant`](ftagent_core::time::Instant), because packets of a file may go backwards and must not
//! fall before the start of the clock. Formats: <https://www.tcpdump.org/manpages/pcap-savefile.5.txt>
//! and <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>.

mod classic;
mod pcapng;
mod window;

use std::fmt;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use ftagent_core::time::Instant;

use crate::error::CaptureError;
use crate::file::classic::Classic;
use crate::file::pcapng::Pcapng;
use crate::file::window::Window;

/// The largest packet that is read, in bytes; a larger claim ends the file as corrupt. libpcap's own
/// limit (MAXIMUM_SNAPLEN).
pub const PACKET_BYTES_MAX: u32 = 262_144;

/// The largest block that is ever held in memory, in bytes: a packet and what surrounds it.
pub const WINDOW_BYTES_MAX: usize = PACKET_BYTES_MAX as usize + 65_536;

/// How a capture file ended. Offsets count bytes of the capture, after decompression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At the end of a record, as it should.
    Clean,
    /// In the middle of a record: the writer was stopped or the copy is incomplete.
    Truncated {
        /// Where the incomplete record begins.
        offset: u64,
    },
    /// The bytes contradict the format.
    Corrupt {
        /// Where the record that cannot be read begins.
        offset: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The bytes could not be read any further.
    Unreadable {
        /// Up to where they could.
        offset: u64,
        /// What the system answered.
        error: String,
    },
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => write!(f, "the capture is complete"),
            Self::Truncated { offset } => write!(f, "the capture is cut off in the record at byte {offset}"),
            Self::Corrupt { offset, why } => write!(f, "the capture is damaged at byte {offset}: {why}"),
            Self::Unreadable { offset, error } => {
                write!(f, "the capture could not be read past byte {offset}: {error}")
            }
        }
    }
}

/// A capture file that is being read.
#[derive(Debug)]
pub struct CaptureFile {
    window: Window,
    format: Format,
    ended: Option<Ended>,
    frames: u64,
    skipped: u64,
}

#[derive(Debug)]
enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
}

/// One packet as a place in the window, so that it outlives the borrow that found it.
struct Record {
    link: Link,
    at_micros: u64,
    /// Where the packet's bytes stand in the window's unread part.
    start: usize,
    bytes: u32,
    wire_bytes: u32,
    /// How much of the window the record takes.
    record_bytes: usize,
}

/// One step through the file.
enum Step {
    Packet(Record),
    /// A packet of an interface whose link type we cannot read.
    Unreadable,
    Ended(Ended),
}

impl CaptureFile {
    /// Opens a file, or standard input when the path is `-`, and reads its first header.
    ///
    /// # Errors
    /// The file cannot be opened, is no capture, or has one link type and that cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CaptureError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        if name == "-" {
            return Self::from_reader(&name, io::stdin());
        }
        match File::open(path) {
            Ok(file) => Self::from_reader(&name, file),
            Err(source) => Err(CaptureError::File { op: "open", path: name, source }),
        }
    }

    /// The same from any stream; `name` stands for it in errors.
    ///
    /// # Errors
    /// As for [`CaptureFile::open`].
    pub fn from_reader(name: &str, reader: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::File { op: "read", path: name.to_owned(), source };
        let mut window = Window::new(Box::new(reader));
        window.fill(4).map_err(failed)?;
        if window.unread().starts_with(&[0x1f, 0x8b]) {
            // The decoder hands out what is asked for, so that a bomb costs time and no memory.
            window = Window::new(Box::new(MultiGzDecoder::new(window)));
            window.fill(4).map_err(failed)?;
        }
        let format = Self::format(name, &mut window)?;
        Ok(Self { window, format, ended: None, frames: 0, skipped: 0 })
    }

    fn format(name: &str, window: &mut Window) -> Result<Format, CaptureError> {
        let refuse = |found: String| CaptureError::NotACapture { path: name.to_owned(), found };
        let Some(magic) = window.unread().first_chunk::<4>().copied() else {
            return Err(refuse(format!("it has {} bytes", window.unread().len())));
        };
        if magic == pcapng::SECTION_MAGIC {
            return Ok(Format::Pcapng(Pcapng::default()));
        }
        let Some(variant) = classic::Variant::of(magic) else {
            return Err(refuse(format!("it begins with the bytes {magic:02x?}")));
        };
        let complete = window.fill(classic::HEADER_BYTES).map_err(|source| CaptureError::File {
            op: "read the header of",
            path: name.to_owned(),
            source,
        })?;
        if !complete {
            return Err(refuse("its header is cut off".to_owned()));
        }
        let link_type = variant.link_type(window.unread());
        let Some(link) = link_of(link_type) else {
            return Err(CaptureError::LinkType { path: name.to_owned(), link_type: u32::from(link_type) });
        };
        window.consume(classic::HEADER_BYTES);
        Ok(Format::Classic(Classic { variant, link }))
    }

    /// The next packet, or `None` at the end; then [`CaptureFile::ended`] says how it ended.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        let record = loop {
            if self.ended.is_some() {
                return None;
            }
            let step = match &mut self.format {
                Format::Classic(classic) => classic.step(&mut self.window),
                Format::Pcapng(pcapng) => pcapng.step(&mut self.window),
            };
            match step {
                Step::Packet(record) => break record,
                Step::Unreadable => self.skipped += 1,
                Step::Ended(ended) => self.ended = Some(ended),
            }
        };
        self.frames += 1;
        let bytes = self.window.hand_out(record.start, record.bytes as usize, record.record_bytes);
        Some(Frame {
            at: Instant::from_micros(record.at_micros),
            link: record.link,
            passage: Passage::Unknown,
            bytes,
            wire_bytes: record.wire_bytes.max(record.bytes),
            sample_rate: 1,
        })
    }

    /// The comment on the last packet; empty where there is none.
    pub fn comment(&self) -> &str {
        match &self.format {
            Format::Pcapng(pcapng) => &pcapng.comment,
            Format::Classic(_) => "",
        }
    }

    /// The comment on the section that was read last; empty where there is none.
    pub fn section_comment(&self) -> &str {
        match &self.format {
            Format::Pcapng(pcapng) => &pcapng.section_comment,
            Format::Classic(_) => "",
        }
    }

    /// Which way the last packet went, if the file says so. Frames do not carry it, because whoever judges a file
    /// decides that by its services.
    pub fn direction(&self) -> Passage {
        match &self.format {
            Format::Pcapng(pcapng) => pcapng.direction.unwrap_or(Passage::Unknown),
            Format::Classic(_) => Passage::Unknown,
        }
    }

    /// How the file ended, once it did.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Packets handed out so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Packets passed over because their interface has a link type that cannot be read.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// Link types of tcpdump.org's list that the engine can read.
fn link_of(link_type: u16) -> Option<Link> {
    match link_type {
        1 => Some(Link::Ethernet),
        // 12 and 14 are DLT_RAW as some systems wrote it; 228 and 229 say the version beforehand.
        12 | 14 | 101 | 228 | 229 => Some(Link::RawIp),
        113 => Some(Link::LinuxCooked),
        276 => Some(Link::LinuxCooked2),
        0 | 108 => Some(Link::Loopback),
        _ => None,
    }
}

/// What a failed read of the stream means for the file; damaged gzip is a damaged capture.
fn ended_by(error: &io::Error, offset: u64) -> Ended {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Ended::Truncated { offset },
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Ended::Corrupt { offset, why: "the gzip stream is damaged" }
        }
        _ => Ended::Unreadable { offset, error: error.to_string() },
    }
}

/// A field in the byte order of the file's writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let field = field::<2>(bytes, at);
        if self == Self::Little { u16::from_le_bytes(field) } else { u16::from_be_bytes(field) }
    }

    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let field = field::<4>(bytes, at);
        if self == Self::Little { u32::from_le_bytes(field) } else { u32::from_be_bytes(field) }
    }

    fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let field = field::<8>(bytes, at);
        if self == Self::Little { u64::from_le_bytes(field) } else { u64::from_be_bytes(field) }
    }
}

/// The bytes at an offset; zeros past the end, which callers exclude by filling the window first.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests;
