//! From one packet and the two notes to an opinion.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::Packet;
use ftagent_plugin::Payload;
use ftagent_plugin::checks::reflection;

use crate::enet;
use crate::enet::Datagram;
use crate::enet::Flaw;
use crate::out_of_band;
use crate::out_of_band::Query;
use crate::reason;
use crate::segment;
use crate::web_side;

/// In the flow's note: the client sent a well-made CONNECT.
const ASKED: u64 = 1;
/// The server verified it.
const VERIFIED: u64 = 2;

/// A query's word and its challenge are not longer.
const QUERY_BYTES_MAX: usize = 160;

/// The server's answer to CONNECT behind peer number and time: command 3, to be acknowledged, channel 255.
const VERIFY_CONNECT: [u8; 2] = [0x83, 0xff];

/// The judge of this plugin.
pub(crate) fn judge(packet: &Packet<'_>, flow: &mut u64, source: &mut u64) -> Opinion {
    if packet.is_tcp() {
        return segment::odd(packet).unwrap_or_else(|| web_side::judge(packet, source));
    }
    // A fragment's payload is not the datagram's, so its lengths say nothing.
    if !packet.is_udp() || packet.is_fragment() {
        return Opinion::unknown();
    }
    let payload = packet.payload();
    if !packet.is_to_server() {
        if *flow & ASKED != 0 && payload.magic_at(4, &VERIFY_CONNECT) {
            *flow |= VERIFIED;
        }
        return Opinion::unknown();
    }
    if payload.is_empty() {
        return Opinion::hostile(Class::None, reason::EMPTY);
    }
    match out_of_band::query(&payload) {
        Some(query) => asked(query, &payload),
        None => match reflection::unasked(packet) {
            Some(reflector) => Opinion::hostile(Class::None, reason::REFLECTED).detail(reflector as u32),
            None => datagram(&payload, flow, *source),
        },
    }
}

fn asked(query: Query, payload: &Payload<'_>) -> Opinion {
    match query {
        Query::State if payload.len() > QUERY_BYTES_MAX => Opinion::hostile(Class::Query, reason::LONG_QUERY),
        Query::State => Opinion::genuine(Class::Query),
        Query::RemoteControl => Opinion::genuine(Class::Opening),
        Query::ListServer | Query::Cut => Opinion::unknown().of(Class::Query),
        Query::Answer => Opinion::hostile(Class::None, reason::SERVER_ANSWER),
        Query::Other => Opinion::hostile(Class::Query, reason::UNKNOWN_WORD),
    }
}

fn datagram(payload: &Payload<'_>, note: &mut u64, source: u64) -> Opinion {
    let class = match enet::datagram(payload) {
        Ok(Datagram::Connect { token }) => {
            *note |= ASKED;
            let class = if source & web_side::JOINED != 0 { Class::Join } else { Class::Opening };
            return Opinion::genuine(class).detail(token);
        }
        Ok(Datagram::GivesUp) => return Opinion::unknown().of(Class::Control),
        Ok(Datagram::Commands { carries_game: false }) => Class::Control,
        Ok(Datagram::Commands { carries_game: true } | Datagram::Compressed) => Class::Play,
        Err(flaw) => return flawed(flaw),
    };
    if *note & VERIFIED == 0 { Opinion::unknown().of(class) } else { Opinion::genuine(class) }
}

fn flawed(flaw: Flaw) -> Opinion {
    match flaw {
        Flaw::Cut => Opinion::unknown(),
        Flaw::NotConnect => Opinion::hostile(Class::Opening, reason::NOT_CONNECT),
        Flaw::BadConnect => Opinion::hostile(Class::Opening, reason::BAD_CONNECT),
        Flaw::OddConnect => Opinion::hostile(Class::Opening, reason::ODD_CONNECT),
        Flaw::BadCommand => Opinion::hostile(Class::Play, reason::BAD_COMMAND),
    }
}
