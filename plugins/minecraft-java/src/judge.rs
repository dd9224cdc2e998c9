//! From one packet and the flow's note to an opinion.

use ftagent_plugin::Class;
use ftagent_plugin::Opinion;
use ftagent_plugin::Packet;
use ftagent_plugin::Parse;
use ftagent_plugin::Reason;
use ftagent_plugin::Role;
use ftagent_plugin::checks::reflection;
use ftagent_plugin::protocol::gamespy;
use ftagent_plugin::protocol::gamespy::Query;

use crate::flag;
use crate::note::Phase;
use crate::opening;
use crate::opening::Expected;
use crate::opening::Opening;
use crate::reason;
use crate::segment;

/// After its login a client downloads the world before it plays. A guess that only names the class.
const JOINING_MS: u64 = 5_000;

/// The judge of this plugin.
pub(crate) fn judge(packet: &Packet<'_>, flow: &mut u64, _source: &mut u64) -> Opinion {
    if !packet.is_to_server() {
        return Opinion::unknown();
    }
    if packet.is_udp() {
        return datagram(packet);
    }
    if !packet.is_tcp() {
        return Opinion::unknown();
    }
    if let Some(opinion) = segment::odd(packet) {
        return opinion;
    }
    if packet.tcp_flags().is_opening() {
        return Opinion::genuine(Class::Opening);
    }
    if packet.payload().is_empty() {
        return without_payload(packet);
    }
    match packet.role() {
        // The game's own words are spoken on these alone; remote control, web pages and files are something else.
        Role::Unknown | Role::Game | Role::Query => stream(packet, flow),
        _ => Opinion::unknown(),
    }
}

/// Acknowledgements and farewells. Only a completed handshake tells them from a flood of them.
fn without_payload(packet: &Packet<'_>) -> Opinion {
    let known = packet.handshake_complete();
    if known { Opinion::genuine(Class::Control) } else { Opinion::unknown().of(Class::Control) }
}

/// A segment with bytes of the client's stream.
fn stream(packet: &Packet<'_>, flow: &mut u64) -> Opinion {
    let before = Phase::read(*flow);
    // What was hostile stays so, and a login stays one unless what follows it is no client's.
    let phase = match (before, read_head(packet, before)) {
        (_, Ok(Some(Opening::Relayed)) | Ok(None)) => before,
        (_, Err(reason)) => Phase::Hostile(reason),
        (Phase::Login { at_ms, .. }, Ok(Some(Opening::Login(place)))) => Phase::Login { at_ms, place },
        (Phase::Login { .. }, Ok(_)) => before,
        (_, Ok(Some(Opening::LoginAnnounced))) => return Opinion::genuine(Class::Opening),
        (_, Ok(Some(Opening::Legacy))) => Phase::Legacy,
        (_, Ok(Some(Opening::Status(place)))) => Phase::Status(place),
        (_, Ok(Some(Opening::Login(place)))) => Phase::Login { at_ms: age_ms(packet), place },
    };
    *flow = phase.written();
    match phase {
        Phase::New if packet.opening_seen() => Opinion::unknown().of(Class::Opening),
        Phase::New => Opinion::unknown().of(Class::Play),
        Phase::Status(_) | Phase::Legacy => Opinion::genuine(Class::Query),
        Phase::Login { at_ms, .. } if u64::from(age_ms(packet)) < u64::from(at_ms) + JOINING_MS => {
            Opinion::genuine(Class::Join)
        }
        Phase::Login { .. } => Opinion::genuine(Class::Play),
        Phase::Hostile(reason) => Opinion::hostile(Class::Opening, reason),
    }
}

/// What the stream's head says that was not read before: nothing new, an opening, or a reason against it.
fn read_head(packet: &Packet<'_>, before: Phase) -> Result<Option<Opening>, Reason> {
    let head = packet.head();
    let begins = match before {
        Phase::Hostile(_) => return Ok(None),
        Phase::Status(place) | Phase::Login { place, .. } => place.next(),
        Phase::New | Phase::Legacy => 0,
    };
    if usize::from(begins) >= head.bytes().len() {
        return Ok(None);
    }
    let expected = Expected {
        proxy_header: packet.flag(flag::PROXY_PROTOCOL),
        forwarding: packet.flag(flag::FORWARDING),
    };
    let read = head.parse(|cursor| match before {
        // Nothing was read: an earlier version of this plugin wrote the note.
        _ if begins == 0 => opening::read(cursor, expected),
        Phase::Status(place) => opening::status(cursor, place, expected),
        Phase::Login { place, .. } => opening::behind_login(cursor, place),
        _ => opening::read(cursor, expected),
    });
    match read {
        Parse::Ok(opening) => Ok(Some(opening)),
        Parse::NeedMore => Ok(None),
        Parse::Bad(reason) => Err(reason),
    }
}

fn age_ms(packet: &Packet<'_>) -> u32 {
    u32::try_from(packet.age_us() / 1_000).unwrap_or(u32::MAX)
}

/// UDP: the query, if the server has it. Voice mods and Bedrock players may share the port, so that what is not a
/// query is unknown and not wrong.
fn datagram(packet: &Packet<'_>) -> Opinion {
    if packet.is_fragment() {
        return Opinion::unknown();
    }
    let payload = packet.payload();
    if payload.is_empty() {
        return Opinion::hostile(Class::None, reason::EMPTY_DATAGRAM);
    }
    if let Some(reflector) = reflection::unasked(packet) {
        return Opinion::hostile(Class::None, reason::REFLECTION).detail(reflector as u32);
    }
    if !packet.flag(flag::QUERY) && packet.role() != Role::Query {
        return Opinion::unknown();
    }
    match gamespy::query(&payload) {
        Some(Query::Handshake | Query::State { .. }) => Opinion::genuine(Class::Query),
        Some(Query::Cut) => Opinion::unknown().of(Class::Query),
        Some(Query::Other) => Opinion::hostile(Class::Query, reason::BAD_QUERY),
        None => Opinion::unknown(),
    }
}
