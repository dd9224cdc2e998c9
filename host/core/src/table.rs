//! A bounded table: a key has a few places, and who is protected keeps its place.
//!
//! Memory grows with use up to the capacity and never beyond. A newcomer takes a free place, else that of the
//! unprotected entry not touched for longest; entries touched in the running epoch, and entries that are fully
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
    /// What is left to do for a value that made room.
    type Left;
    /// How hard it holds, as settled before `epoch`.
    fn hold(&self, epoch: u32, now: Instant) -> Hold;
    /// It makes room.
    fn left(&self) -> Self::Left;
    /// Reads something of each cache line that a packet needs, and gives what nobody can leave out.
    fn read(&self) -> u32;
    /// The same of the lines that are needed only to overwrite it.
    fn read_rest(&self) -> u32;
}

/// One entry, from the start of a cache line.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Entry<K, V> {
    pub(crate) key: K,
    generation: u32,
    /// The epoch in which it was last touched.
    epoch: u32,
    pub(crate) value: V,
}

/// What came of asking for a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened<L> {
    /// It was there.
    Found(Ref),
    /// It is new, perhaps in the place of another.
    New(Ref, Option<L>),
    /// Everybody there is protected.
    Refused,
}

/// The places of a few keys, in one cache line. Whoever must make room is found here without a look at the entries.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Set {
    /// For each place the entry's slot + 1 and, above, a few bits of its hash.
    places: [u32; WAYS],
    /// For each place an epoch: its entry was not touched before. The entry itself knows exactly.
    stamps: [u32; WAYS],
}

/// Where a key belongs: its set, and the bits by which it is told from others there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spot {
    set: usize,
    tag: u32,
}

/// Which entry opening a key will probably come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Likely {
    /// None: there is a free place.
    #[default]
    Free,
    /// Its own.
    Found(u32),
    /// The one that makes room.
    Room(u32),
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V> {
    sets: Vec<Set>,
    entries: Vec<Entry<K, V>>,
    key: HashKey,
}

const SLOT_BITS: u32 = 20;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

impl<K: Key, V: Tenant> Table<K, V> {
    /// A table for at most `capacity` entries (rounded up to a power of two, at most 2^19).
    pub(crate) fn new(capacity: usize, key: HashKey) -> Self {
        let capacity = capacity.clamp(WAYS, 1 << (SLOT_BITS - 1)).next_power_of_two();
        Self { sets: vec![Set::default(); capacity / WAYS], entries: Vec::with_capacity(capacity), key }
    }

    fn place(&self, key: &K) -> (usize, u32) {
        let hash = key.hash(self.key);
        let set = hash as usize & (self.sets.len() - 1);
        (set, ((hash >> 40) as u32) << SLOT_BITS)
    }

    fn search(&self, key: &K, set: usize, tag: u32) -> Option<usize> {
        let places = &self.sets[set].places;
        for (way, &place) in places.iter().enumerate() {
            if place & !SLOT_MASK == tag && place & SLOT_MASK != 0 && self.entry(place).key == *key {
                return Some(way);
            }
        }
        None
    }

    fn entry(&self, place: u32) -> &Entry<K, V> {
        &self.entries[(place & SLOT_MASK) as usize - 1]
    }

    /// The entry of a key.
    pub(crate) fn find(&self, key: &K) -> Option<Ref> {
        let (set, tag) = self.place(key);
        let way = self.search(key, set, tag)?;
        let place = self.sets[set].places[way];
        Some(Ref { slot: (place & SLOT_MASK) - 1, generation: self.entry(place).generation })
    }

    /// Where a key belongs. Asked for once and handed to [`Self::open`].
    pub(crate) fn spot(&self, key: &K) -> Spot {
        let (set, tag) = self.place(key);
        Spot { set, tag }
    }

    /// Reads a set, for the sake of having it near.
    pub(crate) fn read_set(&self, spot: Spot) -> u32 {
        self.sets[spot.set].places[0]
    }

    /// What a set alone tells of a key.
    pub(crate) fn likely(&self, spot: Spot) -> Likely {
        let Set { places, stamps } = &self.sets[spot.set];
        let (mut oldest, mut free) = (0, false);
        for way in 0..WAYS {
            let place = places[way];
            if place & !SLOT_MASK == spot.tag && place != 0 {
                return Likely::Found((place & SLOT_MASK) - 1);
            }
            free |= place == 0;
            if stamps[way] < stamps[oldest] {
                oldest = way;
            }
        }
        if free { Likely::Free } else { Likely::Room((places[oldest] & SLOT_MASK) - 1) }
    }

    /// Reads an entry, for the sake of having it near.
    pub(crate) fn read_entry(&self, slot: u32) -> u32 {
        self.entries.get(slot as usize).map_or(0, |entry| entry.epoch ^ entry.value.read())
    }

    /// Reads what is needed of an entry only by who takes its place.
    pub(crate) fn read_rest(&self, slot: u32) -> u32 {
        self.entries.get(slot as usize).map_or(0, |entry| entry.value.read_rest())
    }

    /// Where the entries stand and how many bytes they may take.
    pub(crate) fn place_in_memory(&self) -> (usize, usize) {
        (self.entries.as_ptr().addr(), self.entries.capacity() * size_of::<Entry<K, V>>())
    }

    /// The value at a place, whoever has it now.
    pub(crate) fn at(&self, slot: u32) -> Option<&V> {
        self.entries.get(slot as usize).map(|entry| &entry.value)
    }

