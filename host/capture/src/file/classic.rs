//! pcap: one header, then records of sixteen bytes and a packet.

use ftagent_core::frame::Link;

use super::Ended;
use super::Order;
use super::PACKET_BYTES_MAX;
use super::Record;
use super::Step;
use super::ended_by;
use super::window::Window;

pub(super) const HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;

/// What the magic says about every number that follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    order: Order,
    nanoseconds: bool,
}

impl Variant {
    pub(super) fn of(magic: [u8; 4]) -> Option<Self> {
        let (order, nanoseconds) = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, false),
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, false),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, true),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, true),
            _ => return None,
        };
        Some(Self { order, nanoseconds })
    }

    /// The link type in a complete header; its upper half is about checksums of the link layer.
    pub(super) fn link_type(self, header: &[u8]) -> u16 {
        (self.order.u32(header, 20) & 0xffff) as u16
    }
}

/// A pcap file past its header.
#[derive(Debug)]
pub(super) struct Classic {
    pub(super) variant: Variant,
    pub(super) link: Link,
}

impl Classic {
    pub(super) fn step(&mut self, window: &mut Window) -> Step {
        let offset = window.offset();
        match window.fill(RECORD_HEADER_BYTES) {
            Ok(true) => {}
            Ok(false) if window.unread().is_empty() => return Step::Ended(Ended::Clean),
            Ok(false) => return Step::Ended(Ended::Truncated { offset }),
            Err(error) => return Step::Ended(ended_by(&error, offset)),
        }
        let Variant { order, nanoseconds } = self.variant;
        let header = window.unread();
        let seconds = order.u32(header, 0);
        let fraction = order.u32(header, 4);
        let bytes = order.u32(header, 8);
        let wire_bytes = order.u32(header, 12);
        if bytes > PACKET_BYTES_MAX {
            return Step::Ended(Ended::Corrupt { offset, why: "a packet claims more than 256 KiB" });
        }
        let record_bytes = RECORD_HEADER_BYTES + bytes as usize;
        match window.fill(record_bytes) {
            Ok(true) => {}
            Ok(false) => return Step::Ended(Ended::Truncated { offset }),
            Err(error) => return Step::Ended(ended_by(&error, offset)),
        }
        let fraction_micros = if nanoseconds { fraction / 1_000 } else { fraction };
        Step::Packet(Record {
            link: self.link,
            at_micros: u64::from(seconds) * 1_000_000 + u64::from(fraction_micros),
            start: RECORD_HEADER_BYTES,
            bytes,
            wire_bytes,
            record_bytes,
        })
    }
}
