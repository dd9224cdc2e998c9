//! `game.toml` text → profile and findings. Every mistake of a file is reported at once; a file with an error gives
//! no profile, one with warnings does.

use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::GENERIC;
use super::finding::Finding;
use super::name::command_words;
use super::name::nearest;
use super::name::normalise;
use super::profile::Hints;
use super::profile::Marks;
use super::profile::PortRule;
use super::profile::Profile;
use super::profile::Source;
use super::profile::Variable;
use super::reader::At;
use super::reader::Reader;
use crate::service::Role;

/// Images that panels use for any game: to match on one would take strangers for this game.
const SHARED_IMAGES: [&str; 10] = [
    "steamcmd:*",
    "games:source",
    "games:samp",
    "yolks:games_source",
    "yolks:debian",
    "yolks:ubuntu",
    "yolks:alpine",
    "yolks:wine_*",
    "yolks:java_*",
    "yolks:dotnet_*",
];

const KEYS: [&str; 7] = ["name", "aliases", "take-over", "ports", "match", "hints", "sources"];
const PORT_KEYS: [&str; 8] = ["role", "proto", "port", "offset", "variables", "when", "only", "plugin"];
const MATCH_KEYS: [&str; 4] = ["eggs", "images", "startup", "variables"];
const HINT_KEYS: [&str; 3] = ["images", "variables", "features"];
const SOURCE_KEYS: [&str; 2] = ["url", "says"];

const ROLES: [(&str, Role); 7] = [
    ("game", Role::Game),
    ("query", Role::Query),
    ("rcon", Role::Rcon),
    ("voice", Role::Voice),
    ("http", Role::Http),
    ("file", Role::File),
    ("beacon", Role::Beacon),
];

/// Reads one game. `file` names it and gives the id: `games/<id>/game.toml`, or `<id>.toml`.
pub fn parse(file: &str, text: &str) -> (Option<Profile>, Vec<Finding>) {
    let mut reader = Reader::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        reader.error(span, format!("not TOML: {}", error.message().trim()), None);
    }
    let profile = if errors.is_empty() { read(&mut reader, file, table.get_ref()) } else { None };
    let findings = reader.findings;
    if findings.iter().any(Finding::is_error) { (None, findings) } else { (profile, findings) }
}

fn read(reader: &mut Reader<'_>, file: &str, table: &DeTable<'_>) -> Option<Profile> {
    reader.known_keys(table, &KEYS, "a game");
    let id = id_of(file);
    if !is_kebab(&id) {
        let hint = "name the folder after the full title, as in `counter-strike-2`".to_owned();
        reader.error(0..0, format!("`{id}` is no game id"), Some(hint));
    }
    let name = reader.string(table, "name");
    if name.is_none() && !table.contains_key("name") {
        reader.error(0..0, "`name` is missing", Some("the title as people write it".to_owned()));
    }
    let aliases = reader.strings(table, "aliases");
    let aliases = keep(reader, aliases, is_kebab, "an alias is kebab-case, as in `cs2`");
    let take_over = reader.boolean(table, "take-over").unwrap_or(false);
    let ports = ports(reader, table);
    let marks = marks(reader, table);
    let hints = hints(reader, table);
    let sources = sources(reader, table);
    Some(Profile {
        id: id.into(),
        name: name?.0.into(),
        aliases,
        ports,
        marks,
        hints,
        sources,
        take_over,
        file: file.into(),
    })
}

/// The id that a path stands for: the folder of a `game.toml`, otherwise the file's name.
fn id_of(file: &str) -> String {
    let mut parts = file.rsplit('/');
    let last = parts.next().unwrap_or(file);
    let id = if last == "game.toml" { parts.next().unwrap_or("") } else { last };
    id.strip_suffix(".toml").unwrap_or(id).to_owned()
}

fn is_kebab(id: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    id.len() <= 64 && id.split('-').all(part)
}

/// Texts that fulfil `good`; the others are reported.
fn keep(
    reader: &mut Reader<'_>,
    texts: Vec<At<String>>,
    good: fn(&str) -> bool,
    rule: &str,
) -> Vec<Arc<str>> {
    let mut kept: Vec<Arc<str>> = Vec::new();
    for (text, span) in texts {
        if !good(&text) {
            reader.error(span, format!("`{text}` cannot stand here: {rule}"), None);
        } else if kept.iter().any(|known| **known == *text) {
            reader.warning(span, format!("`{text}` stands here twice"), None);
        } else {
            kept.push(text.into());
        }
    }
    kept
}

