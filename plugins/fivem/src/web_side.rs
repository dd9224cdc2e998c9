//! The TCP side: the join, the server's pages and files. It tells the UDP side, through the source's note, that the
//! source is there.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::Packet;
use ftagent_plugin::Parse;
use ftagent_plugin::protocol::web;
use ftagent_plugin::protocol::web::Web;

use crate::reason;

/// In the source's note: it completed a TCP handshake here and began with HTTP or TLS.
pub(crate) const JOINED: u64 = 1;

/// Bytes of a stream that count as the opening; what follows is the conversation.
const OPENING_BYTES: u32 = 256;

/// The opinion about one segment to the server.
pub(crate) fn judge(packet: &Packet<'_>, source: &mut u64) -> Opinion {
    let head = packet.head();
    if !packet.is_to_server() || packet.payload().is_empty() || head.is_empty() {
        return Opinion::unknown();
    }
    let class = match packet.stream_offset() {
        Some(0..OPENING_BYTES) => Class::Opening,
        _ => Class::Join,
    };
    match web::web(&head, reason::NOT_WEB) {
        Parse::NeedMore | Parse::Ok(Web::Proxy) => Opinion::unknown().of(class),
        Parse::Ok(Web::Request { .. } | Web::Http2 | Web::Tls) => {
            if packet.handshake_complete() {
                *source |= JOINED;
            }
            Opinion::genuine(class)
        }
        Parse::Bad(reason) => Opinion::hostile(class, reason),
    }
}
