//! The incidents of a node: those that are open, in places that do not move, and those that may come back.

use std::collections::VecDeque;

use super::Family;
use super::Incident;
use super::open::Open;
use crate::limits;
use crate::time::Instant;

/// An attack that comes back within so long goes on under its number.
const BACK_MS: u64 = 60_000;

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desk {
    places: Vec<Option<Box<Open>>>,
    closed: VecDeque<Incident>,
    /// The number of the last one.
    pub(crate) last: u64,
}

impl Desk {
    /// An open one.
    pub(crate) fn get(&self, place: usize) -> Option<&Open> {
        self.places.get(place)?.as_deref()
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut Open> {
        self.places.get_mut(place)?.as_deref_mut()
    }

    /// All open ones with their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Open)> {
        self.places.iter().enumerate().filter_map(|(at, open)| Some((at, open.as_deref()?)))
    }

    /// How many places there are, open or not.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// Opens one: its place. At the bound there is none.
    pub(crate) fn open(&mut self, mut record: Incident, site: u32) -> Option<usize> {
        let free = self.places.iter().position(Option::is_none);
        if free.is_none() && self.places.len() >= limits::OPEN_INCIDENTS {
            return None;
        }
        let came_back = self.closed.iter().position(|closed| {
            let ended = closed.closed_at.unwrap_or(closed.changed_at);
            closed.target == record.target
                && (closed.family == record.family || several(closed.family) || several(record.family))
                && record.opened_at.millis_since(ended) < BACK_MS
        });
        record = match came_back.and_then(|at| self.closed.remove(at)) {
            Some(closed) => Incident {
                pulses: closed.pulses + 1,
                closed_at: None,
                changed_at: record.opened_at,
                players: record.players,
                ..closed
            },
            None => {
                self.last += 1;
                Incident { id: self.last, ..record }
            }
        };
        let open = Some(Box::new(Open::new(record, site)));
        Some(match free {
            Some(place) => {
                self.places[place] = open;
                place
            }
            None => {
                self.places.push(open);
                self.places.len() - 1
            }
        })
    }

    /// Closes one: its record.
    pub(crate) fn close(&mut self, place: usize, at: Instant) -> Option<Incident> {
        let mut open = self.places.get_mut(place)?.take()?;
        open.record.closed_at = Some(at);
        open.record.changed_at = at;
        for taken in &mut open.record.measures {
            taken.until = taken.until.or(Some(at));
        }
        if self.closed.len() >= limits::CLOSED_INCIDENTS {
            self.closed.pop_front();
        }
        self.closed.push_back(open.record.clone());
        Some(open.record)
    }
}

/// Whether a family names several others.
const fn several(family: Family) -> bool {
    matches!(family, Family::Unknown | Family::MultiVector | Family::Carpet)
}