fn ports(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Vec<PortRule> {
    let tables = reader.tables(table, "ports");
    if tables.is_empty() && !table.contains_key("ports") {
        reader.error(0..0, "a game has at least one `[[ports]]`", None);
    }
    let mut rules: Vec<PortRule> = Vec::new();
    for (table, span) in tables {
        let first = rules.is_empty();
        let rule = port(reader, table, span.clone());
        if first && (rule.port.is_none() || rule.offset.is_some()) {
            let hint = "give its default as `port`; the others may be an `offset` to it".to_owned();
            reader.error(span.clone(), "the first port is the game port", Some(hint));
        }
        let twin = rules.iter().any(|known| {
            (known.port, known.offset) == (rule.port, rule.offset)
                && known.variables == rule.variables
                && known.when == rule.when
                && ((known.tcp && rule.tcp) || (known.udp && rule.udp))
        });
        if twin {
            reader.warning(span, "this port stands here twice; the first counts", None);
        }
        rules.push(rule);
    }
    rules
}

fn port(reader: &mut Reader<'_>, table: &DeTable<'_>, span: Range<usize>) -> PortRule {
    reader.known_keys(table, &PORT_KEYS, "`[[ports]]`");
    let role = match reader.string(table, "role") {
        Some((word, at)) => role(reader, &word, at),
        None => missing(reader, table, "role", &span, Role::Unknown),
    };
    let proto = reader.string(table, "proto");
    let (tcp, udp) = match proto.as_ref().map(|(word, _)| word.as_str()) {
        Some("tcp") => (true, false),
        Some("udp") => (false, true),
        Some("both") => (true, true),
        Some(other) => {
            let at = proto.as_ref().map_or(span.clone(), |(_, at)| at.clone());
            let hint = "`tcp`, `udp` or `both`".to_owned();
            reader.error(at, format!("`{other}` is no transport"), Some(hint));
            (true, true)
        }
        None => missing(reader, table, "proto", &span, (true, true)),
    };
    let port = reader.integer(table, "port").and_then(|(number, at)| checked_port(reader, number, at));
    let offset = reader.integer(table, "offset").and_then(|(number, at)| match i32::try_from(number) {
        Ok(offset) if offset.unsigned_abs() <= 65_535 => Some(offset),
        _ => {
            reader.error(at, format!("{number} reaches beyond all ports"), None);
            None
        }
    });
    let variables = reader.strings(table, "variables");
    let variables = keep(reader, variables, is_variable, "a variable is written A_Z, without a value");
    if ["port", "offset", "variables"].iter().all(|key| !table.contains_key(*key)) {
        let hint = "give `port`, `offset` or `variables`".to_owned();
        reader.error(span.clone(), "nothing says which port this is", Some(hint));
    }
    let when = reader.string(table, "when").map(|(name, at)| {
        if !is_variable(&name) {
            reader.error(at, format!("`{name}` is no container variable"), None);
        }
        name.into()
    });
    let only = reader.boolean(table, "only").unwrap_or(false);
    if only && tcp && udp {
        reader.error(span, "`only` makes no sense with both transports", None);
    }
    let plugin = match reader.string(table, "plugin") {
        Some((name, at)) if !is_kebab(&name) => {
            reader.error(at, format!("`{name}` is no plugin's name"), None);
            GENERIC.into()
        }
        Some((name, _)) => name.into(),
        None => GENERIC.into(),
    };
    PortRule { role, tcp, udp, port, offset, variables, when, only, plugin }
}

fn role(reader: &mut Reader<'_>, word: &str, at: Range<usize>) -> Role {
    if let Some((_, role)) = ROLES.iter().find(|(name, _)| *name == word) {
        return *role;
    }
    let names = ROLES.map(|(name, _)| name);
    let hint = match nearest(word, names) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("roles: {}", names.join(", ")),
    };
    reader.error(at, format!("`{word}` is no role"), Some(hint));
    Role::Unknown
}

/// Reports a key that must be there; one that is there but wrong was reported already.
fn missing<T>(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str, span: &Range<usize>, instead: T) -> T {
    if !table.contains_key(key) {
        reader.error(span.clone(), format!("`{key}` is missing"), None);
    }
    instead
}

