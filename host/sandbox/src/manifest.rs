//! The written form of a manifest: TOML in the custom section [`SECTION`] of the component.
//!
//! It is read before anything of the plugin is compiled. All faults are reported together, each with its line
//! and column, so that an author mends them in one go. The checked form is `ftagent_core::manifest::Manifest`;
//! the two are separate so that either can change alone.
//!
//! ```toml
//! name = "my-game"                     # kebab-case; how games name it
//! version = "1.0.0"
//! contract = "1"                       # major version of `wit/`
//! license = "MIT"                      # SPDX expression
//! authors = ["Somebody"]               # optional
//! summary = "One sentence"
//!
//! [wants]                              # optional, these are the defaults
//! payload-bytes = 64                   # of each packet, at most 512
//! stream-head = 0                      # of the client's TCP stream, at most 1024
//! replies = false                      # also what the server sends
//! fuel-per-packet = 2000               # at most 50,000
//!
//! [[reasons]]                          # an opinion counts them from 1
//! name = "empty"
//! certainty = "impossible"             # or "unusual", or "rate"
//! says = "A datagram without a byte"
//! source = "https://example.org/protocol"
//!
//! [classes.query]                      # opening, query, join, play, control; packets a second
//! per-source = 20
//! per-player = 10
//!
//! [[flags]]                            # bit 0 of `service-flags` is the first
//! name = "proxied"
//! env = "BEHIND_PROXY"                 # optional: container variable
//! says = "Players come through a proxy"
//!
//! [[shapes]]                           # what the kernel may drop by itself; only for `impossible` reasons
//! reason = "empty"
//! transport = "udp"
//! payload-bytes = { min = 0, max = 0 } # each condition is optional, one is needed
//! bytes = [{ offset = 0, hex = "ff f0", mask = "ff f0" }]
//! source-port = 123                    # and for tcp: tcp-flags = { mask = 0x3f, value = 0 }, without-options = true
//!
//! [[games]]                            # whole catalogue entries, kept as they are
//! name = "My Game"
//! ```

mod fault;
mod table;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ftagent_core::manifest::BytesAt;
use ftagent_core::manifest::Certainty;
use ftagent_core::manifest::Class;
use ftagent_core::manifest::ClassRate;
use ftagent_core::manifest::Flag;
use ftagent_core::manifest::Manifest;
use ftagent_core::manifest::Reason;
use ftagent_core::manifest::ReasonShape;
use ftagent_core::manifest::Shape;
use ftagent_core::service::Transport;
use toml::de::DeTable;

pub use fault::Fault;
use fault::Faults;
use table::Table;

use crate::limits;

/// Name of the custom section.
pub const SECTION: &str = "ftagent:manifest";

const CERTAINTIES: &[(&str, Certainty)] =
    &[("impossible", Certainty::Impossible), ("unusual", Certainty::Unusual), ("rate", Certainty::Rate)];

const TRANSPORTS: &[(&str, Transport)] = &[("tcp", Transport::Tcp), ("udp", Transport::Udp)];

const CLASSES: &[(&str, Class)] = &[
    ("opening", Class::Opening),
    ("query", Class::Query),
    ("join", Class::Join),
    ("play", Class::Play),
    ("control", Class::Control),
];

/// What a manifest says of its contract, readable even if nothing else of it is understood.
pub fn contract(text: &str) -> Option<String> {
    let (document, _) = DeTable::parse_recoverable(text);
    Some(document.get_ref().get("contract")?.get_ref().as_str()?.to_owned())
}

/// Reads and checks a manifest, or says everything that is wrong with it.
pub fn read(text: &str) -> Result<Manifest, Vec<Fault>> {
    let mut faults = Faults::of(text);
    if text.len() > limits::MANIFEST_BYTES {
        faults.note(
            0..0,
            format!("a manifest has at most {} bytes, this one {}", limits::MANIFEST_BYTES, text.len()),
        );
        return Err(faults.take());
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        faults.note(error.span().unwrap_or(0..0), error.message());
    }
    // After broken syntax a missing key is more often swallowed than missing, so nothing else is reported.
    if !errors.is_empty() {
        return Err(faults.take());
    }
    let manifest =
        document_of(Table::new(document.get_ref(), document.span(), "the manifest"), text, &mut faults);
    match faults.take() {
        faults if faults.is_empty() => Ok(manifest),
        faults => Err(faults),
    }
}

