//! A bounded table: a key has a few places, and who is protected keeps its place.
//!
//! Memory grows with use up to the capacity and never beyond. A newcomer takes a free place, else that of the
//! least protected entry seen longest ago; entries touched in the running epoch, and entries that are fully
//! protected, never make room. Protection is what earlier epochs settled, so that who is evicted does not depend
//! on how packets were cut into batches.

use crate::hash::HashKey;
use crate::hash::Key;
use crate::limits::WAYS;
use crate::time::Instant;

/// A place in a table that notices when somebody else has taken it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ref {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// How hard an entry clings to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hold {
    /// Makes room for any newcomer.
    Loose,
    /// Never makes room.
    Fast,
}

/// What a table must know of its values.
pub(crate) trait Tenant {
    /// How hard it holds, as settled before `epoch`.
    fn hold(&self, epoch: u32, now: Instant) -> Hold;
    /// When it was last seen.
    fn seen(&self) -> Instant;
}

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry<K, V> {
    pub(crate) key: K,
    generation: u32,
    /// The epoch in which it was last touched.
    epoch: u32,
    pub(crate) value: V,
}

/// What came of asking for a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened<V> {
    /// It was there.
    Found(Ref),
    /// It is new, perhaps in the place of another.
    New(Ref, Option<V>),
    /// Everybody there is protected.
    Refused,
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V> {
    /// For each place the entry's slot + 1 and, above, a few bits of its hash.
    sets: Vec<[u32; WAYS]>,
    entries: Vec<Entry<K, V>>,
    key: HashKey,
}

const SLOT_BITS: u32 = 20;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

impl<K: Key, V: Tenant> Table<K, V> {
    /// A table for at most `capacity` entries (rounded up to a power of two, at most 2^19).
    pub(crate) fn new(capacity: usize, key: HashKey) -> Self {
        let capacity = capacity.clamp(WAYS, 1 << (SLOT_BITS - 1)).next_power_of_two();
        Self { sets: vec![[0; WAYS]; capacity / WAYS], entries: Vec::with_capacity(capacity), key }
    }

    fn place(&self, key: &K) -> (usize, u32) {
        let hash = key.hash(self.key);
        let set = hash as usize & (self.sets.len() - 1);
        (set, ((hash >> 40) as u32) << SLOT_BITS)
    }

    fn search(&self, key: &K, set: usize, tag: u32) -> Option<usize> {
        let ways = &self.sets[set];
        for (way, &place) in ways.iter().enumerate() {
            if place & !SLOT_MASK == tag && place & SLOT_MASK != 0 {
                let slot = (place & SLOT_MASK) - 1;
                if self.entries[slot as usize].key == *key {
                    return Some(way);
                }
            }
        }
        None
    }

    /// The entry of a key.
    pub(crate) fn find(&self, key: &K) -> Option<Ref> {
        let (set, tag) = self.place(key);
        let way = self.search(key, set, tag)?;
        let slot = (self.sets[set][way] & SLOT_MASK) - 1;
        Some(Ref { slot, generation: self.entries[slot as usize].generation })
    }

    /// The entry of a key; a new one of `make` where there is none and room can be made.
    pub(crate) fn open(&mut self, key: K, epoch: u32, now: Instant, make: impl FnOnce() -> V) -> Opened<V> {
        let (set, tag) = self.place(&key);
        if let Some(way) = self.search(&key, set, tag) {
            let slot = (self.sets[set][way] & SLOT_MASK) - 1;
            let entry = &mut self.entries[slot as usize];
            entry.epoch = epoch;
            return Opened::Found(Ref { slot, generation: entry.generation });
        }
        if let Some(way) = self.sets[set].iter().position(|place| *place == 0) {
            let slot = self.entries.len() as u32;
            self.entries.push(Entry { key, generation: 1, epoch, value: make() });
            self.sets[set][way] = tag | (slot + 1);
            return Opened::New(Ref { slot, generation: 1 }, None);
        }
        let Some(way) = self.loosest(set, epoch, now) else { return Opened::Refused };
        let slot = (self.sets[set][way] & SLOT_MASK) - 1;
        let entry = &mut self.entries[slot as usize];
        entry.key = key;
        entry.generation = entry.generation.wrapping_add(1);
        entry.epoch = epoch;
        let old = std::mem::replace(&mut entry.value, make());
        let generation = entry.generation;
        self.sets[set][way] = tag | (slot + 1);
        Opened::New(Ref { slot, generation }, Some(old))
    }

    /// The place whose entry should make room.
    fn loosest(&self, set: usize, epoch: u32, now: Instant) -> Option<usize> {
        let mut best: Option<(Instant, usize)> = None;
        for (way, &place) in self.sets[set].iter().enumerate() {
            let entry = &self.entries[((place & SLOT_MASK) - 1) as usize];
            if entry.epoch == epoch || entry.value.hold(epoch, now) == Hold::Fast {
                continue;
            }
            let seen = entry.value.seen();
            if best.is_none_or(|(oldest, _)| seen < oldest) {
                best = Some((seen, way));
            }
        }
        best.map(|(_, way)| way)
    }

    /// The value at a place, if nobody else has taken it.
    pub(crate) fn get(&self, at: Ref) -> Option<&Entry<K, V>> {
        self.entries.get(at.slot as usize).filter(|entry| entry.generation == at.generation)
    }

    /// The value at a place, if nobody else has taken it.
    pub(crate) fn get_mut(&mut self, at: Ref) -> Option<&mut V> {
        let entry = self.entries.get_mut(at.slot as usize)?;
        (entry.generation == at.generation).then_some(&mut entry.value)
    }

    /// As [`Self::get_mut`], and pins the entry for this epoch.
    pub(crate) fn touch(&mut self, at: Ref, epoch: u32) -> Option<&mut V> {
        let entry = self.entries.get_mut(at.slot as usize)?;
        if entry.generation != at.generation {
            return None;
        }
        entry.epoch = epoch;
        Some(&mut entry.value)
    }

    /// All entries, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<K, V>> {
        self.entries.iter()
    }
}

/// A value that is read as it was before the running epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settled<T> {
    now: T,
    before: T,
    epoch: u32,
}

impl<T: Copy> Settled<T> {
    /// A first value, which earlier epochs did not know better.
    pub(crate) fn new(value: T, epoch: u32) -> Self {
        Self { now: value, before: value, epoch }
    }

    /// The newest value.
    pub(crate) fn now(&self) -> T {
        self.now
    }

    /// The value that epochs before `epoch` left.
    pub(crate) fn before(&self, epoch: u32) -> T {
        if self.epoch == epoch { self.before } else { self.now }
    }

    /// A new value in `epoch`.
    pub(crate) fn set(&mut self, value: T, epoch: u32) {
        if self.epoch != epoch {
            self.before = self.now;
            self.epoch = epoch;
        }
        self.now = value;
    }
}
