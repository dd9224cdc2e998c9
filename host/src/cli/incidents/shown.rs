//! Incidents as people read them.

use ftagent_api::views::IncidentState;
use ftagent_api::views::IncidentView;
use ftagent_api::views::MeasureTakenView;

use super::super::print;
use super::super::print::count;

/// Columns of a curve; a longer one is cut into as many parts, each as high as its highest second.
const CURVE_COLUMNS: usize = 72;

/// One line an incident.
pub(super) fn table(incidents: &[IncidentView]) -> String {
    if incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let heading =
        ["ID", "BEGAN", "LASTED", "SERVER", "TARGET", "VECTOR", "PEAK", "DROPPED", "PLAYERS", "STATE"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for incident in incidents {
        rows.push(vec![
            incident.id.to_string(),
            print::utc(incident.began_unix_ms),
            print::lasted(incident.lasted_ms),
            incident.server.clone(),
            incident.target.clone(),
            vector(incident),
            format!("{}/s", count(incident.peak_packets_per_second)),
            count(incident.dropped_packets()),
            format!("{} -> {}", incident.players_before, incident.players),
            incident.state.to_string(),
        ]);
    }
    print::table(&rows)
}

/// The largest vector, and how many more there are.
pub(crate) fn vector(incident: &IncidentView) -> String {
    match incident.vectors.as_slice() {
        [] if incident.family.is_empty() || incident.family == "unknown" => incident.reason.clone(),
        [] => incident.family.clone(),
        [only] => only.vector.clone(),
        [first, more @ ..] => format!("{} +{}", first.vector, more.len()),
    }
}

/// Everything known of one.
pub(super) fn one(incident: &IncidentView) -> String {
    let mut text = format!(
        "incident {}: {} ({}, {} severity, {} % sure)\n",
        incident.id, incident.target, incident.state, incident.severity, incident.confidence_percent
    );
    let mut line = |name: &str, says: String| text += &format!("{name:<11} {says}\n");
    line("says", incident.says.clone());
    line("server", format!("{} ({})", incident.server, incident.game));
    let end = match (incident.ended_unix_ms, incident.state) {
        (Some(end), _) => format!("to {}", print::utc(end)),
        (None, IncidentState::Interrupted) => "until the agent ended; how it went on nobody saw".to_owned(),
        (None, _) => "and goes on".to_owned(),
    };
    let pulses = match incident.pulses {
        0 => String::new(),
        pulses => format!(", fell silent {pulses} times and came back"),
    };
    let lasted = print::lasted(incident.lasted_ms);
    line("time", format!("{} {end}, {lasted}{pulses}", print::utc(incident.began_unix_ms)));
    line("opened by", incident.reason.clone());
    if !incident.also.is_empty() {
        line("also at", incident.also.join(", "));
    }
    for (at, vector) in incident.vectors.iter().enumerate() {
        let name = if at == 0 { "vectors" } else { "" };
        line(name, format!("{:>3} % {}: {}", vector.share_percent, vector.vector, vector.evidence));
    }
    line("rate", rate(incident));
    line(
        "came in",
        format!("{} packets, {}", count(incident.seen_packets), print::bytes(incident.seen_bytes)),
    );
    line(
        "dropped",
        format!(
            "{} in DOCKER-USER, {} early at prerouting",
            count(incident.dropped_docker_user_packets),
            count(incident.dropped_early_packets)
        ),
    );
    line("sources", sources(incident));
    line(
        "players",
        format!(
            "{} before, {} now; {} joined meanwhile",
            incident.players_before, incident.players, incident.joined
        ),
    );
    if let Some(says) = &incident.beyond_this_node {
        line("provider", says.clone());
    }
    if !incident.packets_per_second_by_second.is_empty() {
        text += &format!("\n{}\n", curve(&incident.packets_per_second_by_second));
    }
    if !incident.measures.is_empty() {
        text += "\nmeasures\n";
        incident.measures.iter().for_each(|measure| text += &measure_line(incident, measure));
    }
    if !incident.top_sources.is_empty() {
        text += "\nwho sent most (estimated from samples)\n";
        for top in &incident.top_sources {
            let proven = if top.proven { "proven" } else { "perhaps forged" };
            text += &format!("  {:>12}  {} ({proven})\n", count(top.packets_estimated), top.source);
        }
    }
    text
}

fn rate(incident: &IncidentView) -> String {
    format!(
        "at most {} packets/s and {}; normal here are {} packets/s",
        count(incident.peak_packets_per_second),
        print::bits_per_second(incident.peak_bits_per_second),
        count(incident.normal_packets_per_second)
    )
}

fn sources(incident: &IncidentView) -> String {
    let forged = if incident.looks_forged { "; most look forged" } else { "" };
    format!("about {}{forged}", count(incident.sources_estimated))
}

fn measure_line(incident: &IncidentView, measure: &MeasureTakenView) -> String {
    let after = |at: u64| print::lasted(at.saturating_sub(incident.began_unix_ms));
    let until =
        measure.until_unix_ms.map_or("in force".to_owned(), |at| format!("taken back after {}", after(at)));
    let mut text = format!(
        "  {} after {}, {until}: {}\n",
        measure.measure,
        after(measure.since_unix_ms),
        measure.reason
    );
    for because in &measure.because {
        text += &format!("    {because}\n");
    }
    text
}

/// Packets a second as a line of blocks, the highest of them full.
fn curve(by_second: &[u32]) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let seconds_each = by_second.len().div_ceil(CURVE_COLUMNS).max(1);
    let parts: Vec<u32> =
        by_second.chunks(seconds_each).map(|part| part.iter().copied().max().unwrap_or(0)).collect();
    let highest = parts.iter().copied().max().unwrap_or(0).max(1);
    // Anything above nothing is seen.
    let block = |part: &u32| BLOCKS[(u64::from(*part) * 8).div_ceil(u64::from(highest)) as usize];
    let line: String = parts.iter().map(block).collect();
    format!("{line}| {seconds_each} s each, █ = {} packets/s", count(u64::from(highest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_second_is_full_and_none_is_lost() {
        for (by_second, line) in
            [(&[0u32, 1, 4, 8][..], " ▁▄█|"), (&[0, 0], "  |"), (&[5], "█|"), (&[u32::MAX, 1], "█▁|")]
        {
            assert!(curve(by_second).starts_with(line), "{}", curve(by_second));
        }
        let mut long = vec![1; 1_000];
        long[999] = 900;
        let shown = curve(&long);
        assert!(shown.contains("█|") && shown.contains("14 s each") && shown.contains("900"), "{shown}");
    }
}
