//! WebRCON and Rust+ over TCP: a web socket's request, or Source RCON where the server was told to speak the old
//! remote control.

use ftagent_plugin::Class;
use ftagent_plugin::Head;
use ftagent_plugin::Opinion;
use ftagent_plugin::Packet;
use ftagent_plugin::Parse;
use ftagent_plugin::Role;
use ftagent_plugin::protocol::source_rcon;
use ftagent_plugin::protocol::source_rcon::First;
use ftagent_plugin::protocol::web;
use ftagent_plugin::protocol::web::Web;

use crate::reason;

/// Bytes of a request that count as the opening; what follows is the conversation.
const OPENING_BYTES: u32 = 256;

/// The opinion about one segment.
pub(crate) fn judge(packet: &Packet<'_>) -> Opinion {
    let head = packet.head();
    let is_web = matches!(packet.role(), Role::Rcon | Role::Http);
    if !is_web || !packet.is_to_server() || packet.payload().is_empty() || head.is_empty() {
        return Opinion::unknown();
    }
    let class = match packet.stream_offset() {
        Some(0..OPENING_BYTES) => Class::Opening,
        _ => Class::Control,
    };
    match web::web(&head, reason::NOT_WEB) {
        Parse::NeedMore | Parse::Ok(Web::Proxy) => Opinion::unknown().of(class),
        Parse::Ok(Web::Tls) => Opinion::genuine(class),
        // A web socket and a page both begin with GET; other methods are a scanner's, but no proof.
        Parse::Ok(Web::Request { method: b"GET", .. }) => Opinion::genuine(class),
        Parse::Ok(Web::Request { .. } | Web::Http2) => Opinion::unknown().of(class),
        Parse::Bad(_) if packet.role() == Role::Rcon => old_remote_control(&head, class),
        Parse::Bad(reason) => Opinion::hostile(class, reason),
    }
}

fn old_remote_control(head: &Head<'_>, class: Class) -> Opinion {
    match source_rcon::first(head, reason::NOT_WEB) {
        Parse::NeedMore => Opinion::unknown().of(class),
        Parse::Ok(First::Auth) => Opinion::genuine(class),
        Parse::Ok(First::Other(_)) => Opinion::hostile(class, reason::NOT_WEB),
        Parse::Bad(reason) => Opinion::hostile(class, reason),
    }
}
