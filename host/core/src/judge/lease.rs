//! Who may be blocked by name, for a while: only a source that has proven that it is where it says it is.

use std::net::IpAddr;

use crate::flow::Flow;
use crate::source::Source;
use crate::standing::Standing;
use crate::wire::Address;

/// Hostile opinions (impossible or unusual) that one flow must have collected.
const HOSTILE_PACKETS: u32 = 20;
/// The same while attackers are known to have real addresses.
const HOSTILE_PACKETS_OF_BOTS: u32 = 5;

/// Or so many proven flows of one source that turned hostile within a minute: bots that connect, say something that no
/// client says, and connect again.
const HOSTILE_FLOWS: u32 = 5;

/// What a hostile packet was, and who the attackers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Nothing is known of the attackers.
    Usual,
    /// They are known to be real clients.
    Bots,
    /// They are, and it was what no client sends at all.
    ImpossibleOfBots,
}

/// Whether the source of this flow may be leased. The evidence must lie in this one proven flow, and be more than
/// half of what it sent: a forger who guesses a player's port cannot outweigh the player. What no client sends at all
/// must outweigh only what is genuine: a bot's handshake and its one word are three packets. Or the evidence lies in
/// several proven flows, most of those that are present. Either way nobody else plays from this address.
pub(crate) fn may_lease(flow: &Flow, source: &Source, evidence: Evidence) -> bool {
    let present = source.standings.now();
    let others = present.settled.saturating_sub(u32::from(flow.counted >= Standing::Settled));
    let enough = match evidence {
        Evidence::Usual => HOSTILE_PACKETS,
        Evidence::Bots => HOSTILE_PACKETS_OF_BOTS,
        Evidence::ImpossibleOfBots => 1,
    };
    let outweighed = match evidence {
        Evidence::ImpossibleOfBots => flow.tally.genuine,
        _ => flow.tally.sum() / 2,
    };
    let in_one_flow = others == 0 && flow.tally.hostile >= enough && flow.tally.hostile > outweighed;
    let hostile_flows = source.hostile_flows();
    let in_many_flows =
        present.settled == 0 && hostile_flows >= HOSTILE_FLOWS && hostile_flows >= present.proven / 2;
    flow.standing.now() >= Standing::Proven && (in_one_flow || in_many_flows)
}

/// Connections that one address begins within five seconds of an attack of real clients. A player's client begins one for
/// the server list and one to join; servers themselves refuse a second login within four seconds (Bukkit's
/// `connection-throttle`, Velocity's `login-ratelimit` of three).
const CONNECTIONS: u16 = 6;
/// The first of them is so old that one who wants to play would be talking with the server by now: a proxy begins many at once.
const BEGAN_SECONDS: u32 = 2;

/// Whether a source that began so many connections over so many seconds may be leased: at least one of them proves that it
/// is where it says it is, they were for joining or hostile, none of them came to anything, and nobody plays from there. Who
/// has asked for the server's state may be a monitor, which polls as often as it likes.
pub(crate) fn may_lease_for_returning(source: &Source, (begun, over): (u16, u32), second: u32) -> bool {
    let present = source.standings.now();
    let for_joining = (source.joins || source.hostile_flows() > 0) && !source.queries;
    let in_vain = begun >= CONNECTIONS && over >= BEGAN_SECONDS && !source.has_talked(second);
    in_vain && for_joining && present.proven > 0 && present.settled == 0
}

/// Different seconds within a minute in which a source asked for more than one source ever does.
const EXCESS_SECONDS: u8 = 3;

/// Whether the source of this flow may be leased because it asks too much: all of it in proven flows, in several
/// seconds, and nobody plays from this address.
pub(crate) fn may_lease_for_excess(flow: &Flow, source: &Source, excess_seconds: u8) -> bool {
    flow.standing.now() == Standing::Proven
        && excess_seconds >= EXCESS_SECONDS
        && source.standings.now().settled == 0
}

