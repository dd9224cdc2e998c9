//! The targets of a scenario, each met or not.

use super::Scenario;
use super::outcome::Outcome;

/// From the first attack packet to the first drop, in microseconds.
const FIRST_DROP_US_MAX: u64 = 300_000;
/// Players' packets that may be lost, in millionths, above the loss of a run without attack.
const LOST_PPM_MAX: u64 = 1_000;
/// Lost packets of so many can be the counters' own error: what real clients had on the way when they were read.
const LOST_ERROR: u64 = 3;
/// The slowest newcomer.
const JOIN_MS_MAX: u64 = 10_000;
/// From the last attack packet to the last incident's end.
const ALL_CLEAR_MS_MAX: u64 = 10_000;
/// Of one processor, in thousandths, at up to 100,000 packets a second.
const PROCESSOR_PERMILLE_MAX: u64 = 300;
/// Of an attack without ftagent, what must reach the containers for it to be one, in thousandths.
const ATTACK_PERMILLE_MIN: u64 = 100;

/// One target.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Check {
    /// What it is about, in one word for the table.
    pub what: &'static str,
    /// Whether it is met.
    pub met: bool,
    /// By which figure.
    pub because: String,
}

/// The targets of a defended run. `calm_ppm` is what a run without attack lost; `is_attack` is false where nothing of it
/// reached a container without ftagent, so that there was nothing to drop.
pub(crate) fn checks(
    scenario: &Scenario,
    outcome: &Outcome,
    calm_ppm: u64,
    is_attack: Option<bool>,
) -> Vec<Check> {
    let mut checks = players(outcome, calm_ppm);
    let mut add = |what, met, because| checks.push(Check { what, met, because });
    if let Some(processor) = outcome.processor_permille {
        let because = format!("{}.{} % of a processor", processor / 10, processor % 10);
        add("processor", processor <= PROCESSOR_PERMILLE_MAX, because);
    }
    if !scenario.monitored.is_empty() {
        let (answered, asked) = (outcome.real.echoes, outcome.real.asked());
        add("answers", answered * 100 >= asked * 99, format!("{answered} of {asked} came back"));
    }
    if scenario.is_calm() {
        let sentences = outcome.incidents_say.join("; ");
        add("incidents", outcome.incidents == 0, format!("{} opened: {sentences}", outcome.incidents));
    }
    if scenario.further > 0 {
        let (dropped, sent) = (outcome.dropped, outcome.genuine_sent());
        add("dropped", dropped * 1_000_000 <= sent * LOST_PPM_MAX, format!("{dropped} of {sent} genuine"));
    }
    let Some(stopped_min) = scenario.stopped_min() else { return checks };
    let first = outcome.first_drop_us;
    let because = first.map_or("nothing was dropped".to_owned(), |us| format!("{} ms", us / 1_000));
    if is_attack != Some(false) || first.is_some() {
        add("first-drop", first.is_some_and(|us| us <= FIRST_DROP_US_MAX), because);
    }
    let reached = outcome.attack_in_containers * 1_000;
    let allowed = outcome.attack_at_node * (1_000 - stopped_min);
    let because = format!(
        "{} of {} reached the containers, {} after two seconds",
        outcome.attack_in_containers, outcome.attack_at_node, outcome.later_in_containers
    );
    add("stopped", reached <= allowed, because);
    let because = match outcome.all_clear_ms {
        Some(ms) => format!("{ms} ms after the end"),
        None if outcome.not_cleared => "still open".to_owned(),
        None => "no incident".to_owned(),
    };
    let cleared = outcome.all_clear_ms.is_some_and(|ms| ms <= ALL_CLEAR_MS_MAX);
    add("all-clear", cleared, because);
    checks
}

/// Those that every scenario has: nobody is hurt.
fn players(outcome: &Outcome, calm_ppm: u64) -> Vec<Check> {
    let lost = outcome.players_lost.saturating_sub(LOST_ERROR);
    let allowed = outcome.players_sent * (LOST_PPM_MAX + calm_ppm) / 1_000_000;
    let joins = &outcome.joins;
    let check = |what, met, because| Check { what, met, because };
    vec![
        check("lost", lost <= allowed, format!("{} of {}", outcome.players_lost, outcome.players_sent)),
        check("disconnected", outcome.disconnected == 0, outcome.disconnected.to_string()),
        check(
            "joins",
            joins.joined == joins.tried && joins.slowest_ms <= JOIN_MS_MAX,
            format!("{} of {}, slowest {} ms", joins.joined, joins.tried, joins.slowest_ms),
        ),
        check("leased", outcome.genuine_leased.is_empty(), outcome.genuine_leased.join(", ")),
    ]
}

/// Whether an attack without ftagent was one.
pub(crate) fn reaches(outcome: &Outcome) -> bool {
    outcome.reached_permille() >= ATTACK_PERMILLE_MIN
}
