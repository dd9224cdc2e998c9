//! Who may be blocked by name, for a while: only a source that has proven that it is where it says it is.

use crate::flow::Flow;
use crate::source::Source;
use crate::standing::Standing;

/// Hostile opinions (impossible or unusual) that one flow must have collected.
const HOSTILE_PACKETS: u32 = 20;
/// Settled flows and players that make an address one that many share.
const SHARED_BY: u32 = 2;

/// Whether the source of this flow may be leased. The evidence must lie in this one proven flow, and be more than
/// half of what it sent: a forger who guesses a player's port cannot outweigh the player.
pub(crate) fn may_lease(flow: &Flow, source: &Source) -> bool {
    flow.standing.now() >= Standing::Proven
        && source.standings.now().settled < SHARED_BY
        && flow.tally.hostile >= HOSTILE_PACKETS
        && flow.tally.hostile > flow.tally.sum() / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Tally;
    use crate::service::Transport;
    use crate::source::Standings;
    use crate::table::Ref;
    use crate::table::Settled;
    use crate::time::Instant;

    fn check(standing: Standing, tally: Tally, settled: u32) -> bool {
        let mut flow = Flow::new(0, Ref::default(), Transport::Udp, Instant::START, 0);
        flow.standing = Settled::new(standing, 0);
        flow.tally = tally;
        let mut source = Source::default();
        source.standings.set(Standings { proven: settled.max(1), settled }, 0);
        may_lease(&flow, &source)
    }

    const HOSTILE: Tally = Tally { genuine: 5, hostile: 100, unknown: 0 };

    #[test]
    fn an_unproven_address_is_never_leased() {
        assert!(!check(Standing::Stranger, HOSTILE, 0));
        assert!(check(Standing::Proven, HOSTILE, 0));
    }

    #[test]
    fn an_address_of_several_players_is_never_leased() {
        assert!(check(Standing::Player, HOSTILE, 1));
        assert!(!check(Standing::Player, HOSTILE, 2));
    }

    #[test]
    fn a_few_odd_packets_are_no_reason() {
        assert!(!check(Standing::Proven, Tally { hostile: 19, ..Tally::default() }, 0));
        assert!(!check(Standing::Proven, Tally { genuine: 500, hostile: 400, unknown: 0 }, 0));
    }
}
