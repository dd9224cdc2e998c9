//! The part of one packet that a shape can be tried on: its header fields and its first bytes.

use crate::flow::FlowKey;
use crate::limits;
use crate::manifest::BytesAt;
use crate::manifest::Class;
use crate::manifest::Shape;
use crate::question::PacketRow;
use crate::wire::Address;

/// One packet of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) client: Address,
    /// Payload bytes on the wire, at most 65,535.
    pub(crate) payload_bytes: u16,
    pub(crate) source_port: u16,
    pub(crate) window: u16,
    pub(crate) tcp_options: u16,
    pub(crate) ttl: u8,
    pub(crate) tcp_flags: u8,
    pub(crate) class: Class,
    captured: u8,
    payload: [u8; limits::RETAINED_BYTES],
}

impl Head {
    /// From a row of a batch and its captured payload.
    pub(crate) fn of(row: &PacketRow, payload: &[u8], key: &FlowKey, class: Class) -> Self {
        let captured = payload.len().min(limits::RETAINED_BYTES);
        let mut first = [0; limits::RETAINED_BYTES];
        first[..captured].copy_from_slice(&payload[..captured]);
        Self {
            client: key.client,
            payload_bytes: row.payload_bytes.min(u32::from(u16::MAX)) as u16,
            source_port: key.client_port,
            window: row.window,
            tcp_options: row.tcp_options,
            ttl: row.ttl,
            tcp_flags: row.tcp_flags,
            class,
            captured: captured as u8,
            payload: first,
        }
    }

    /// The captured bytes.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload[..usize::from(self.captured)]
    }

    /// Whether the kernel may match it. What was not captured counts as matching: a measure is refused rather than
    /// taken in doubt.
    pub(crate) fn may_fit(&self, shape: &Shape) -> bool {
        let bytes = self.payload_bytes;
        shape.payload_bytes.as_ref().is_none_or(|range| range.contains(&bytes))
            && shape.tcp_flags.is_none_or(|(mask, value)| self.tcp_flags & mask == value)
            && (!shape.without_options || self.tcp_options == 0)
            && shape.source_port.is_none_or(|port| port == self.source_port)
            && shape.window.is_none_or(|window| window == self.window)
            && shape.ttl.as_ref().is_none_or(|range| range.contains(&self.ttl))
            && shape.bytes.iter().all(|bytes| self.may_hold(bytes))
    }

    /// Whether these bytes may stand at this place.
    pub(crate) fn may_hold_at(&self, offset: u16, value: &[u8]) -> bool {
        let first = usize::from(offset);
        let here = self.payload().get(first..).unwrap_or_default();
        first + value.len() <= usize::from(self.payload_bytes) && here.iter().zip(value).all(|(a, b)| a == b)
    }

    fn may_hold(&self, bytes: &BytesAt) -> bool {
        let first = usize::from(bytes.offset);
        if first + bytes.value.len() > usize::from(self.payload_bytes) {
            return false;
        }
        let wanted = bytes.value.iter().zip(&bytes.mask);
        let here = self.payload().get(first..).unwrap_or_default();
        here.iter().zip(wanted).all(|(byte, (value, mask))| byte & mask == value & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Transport;

    fn head(payload: &[u8], on_the_wire: u32) -> Head {
        let key = FlowKey {
            client: Address::v4(1),
            server: Address::v4(2),
            client_port: 40_000,
            server_port: 1,
            transport: Transport::Udp,
        };
        let row = PacketRow { payload_bytes: on_the_wire, ttl: 64, window: 512, ..PacketRow::default() };
        Head::of(&row, payload, &key, Class::Play)
    }

    fn holds(offset: u16, value: &[u8]) -> Shape {
        let mask = vec![0xff; value.len()];
        let bytes = vec![BytesAt { offset, value: value.to_vec(), mask }];
        Shape { bytes, ..crate::found::any(Transport::Udp) }
    }

    #[test]
    fn each_field_counts() {
        let any = crate::found::any(Transport::Udp);
        let fits = |shape: Shape| head(b"abcd", 4).may_fit(&shape);
        assert!(fits(any.clone()) && fits(holds(1, b"bc")) && !fits(holds(1, b"bd")));
        assert!(fits(Shape { ttl: Some(60..=70), ..any.clone() }));
        assert!(!fits(Shape { ttl: Some(65..=70), ..any.clone() }));
        assert!(!fits(Shape { payload_bytes: Some(5..=9), ..any.clone() }));
        assert!(!fits(Shape { source_port: Some(53), ..any.clone() }));
        assert!(!fits(Shape { window: Some(513), ..any }));
    }

    #[test]
    fn what_was_not_captured_may_match_and_what_is_not_there_may_not() {
        assert!(head(b"ab", 10).may_fit(&holds(1, b"bc")), "its third byte is not known");
        assert!(!head(b"ab", 10).may_fit(&holds(1, b"xc")), "but its second is");
        assert!(!head(b"ab", 2).may_fit(&holds(1, b"bc")), "it has no third byte");
    }
}
