//! The game itself: RakNet, or Steam sockets where the server was started with them.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::Payload;
use ftagent_plugin::protocol::Chosen;
use ftagent_plugin::protocol::raknet;
use ftagent_plugin::protocol::raknet::Connected;
use ftagent_plugin::protocol::raknet::Offline;
use ftagent_plugin::protocol::steam_sockets;

use crate::reason;

/// The kind of RakNet's cookie in [`Chosen`], beside those of queries and of Steam sockets.
const COOKIE: u8 = 4;

/// The server answered a RakNet connection request.
const SPEAKS_RAKNET: u64 = 1 << Chosen::BITS;
/// The server gave a Steam sockets challenge.
const SPEAKS_STEAM: u64 = 1 << (Chosen::BITS + 1);
/// The server took the client in.
const CONNECTED: u64 = 1 << (Chosen::BITS + 2);

/// RakNet's open connection reply 2: the connection stands.
const REPLY_2: u8 = 0x08;

/// Learns from the server what the flow speaks and what it chose.
pub(crate) fn remember_server(payload: &Payload<'_>, note: &mut u64) {
    if let Some(cookie) = raknet::reply_cookie(payload) {
        *note = Chosen::new(COOKIE, u64::from(cookie)).write(*note);
    }
    if raknet::is_server_word(payload) {
        *note |= SPEAKS_RAKNET;
        if payload.u8(0) == Some(REPLY_2) {
            *note |= CONNECTED;
        }
    } else if steam_sockets::remember(payload, note) {
        *note |= SPEAKS_STEAM;
    } else if steam_sockets::is_connect_ok(payload) && *note & SPEAKS_STEAM != 0 {
        *note |= CONNECTED;
    }
}

/// Judges a client's datagram that is no query.
pub(crate) fn from_client(payload: &Payload<'_>, note: &mut u64) -> Opinion {
    if raknet::is_server_word(payload) {
        return Opinion::hostile(Class::None, reason::SERVER_ANSWER);
    }
    if *note & SPEAKS_STEAM != 0 {
        return steam(payload, *note, true);
    }
    let Some(first) = payload.u8(0) else { return Opinion::unknown() };
    match raknet::offline(payload) {
        Some(Ok(message)) => return offline(message, *note),
        Some(Err(raknet::Flaw::Cut)) => return Opinion::unknown(),
        Some(Err(raknet::Flaw::Length | raknet::Flaw::Address)) => {
            return Opinion::hostile(Class::Opening, reason::ODD_LENGTH);
        }
        // Without the magic it is no RakNet, and nothing else begins so.
        Some(Err(_)) => return Opinion::hostile(Class::None, reason::NOT_RUST),
        None => {}
    }
    if *note & SPEAKS_RAKNET != 0 {
        return connected(payload, *note);
    }
    match first {
        0x20..=0x25 => steam(payload, *note, false),
        // Data of one or the other, from the middle of a connection.
        0x80.. => Opinion::unknown().of(Class::Play),
        _ => Opinion::hostile(Class::None, reason::NOT_RUST).detail(u32::from(first)),
    }
}

fn offline(message: Offline, note: u64) -> Opinion {
    match message {
        Offline::Ping => Opinion::genuine(Class::Query),
        Offline::Request1 { protocol } => Opinion::genuine(Class::Opening).detail(u32::from(protocol)),
        Offline::Request2 { cookie: Some(cookie) } => {
            let chosen = Chosen::from_note(note);
            if chosen.is(COOKIE, u64::from(cookie)) {
                Opinion::genuine(Class::Opening).echoed()
            } else if chosen.knows(COOKIE) {
                Opinion::hostile(Class::Opening, reason::WRONG_COOKIE)
            } else {
                Opinion::genuine(Class::Opening)
            }
        }
        Offline::Request2 { cookie: None } => Opinion::genuine(Class::Opening),
    }
}

fn connected(payload: &Payload<'_>, note: u64) -> Opinion {
    let class = match raknet::connected(payload) {
        Some(Ok(Connected::Data(_) | Connected::OtherFlags(_))) => Class::Play,
        Some(Ok(Connected::Ack | Connected::Nack)) => Class::Control,
        Some(Err(raknet::Flaw::Cut)) => return Opinion::unknown().of(Class::Play),
        Some(Err(_)) => return Opinion::hostile(Class::Play, reason::BAD_RAKNET),
        None => return Opinion::hostile(Class::None, reason::NOT_RUST),
    };
    if note & CONNECTED == 0 { Opinion::unknown().of(class) } else { Opinion::genuine(class) }
}

/// `certain` once the server has spoken Steam sockets in this flow.
fn steam(payload: &Payload<'_>, note: u64, certain: bool) -> Opinion {
    let message = match steam_sockets::message(payload) {
        Some(Ok(message)) => message,
        Some(Err(steam_sockets::Flaw::Cut)) => return Opinion::unknown(),
        Some(Err(steam_sockets::Flaw::ServerWord)) => {
            return Opinion::hostile(Class::None, reason::SERVER_WORD);
        }
        Some(Err(_)) if certain => return Opinion::hostile(Class::Play, reason::BAD_STEAM_PACKET),
        None if certain && payload.u8(0).is_some() => return Opinion::hostile(Class::None, reason::NOT_RUST),
        _ => return Opinion::unknown(),
    };
    if steam_sockets::echoes(message, note) {
        return Opinion::genuine(Class::Opening).echoed();
    }
    match message {
        steam_sockets::Message::ChallengeRequest => Opinion::genuine(Class::Opening),
        steam_sockets::Message::ConnectRequest { .. } if certain => Opinion::genuine(Class::Opening),
        steam_sockets::Message::Closed if certain => Opinion::genuine(Class::Control),
        steam_sockets::Message::Data if note & CONNECTED != 0 => Opinion::genuine(Class::Play),
        _ => Opinion::unknown().of(Class::Play),
    }
}