/// Why no stranger can have this address, so that a lease on it could only do harm. Private ones are left to the
/// wall's guard, which knows the container networks.
pub(crate) fn refused_target(client: Address) -> Option<&'static str> {
    let ip = IpAddr::from(client);
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_loopback() {
        Some("it is loopback")
    } else if ip.is_unspecified() {
        Some("it is no address")
    } else if ip.is_multicast() || broadcast {
        Some("it is a group of addresses")
    } else {
        link_local.then_some("it is link-local")
    }
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
        check_with(standing, tally, settled, Evidence::Usual)
    }

    fn check_with(standing: Standing, tally: Tally, settled: u32, evidence: Evidence) -> bool {
        let mut flow = Flow::new(0, Ref::default(), Transport::Udp, Instant::START, 0);
        flow.standing = Settled::new(standing, 0);
        flow.counted = standing;
        flow.tally = tally;
        let mut source = Source::default();
        source.standings.set(Standings { proven: settled.max(1), settled }, 0);
        may_lease(&flow, &source, evidence)
    }

    const HOSTILE: Tally = Tally { genuine: 5, hostile: 100, unknown: 0 };

    #[test]
    fn an_unproven_address_is_never_leased() {
        assert!(!check(Standing::Stranger, HOSTILE, 0));
        assert!(check(Standing::Proven, HOSTILE, 0));
    }

    #[test]
    fn an_address_of_several_players_is_never_leased() {
        assert!(check(Standing::Player, HOSTILE, 1), "it is the only one");
        assert!(!check(Standing::Player, HOSTILE, 2));
        assert!(!check(Standing::Proven, HOSTILE, 1), "somebody else plays there");
    }

    #[test]
    fn of_bots_one_word_that_no_client_says_is_enough_behind_a_handshake() {
        let bot = Tally { genuine: 0, hostile: 1, unknown: 2 };
        assert!(check_with(Standing::Proven, bot, 0, Evidence::ImpossibleOfBots));
        assert!(!check_with(Standing::Proven, bot, 0, Evidence::Bots));
        assert!(!check_with(Standing::Stranger, bot, 0, Evidence::ImpossibleOfBots));
        let newcomer = Tally { genuine: 1, hostile: 1, unknown: 2 };
        assert!(
            !check_with(Standing::Proven, newcomer, 0, Evidence::ImpossibleOfBots),
            "a forger's, perhaps"
        );
    }

    #[test]
    fn bots_that_connect_again_and_again_are_leased_unless_somebody_plays_there() {
        let check = |standing, flows, settled| {
            let mut flow = Flow::new(0, Ref::default(), Transport::Tcp, Instant::START, 0);
            flow.standing = Settled::new(standing, 0);
            let mut source = Source::default();
            source.standings.set(Standings { proven: 1, settled }, 0);
            (0..flows).for_each(|_| source.turned_hostile(1));
            may_lease(&flow, &source, Evidence::Usual)
        };
        assert!(check(Standing::Proven, 5, 0));
        assert!(!check(Standing::Proven, 4, 0));
        assert!(!check(Standing::Proven, 5, 1));
        assert!(!check(Standing::Stranger, 5, 0), "an unproven address is never banned by name");
    }

    #[test]
    fn m23_what_no_stranger_can_be_is_refused() {
        for odd in [
            "127.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "169.254.1.1",
            "::1",
            "::",
            "ff02::1",
            "fe80::1",
        ] {
            let ip: IpAddr = odd.parse().expect("an address");
            assert!(refused_target(Address::from(ip)).is_some(), "{odd}");
        }
        for public in ["198.51.100.7", "2001:db8::7"] {
            let ip: IpAddr = public.parse().expect("an address");
            assert_eq!(refused_target(Address::from(ip)), None, "{public}");
        }
    }

    #[test]
    fn a_few_odd_packets_are_no_reason() {
        assert!(!check(Standing::Proven, Tally { hostile: 19, ..Tally::default() }, 0));
        assert!(!check(Standing::Proven, Tally { genuine: 500, hostile: 400, unknown: 0 }, 0));
    }

    #[test]
    fn fewer_are_enough_while_attackers_are_known_to_have_real_addresses() {
        let check = |hostile, evidence| {
            let mut flow = Flow::new(0, Ref::default(), Transport::Udp, Instant::START, 0);
            flow.standing = Settled::new(Standing::Proven, 0);
            flow.tally = Tally { genuine: 2, hostile, unknown: 0 };
            may_lease(&flow, &Source::default(), evidence)
        };
        assert!(check(5, Evidence::Bots) && !check(4, Evidence::Bots));
        assert!(check(20, Evidence::Usual) && !check(19, Evidence::Usual));
        assert!(
            check(3, Evidence::ImpossibleOfBots) && !check(2, Evidence::ImpossibleOfBots),
            "more than half"
        );
    }

    #[test]
    fn who_begins_again_and_again_is_leased_unless_it_is_unproven_or_somebody_plays_there() {
        let check = |proven, settled, begun| {
            let mut source = Source::default();
            source.standings.set(Standings { proven, settled }, 0);
            source.joins = true;
            may_lease_for_returning(&source, (begun, 2), 100) && {
                assert!(!may_lease_for_returning(&source, (begun, 1), 100), "all at once");
                let mut talks = source.clone();
                talks.talks(70);
                assert!(!may_lease_for_returning(&talks, (begun, 2), 100), "somebody gets in there");
                talks.talks(30);
                assert!(may_lease_for_returning(&talks, (begun, 2), 100), "that was long ago");
                source.queries = true;
                !may_lease_for_returning(&source, (begun, 2), 100)
            }
        };
        assert!(check(1, 0, 6) && !check(1, 0, 5) && !check(0, 0, 100) && !check(9, 1, 100));
    }
}
