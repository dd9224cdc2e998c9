//! Ordinary life at many servers: guests come one after the other and leave again, some stay, matches fill a server
//! within seconds and end, and evenings are busier than what is between them.
//!
//! What must stay true: everything that is sent is what players send, and who comes when is the same in every run.

use std::cmp::Ordering;
use std::time::Duration;

use super::stage::Stage;
use crate::Crowd;
use crate::attack::random::Random;
use crate::clock;

/// Guests of one server: with all of them its load is more than three times that of an ordinary minute.
pub(crate) const GUESTS: u16 = 8;
/// At each of these one guest more comes to a server, or one leaves it.
const STEP: Duration = Duration::from_millis(500);
/// How long a server's business stays as it is.
const PHASE_MS_MIN: u64 = 20_000;
const PHASE_MS_MAX: u64 = 90_000;
/// Quiet times and evenings, in turn.
const TIDES: u64 = 6;
/// Packets a second of those who always play; they change with what is played.
const STEADY_PER_SECOND: [u64; 3] = [2, 5, 10];

/// What goes on at one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct House {
    phase_ends_ms: u64,
    /// The guest who has been there longest, and how many are there and shall be.
    first: usize,
    there: usize,
    wanted: usize,
    per_second: u64,
}

/// All of them, for some time.
pub(crate) struct Life {
    random: Random,
    began_ms: u64,
    lasting_ms: u64,
    houses: Vec<House>,
}

impl Life {
    /// At so many servers.
    pub(crate) fn new(servers: usize, began_ms: u64, lasting: Duration) -> Self {
        let lasting_ms = (lasting.as_millis() as u64).max(1);
        Self { random: Random::new(50), began_ms, lasting_ms, houses: vec![House::default(); servers] }
    }

    /// Lets it go on to its end: the first guests belong to the stage's places, in their order. `each_minute` is told
    /// how many minutes are over and how many guests are there.
    pub(crate) fn live(&mut self, stage: &Stage, guests: &[&Crowd], each_minute: &mut dyn FnMut(u64, usize)) {
        let mut minutes = 0;
        loop {
            let now_ms = clock::now_ms();
            let over_ms = now_ms.saturating_sub(self.began_ms);
            if over_ms >= self.lasting_ms {
                return;
            }
            for (at, crowd) in guests.iter().enumerate() {
                let changed = self.step(at, now_ms);
                let house = self.houses[at];
                crowd.attend(house.first, house.there);
                crowd.play_at(house.per_second);
                if changed && let Some(light) = stage.places.get(at).and_then(|place| place.light.as_ref()) {
                    light.play_at(STEADY_PER_SECOND[self.random.below(3) as usize]);
                }
            }
            if over_ms / 60_000 > minutes {
                minutes = over_ms / 60_000;
                each_minute(minutes, guests.iter().map(|crowd| crowd.playing()).sum());
            }
            std::thread::sleep(STEP.min(Duration::from_millis(self.lasting_ms - over_ms)));
        }
    }

    /// One step of one server; whether its business changed.
    fn step(&mut self, at: usize, now_ms: u64) -> bool {
        let mut house = self.houses[at];
        let changes = now_ms >= house.phase_ends_ms;
        if changes {
            let lasts_ms = PHASE_MS_MIN + self.random.below(PHASE_MS_MAX - PHASE_MS_MIN);
            house.phase_ends_ms = now_ms + lasts_ms;
            // Somebody leaves and another comes, also where as many are there as before.
            house.first = (house.first + 1 + self.random.below(2) as usize) % usize::from(GUESTS);
            let evening = now_ms.saturating_sub(self.began_ms) * TIDES / self.lasting_ms % 2 == 1;
            let (quiet, usual) = if evening { (20, 75) } else { (50, 95) };
            (house.wanted, house.per_second) = match self.random.below(100) {
                roll if roll < quiet => (self.random.below(2) as usize, 2 + self.random.below(9)),
                roll if roll < usual => (2 + self.random.below(3) as usize, 10 + self.random.below(11)),
                _ => (usize::from(GUESTS), 20 + self.random.below(11)),
            };
        }
        match house.there.cmp(&house.wanted) {
            Ordering::Less => house.there += 1,
            Ordering::Greater => house.there -= 1,
            Ordering::Equal => {}
        }
        self.houses[at] = house;
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_fill_and_empty_within_an_hour() {
        let hour = Duration::from_secs(3_600);
        let mut life = Life::new(1, 0, hour);
        let mut there = Vec::new();
        for now_ms in (0..hour.as_millis() as u64).step_by(STEP.as_millis() as usize) {
            life.step(0, now_ms);
            there.push(life.houses[0].there);
        }
        assert!(there.contains(&0) && there.contains(&usize::from(GUESTS)), "quiet minutes and full ones");
        assert!(there.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 1), "one after the other");
        let mut again = Life::new(1, 0, hour);
        again.step(0, 0);
        let mut other = Life::new(1, 0, hour);
        other.step(0, 0);
        assert_eq!(again.houses, other.houses, "the same in every run");
    }
}
