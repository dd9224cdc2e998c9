//! pcapng: blocks of sections; each section has its own byte order and interfaces, each interface its own
//! link type, clock resolution and clock offset.

use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;

use super::Ended;
use super::Order;
use super::PACKET_BYTES_MAX;
use super::Record;
use super::Step;
use super::WINDOW_BYTES_MAX;
use super::ended_by;
use super::link_of;
use super::window::Window;

/// The type of a section header, the same in both byte orders.
pub(super) const SECTION_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Interfaces of one section; more end the file as corrupt.
const INTERFACES_MAX: usize = 4_096;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET_OBSOLETE: u32 = 2;
const PACKET_SIMPLE: u32 = 3;
const PACKET_ENHANCED: u32 = 6;

/// Bytes of a comment that are kept.
const COMMENT_BYTES_MAX: usize = 1_024;

const OPTION_COMMENT: u16 = 1;
const OPTION_FLAGS: u16 = 2;
const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

#[derive(Clone, Copy, Debug)]
struct Interface {
    /// `None`: a link type that cannot be read; its packets are passed over.
    link: Option<Link>,
    /// 0: no limit.
    snap_bytes: u32,
    /// As `if_tsresol` says it.
    resolution: u8,
    offset_seconds: i64,
}

/// A pcapng file; at first before its first section header.
#[derive(Debug, Default)]
pub(super) struct Pcapng {
    order: Option<Order>,
    interfaces: Vec<Interface>,
    /// The time of the last packet that had one, for simple packets, which have none.
    last_micros: u64,
    /// Of the last section header and of the last packet; empty where there was none.
    pub(super) section_comment: String,
    pub(super) comment: String,
    /// Which way the last packet went.
    pub(super) direction: Option<Passage>,
}

/// Why a block ends the file.
type Refusal = &'static str;

impl Pcapng {
    pub(super) fn step(&mut self, window: &mut Window) -> Step {
        loop {
            let offset = window.offset();
            match self.block(window) {
                Ok(None) => {}
                Ok(Some(step)) => return step,
                Err(Stop::Refused(why)) => return Step::Ended(Ended::Corrupt { offset, why }),
                Err(Stop::Cut) => return Step::Ended(Ended::Truncated { offset }),
                Err(Stop::Io(error)) => return Step::Ended(ended_by(&error, offset)),
            }
        }
    }

    /// Reads one block; `None`: it holds no packet.
    fn block(&mut self, window: &mut Window) -> Result<Option<Step>, Stop> {
        if !window.fill(8)? {
            let clean = window.unread().is_empty();
            return if clean { Ok(Some(Step::Ended(Ended::Clean))) } else { Err(Stop::Cut) };
        }
        if window.unread().starts_with(&SECTION_MAGIC) {
            self.section(window)?;
        }
        let order = self.order.ok_or("the first block is no section header")?;
        let kind = order.u32(window.unread(), 0);
        let block_bytes = order.u32(window.unread(), 4);
        if block_bytes < 12 || block_bytes % 4 != 0 {
            return Err(Stop::Refused("a block has an impossible length"));
        }
        let held = matches!(kind, SECTION | INTERFACE | PACKET_OBSOLETE | PACKET_SIMPLE | PACKET_ENHANCED);
        if !held {
            // Names, statistics, secrets, custom blocks: nothing for us, of any size.
            let complete = window.skip(u64::from(block_bytes))?;
            return if complete { Ok(None) } else { Err(Stop::Cut) };
        }
        if block_bytes as usize > WINDOW_BYTES_MAX {
            return Err(Stop::Refused("a block claims more than 320 KiB"));
        }
        let block_bytes = block_bytes as usize;
        need(window, block_bytes)?;
        let block = &window.unread()[..block_bytes];
        if order.u32(block, block_bytes - 4) as usize != block_bytes {
            return Err(Stop::Refused("the two lengths of a block differ"));
        }
        match kind {
            SECTION => {
                self.section_comment.clear();
                let options = block.get(24..block_bytes - 4).unwrap_or_default();
                each_option(order, options, |code, value| {
                    keep_comment(&mut self.section_comment, code, value)
                });
            }
            INTERFACE => self.interface(order, block)?,
            _ => {
                let step = self.packet(kind, order, block)?;
                if matches!(step, Step::Unreadable) {
                    window.consume(block_bytes);
                }
                return Ok(Some(step));
            }
        }
        window.consume(block_bytes);
        Ok(None)
    }