    /// The entry of a key; a new one of `make` where there is none and room can be made.
    pub(crate) fn open(
        &mut self,
        key: K,
        spot: Spot,
        epoch: u32,
        now: Instant,
        make: impl FnOnce() -> V,
    ) -> Opened<V::Left> {
        let Spot { set, tag } = spot;
        if let Some(way) = self.search(&key, set, tag) {
            self.sets[set].stamps[way] = epoch;
            let slot = (self.sets[set].places[way] & SLOT_MASK) - 1;
            let entry = &mut self.entries[slot as usize];
            entry.epoch = epoch;
            return Opened::Found(Ref { slot, generation: entry.generation });
        }
        if let Some(way) = self.sets[set].places.iter().position(|place| *place == 0) {
            let slot = self.entries.len() as u32;
            self.entries.push(Entry { key, generation: 1, epoch, value: make() });
            self.sets[set].places[way] = tag | (slot + 1);
            self.sets[set].stamps[way] = epoch;
            return Opened::New(Ref { slot, generation: 1 }, None);
        }
        let Some(way) = self.loosest(set, epoch, now) else { return Opened::Refused };
        let slot = (self.sets[set].places[way] & SLOT_MASK) - 1;
        let entry = &mut self.entries[slot as usize];
        let left = entry.value.left();
        let generation = entry.generation.wrapping_add(1);
        *entry = Entry { key, generation, epoch, value: make() };
        self.sets[set].places[way] = tag | (slot + 1);
        self.sets[set].stamps[way] = epoch;
        Opened::New(Ref { slot, generation }, Some(left))
    }

    /// The place whose entry should make room: the one not touched for the most epochs. Stamps may be too old;
    /// they are put right for those that are looked at, so that usually one look is enough.
    fn loosest(&mut self, set: usize, epoch: u32, now: Instant) -> Option<usize> {
        for _ in 0..2 * WAYS {
            let stamps = &self.sets[set].stamps;
            let (way, age) = stamps
                .iter()
                .map(|stamp| epoch.wrapping_sub(*stamp))
                .enumerate()
                .max_by_key(|(way, age)| (*age, std::cmp::Reverse(*way)))?;
            if age == 0 {
                return None;
            }
            let (stamp, place) = (stamps[way], self.sets[set].places[way]);
            let entry = self.entry(place);
            let touched = if entry.value.hold(epoch, now) == Hold::Fast { epoch } else { entry.epoch };
            if touched == stamp {
                return Some(way);
            }
            self.sets[set].stamps[way] = touched;
        }
        None
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Flow;
    use crate::flow::FlowKey;
    use crate::source::Source;
    use crate::source::SourceKey;

    #[test]
    fn a_million_flows_seen_cost_no_more_than_the_tables() {
        let bytes = size_of::<Entry<FlowKey, Flow>>() * crate::limits::FLOWS
            + size_of::<Entry<SourceKey, Source>>() * crate::limits::SOURCES
            + size_of::<Set>() * 2 * crate::limits::FLOWS / WAYS
            + crate::limits::STREAM_BYTES;
        assert!(bytes <= 100 * 1024 * 1024, "{bytes} bytes");
        assert!(size_of::<Entry<FlowKey, Flow>>() <= 256 && size_of::<Entry<SourceKey, Source>>() <= 192);
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Number(u64);

    impl Key for Number {
        fn hash(&self, key: HashKey) -> u64 {
            key.hash([self.0])
        }
    }

    /// Holds fast if it is true.
    struct Held(bool);

    impl Tenant for Held {
        type Left = bool;

        fn hold(&self, _epoch: u32, _now: Instant) -> Hold {
            if self.0 { Hold::Fast } else { Hold::Loose }
        }

        fn left(&self) -> bool {
            self.0
        }

        fn read(&self) -> u32 {
            0
        }

        fn read_rest(&self) -> u32 {
            0
        }
    }

    /// One set, so that all keys meet.
    fn table() -> Table<Number, Held> {
        Table::new(WAYS, HashKey::new(1))
    }

    fn open(table: &mut Table<Number, Held>, number: u64, epoch: u32, held: bool) -> Opened<bool> {
        let spot = table.spot(&Number(number));
        table.open(Number(number), spot, epoch, Instant::START, || Held(held))
    }

    #[test]
    fn strangers_make_room_for_strangers_and_never_the_held() {
        let mut table = table();
        for number in 0..WAYS as u64 {
            open(&mut table, number, 1, number < 4);
        }
        let full = open(&mut table, 99, 1, false);
        assert_eq!(full, Opened::Refused, "all were touched in this epoch");
        for number in 100..200 {
            let epoch = number as u32;
            let opened = open(&mut table, number, epoch, false);
            assert!(matches!(opened, Opened::New(_, Some(false))), "{number}: {opened:?}");
        }
        assert!((0..4).all(|number| table.find(&Number(number)).is_some()), "who is held stays");
        assert!((196..200).all(|number| table.find(&Number(number)).is_some()), "and the newest strangers");
    }

    #[test]
    fn a_place_notices_when_somebody_else_has_it() {
        let mut table = table();
        for number in 0..WAYS as u64 {
            open(&mut table, number, 1, false);
        }
        let first = table.find(&Number(0)).expect("it was opened");
        open(&mut table, 50, 2, false);
        assert!(table.get(first).is_none() && table.find(&Number(0)).is_none());
    }
}