fn document_of(mut top: Table<'_, '_>, text: &str, faults: &mut Faults<'_>) -> Manifest {
    let name = top.name("name", faults);
    let version = top.sentence("version", faults);
    let contract = top.sentence("contract", faults);
    let license = top.sentence("license", faults);
    let authors = top.sentences("authors", limits::AUTHORS, faults);
    let summary = top.sentence("summary", faults);
    let wants = wants_of(top.table("wants", faults), faults);
    let reasons = reasons_of(top.tables("reasons", limits::REASONS, faults), faults);
    let rates = rates_of(top.table("classes", faults), faults);
    let flags = flags_of(top.tables("flags", limits::FLAGS, faults), faults);
    let shapes = shapes_of(top.tables("shapes", limits::SHAPES, faults), &reasons, faults);
    let games = games_of(top.tables("games", limits::GAMES, faults), text, faults);
    top.finish(faults);
    Manifest {
        name,
        version,
        // An unknown contract is refused before this is read; see `Contract::find`.
        contract: contract.parse().unwrap_or_default(),
        license,
        authors,
        summary,
        payload_bytes: wants.payload_bytes,
        stream_head: wants.stream_head,
        replies: wants.replies,
        fuel_per_packet: wants.fuel_per_packet,
        reasons,
        rates,
        flags,
        shapes,
        games,
    }
}

/// What a plugin wants to see, and may spend.
struct Wants {
    payload_bytes: u16,
    stream_head: u16,
    replies: bool,
    fuel_per_packet: u32,
}

fn wants_of(table: Option<Table<'_, '_>>, faults: &mut Faults<'_>) -> Wants {
    let mut wants = Wants { payload_bytes: 64, stream_head: 0, replies: false, fuel_per_packet: 2_000 };
    let Some(mut table) = table else { return wants };
    if let Some(bytes) = table.number("payload-bytes", 0..=limits::PAYLOAD_BYTES, faults) {
        wants.payload_bytes = bytes;
    }
    if let Some(bytes) = table.number("stream-head", 0..=limits::STREAM_HEAD_BYTES, faults) {
        wants.stream_head = bytes;
    }
    if let Some(replies) = table.switch("replies", faults) {
        wants.replies = replies;
    }
    if let Some(fuel) = table.number("fuel-per-packet", 1..=limits::FUEL_PER_PACKET, faults) {
        wants.fuel_per_packet = fuel;
    }
    table.finish(faults);
    wants
}

fn reasons_of(tables: Vec<Table<'_, '_>>, faults: &mut Faults<'_>) -> Vec<Reason> {
    let mut seen = HashSet::new();
    let mut reasons = Vec::with_capacity(tables.len());
    for mut table in tables {
        let name = table.name("name", faults);
        if !name.is_empty() && !seen.insert(Arc::clone(&name)) {
            faults.note(table.span_of("name"), format!("the reason `{name}` exists already"));
        }
        let certainty = table.choice("certainty", CERTAINTIES, faults).unwrap_or(Certainty::Unusual);
        let says = table.sentence("says", faults);
        let source = table.sentence("source", faults);
        table.finish(faults);
        reasons.push(Reason { name, certainty, says, source });
    }
    reasons
}

fn rates_of(table: Option<Table<'_, '_>>, faults: &mut Faults<'_>) -> Vec<ClassRate> {
    let mut rates = Vec::new();
    let Some(mut table) = table else { return rates };
    for &(name, class) in CLASSES {
        let Some(mut rate) = table.table(name, faults) else { continue };
        let per_source = rate.needed_number("per-source", 1..=u32::MAX, faults);
        let per_player = rate.needed_number("per-player", 1..=u32::MAX, faults);
        rate.finish(faults);
        rates.push(ClassRate { class, per_source, per_player });
    }
    table.finish(faults);
    rates
}

fn flags_of(tables: Vec<Table<'_, '_>>, faults: &mut Faults<'_>) -> Vec<Flag> {
    let mut seen = HashSet::new();
    let mut flags = Vec::with_capacity(tables.len());
    for mut table in tables {
        let name = table.name("name", faults);
        if !name.is_empty() && !seen.insert(Arc::clone(&name)) {
            faults.note(table.span_of("name"), format!("the flag `{name}` exists already"));
        }
        let env = table.has("env").then(|| table.sentence("env", faults));
        let says = table.sentence("says", faults);
        table.finish(faults);
        flags.push(Flag { name, env, says });
    }
    flags
}

fn shapes_of(tables: Vec<Table<'_, '_>>, reasons: &[Reason], faults: &mut Faults<'_>) -> Vec<ReasonShape> {
    let mut shapes = Vec::with_capacity(tables.len());
    for mut table in tables {
        let reason = reason_of(&mut table, reasons, faults);
        let shape = shape_of(&mut table, faults);
        table.finish(faults);
        shapes.push(ReasonShape { reason, shape });
    }
    shapes
}