    /// Learns the byte order of a new section and forgets the interfaces of the one before.
    fn section(&mut self, window: &mut Window) -> Result<(), Stop> {
        need(window, 16)?;
        self.order = match &window.unread()[8..12] {
            [0x4d, 0x3c, 0x2b, 0x1a] => Some(Order::Little),
            [0x1a, 0x2b, 0x3c, 0x4d] => Some(Order::Big),
            _ => return Err(Stop::Refused("a section header has no byte-order magic")),
        };
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self, order: Order, block: &[u8]) -> Result<(), Refusal> {
        if block.len() < 20 {
            return Err("an interface block is too short");
        }
        if self.interfaces.len() == INTERFACES_MAX {
            return Err("a section has more than 4096 interfaces");
        }
        let mut interface = Interface {
            link: link_of(order.u16(block, 8)),
            snap_bytes: order.u32(block, 12),
            resolution: 6,
            offset_seconds: 0,
        };
        let mut options = &block[16..block.len() - 4];
        while options.len() >= 4 {
            let (code, length) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
            let padded = 4 + length.next_multiple_of(4);
            match (code, length) {
                (0, _) => break,
                (OPTION_TIME_RESOLUTION, 1) if options.len() >= 5 => interface.resolution = options[4],
                (OPTION_TIME_OFFSET, 8) if options.len() >= 12 => {
                    interface.offset_seconds = order.u64(options, 4).cast_signed();
                }
                _ => {}
            }
            options = options.get(padded..).ok_or("an option of an interface reaches past its block")?;
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn packet(&mut self, kind: u32, order: Order, block: &[u8]) -> Result<Step, Refusal> {
        let simple = kind == PACKET_SIMPLE;
        let start = if simple { 12 } else { 28 };
        if block.len() < start + 4 {
            return Err("a packet block is too short");
        }
        let number = match kind {
            PACKET_SIMPLE => 0,
            PACKET_OBSOLETE => u32::from(order.u16(block, 8)),
            _ => order.u32(block, 8),
        };
        let Some(interface) = self.interfaces.get(number as usize).copied() else {
            return Err("a packet names an interface that was not described");
        };
        let room = (block.len() - start - 4) as u32;
        let (bytes, wire_bytes) = if simple {
            let wire_bytes = order.u32(block, 8);
            let snap_bytes = if interface.snap_bytes == 0 { u32::MAX } else { interface.snap_bytes };
            (wire_bytes.min(snap_bytes).min(room), wire_bytes)
        } else {
            (order.u32(block, 20), order.u32(block, 24))
        };
        if bytes > room {
            return Err("a packet is longer than its block");
        }
        if bytes > PACKET_BYTES_MAX {
            return Err("a packet claims more than 256 KiB");
        }
        if !simple {
            let ticks = (u64::from(order.u32(block, 12)) << 32) | u64::from(order.u32(block, 16));
            self.last_micros = interface.micros(ticks);
        }
        self.comment.clear();
        self.direction = None;
        if kind == PACKET_ENHANCED {
            let after = start + (bytes as usize).next_multiple_of(4);
            let options = block.get(after..block.len() - 4).unwrap_or_default();
            each_option(order, options, |code, value| {
                keep_comment(&mut self.comment, code, value);
                if code == OPTION_FLAGS && value.len() == 4 {
                    self.direction = match order.u32(value, 0) & 3 {
                        1 => Some(Passage::Ingress),
                        2 => Some(Passage::Egress),
                        _ => None,
                    };
                }
            });
        }
        let Some(link) = interface.link else { return Ok(Step::Unreadable) };
        let at_micros = self.last_micros;
        Ok(Step::Packet(Record { link, at_micros, start, bytes, wire_bytes, record_bytes: block.len() }))
    }
}

/// Hands out the options of a block up to the end, or to the first that reaches past it.
fn each_option(order: Order, mut options: &[u8], mut each: impl FnMut(u16, &[u8])) {
    while options.len() >= 4 {
        let (code, length) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
        let Some(value) = options.get(4..4 + length).filter(|_| code != 0) else { return };
        each(code, value);
        options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// Keeps the first comment; what is no text in it becomes a replacement character.
fn keep_comment(place: &mut String, code: u16, value: &[u8]) {
    if code == OPTION_COMMENT && place.is_empty() {
        place.push_str(&String::from_utf8_lossy(&value[..value.len().min(COMMENT_BYTES_MAX)]));
    }
}

impl Interface {
    /// Ticks of the interface's clock as microseconds since 1970; what does not fit saturates.
    fn micros(&self, ticks: u64) -> u64 {
        let exponent = u32::from(self.resolution & 0x7f);
        let ticks = i128::from(ticks);
        let micros = if self.resolution & 0x80 != 0 {
            // At most 84 bits before the shift, so that no resolution overflows.
            (ticks * 1_000_000) >> exponent
        } else if exponent <= 6 {
            ticks * 10_i128.pow(6 - exponent)
        } else {
            10_i128.checked_pow(exponent - 6).map_or(0, |divisor| ticks / divisor)
        };
        let micros = micros + i128::from(self.offset_seconds) * 1_000_000;
        u64::try_from(micros.max(0)).unwrap_or(u64::MAX)
    }
}

/// Why a block could not be read.
enum Stop {
    Refused(Refusal),
    Cut,
    Io(std::io::Error),
}

impl From<Refusal> for Stop {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

fn need(window: &mut Window, bytes: usize) -> Result<(), Stop> {
    if window.fill(bytes)? { Ok(()) } else { Err(Stop::Cut) }
}
