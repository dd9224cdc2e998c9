//! Valve's queries, on their own port or on the game's.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::protocol::a2s;
use ftagent_plugin::protocol::a2s::Flaw;
use ftagent_plugin::protocol::a2s::Message;

use crate::reason;

/// So many INFO requests in a row, each after the server's challenge, are more than a monitor's lost packets.
const BARE_INFOS_MAX: u32 = 4;

/// A well-made message behind `ff ff ff ff`.
pub(crate) fn spoken(message: Message, note: &mut u64) -> Opinion {
    let ignored = a2s::bare_infos(message, note);
    match message {
        Message::Info(None) if ignored > BARE_INFOS_MAX => {
            Opinion::hostile(Class::Query, reason::CHALLENGE_IGNORED).detail(ignored)
        }
        Message::Info(_) | Message::Listing(_) if a2s::echoes(message, *note) => {
            Opinion::genuine(Class::Query).echoed()
        }
        Message::Info(_) | Message::Listing(_) | Message::OldQuery => Opinion::genuine(Class::Query),
        // Words of Source games and of nobody: not Rust's, but a data packet of Steam sockets may look alike.
        _ => Opinion::unknown(),
    }
}

/// A message that is not what a client sends.
pub(crate) fn flawed(flaw: Flaw) -> Opinion {
    match flaw {
        Flaw::Cut => Opinion::unknown(),
        Flaw::InfoText => Opinion::hostile(Class::Query, reason::BAD_INFO),
        Flaw::NoType | Flaw::Length => Opinion::hostile(Class::Query, reason::ODD_LENGTH),
        Flaw::ServerAnswer => Opinion::hostile(Class::None, reason::SERVER_ANSWER),
        Flaw::ServerWord => Opinion::hostile(Class::None, reason::SERVER_WORD),
    }
}
