//! The written form of a manifest and its rules. The host reads the same form again when it loads the plugin;
//! checking here as well tells the author at compile time, with the line.
//!
//! Bounds that the kernel sets (16 bytes to compare) and that the contract sets (64 flags, heads of 1024 bytes)
//! are the same as in the host.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

const HEAD_BYTES_MAX: u16 = 1024;
const FLAGS_MAX: usize = 64;
const COMPARED_BYTES_MAX: usize = 16;
const CLASSES: [&str; 5] = ["opening", "query", "join", "play", "control"];

/// A manifest as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) name: Spanned<String>,
    version: Spanned<String>,
    contract: Spanned<String>,
    license: Spanned<String>,
    #[serde(default)]
    authors: Vec<String>,
    summary: Spanned<String>,
    #[serde(default)]
    pub(crate) wants: Wants,
    #[serde(default)]
    pub(crate) reasons: Vec<Reason>,
    #[serde(default)]
    classes: BTreeMap<Spanned<String>, Rates>,
    #[serde(default)]
    pub(crate) flags: Vec<Flag>,
    #[serde(default)]
    shapes: Vec<Shape>,
    #[serde(default)]
    games: Vec<Spanned<toml::Table>>,
}

/// What the plugin asks the host for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Wants {
    pub(crate) payload_bytes: u16,
    pub(crate) stream_head: Spanned<u16>,
    pub(crate) replies: bool,
    fuel_per_packet: Spanned<u32>,
}

impl Default for Wants {
    fn default() -> Self {
        Self {
            payload_bytes: 64,
            stream_head: Spanned::new(0..0, 0),
            replies: false,
            fuel_per_packet: Spanned::new(0..0, 2_000),
        }
    }
}

/// A reason that the plugin may give.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Reason {
    pub(crate) name: Spanned<String>,
    certainty: Certainty,
    pub(crate) says: Spanned<String>,
    source: Spanned<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Certainty {
    Impossible,
    Unusual,
    Rate,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Rates {
    per_source: Spanned<u32>,
    per_player: Spanned<u32>,
}

/// A switch of a service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Flag {
    pub(crate) name: Spanned<String>,
    #[serde(default)]
    env: Option<Spanned<String>>,
    pub(crate) says: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Shape {
    reason: Spanned<String>,
    transport: Spanned<Transport>,
    #[serde(default)]
    payload_bytes: Option<Spanned<Bounds>>,
    #[serde(default)]
    bytes: Vec<Spanned<BytesAt>>,
    #[serde(default)]
    tcp_flags: Option<Spanned<MaskedFlags>>,
    #[serde(default)]
    without_options: bool,
    #[serde(default)]
    source_port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Transport {
    Tcp,
    Udp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    min: u16,
    max: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BytesAt {
    #[serde(default)]
    offset: u16,
    hex: String,
    #[serde(default)]
    mask: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MaskedFlags {
    mask: u8,
    value: u8,
}

/// Something wrong in a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    line: usize,
    says: String,
}

impl Fault {
    /// As the compiler shows it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        format!("{}:{}: {}", path.display(), self.line, self.says)
    }
}

/// Reads and checks a manifest; all faults at once.
pub(crate) fn read(text: &str) -> Result<Manifest, Vec<Fault>> {
    let manifest: Manifest = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![Fault { line: line_of(text, at), says: error.message().to_owned() }]
    })?;
    let mut faults = Faults { text, found: Vec::new() };
    check_header(&manifest, &mut faults);
    check_reasons(&manifest, &mut faults);
    check_flags(&manifest, &mut faults);
    for shape in &manifest.shapes {
        check_shape(&manifest, shape, &mut faults);
    }
    if faults.found.is_empty() { Ok(manifest) } else { Err(faults.found) }
}

struct Faults<'a> {
    text: &'a str,
    found: Vec<Fault>,
}

impl Faults<'_> {
    fn note(&mut self, at: Range<usize>, says: impl Into<String>) {
        self.found.push(Fault { line: line_of(self.text, at.start), says: says.into() });
    }

    /// Notes the fault unless `fine`.
    fn expect(&mut self, fine: bool, at: Range<usize>, says: &str) {
        if !fine {
            self.note(at, says);
        }
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1
}

