//! Who may be blocked by name, for a while: only a source that has proven that it is where it says it is.

use crate::flow::Flow;
use crate::source::Source;
use crate::standing::Standing;

/// Hostile opinions (impossible or unusual) that one flow must have collected.
const HOSTILE_PACKETS: u32 = 20;
/// Settled flows and players that make an address one that many share.
const SHARED_BY: u32 = 2;

/// Or so many proven flows of one source that turned hostile within a minute: bots that connect, say something that no
/// client says, and connect again.
const HOSTILE_FLOWS: u32 = 5;

/// Whether the source of this flow may be leased. The evidence must lie in this one proven flow, and be more than
/// half of what it sent: a forger who guesses a player's port cannot outweigh the player. Or it lies in several
/// proven flows, and nobody plays from this address.
pub(crate) fn may_lease(flow: &Flow, source: &Source) -> bool {
    let settled = source.standings.now().settled;
    let in_one_flow = settled < SHARED_BY
        && flow.tally.hostile >= HOSTILE_PACKETS
        && flow.tally.hostile > flow.tally.sum() / 2;
    let in_many_flows = settled == 0 && source.hostile_flows() >= HOSTILE_FLOWS;
    flow.standing.now() >= Standing::Proven && (in_one_flow || in_many_flows)
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
    fn bots_that_connect_again_and_again_are_leased_unless_somebody_plays_there() {
        let check = |standing, flows, settled| {
            let mut flow = Flow::new(0, Ref::default(), Transport::Tcp, Instant::START, 0);
            flow.standing = Settled::new(standing, 0);
            let mut source = Source::default();
            source.standings.set(Standings { proven: 1, settled }, 0);
            (0..flows).for_each(|_| source.turned_hostile(1));
            may_lease(&flow, &source)
        };
        assert!(check(Standing::Proven, 5, 0));
        assert!(!check(Standing::Proven, 4, 0));
        assert!(!check(Standing::Proven, 5, 1));
        assert!(!check(Standing::Stranger, 5, 0), "an unproven address is never banned by name");
    }

    #[test]
    fn a_few_odd_packets_are_no_reason() {
        assert!(!check(Standing::Proven, Tally { hostile: 19, ..Tally::default() }, 0));
        assert!(!check(Standing::Proven, Tally { genuine: 500, hostile: 400, unknown: 0 }, 0));
    }
}
