//! From an incident of the engine to the form that people, programs and the log read: wall-clock times for
//! monotonic ones.

use ftagent_api::views::IncidentState;
use ftagent_api::views::IncidentView;
use ftagent_api::views::MeasureTakenView;
use ftagent_api::views::TopSourceView;
use ftagent_api::views::VectorView;
use ftagent_core::incident::Incident;
use ftagent_core::time::Instant;
use serde::Serialize;

/// The moment in milliseconds since 1970 at which `at` was, where `now` is the same moment as `now_unix_ms`.
pub(super) fn unix_ms(at: Instant, now: Instant, now_unix_ms: u64) -> u64 {
    now_unix_ms.saturating_sub(now.millis_since(at)).saturating_add(at.millis_since(now))
}

/// The incident as it is written. It began at `began_unix_ms`; all its other times are counted from there, so that
/// a wall clock that is set meanwhile does not tear it apart.
pub(super) fn view(incident: &Incident, began_unix_ms: u64) -> IncidentView {
    let at = |at: Instant| began_unix_ms.saturating_add(at.millis_since(incident.opened_at));
    let last = incident.closed_at.unwrap_or(incident.changed_at);
    IncidentView {
        id: incident.id,
        state: if incident.closed_at.is_some() { IncidentState::Closed } else { IncidentState::Open },
        began_unix_ms,
        changed_unix_ms: at(incident.changed_at),
        ended_unix_ms: incident.closed_at.map(at),
        lasted_ms: last.millis_since(incident.opened_at),
        server: incident.server.to_string(),
        game: incident.game.to_string(),
        target: incident.target.to_string(),
        also: incident.also.iter().map(ToString::to_string).collect(),
        family: word(&incident.family),
        vectors: incident
            .vectors
            .iter()
            .map(|vector| VectorView {
                vector: vector.vector.to_string(),
                family: word(&vector.family),
                share_percent: vector.share_percent,
                evidence: vector.evidence.to_string(),
            })
            .collect(),
        severity: word(&incident.severity),
        confidence_percent: incident.confidence,
        says: incident.says.to_string(),
        reason: incident.reason.to_string(),
        pulses: incident.pulses,
        normal_packets_per_second: incident.normal_pps,
        peak_packets_per_second: incident.peak_pps,
        peak_bits_per_second: incident.peak_bps,
        seen_packets: incident.seen.packets,
        seen_bytes: incident.seen.bytes,
        dropped_docker_user_packets: incident.dropped_docker_user.packets,
        dropped_docker_user_bytes: incident.dropped_docker_user.bytes,
        dropped_early_packets: incident.dropped_early.packets,
        dropped_early_bytes: incident.dropped_early.bytes,
        sources_estimated: incident.sources_estimated,
        looks_forged: incident.looks_forged,
        top_sources: top_sources(incident),
        players_before: incident.players_before,
        players: incident.players,
        joined: incident.joined,
        measures: incident
            .measures
            .iter()
            .map(|measure| MeasureTakenView {
                measure: measure.measure.to_string(),
                reason: measure.reason.to_string(),
                since_unix_ms: at(measure.since),
                until_unix_ms: measure.until.map(at),
                because: measure.because.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        packets_per_second_by_second: incident.pps_by_second.clone(),
        beyond_this_node: None,
    }
}

/// Largest first, whatever the order was.
fn top_sources(incident: &Incident) -> Vec<TopSourceView> {
    let mut top: Vec<_> = incident
        .top_sources
        .iter()
        .map(|top| TopSourceView { source: top.source, packets_estimated: top.packets, proven: top.proven })
        .collect();
    top.sort_by_key(|top| std::cmp::Reverse(top.packets_estimated));
    top
}

/// A plain enum as its word in kebab-case.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use ftagent_core::incident::Family;
    use ftagent_core::incident::MeasureTaken;
    use ftagent_core::incident::Severity;
    use ftagent_core::incident::TopSource;

    use super::*;

    #[test]
    fn moments_are_counted_from_now_both_ways() {
        let now = Instant::from_millis(10_000);
        for (at_ms, unix) in [(10_000, 5_000_000), (9_000, 4_999_000), (12_000, 5_002_000)] {
            assert_eq!(unix_ms(Instant::from_millis(at_ms), now, 5_000_000), unix);
        }
    }

    #[test]
    fn times_are_counted_from_the_beginning_and_sources_are_sorted() {
        let top = |last: u8, packets| TopSource {
            source: std::net::IpAddr::from([192, 0, 2, last]),
            packets,
            proven: false,
        };
        let taken = MeasureTaken {
            measure: "shape".into(),
            reason: "host/x".into(),
            since: Instant::from_millis(1_200),
            until: None,
            because: Vec::new(),
        };
        let incident = Incident {
            id: 7,
            opened_at: Instant::from_millis(1_000),
            changed_at: Instant::from_millis(4_000),
            family: Family::MultiVector,
            severity: Severity::High,
            measures: vec![taken],
            top_sources: vec![top(1, 5), top(2, 50)],
            ..Incident::default()
        };
        let open = view(&incident, 1_000_000);
        assert_eq!((open.state, open.lasted_ms, open.ended_unix_ms), (IncidentState::Open, 3_000, None));
        assert_eq!((open.family.as_str(), open.severity.as_str()), ("multi-vector", "high"));
        assert_eq!(open.measures[0].since_unix_ms, 1_000_200);
        let packets: Vec<_> = open.top_sources.iter().map(|top| top.packets_estimated).collect();
        assert_eq!(packets, [50, 5]);
        let closed = view(&Incident { closed_at: Some(Instant::from_millis(9_000)), ..incident }, 1_000_000);
        assert_eq!((closed.state, closed.ended_unix_ms), (IncidentState::Closed, Some(1_008_000)));
    }
}
