//! Who is who: `stranger`, `proven`, `settled`, `player`. Only a two-way exchange that a forged source cannot
//! have lifts a flow; two-way traffic alone proves nothing.

use crate::flow::Flow;
use crate::manifest::Class;

/// What a flow has shown of itself. Later ones are worth more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Nothing.
    #[default]
    Stranger,
    /// It completed an exchange that a forged source cannot.
    Proven,
    /// It needs no plugin: for a long time the server has sent to it what a forger cannot provoke.
    Settled,
    /// Proven, and judged to be playing for some seconds.
    Player,
}

impl Standing {
    /// Lower case, as people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Proven => "proven",
            Self::Settled => "settled",
            Self::Player => "player",
        }
    }
}

/// Different seconds of genuine play that make a player.
const PLAY_SECONDS: u8 = 3;
/// Different seconds in which the client acknowledged what the server sent, where the handshake was not seen.
const PROVEN_ACKNOWLEDGED_SECONDS: u8 = 3;
/// The same for a settled TCP flow.
const SETTLED_ACKNOWLEDGED_SECONDS: u8 = 10;
/// A settled UDP flow is at least so old.
const SETTLED_AGE_MS: u64 = 30_000;
/// In so many different seconds the server sent with no client packet just before.
const SETTLED_UNASKED_SECONDS: u8 = 10;
/// And the client kept sending in so many: one forged packet can provoke half a minute of retransmissions.
const SETTLED_CLIENT_SECONDS: u8 = 15;
/// Where a plugin that knows the protocol says that it is play, so many different seconds of it in peace are enough,
/// if the server sent unasked in some of them: a forger would have to know the protocol, to begin before the attack
/// and to keep a session alive whose answers it never sees.
const VOUCHED_PLAY_SECONDS: u8 = 5;
/// See there.
const VOUCHED_UNASKED_SECONDS: u8 = 2;

/// The standing that a flow has earned by now. Standing is never lost while the flow lives.
pub(crate) fn earned(flow: &Flow, age_ms: u64) -> Standing {
    let proven = flow.echoed
        || flow.tcp.handshake_done()
        || flow.tcp.acknowledged_seconds() >= PROVEN_ACKNOWLEDGED_SECONDS;
    let earned = if proven && flow.play_seconds >= PLAY_SECONDS {
        Standing::Player
    } else if settled(flow, age_ms) {
        Standing::Settled
    } else if proven {
        Standing::Proven
    } else {
        Standing::Stranger
    };
    earned.max(flow.standing.now())
}

fn settled(flow: &Flow, age_ms: u64) -> bool {
    if flow.is_tcp() {
        return flow.tcp.acknowledged_seconds() >= SETTLED_ACKNOWLEDGED_SECONDS;
    }
    let vouched =
        flow.peaceful_play_seconds >= VOUCHED_PLAY_SECONDS && flow.unasked_seconds >= VOUCHED_UNASKED_SECONDS;
    let opaque = age_ms > SETTLED_AGE_MS
        && flow.from_server > flow.from_client
        && flow.unasked_seconds >= SETTLED_UNASKED_SECONDS
        && flow.client_seconds >= SETTLED_CLIENT_SECONDS;
    vouched || opaque
}

/// Whether a genuine packet of this class counts towards playing.
pub(crate) fn is_play(class: Class) -> bool {
    class == Class::Play
}
