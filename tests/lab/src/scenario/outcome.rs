//! What one run of a scenario did, without ftagent or with it.

use super::Seat;
use crate::crowd::Seen;
use crate::player::Health;

/// Newcomers' tries to join.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Joins {
    /// Newcomers who tried.
    pub tried: u64,
    /// Who got in within ten seconds.
    pub joined: u64,
    /// The middle one's time, in milliseconds.
    pub median_ms: u64,
    /// The slowest one's, of those who got in.
    pub slowest_ms: u64,
}

impl Joins {
    /// Of what newcomers saw.
    #[must_use]
    pub fn of(seen: &[Seen]) -> Self {
        let tried = seen.iter().filter(|seen| seen.began_ms > 0).count() as u64;
        let joined = seen.iter().filter(|seen| seen.first_joined_ms > 0);
        let mut times: Vec<u64> = joined.map(|seen| seen.first_joined_ms - seen.began_ms).collect();
        times.sort_unstable();
        Self {
            tried,
            joined: times.len() as u64,
            median_ms: times.get(times.len() / 2).copied().unwrap_or(0),
            slowest_ms: times.last().copied().unwrap_or(0),
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Outcome {
    /// How long the floods lasted, in milliseconds.
    pub lasted_ms: u64,
    /// What the generators handed to the kernel: packets, or connections and junk.
    pub sent: u64,
    /// Attack packets that came to the node's uplink.
    pub attack_at_node: u64,
    /// A second of them.
    pub attack_per_second: u64,
    /// Attack packets that came into containers.
    pub attack_in_containers: u64,
    /// The same from two seconds after the beginning on: at the node, and in containers.
    pub later_at_node: u64,
    /// See there.
    pub later_in_containers: u64,
    /// Packets that ftagent's rules dropped.
    pub dropped: u64,
    /// From the first attack packet to the first drop, in microseconds.
    pub first_drop_us: Option<u64>,
    /// The counters were read so long before that moment; the true time is at most so much shorter.
    pub first_drop_apart_us: u64,
    /// Packets that those sent who played when it began.
    pub players_sent: u64,
    /// Of these, what did not come into a container.
    pub players_lost: u64,
    /// Of these, what did not even come to the node: lost on the lab's own wire.
    pub players_lost_on_wire: u64,
    /// Packets that those sent who joined meanwhile; until they are known they are strangers.
    pub newcomers_sent: u64,
    /// Of these, what did not come into a container.
    pub newcomers_lost: u64,
    /// Players' connections that ended.
    pub disconnected: u64,
    /// Of these, light players who heard nothing for some seconds, by server.
    pub light_disconnected: Vec<(Seat, u64)>,
    /// The real clients' own words.
    pub real: Health,
    /// Newcomers.
    pub joins: Joins,
    /// Players' addresses that were leased.
    pub genuine_leased: Vec<String>,
    /// Time of processors that ftagent used, in thousandths of one.
    pub processor_permille: Option<u64>,
    /// Incidents that it opened.
    pub incidents: u64,
    /// Each of them in its own sentence.
    pub incidents_say: Vec<String>,
    /// Services that it watched.
    pub services: u64,
    /// Memory that it held at the end, in KiB.
    pub memory_kib: u64,
    /// The most that it ever held, in KiB.
    pub memory_most_kib: u64,
    /// From the last attack packet until all of them were closed, in milliseconds.
    pub all_clear_ms: Option<u64>,
    /// They were not closed in time.
    pub not_cleared: bool,
    /// Servers that had to be started afresh before, because somebody could not join.
    pub servers_restarted: u64,
    /// What a stranger's attacker printed last.
    pub stranger_said: Vec<String>,
}

impl Outcome {
    /// Players' packets that were lost, in millionths.
    #[must_use]
    pub fn lost_ppm(&self) -> u64 {
        self.players_lost * 1_000_000 / self.players_sent.max(1)
    }

    /// Packets of everybody who plays or asks.
    #[must_use]
    pub fn genuine_sent(&self) -> u64 {
        self.players_sent + self.newcomers_sent
    }

    /// Attack packets that came into containers, in thousandths of those that came to the node.
    #[must_use]
    pub fn reached_permille(&self) -> u64 {
        self.attack_in_containers * 1_000 / self.attack_at_node.max(1)
    }

    /// The same from two seconds after the beginning on.
    #[must_use]
    pub fn later_permille(&self) -> u64 {
        self.later_in_containers * 1_000 / self.later_at_node.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_are_summed() {
        let seen = |began_ms, first_joined_ms| Seen { began_ms, first_joined_ms, ..Seen::default() };
        let joins = Joins::of(&[seen(100, 150), seen(100, 0), seen(200, 1_200), seen(0, 0), seen(1, 4)]);
        assert_eq!(joins, Joins { tried: 4, joined: 3, median_ms: 50, slowest_ms: 1_000 });
    }
}
