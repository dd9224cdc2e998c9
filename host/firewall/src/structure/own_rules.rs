//! Sets that come and go with rules of their own, because nft takes their numbers and matches from the rule only:
//! shapes, second tries, bucket limits, networks that people blocked.
//!
//! The name of such a set says what its rules are (a shape's name only which shape it was), so that a restart can
//! take it over.

use std::collections::HashMap;
use std::fmt::Write as _;

use ftagent_core::effect::Grain;
use ftagent_core::manifest::Shape;

use super::TABLE;
use super::Words;
use super::words;
use crate::key::Family;
use crate::limits;
use crate::set::Kind;
use crate::set::Rate;
use crate::set::SetId;
use crate::set::Tries;
use crate::shape;
use crate::shape::ShapeId;

/// The chains that hold such rules, without the digit of their family.
pub const CHAINS: [&str; 4] = ["manual", "shapes", "tries", "buckets"];

/// The chain of a kind of set.
pub fn chain(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Manual(_) => Some("manual"),
        Kind::Shape(_) | Kind::Trial(_) => Some("shapes"),
        Kind::SecondTry(_) => Some("tries"),
        Kind::Bucket(..) => Some("buckets"),
        _ => None,
    }
}

/// Whether the rules of a set can be written: an earlier run's shape is known by its name only.
pub fn is_known(set: SetId, shapes: &HashMap<ShapeId, Shape>) -> bool {
    match set.kind {
        Kind::Shape(id) | Kind::Trial(id) => shapes.contains_key(&id),
        _ => true,
    }
}

/// The script that makes a set and its rules, which must not be there yet.
pub fn add_script(set: SetId, shapes: &HashMap<ShapeId, Shape>) -> String {
    let mut out = String::new();
    let words = words(set.family);
    let (name, service) = (set.name(), words.service());
    let key = words.service_type();
    let (digit, services) = (words.digit, limits::SERVICES_MAX);
    let mut add = |text: String| {
        let _ = writeln!(out, "add {text}");
    };
    let timed = |kind: &str, of: &str, size: usize| {
        format!("{kind} inet {TABLE} {name} {{ type {of}; flags timeout; size {size}; }}")
    };
    let texts = |id: &ShapeId| {
        shapes.get(id).and_then(|shape| shape::matches(shape, set.family).ok()).unwrap_or_default()
    };
    match set.kind {
        Kind::Manual(bits) => {
            add(timed("set", words.address, limits::MANUAL_MAX));
            let mask = ipnet::IpNet::new(words.any, bits).map(|network| network.netmask());
            let Ok(mask) = mask else { return out };
            let source = format!("{} saddr & {mask}", words.ip);
            add(format!("rule inet {TABLE} manual{digit} {source} @{name} goto hit_manual{digit}"));
        }
        Kind::Shape(id) => {
            add(timed("set", &key, services));
            for text in texts(&id) {
                add(format!(
                    "rule inet {TABLE} shapes{digit} {service} @{name} {text} goto hit_shape{digit}"
                ));
            }
        }
        Kind::Trial(id) => {
            add(timed("map", &format!("{key} : counter"), services));
            for text in texts(&id) {
                add(format!("rule inet {TABLE} shapes{digit} {text} counter name {service} map @{name}"));
            }
        }
        Kind::SecondTry(tries) => {
            add(timed("set", &key, services));
            second_try(&mut add, &words, &name, tries);
        }
        Kind::Bucket(grain, Rate { per_second, burst }) => {
            add(timed("set", &key, limits::BUCKET_SERVICES_MAX));
            let size = limits::BUCKETS * limits::BUCKET_SERVICES_MAX;
            // The type of a mark is that of a hash; with `typeof jhash` nft 1.0.6 crashes when it lists the set.
            let buckets = buckets_name(set);
            add(format!(
                "set inet {TABLE} {buckets} {{ type mark . {key}; flags dynamic,timeout; size {size}; }}"
            ));
            let hashed = if grain == Grain::Source { words.hashed } else { words.hashed_network };
            let bucket = format!("{hashed} mod {} . {service}", limits::BUCKETS);
            let life_ms = limits::BUCKET_MS;
            let over = format!("limit rate over {per_second}/second burst {burst} packets");
            add(format!(
                "rule inet {TABLE} buckets{digit} {service} @{name} update @{buckets} {{ {bucket} \
                 timeout {life_ms}ms {over} }} goto hit_bucket{digit}"
            ));
        }
        _ => (),
    }
    out
}

/// A chain of its own: what has tried passes, what is too fresh and what is new is dropped. Where the sets are full
/// the rule ends there and the packet goes on to the next measure.
fn second_try(add: &mut dyn FnMut(String), words: &Words, name: &str, tries: Tries) {
    let Tries { after_ms, within_ms } = tries;
    let (digit, service) = (words.digit, words.service());
    let flow = format!("{} saddr . th sport . {service}", words.ip);
    add(format!("chain inet {TABLE} {name}"));
    let mut rule = |text: String| add(format!("rule inet {TABLE} {name} {text}"));
    rule("tcp flags & (syn | ack) != syn return".to_owned());
    rule(format!("{flow} @young{digit} goto hit_second_try{digit}"));
    let again = format!("update @tried{digit} {{ {flow} timeout {within_ms}ms }}");
    rule(format!("{flow} @tried{digit} {again} return"));
    let first = format!(
        "add @tried{digit} {{ {flow} timeout {within_ms}ms }} add @young{digit} {{ {flow} timeout {after_ms}ms }}"
    );
    rule(format!("{first} goto hit_second_try{digit}"));
    add(format!("rule inet {TABLE} tries{digit} {service} @{name} goto {name}"));
}

fn buckets_name(set: SetId) -> String {
    set.name().replacen("bucket_", "buckets_", 1)
}

/// The script that empties the chains `emptied` of both families, takes away the sets `gone`, and writes the rules of
/// those that `stay`.
pub fn rewrite_script(
    emptied: &[&str],
    gone: &[SetId],
    stay: &[SetId],
    shapes: &HashMap<ShapeId, Shape>,
) -> String {
    let mut out = String::new();
    for name in emptied {
        for digit in Family::BOTH.map(Family::digit) {
            let _ = writeln!(out, "flush chain inet {TABLE} {name}{digit}");
        }
    }
    let concerned = |set: &&SetId| chain(set.kind).is_some_and(|chain| emptied.contains(&chain));
    for set in gone.iter().chain(stay).filter(concerned) {
        if matches!(set.kind, Kind::SecondTry(_)) {
            let name = set.name();
            let _ = writeln!(out, "add chain inet {TABLE} {name}\nflush chain inet {TABLE} {name}");
        }
    }
    for set in gone.iter().filter(concerned) {
        let name = set.name();
        let what = if matches!(set.kind, Kind::Trial(_)) { "map" } else { "set" };
        let _ = writeln!(out, "delete {what} inet {TABLE} {name}");
        match set.kind {
            Kind::SecondTry(_) => {
                let _ = writeln!(out, "delete chain inet {TABLE} {name}");
            }
            Kind::Bucket(..) => {
                let _ = writeln!(out, "delete set inet {TABLE} {}", buckets_name(*set));
            }
            _ => (),
        }
    }
    for set in stay.iter().filter(concerned) {
        out += &add_script(*set, shapes);
    }
    out
}
