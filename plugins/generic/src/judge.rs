//! From one packet and the flow's note to an opinion.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::Packet;
use ftagent_plugin::checks::reflection;
use ftagent_plugin::checks::tcp;
use ftagent_plugin::checks::tcp::Junk;

use crate::reason;

/// In the flow's note: it began as a reflected answer, so what comes later is one too even if the server replied.
const REFLECTED: u64 = 1;

/// A query is over by then; whoever still talks both ways plays.
const PLAY_US: u64 = 2_000_000;
const PLAY_PACKETS: u32 = 10;

/// The judge of this plugin.
pub(crate) fn judge(packet: &Packet<'_>, flow: &mut u64, _source: &mut u64) -> Opinion {
    if !packet.is_to_server() {
        Opinion::unknown()
    } else if packet.is_tcp() {
        segment(packet)
    } else if packet.is_udp() {
        datagram(packet, flow)
    } else {
        Opinion::unknown()
    }
}

fn segment(packet: &Packet<'_>) -> Opinion {
    if let Some(junk) = tcp::junk(packet) {
        let reason = match junk {
            Junk::NoFlags | Junk::WithoutAck | Junk::SynFin | Junk::SynRst => reason::BAD_TCP_FLAGS,
            Junk::SynAck => reason::STRAY_SYN_ACK,
            Junk::SynWithPayload => reason::SYN_WITH_PAYLOAD,
            Junk::SynWithoutOptions => reason::SYN_WITHOUT_OPTIONS,
            Junk::Fragment => reason::TCP_FRAGMENT,
        };
        return Opinion::hostile(Class::Opening, reason);
    }
    if packet.tcp_flags().is_opening() {
        return Opinion::genuine(Class::Opening);
    }
    let class = if packet.payload().is_empty() { Class::Control } else { Class::Play };
    if packet.handshake_complete() { Opinion::genuine(class) } else { Opinion::unknown().of(class) }
}

fn datagram(packet: &Packet<'_>, flow: &mut u64) -> Opinion {
    // A later fragment has neither ports nor a beginning; the host counts them.
    if packet.is_later_fragment() {
        return Opinion::unknown();
    }
    if packet.payload().is_empty() {
        return Opinion::hostile(Class::None, reason::EMPTY_DATAGRAM);
    }
    if let Some(reflector) = reflection::unasked(packet) {
        *flow |= REFLECTED;
        return Opinion::hostile(Class::None, reason::REFLECTION).detail(reflector as u32);
    }
    if *flow & REFLECTED != 0
        && let Some(reflector) = reflection::answer(packet)
    {
        return Opinion::hostile(Class::None, reason::REFLECTION).detail(reflector as u32);
    }
    let plays = packet.two_way() && packet.number() >= PLAY_PACKETS && packet.age_us() >= PLAY_US;
    if plays { Opinion::genuine(Class::Play) } else { Opinion::unknown() }
}
