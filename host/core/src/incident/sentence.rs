//! One sentence about an incident, for people who were asleep a minute ago.

use super::Family;
use super::Incident;
use super::open::Open;

/// The sentence.
pub(crate) fn of(open: &Open) -> String {
    let record = &open.record;
    let kind = kind(open);
    // Between pulses, and when it is over, the most of it says more than nothing.
    let lately = record.pps_by_second.last().filter(|pps| **pps > 0);
    let rate = grouped(lately.map_or(record.peak_pps, |pps| u64::from(*pps)));
    let mut says = format!("{kind} of {rate} packets/s{} at {}", sources(record), place(record));
    if record.pulses > 0 {
        says.push_str(&format!(", in {} pulses", record.pulses + 1));
    }
    match record.players {
        0 => {}
        1 => says.push_str("; 1 player keeps its lane"),
        players => says.push_str(&format!("; {} players keep their lanes", grouped(u64::from(players)))),
    }
    if let Some(full) = &open.full {
        says.push_str(&format!("; {full}: no rule on this node can help, ask the provider to filter"));
    }
    says
}

fn kind(open: &Open) -> String {
    let record = &open.record;
    let main = open.main().map(|share| &*share.vector);
    match record.family {
        Family::Unknown => "Unknown flood".into(),
        Family::Syn => "SYN flood".into(),
        Family::Tcp => match main {
            Some(name) if name != "tcp-other" => format!("TCP {} flood", name.to_uppercase()),
            _ => "TCP flood".into(),
        },
        Family::Udp => match main {
            Some("udp-random") => "UDP flood with random payload".into(),
            Some("udp-empty") => "Flood of empty UDP packets".into(),
            Some("udp-large") => "UDP flood of large packets".into(),
            Some("fragmented-udp") => "Fragmented UDP flood".into(),
            Some("quic") => "QUIC flood".into(),
            _ => "UDP flood".into(),
        },
        Family::Reflection => match main.and_then(|name| name.strip_suffix("-reflection")) {
            Some(protocol) => format!("{} reflection", protocol.to_uppercase()),
            None => "Reflection".into(),
        },
        Family::Query => "Query flood".into(),
        Family::Join if main == Some("opening-flood") => "Flood of openings".into(),
        Family::Join => "Join flood".into(),
        Family::Play => "Flood of game packets".into(),
        Family::Fragment => "Flood of fragments".into(),
        Family::Icmp => "ICMP flood".into(),
        Family::OtherProtocol => match main {
            Some("gre") => "GRE flood".into(),
            Some("esp") => "IPsec ESP flood".into(),
            _ => format!("Flood of IP protocol {}", open.protocol),
        },
        Family::Carpet => match main {
            Some(name) => format!("Carpet flood ({name})"),
            None => "Carpet flood".into(),
        },
        Family::MultiVector => {
            let names = record.vectors.iter().filter(|share| share.share_percent >= 15);
            let names: Vec<_> =
                names.map(|share| format!("{} {} %", share.vector, share.share_percent)).collect();
            format!("Flood of several vectors ({})", names.join(", "))
        }
    }
}

fn sources(record: &Incident) -> String {
    let forged = if record.looks_forged { "forged " } else { "" };
    match record.sources_estimated {
        0 => String::new(),
        1 => " from one source".into(),
        few @ ..100 => format!(" from {few} {forged}sources"),
        many => format!(" from about {} {forged}sources", grouped(rounded(many))),
    }
}

fn place(record: &Incident) -> String {
    match record.also.len() {
        0 => record.target.to_string(),
        1 => format!("{} and {}", record.target, record.also[0]),
        more => format!("{} and {more} more services", record.target),
    }
}

/// To two digits, as an estimate deserves.
fn rounded(number: u64) -> u64 {
    let step = 10u64.pow(number.max(1).ilog10().saturating_sub(1));
    (number + step / 2) / step * step
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}