fn reason_of(table: &mut Table<'_, '_>, reasons: &[Reason], faults: &mut Faults<'_>) -> u16 {
    let name = table.name("reason", faults);
    if name.is_empty() {
        return 0;
    }
    let Some(at) = reasons.iter().position(|reason| reason.name == name) else {
        faults.note(table.span_of("reason"), format!("no reason is named `{name}`"));
        return 0;
    };
    if reasons[at].certainty != Certainty::Impossible {
        faults.note(table.span_of("reason"), "the kernel drops by shape only what is `impossible`");
    }
    u16::try_from(at + 1).unwrap_or_default()
}

fn shape_of(table: &mut Table<'_, '_>, faults: &mut Faults<'_>) -> Shape {
    let transport = table.choice("transport", TRANSPORTS, faults);
    let payload_bytes = table.table("payload-bytes", faults).map(|bounds| bounds_of(bounds, faults));
    let bytes: Vec<_> = table
        .tables("bytes", limits::COMPARED_BYTES, faults)
        .into_iter()
        .map(|bytes| bytes_of(bytes, faults))
        .collect();
    let tcp_flags = table.table("tcp-flags", faults).map(|flags| tcp_flags_of(flags, faults));
    let without_options = table.switch("without-options", faults).unwrap_or_default();
    let source_port = table.number("source-port", 0..=u16::MAX, faults);
    if transport == Some(Transport::Udp) {
        for key in ["tcp-flags", "without-options"].into_iter().filter(|key| table.has(key)) {
            faults.note(table.span_of(key), format!("`{key}` is for `transport = \"tcp\"`"));
        }
    }
    let says_something = payload_bytes.is_some()
        || !bytes.is_empty()
        || tcp_flags.is_some()
        || without_options
        || source_port.is_some();
    if !says_something {
        faults.note(table.span(), "this shape would match every packet");
    }
    let transport = transport.unwrap_or(Transport::Udp);
    Shape {
        transport,
        payload_bytes,
        bytes,
        tcp_flags,
        without_options,
        source_port,
        ttl: None,
        window: None,
    }
}

fn bounds_of(mut table: Table<'_, '_>, faults: &mut Faults<'_>) -> RangeInclusive<u16> {
    let min = table.needed_number("min", 0..=u16::MAX, faults);
    let max = table.needed_number("max", 0..=u16::MAX, faults);
    if table.has("min") && table.has("max") && min > max {
        faults.note(table.span_of("min"), format!("`min` {min} is above `max` {max}"));
    }
    table.finish(faults);
    min..=max
}

fn bytes_of(mut table: Table<'_, '_>, faults: &mut Faults<'_>) -> BytesAt {
    let offset = table.number("offset", 0..=u16::MAX, faults).unwrap_or_default();
    let value = table.hex("hex", faults).unwrap_or_default();
    let mask = if table.has("mask") { table.hex("mask", faults) } else { Some(vec![0xff; value.len()]) };
    let mask = mask.unwrap_or_default();
    if mask.len() != value.len() {
        faults.note(table.span_of("mask"), "`mask` must be as long as `hex`");
    } else if value.iter().zip(&mask).any(|(value, mask)| value & !mask != 0) {
        faults.note(table.span_of("hex"), "`hex` has bits that `mask` leaves out, so it can never match");
    }
    if usize::from(offset) + value.len() > usize::from(u16::MAX) {
        faults.note(table.span_of("offset"), "this is beyond any payload");
    }
    table.finish(faults);
    BytesAt { offset, value, mask }
}

fn tcp_flags_of(mut table: Table<'_, '_>, faults: &mut Faults<'_>) -> (u8, u8) {
    let mask = table.needed_number("mask", 0..=u8::MAX, faults);
    let value = table.needed_number("value", 0..=u8::MAX, faults);
    if table.has("mask") && value & !mask != 0 {
        faults.note(table.span_of("value"), "`value` has bits that `mask` leaves out, so it can never match");
    }
    table.finish(faults);
    (mask, value)
}

/// Catalogue entries belong to whoever reads the catalogue; here they only have to be tables with a name.
fn games_of(tables: Vec<Table<'_, '_>>, text: &str, faults: &mut Faults<'_>) -> Vec<Arc<str>> {
    if tables.is_empty() {
        return Vec::new();
    }
    for mut table in tables {
        table.sentence("name", faults);
    }
    // The spanned tree that faults need cannot be written again, the plain one can.
    let plain: toml::Table = toml::from_str(text).unwrap_or_default();
    let games = plain.get("games").and_then(toml::Value::as_array).into_iter().flatten();
    games.filter_map(|game| toml::to_string(game).ok()).map(Arc::from).collect()
}

#[cfg(test)]
mod tests;
