//! Counters that only grow, although the kernel's begin at 0 again when the table was flushed and made anew.

use std::collections::HashMap;

use crate::netlink::read::Tally;

/// All counters of our table, by name.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    by_name: HashMap<Box<str>, Grown>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Grown {
    before: Tally,
    last: Tally,
}

impl Tallies {
    /// Takes what the kernel says now.
    pub(crate) fn note(&mut self, name: &str, now: Tally) {
        if let Some(grown) = self.by_name.get_mut(name) {
            if now.packets < grown.last.packets {
                grown.before.packets += grown.last.packets;
                grown.before.bytes += grown.last.bytes;
            }
            grown.last = now;
        } else {
            self.by_name.insert(name.into(), Grown { before: Tally::default(), last: now });
        }
    }

    /// The sum since we began.
    pub(crate) fn get(&self, name: &str) -> Tally {
        let grown = self.by_name.get(name).copied().unwrap_or_default();
        Tally {
            packets: grown.before.packets + grown.last.packets,
            bytes: grown.before.bytes + grown.last.bytes,
        }
    }

    /// Forgets counters that nobody asks for.
    pub(crate) fn keep(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        self.by_name.retain(|name, _| wanted(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_began_anew_goes_on_growing() {
        let mut tallies = Tallies::default();
        for (packets, sum) in [(5, 5), (9, 9), (2, 11), (3, 12)] {
            tallies.note("a", Tally { packets, bytes: packets * 100 });
            assert_eq!(tallies.get("a"), Tally { packets: sum, bytes: sum * 100 });
        }
    }
}