fn checked_port(reader: &mut Reader<'_>, number: i64, at: Range<usize>) -> Option<u16> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Some(port),
        _ => {
            let hint = "ports are 1 to 65535".to_owned();
            reader.error(at, format!("port {number} does not exist"), Some(hint));
            None
        }
    }
}

fn is_variable(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(letter)
}

fn marks(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Marks {
    let Some(table) = reader.table(table, "match") else { return Marks::default() };
    reader.known_keys(table, &MATCH_KEYS, "`[match]`");
    let mut eggs: Vec<Arc<str>> = Vec::new();
    for (egg, span) in reader.strings(table, "eggs") {
        let name = normalise(&egg);
        if name.is_empty() {
            reader.error(span, format!("nothing is left of egg `{egg}` without decoration"), None);
        } else if !eggs.iter().any(|known| **known == *name) {
            eggs.push(name.into());
        }
    }
    let images = images(reader, table);
    let mut shared = Vec::new();
    for (image, span) in images {
        if SHARED_IMAGES.iter().any(|pattern| overlaps(pattern, &image)) {
            let hint = "put it under `[hints]`".to_owned();
            reader.error(
                span,
                format!("image `{image}` is used by many games and proves nothing"),
                Some(hint),
            );
        } else {
            shared.push(image.into());
        }
    }
    let mut startup = Vec::new();
    for (phrase, span) in reader.strings(table, "startup") {
        let words = command_words(&phrase);
        if words.is_empty() {
            reader.error(span, format!("`{phrase}` holds no word"), None);
        } else {
            startup.push(words);
        }
    }
    Marks { eggs, images: shared, startup, variables: variables(reader, table) }
}

fn hints(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Hints {
    let Some(table) = reader.table(table, "hints") else { return Hints::default() };
    reader.known_keys(table, &HINT_KEYS, "`[hints]`");
    let images = images(reader, table).into_iter().map(|(image, _)| image.into()).collect();
    let variables = variables(reader, table);
    let features = reader.strings(table, "features").into_iter().map(|(text, _)| text.into()).collect();
    Hints { images, variables, features }
}

fn images(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Vec<At<String>> {
    let mut images = Vec::new();
    for (image, span) in reader.strings(table, "images") {
        if image.contains('/') {
            let hint = "owners change; write the last path part, as in `games:rust`".to_owned();
            reader.error(span, format!("`{image}` is a whole path"), Some(hint));
        } else if image.trim_end_matches('*').is_empty() || image.matches('*').count() > 1 {
            reader.error(span, format!("`{image}` fits anything"), None);
        } else {
            images.push((image.to_lowercase(), span));
        }
    }
    images
}

/// Whether two image patterns can fit the same image.
fn overlaps(a: &str, b: &str) -> bool {
    match (a.strip_suffix('*'), b.strip_suffix('*')) {
        (Some(a), Some(b)) => a.starts_with(b) || b.starts_with(a),
        (Some(a), None) => b.starts_with(a),
        (None, Some(b)) => a.starts_with(b),
        (None, None) => a == b,
    }
}

/// `NAME` or `NAME=value`.
fn variables(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Vec<Variable> {
    let mut variables = Vec::new();
    for (text, span) in reader.strings(table, "variables") {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().into())),
            None => (text.as_str(), None),
        };
        if is_variable(name) {
            variables.push(Variable { name: name.into(), value });
        } else {
            let hint = "write `NAME` or `NAME=value`".to_owned();
            reader.error(span, format!("`{text}` is no container variable"), Some(hint));
        }
    }
    variables
}

fn sources(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Vec<Source> {
    let tables = reader.tables(table, "sources");
    if tables.is_empty() && !table.contains_key("sources") {
        let hint = "add `[[sources]]` with `url` and `says`".to_owned();
        reader.warning(0..0, "nothing backs the numbers of this game", Some(hint));
    }
    let mut sources = Vec::new();
    for (table, span) in tables {
        reader.known_keys(table, &SOURCE_KEYS, "`[[sources]]`");
        let url = reader.string(table, "url");
        let says = reader.string(table, "says");
        if url.is_none() {
            missing(reader, table, "url", &span, ());
        }
        if says.is_none() {
            missing(reader, table, "says", &span, ());
        }
        if let (Some((url, _)), Some((says, _))) = (url, says) {
            sources.push(Source { url: url.into(), says: says.into() });
        }
    }
    sources
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
