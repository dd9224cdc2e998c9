//! From one packet and the flow's note to an opinion: which part of the game it is for.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::Packet;
use ftagent_plugin::Role;
use ftagent_plugin::checks::reflection;
use ftagent_plugin::protocol::a2s;
use ftagent_plugin::protocol::raknet;

use crate::game;
use crate::query;
use crate::reason;
use crate::segment;
use crate::web_ports;

/// The judge of this plugin.
pub(crate) fn judge(packet: &Packet<'_>, flow: &mut u64, _source: &mut u64) -> Opinion {
    if packet.is_tcp() {
        return segment::odd(packet).unwrap_or_else(|| web_ports::judge(packet));
    }
    // A fragment's payload is not the datagram's, so its lengths say nothing.
    if !packet.is_udp() || packet.is_fragment() {
        return Opinion::unknown();
    }
    let payload = packet.payload();
    if !packet.is_to_server() {
        if !a2s::remember(&payload, flow) {
            game::remember_server(&payload, flow);
        }
        return Opinion::unknown();
    }
    if payload.is_empty() {
        return Opinion::hostile(Class::None, reason::EMPTY);
    }
    match a2s::message(&payload) {
        Some(Ok(message)) => query::spoken(message, flow),
        Some(Err(flaw)) => query::flawed(flaw),
        // Too little was captured to see whether the header is there.
        None if !payload.differs_at(0, &a2s::HEADER) => Opinion::unknown(),
        // RakNet's own answers are certain, so they have a reason of their own.
        None if !raknet::is_server_word(&payload) && reflection::unasked(packet).is_some() => {
            Opinion::hostile(Class::None, reason::REFLECTED)
        }
        None if packet.role() == Role::Query => Opinion::hostile(Class::None, reason::NOT_A_QUERY),
        None => game::from_client(&payload, flow),
    }
}
