//! From one datagram and the flow's note to an opinion.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::Packet;
use ftagent_plugin::Payload;
use ftagent_plugin::Reason;
use ftagent_plugin::protocol::Chosen;
use ftagent_plugin::protocol::PROXY_V2;
use ftagent_plugin::protocol::gamespy;
use ftagent_plugin::protocol::raknet;
use ftagent_plugin::protocol::raknet::Connected;
use ftagent_plugin::protocol::raknet::Data;
use ftagent_plugin::protocol::raknet::Flaw;
use ftagent_plugin::protocol::raknet::Offline;

use crate::reason;

/// The cookie in open connection reply 1.
const COOKIE: u8 = 1;
/// The token of a GameSpy query.
const TOKEN: u8 = 2;

/// The client sent open connection request 2.
const OPENED: u64 = 1 << Chosen::BITS;
/// The server sent a datagram of a connection.
const ANSWERED: u64 = 1 << (Chosen::BITS + 1);

/// First byte of a message inside a frame: the client asks for the connection.
const CONNECTION_REQUEST: u8 = 0x09;
/// The client confirms it.
const NEW_INCOMING_CONNECTION: u8 = 0x13;
/// A batch of game packets.
const GAME: u8 = 0xfe;

/// The judge of this plugin.
pub(crate) fn judge(packet: &Packet<'_>, flow: &mut u64, _source: &mut u64) -> Opinion {
    // A fragment's payload is not the datagram's, so its lengths say nothing.
    if !packet.is_udp() || packet.is_fragment() {
        return Opinion::unknown();
    }
    let payload = packet.payload();
    if packet.is_to_server() {
        from_client(&payload, flow)
    } else {
        remember_server(&payload, flow);
        Opinion::unknown()
    }
}

fn remember_server(payload: &Payload<'_>, note: &mut u64) {
    if let Some(cookie) = raknet::reply_cookie(payload) {
        *note = Chosen::new(COOKIE, u64::from(cookie)).write(*note);
    } else if let Some(token) = gamespy::reply_token(payload) {
        *note = Chosen::new(TOKEN, u64::from(token)).write(*note);
    } else if matches!(raknet::connected(payload), Some(Ok(Connected::Data(_) | Connected::Ack))) {
        *note |= ANSWERED;
    }
}

fn from_client(payload: &Payload<'_>, note: &mut u64) -> Opinion {
    if payload.is_empty() {
        return Opinion::hostile(Class::None, reason::EMPTY);
    }
    let Some(first) = payload.u8(0) else { return Opinion::unknown() };
    if let Some(read) = raknet::offline(payload) {
        return match read {
            Ok(message) => offline(message, note),
            Err(flaw) => flawed(flaw, if first < 5 { Class::Query } else { Class::Opening }),
        };
    }
    if let Some(query) = gamespy::query(payload) {
        return gamespy_query(query, *note);
    }
    match raknet::connected(payload) {
        Some(Ok(message)) => connected(message, *note),
        Some(Err(flaw)) => flawed(flaw, Class::Play),
        None => foreign(payload),
    }
}

fn offline(message: Offline, note: &mut u64) -> Opinion {
    match message {
        Offline::Ping => Opinion::genuine(Class::Query),
        Offline::Request1 { protocol } => Opinion::genuine(Class::Opening).detail(u32::from(protocol)),
        Offline::Request2 { cookie } => request2(cookie, note),
    }
}

fn request2(cookie: Option<u32>, note: &mut u64) -> Opinion {
    let chosen = Chosen::from_note(*note);
    *note |= OPENED;
    match cookie {
        Some(cookie) if chosen.is(COOKIE, u64::from(cookie)) => Opinion::genuine(Class::Opening).echoed(),
        Some(_) if chosen.knows(COOKIE) => Opinion::hostile(Class::Opening, reason::WRONG_COOKIE),
        _ => Opinion::genuine(Class::Opening),
    }
}

fn gamespy_query(query: gamespy::Query, note: u64) -> Opinion {
    match query {
        gamespy::Query::Handshake => Opinion::genuine(Class::Query),
        gamespy::Query::State { token } if Chosen::from_note(note).is(TOKEN, u64::from(token)) => {
            Opinion::genuine(Class::Query).echoed()
        }
        gamespy::Query::State { .. } => Opinion::genuine(Class::Query),
        gamespy::Query::Cut => Opinion::unknown().of(Class::Query),
        gamespy::Query::Other => Opinion::hostile(Class::Query, reason::ODD_LENGTH),
    }
}

/// A well-made datagram of a connection. It is genuine where the connection's beginning was seen, and play once
/// the server talks in it too.
fn connected(message: Connected, note: u64) -> Opinion {
    let class = match message {
        Connected::Ack | Connected::Nack => Class::Control,
        Connected::OtherFlags(flags) => {
            return Opinion::hostile(Class::Play, reason::ODD_FLAGS).detail(u32::from(flags));
        }
        Connected::Data(data) => match odd(&data) {
            Some(reason) => return Opinion::hostile(Class::Play, reason).detail(data.sequence),
            None => class_of(&data, note),
        },
    };
    if note & (OPENED | ANSWERED) == 0 {
        return Opinion::unknown().of(class);
    }
    Opinion::genuine(class)
}

fn odd(data: &Data) -> Option<Reason> {
    if data.many_parts {
        Some(reason::MANY_PARTS)
    } else if data.odd_flags {
        Some(reason::ODD_FLAGS)
    } else {
        None
    }
}

fn class_of(data: &Data, note: u64) -> Class {
    match data.message {
        Some(CONNECTION_REQUEST | NEW_INCOMING_CONNECTION) => Class::Join,
        Some(GAME) | None if note & ANSWERED == 0 => Class::Join,
        _ => Class::Play,
    }
}

/// A first byte of no message that a client sends.
fn foreign(payload: &Payload<'_>) -> Opinion {
    let so_far = payload.captured().iter().zip(&PROXY_V2);
    if payload.len() >= PROXY_V2.len() && so_far.clone().all(|(seen, wanted)| seen == wanted) {
        // A proxy speaks for the client; what follows its header is not read.
        return Opinion::unknown();
    }
    let reason = if raknet::is_server_word(payload) { reason::SERVER_WORD } else { reason::NOT_RAKNET };
    Opinion::hostile(Class::None, reason)
}

fn flawed(flaw: Flaw, class: Class) -> Opinion {
    let reason = match flaw {
        Flaw::Cut => return Opinion::unknown().of(class),
        Flaw::Magic => reason::DAMAGED_MAGIC,
        Flaw::Short => reason::TORN_MESSAGE,
        Flaw::Length | Flaw::Address | Flaw::NoFrame => reason::ODD_LENGTH,
        Flaw::EmptyFrame | Flaw::FrameOverrun => reason::BAD_FRAME,
        Flaw::SplitBounds | Flaw::SplitHuge => reason::BAD_SPLIT,
        Flaw::Receipt | Flaw::ReceiptHuge => reason::BAD_RECEIPT,
    };
    Opinion::hostile(class, reason)
}
