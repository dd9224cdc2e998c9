//! Who sends most: a few hundred places in sets of four. A newcomer wears down the lightest of its set and takes the
//! place when nothing is left, so that many light ones never displace a heavy one (as in HeavyKeeper, ATC 2018).

use crate::limits::HEAVY_PLACES;
use crate::wire::Address;

const WAYS: usize = 4;

/// One source.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) source: Address,
    pub(crate) packets: u64,
    pub(crate) proven: bool,
    /// What others have worn down.
    left: u64,
}

/// The places.
#[derive(Clone, Debug)]
pub(crate) struct Heavy {
    places: Vec<Place>,
}

impl Default for Heavy {
    fn default() -> Self {
        Self { places: vec![Place::default(); HEAVY_PLACES] }
    }
}

impl Heavy {
    /// Counts packets of a source.
    pub(crate) fn add(&mut self, hash: u64, source: Address, proven: bool, weight: u32) {
        let set = (hash as usize % (HEAVY_PLACES / WAYS)) * WAYS;
        let places = &mut self.places[set..set + WAYS];
        let weight = u64::from(weight);
        if let Some(place) = places.iter_mut().find(|place| place.source == source && place.packets > 0) {
            place.packets += weight;
            place.left += weight;
            place.proven |= proven;
            return;
        }
        let Some(lightest) = places.iter_mut().min_by_key(|place| place.left) else { return };
        if lightest.left > weight {
            lightest.left -= weight;
        } else {
            *lightest = Place { source, packets: weight, left: weight, proven };
        }
    }

    /// Those who sent at least `least` packets, heaviest first.
    pub(crate) fn top(&self, most: usize, least: u64) -> Vec<Place> {
        let mut places: Vec<_> =
            self.places.iter().filter(|place| place.packets >= least.max(1)).copied().collect();
        places.sort_by_key(|place| (std::cmp::Reverse(place.packets), place.source));
        places.truncate(most);
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashKey;

    #[test]
    fn d20_heavy_ones_displace_light_ones_and_stay() {
        let key = HashKey::new(5);
        let mut heavy = Heavy::default();
        let mut add = |number: u32, weight| {
            let source = Address::v4(number);
            heavy.add(key.hash([source.low]), source, false, weight);
        };
        (0..20_000).for_each(|light| add(light, 1));
        for round in 0..500 {
            (0..5).for_each(|number| add(0x0a00_0000 + number, 2));
            (0..100).for_each(|light| add(30_000 + round * 100 + light, 1));
        }
        let top: Vec<_> = heavy.top(5, 100).iter().map(|place| place.source.low as u32).collect();
        assert_eq!(top.len(), 5);
        assert!(top.iter().all(|source| *source >= 0x0a00_0000), "{top:x?}");
    }
}
