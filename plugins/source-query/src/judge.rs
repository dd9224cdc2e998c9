//! From one datagram and the flow's note to an opinion.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::Packet;
use ftagent_plugin::Payload;
use ftagent_plugin::Role;
use ftagent_plugin::checks::reflection;
use ftagent_plugin::protocol::Chosen;
use ftagent_plugin::protocol::a2s;
use ftagent_plugin::protocol::a2s::Message;
use ftagent_plugin::protocol::steam_sockets;

use crate::flag;
use crate::reason;
use crate::remote_control;
use crate::segment;

/// The client spoke words of a Source or GoldSrc connection.
const SPOKE_NETCHAN: u64 = 1 << Chosen::BITS;
/// The server took the client into the game.
const CONNECTED: u64 = 1 << (Chosen::BITS + 1);
/// The server spoke Steam sockets.
const SPEAKS_STEAM: u64 = 1 << (Chosen::BITS + 2);

/// So many INFO requests in a row, each after the server's challenge, are more than a monitor's lost packets.
const BARE_INFOS_MAX: u32 = 4;

/// Sequence and acknowledgement; Source adds a byte of flags.
const NETCHAN_BYTES_MIN: usize = 8;
/// GoldSrc's largest datagram; Source stops at 1260.
const NETCHAN_BYTES_MAX: usize = 1400;

/// The judge of this plugin.
pub(crate) fn judge(packet: &Packet<'_>, flow: &mut u64, _source: &mut u64) -> Opinion {
    if packet.is_tcp() {
        return segment::odd(packet).unwrap_or_else(|| remote_control::judge(packet));
    }
    // A fragment's payload is not the datagram's, so its lengths say nothing.
    if !packet.is_udp() || packet.is_fragment() {
        return Opinion::unknown();
    }
    let payload = packet.payload();
    if packet.is_to_server() {
        from_client(packet, &payload, flow)
    } else {
        remember_server(&payload, flow);
        Opinion::unknown()
    }
}

fn remember_server(payload: &Payload<'_>, note: &mut u64) {
    if a2s::remember(payload, note) {
        return;
    }
    if payload.starts_with(&a2s::HEADER) {
        if payload.u8(4) == Some(0x42) && *note & SPOKE_NETCHAN != 0 {
            *note |= CONNECTED;
        }
    } else if steam_sockets::remember(payload, note) {
        *note |= SPEAKS_STEAM;
    } else if steam_sockets::is_connect_ok(payload) && *note & SPEAKS_STEAM != 0 {
        *note |= CONNECTED;
    }
}

fn from_client(packet: &Packet<'_>, payload: &Payload<'_>, note: &mut u64) -> Opinion {
    if payload.is_empty() {
        return Opinion::hostile(Class::None, reason::EMPTY);
    }
    match a2s::message(payload) {
        Some(Ok(message)) => spoken(packet, message, note),
        Some(Err(flaw)) => flawed(flaw),
        // Too little was captured to see whether the header is there.
        None if !payload.differs_at(0, &a2s::HEADER) => Opinion::unknown(),
        None => other(packet, payload, *note),
    }
}

/// A well-made message without a connection.
fn spoken(packet: &Packet<'_>, message: Message, note: &mut u64) -> Opinion {
    let ignored = a2s::bare_infos(message, note);
    let opinion = match message {
        Message::Info(None) if ignored > BARE_INFOS_MAX => {
            return Opinion::hostile(Class::Query, reason::CHALLENGE_IGNORED).detail(ignored);
        }
        Message::Info(_) | Message::Listing(_) | Message::OldQuery => Opinion::genuine(Class::Query),
        Message::Discovery => return Opinion::unknown().of(Class::Query),
        Message::RemoteControl => Opinion::genuine(Class::Opening),
        _ if packet.role() == Role::Query => {
            return Opinion::hostile(Class::None, reason::NOT_A_QUERY);
        }
        Message::ConnectChallenge | Message::Connect(_) | Message::ConnectWords(_) => {
            *note |= SPOKE_NETCHAN;
            Opinion::genuine(Class::Opening)
        }
        Message::Client(kind) => Opinion::genuine(Class::Control).detail(u32::from(kind)),
        Message::Other(kind) if packet.flag(flag::NETCHAN) => {
            return Opinion::hostile(Class::None, reason::UNKNOWN_TYPE).detail(u32::from(kind));
        }
        Message::Other(kind) => return Opinion::unknown().detail(u32::from(kind)),
    };
    if a2s::echoes(message, *note) { opinion.echoed() } else { opinion }
}

fn flawed(flaw: a2s::Flaw) -> Opinion {
    match flaw {
        a2s::Flaw::Cut => Opinion::unknown(),
        a2s::Flaw::InfoText => Opinion::hostile(Class::Query, reason::BAD_INFO),
        a2s::Flaw::NoType | a2s::Flaw::Length => Opinion::hostile(Class::Query, reason::ODD_LENGTH),
        a2s::Flaw::ServerAnswer => Opinion::hostile(Class::None, reason::SERVER_ANSWER),
        a2s::Flaw::ServerWord => Opinion::hostile(Class::None, reason::SERVER_WORD),
    }
}

/// Bytes that are no message without a connection: whatever the game speaks.
fn other(packet: &Packet<'_>, payload: &Payload<'_>, note: u64) -> Opinion {
    if let Some(reflector) = reflection::unasked(packet) {
        return Opinion::hostile(Class::None, reason::REFLECTED).detail(reflector as u32);
    }
    if packet.role() == Role::Query {
        return Opinion::hostile(Class::None, reason::NOT_A_QUERY);
    }
    // The client's own words prove nothing; the server's welcome after them does.
    if packet.flag(flag::NETCHAN) || note & (SPOKE_NETCHAN | CONNECTED) == SPOKE_NETCHAN | CONNECTED {
        return netchan(payload, note);
    }
    let certain = packet.flag(flag::STEAM_SOCKETS) || note & SPEAKS_STEAM != 0;
    match steam_sockets::message(payload) {
        Some(Ok(message)) => steam(message, note, certain),
        Some(Err(steam_sockets::Flaw::Cut)) => Opinion::unknown(),
        Some(Err(steam_sockets::Flaw::ServerWord)) if certain => {
            Opinion::hostile(Class::None, reason::STEAM_SERVER_WORD)
        }
        Some(Err(_)) | None if certain && payload.u8(0).is_some() => {
            Opinion::hostile(Class::None, reason::BAD_STEAM_PACKET)
        }
        _ => Opinion::unknown(),
    }
}

fn netchan(payload: &Payload<'_>, note: u64) -> Opinion {
    if !(NETCHAN_BYTES_MIN..=NETCHAN_BYTES_MAX).contains(&payload.len()) {
        return Opinion::hostile(Class::Play, reason::BAD_NETCHAN);
    }
    if note & CONNECTED == 0 {
        return Opinion::unknown().of(Class::Play);
    }
    Opinion::genuine(Class::Play)
}

fn steam(message: steam_sockets::Message, note: u64, certain: bool) -> Opinion {
    if steam_sockets::echoes(message, note) {
        return Opinion::genuine(Class::Opening).echoed();
    }
    match message {
        // Its padding and its fields are seldom met by chance.
        steam_sockets::Message::ChallengeRequest => Opinion::genuine(Class::Opening),
        steam_sockets::Message::ConnectRequest { .. } if certain => Opinion::genuine(Class::Opening),
        steam_sockets::Message::Closed if certain => Opinion::genuine(Class::Control),
        steam_sockets::Message::Data if note & CONNECTED != 0 => Opinion::genuine(Class::Play),
        _ => Opinion::unknown(),
    }
}
