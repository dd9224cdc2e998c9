//! TCP segments that no client's stack sends, as reasons of this plugin.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::Packet;
use ftagent_plugin::checks::tcp;
use ftagent_plugin::checks::tcp::Junk;

use crate::reason;

/// What is wrong with a segment whatever it carries, if anything.
pub(crate) fn odd(packet: &Packet<'_>) -> Option<Opinion> {
    let reason = match tcp::junk(packet)? {
        Junk::NoFlags | Junk::WithoutAck | Junk::SynFin | Junk::SynRst => reason::BAD_TCP_FLAGS,
        Junk::SynAck => reason::STRAY_SYN_ACK,
        Junk::SynWithPayload => reason::SYN_WITH_PAYLOAD,
        Junk::SynWithoutOptions => reason::SYN_WITHOUT_OPTIONS,
        Junk::Fragment => reason::TCP_FRAGMENT,
    };
    Some(Opinion::hostile(Class::Opening, reason))
}
