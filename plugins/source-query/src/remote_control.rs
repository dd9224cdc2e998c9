//! Source RCON over TCP, judged by its first packet. Only ports that are for remote control are judged: on the TCP
//! side of a game port games have web pages and more.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::Packet;
use ftagent_plugin::Parse;
use ftagent_plugin::Role;
use ftagent_plugin::protocol::source_rcon;
use ftagent_plugin::protocol::source_rcon::First;

use crate::reason;

/// Header of the first packet: size, id, type.
const HEADER_BYTES: u32 = 12;

/// The opinion about one segment.
pub(crate) fn judge(packet: &Packet<'_>) -> Opinion {
    let head = packet.head();
    let carries_nothing = packet.payload().is_empty();
    if packet.role() != Role::Rcon || !packet.is_to_server() || carries_nothing || head.is_empty() {
        return Opinion::unknown();
    }
    // Attempts at the password are openings, what follows them is not.
    let class = match packet.stream_offset() {
        Some(0..HEADER_BYTES) => Class::Opening,
        _ => Class::Control,
    };
    match source_rcon::first(&head, reason::NOT_RCON) {
        Parse::NeedMore => Opinion::unknown().of(Class::Opening),
        Parse::Ok(First::Auth) => Opinion::genuine(class),
        Parse::Ok(First::Other(kind)) => {
            Opinion::hostile(Class::Opening, reason::RCON_WITHOUT_PASSWORD).detail(kind)
        }
        Parse::Bad(reason) => Opinion::hostile(Class::Opening, reason),
    }
}
