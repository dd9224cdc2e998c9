//! The last packets of one service, and how often one is taken.

use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use ftagent_core::tap::Judged;
use ftagent_core::time::Instant;

use super::limits;

/// One packet that was kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) at: Instant,
    /// Number of its frame; tells it from whatever stood here before.
    pub(super) frame: u32,
    pub(super) wire_bytes: u32,
    /// It stands for so many.
    pub(super) stands_for: u32,
    /// Captured bytes that are kept.
    pub(super) length: u16,
    /// Where its payload begins.
    pub(super) payload_at: u16,
    /// Payload that the plugin reads of every packet.
    pub(super) reads: u16,
    pub(super) link: Link,
    pub(super) passage: Passage,
    pub(super) reply: bool,
    /// The recordings that want it, one bit each.
    pub(super) wanted: u16,
    pub(super) judged: Option<Judged>,
}

/// The ring. It grows in steps, so that a quiet service takes little.
#[derive(Debug)]
pub(super) struct Ring {
    slots: Vec<Slot>,
    heads: Vec<u8>,
    head_bytes: usize,
    /// The slot that is written next, once the ring no longer grows.
    next: usize,
    /// Slots that there is room for.
    room: usize,
}

impl Ring {
    pub(super) const fn new(head_bytes: usize) -> Self {
        Self { slots: Vec::new(), heads: Vec::new(), head_bytes, next: 0, room: 0 }
    }

    /// Bytes of one step of growth.
    pub(super) const fn step_bytes(head_bytes: usize) -> usize {
        limits::RING_STEP_PACKETS * (head_bytes + std::mem::size_of::<Slot>())
    }

    /// Bytes that it takes.
    pub(super) const fn bytes(&self) -> usize {
        self.room / limits::RING_STEP_PACKETS * Self::step_bytes(self.head_bytes)
    }

    /// Whether it would rather grow than overwrite.
    pub(super) const fn wants_room(&self) -> bool {
        self.slots.len() == self.room && self.room < limits::RING_PACKETS
    }

    /// Grows by one step. What was kept stays in order.
    pub(super) fn grow(&mut self) {
        self.slots.rotate_left(self.next);
        self.heads.rotate_left(self.next * self.head_bytes);
        self.next = 0;
        self.room += limits::RING_STEP_PACKETS;
        self.slots.reserve_exact(limits::RING_STEP_PACKETS);
        self.heads.reserve_exact(limits::RING_STEP_PACKETS * self.head_bytes);
    }

    /// Keeps a packet in place of the oldest; where. `None` if there is no room at all.
    pub(super) fn put(&mut self, slot: Slot, bytes: &[u8]) -> Option<usize> {
        let length = bytes.len().min(self.head_bytes);
        let slot = Slot { length: length as u16, ..slot };
        let at = if self.slots.len() < self.room {
            self.slots.push(slot);
            self.heads.resize(self.slots.len() * self.head_bytes, 0);
            self.slots.len() - 1
        } else {
            let at = self.next;
            *self.slots.get_mut(at)? = slot;
            self.next = (at + 1) % self.slots.len();
            at
        };
        let start = at * self.head_bytes;
        self.heads[start..start + length].copy_from_slice(&bytes[..length]);
        Some(at)
    }

    /// The packet at a place, unless another one stands there now.
    pub(super) fn at(&mut self, at: usize, frame: u32) -> Option<(&mut Slot, &[u8])> {
        let slot = self.slots.get_mut(at).filter(|slot| slot.frame == frame)?;
        let start = at * self.head_bytes;
        let length = usize::from(slot.length);
        Some((slot, &self.heads[start..start + length]))
    }

    /// All that were kept since then, oldest first.
    pub(super) fn since(&self, then: Instant) -> impl Iterator<Item = (&Slot, &[u8])> {
        let order = (self.next..self.slots.len()).chain(0..self.next);
        let pairs = order.map(|at| {
            let (slot, start) = (&self.slots[at], at * self.head_bytes);
            (slot, &self.heads[start..start + usize::from(slot.length)])
        });
        pairs.filter(move |(slot, _)| slot.at >= then)
    }
}

/// Takes so many a second, and a few at once. A rate that is passed is thinned out evenly, not cut off.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    due_us: u64,
}

impl Pace {
    /// Whether to take this one.
    pub(super) fn take(&mut self, at: Instant, interval_us: u64, burst_us: u64) -> bool {
        let at_us = at.as_micros();
        let due_us = self.due_us.max(at_us);
        let take = due_us <= at_us.saturating_add(burst_us);
        if take {
            self.due_us = due_us + interval_us;
        }
        take
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(frame: u32) -> Slot {
        Slot {
            at: Instant::from_millis(u64::from(frame)),
            frame,
            wire_bytes: 60,
            stands_for: 1,
            length: 0,
            payload_at: 0,
            reads: 0,
            link: Link::Ethernet,
            passage: Passage::Ingress,
            reply: false,
            wanted: 0,
            judged: None,
        }
    }

    fn frames(ring: &Ring, since_ms: u64) -> Vec<(u32, usize)> {
        let kept = ring.since(Instant::from_millis(since_ms));
        kept.map(|(slot, bytes)| (slot.frame, bytes.len())).collect()
    }

    #[test]
    fn l15_a_ring_is_bounded_and_keeps_the_last_in_order() {
        let mut ring = Ring::new(8);
        assert_eq!(ring.put(slot(0), b"no room"), None);
        for frame in 0..1_000 {
            if ring.wants_room() && ring.bytes() < 2 * Ring::step_bytes(8) {
                ring.grow();
            }
            ring.put(slot(frame), &[frame as u8; 20]).expect("there is room");
        }
        let kept = frames(&ring, 0);
        assert_eq!(kept.len(), 2 * limits::RING_STEP_PACKETS);
        let expected: Vec<_> = (1_000 - kept.len() as u32..1_000).map(|frame| (frame, 8)).collect();
        assert_eq!(kept, expected);
        assert_eq!(frames(&ring, 998), [(998, 8), (999, 8)]);
        // Growing later keeps the order.
        ring.grow();
        ring.put(slot(1_000), b"x").expect("there is room");
        let kept = frames(&ring, 0);
        assert_eq!((kept[0].0, kept[kept.len() - 1]), (1_000 - 512, (1_000, 1)));
        assert_eq!(ring.bytes(), 3 * Ring::step_bytes(8));
    }

    #[test]
    fn a_packet_is_found_by_its_frame_until_another_stands_there() {
        let mut ring = Ring::new(8);
        ring.grow();
        let at = ring.put(slot(7), b"abc").expect("there is room");
        assert_eq!(ring.at(at, 7).map(|(_, bytes)| bytes.to_vec()), Some(b"abc".to_vec()));
        assert!(ring.at(at, 8).is_none());
    }

    #[test]
    fn l16_what_is_too_much_is_thinned_out_evenly_and_never_stops() {
        let mut pace = Pace::default();
        // 10,000 a second for ten seconds; 200 a second are taken.
        let taken: Vec<u64> = (0..100_000_u64)
            .filter(|n| pace.take(Instant::from_micros(n * 100), 5_000, 100_000))
            .map(|n| n / 10_000)
            .collect();
        for second in 0..10 {
            let count = taken.iter().filter(|taken| **taken == second).count();
            assert!((199..=222).contains(&count), "{count} in second {second}");
        }
    }
}
