//! Whether the demo showed what it claims. Every check can fail, and each part of ftagent is needed by one of them.

use super::agent::Agent;
use super::report::Check;
use super::report::Report;
use super::waves::Outcome;

/// Echoes of players that may be lost, in percent.
const LOST_MAX_PERCENT: u64 = 2;
/// What may still reach the containers once the defence has reacted, in percent of what is sent.
const REACHED_MAX_PERCENT: u64 = 5;
/// What must reach them while nobody defends, so that the attack is one.
const REACHED_MIN_PERCENT: u64 = 50;

impl Report {
    /// Fills in the checks and whether all of them hold.
    pub(crate) fn judge(&mut self, agent: &Agent, over_ms: u64) {
        let mut checks = Vec::new();
        for outcome in &self.undefended {
            let reached = outcome.reached_packets * 100 / outcome.sent_packets.max(1);
            let says = format!("undefended, {}: the flood reaches the servers", outcome.wave);
            checks.push(check(says, reached >= REACHED_MIN_PERCENT, format!("{reached} % of it")));
        }
        let opinions = agent.of("first-hostile");
        let from_plugin = |reason: &str| !reason.is_empty() && !reason.starts_with("host/");
        let opinion =
            opinions.iter().filter_map(|event| event.said["reason"].as_str()).find(|r| from_plugin(r));
        checks.push(check(
            "a plugin called the attack hostile".to_owned(),
            opinion.is_some(),
            opinion.unwrap_or("no opinion of a plugin").to_owned(),
        ));
        for outcome in &self.defended {
            defended(outcome, &mut checks);
        }
        let drops = |name: &str| self.defended.iter().find(|outcome| outcome.wave == name);
        let docker_user = drops("below").map_or(0, |outcome| outcome.docker_user_dropped);
        let says = "below the early-drop rate the rule in DOCKER-USER drops".to_owned();
        checks.push(check(says, docker_user > 0, format!("{docker_user} packets")));
        let early = drops("above").map_or(0, |outcome| outcome.early_dropped);
        let says = "above it the early hook drops".to_owned();
        checks.push(check(says, early > 0, format!("{early} packets")));
        let ends = agent.said("incident-closed", over_ms);
        let says = "the defence ends with the attack".to_owned();
        checks.push(check(says, ends, if ends { "it said so" } else { "it did not say so" }.to_owned()));
        self.passed = checks.iter().all(|check| check.holds);
        if !self.passed {
            self.log = agent.log_tail();
        }
        self.checks = checks;
    }
}

fn defended(outcome: &Outcome, checks: &mut Vec<Check>) {
    let wave = outcome.wave;
    let allowed = outcome.sent_per_second * REACHED_MAX_PERCENT / 100;
    let later = outcome.reached_per_second_later;
    checks.push(check(
        format!("defended, {wave}: the flood is stopped"),
        later <= allowed,
        format!("{later}/s of {}/s still reach the servers", outcome.sent_per_second),
    ));
    for (who, health) in [("the players", &outcome.players), ("the neighbour's players", &outcome.neighbours)]
    {
        let allowed = health.asked() * LOST_MAX_PERCENT / 100;
        let unharmed = health.disconnected == 0 && health.echoes > 0 && health.lost <= allowed;
        checks.push(check(
            format!("defended, {wave}: {who} play on"),
            unharmed,
            format!(
                "{} of {} echoes lost, {} disconnected",
                health.lost,
                health.asked(),
                health.disconnected
            ),
        ));
    }
}

fn check(says: String, holds: bool, because: String) -> Check {
    Check { says, holds, because }
}