fn check_header(manifest: &Manifest, faults: &mut Faults<'_>) {
    let name = &manifest.name;
    faults.expect(is_kebab(name.get_ref()), name.span(), KEBAB);
    let contract = &manifest.contract;
    faults.expect(contract.get_ref() == "1", contract.span(), "this SDK speaks contract \"1\"");
    for (field, value) in
        [("version", &manifest.version), ("license", &manifest.license), ("summary", &manifest.summary)]
    {
        faults.expect(!value.get_ref().is_empty(), value.span(), &format!("`{field}` is empty"));
    }
    let head = &manifest.wants.stream_head;
    faults.expect(*head.get_ref() <= HEAD_BYTES_MAX, head.span(), "a stream head is at most 1024 bytes");
    let fuel = &manifest.wants.fuel_per_packet;
    faults.expect(*fuel.get_ref() > 0, fuel.span(), "a packet without fuel can never be judged");
    for (class, rates) in &manifest.classes {
        let known = CLASSES.contains(&class.get_ref().as_str());
        faults.expect(known, class.span(), "classes are opening, query, join, play and control");
        for rate in [&rates.per_source, &rates.per_player] {
            faults.expect(*rate.get_ref() > 0, rate.span(), "a rate of 0 would forbid the class");
        }
    }
    for game in &manifest.games {
        let named = game.get_ref().get("name").is_some_and(toml::Value::is_str);
        faults.expect(named, game.span(), "a game needs a `name`");
    }
    faults.expect(!manifest.authors.iter().any(String::is_empty), 0..0, "an author without a name");
}

fn check_reasons(manifest: &Manifest, faults: &mut Faults<'_>) {
    faults.expect(manifest.reasons.len() < usize::from(u16::MAX), 0..0, "too many reasons");
    let mut seen = BTreeSet::new();
    for reason in &manifest.reasons {
        let name = &reason.name;
        faults.expect(is_kebab(name.get_ref()), name.span(), KEBAB);
        faults.expect(seen.insert(name.get_ref().as_str()), name.span(), "this reason exists already");
        faults.expect(!reason.says.get_ref().is_empty(), reason.says.span(), "say it in one sentence");
        let source = &reason.source;
        faults.expect(!source.get_ref().is_empty(), source.span(), "say where this fact comes from");
    }
}

fn check_flags(manifest: &Manifest, faults: &mut Faults<'_>) {
    let mut seen = BTreeSet::new();
    for (at, flag) in manifest.flags.iter().enumerate() {
        let name = &flag.name;
        faults.expect(at < FLAGS_MAX, name.span(), "a plugin has at most 64 flags");
        faults.expect(is_kebab(name.get_ref()), name.span(), KEBAB);
        faults.expect(seen.insert(name.get_ref().as_str()), name.span(), "this flag exists already");
        faults.expect(!flag.says.get_ref().is_empty(), flag.says.span(), "say it in one sentence");
        if let Some(env) = &flag.env {
            faults.expect(!env.get_ref().is_empty(), env.span(), "leave `env` out if there is none");
        }
    }
}

fn check_shape(manifest: &Manifest, shape: &Shape, faults: &mut Faults<'_>) {
    let named = &shape.reason;
    match manifest.reasons.iter().find(|reason| reason.name.get_ref() == named.get_ref()) {
        None => faults.note(named.span(), "no reason has this name"),
        Some(reason) if reason.certainty != Certainty::Impossible => {
            faults.note(named.span(), "the kernel drops by shape only what is `impossible`");
        }
        Some(_) => {}
    }
    if let Some(bounds) = &shape.payload_bytes {
        faults.expect(bounds.get_ref().min <= bounds.get_ref().max, bounds.span(), "`min` is above `max`");
    }
    for bytes in &shape.bytes {
        check_bytes(bytes, faults);
    }
    let tcp = *shape.transport.get_ref() == Transport::Tcp;
    if let Some(flags) = &shape.tcp_flags {
        let MaskedFlags { mask, value } = flags.get_ref();
        faults.expect(tcp, flags.span(), "only TCP has flags");
        faults.expect(value & !mask == 0, flags.span(), "`value` has bits that `mask` leaves out");
    }
    faults.expect(tcp || !shape.without_options, named.span(), "only TCP has options");
    let says_something = shape.payload_bytes.is_some()
        || !shape.bytes.is_empty()
        || shape.tcp_flags.is_some()
        || shape.without_options
        || shape.source_port.is_some();
    faults.expect(says_something, named.span(), "this shape would match every packet");
}

fn check_bytes(bytes: &Spanned<BytesAt>, faults: &mut Faults<'_>) {
    let at = bytes.span();
    let BytesAt { offset, hex, mask } = bytes.get_ref();
    let Some(len) = hex_bytes(hex) else {
        return faults.note(at, "`hex` is pairs of hexadecimal digits, blanks between them allowed");
    };
    faults.expect((1..=COMPARED_BYTES_MAX).contains(&len), at.clone(), "the kernel compares 1 to 16 bytes");
    faults.expect(usize::from(*offset) + len <= usize::from(u16::MAX), at.clone(), "`offset` is too large");
    if let Some(mask) = mask {
        faults.expect(hex_bytes(mask) == Some(len), at, "`mask` is as long as `hex`");
    }
}

/// How many bytes the hexadecimal text stands for.
fn hex_bytes(hex: &str) -> Option<usize> {
    let mut digits = 0;
    for letter in hex.chars().filter(|letter| *letter != ' ') {
        letter.to_digit(16)?;
        digits += 1;
    }
    (digits % 2 == 0).then_some(digits / 2)
}

const KEBAB: &str = "names are kebab-case: a-z, 0-9 and single hyphens, beginning with a letter";

fn is_kebab(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests;
