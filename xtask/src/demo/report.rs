//! What the demo prints: a timeline, a table and the checks; with `--json` the same as data.

use super::Part;
use super::waves::Outcome;

/// Something that happened.
#[derive(serde::Serialize)]
pub(crate) struct Moment {
    pub(crate) at_ms: u64,
    pub(crate) text: String,
}

/// Something that must hold.
#[derive(serde::Serialize)]
pub(crate) struct Check {
    pub(crate) says: String,
    pub(crate) holds: bool,
    pub(crate) because: String,
}

/// Everything.
#[derive(serde::Serialize)]
pub(crate) struct Report {
    schema: u32,
    pub(crate) without: Option<Part>,
    pub(crate) timeline: Vec<Moment>,
    pub(crate) undefended: Vec<Outcome>,
    pub(crate) defended: Vec<Outcome>,
    pub(crate) checks: Vec<Check>,
    pub(crate) passed: bool,
    /// The end of ftagent's log, if a check failed.
    pub(crate) log: Vec<String>,
}

impl Report {
    pub(crate) fn new(without: Option<Part>) -> Self {
        Self {
            schema: 1,
            without,
            timeline: Vec::new(),
            undefended: Vec::new(),
            defended: Vec::new(),
            checks: Vec::new(),
            passed: false,
            log: Vec::new(),
        }
    }

    /// Prints it for a person.
    pub(crate) fn print(&self) {
        println!("\nTimeline (seconds from the start of the first defended attack)");
        let start = self.defended.first().map_or(0, |outcome| outcome.began_ms);
        for moment in &self.timeline {
            let seconds = (moment.at_ms as f64 - start as f64) / 1_000.0;
            println!("{seconds:+8.2}  {}", moment.text);
        }
        println!(
            "\n{:<22}{:>10}{:>12}{:>13}{:>10}{:>14}{:>12}",
            "", "sent/s", "reached/s", "DOCKER-USER", "early", "echoes lost", "slowest"
        );
        for (name, outcomes) in [("undefended", &self.undefended), ("defended", &self.defended)] {
            for outcome in outcomes {
                println!("{}", row(name, outcome));
            }
        }
        println!(
            "\nreached: attackers' packets counted inside the containers (defended: after 3 s of reaction)\n"
        );
        for check in &self.checks {
            println!("{} {}: {}", if check.holds { "  ok  " } else { "FAILED" }, check.says, check.because);
        }
        if !self.log.is_empty() {
            println!("\nThe end of ftagent's log:\n{}", self.log.join("\n"));
        }
        println!();
    }
}

fn row(name: &str, outcome: &Outcome) -> String {
    let seconds = ((outcome.ended_ms - outcome.began_ms) / 1_000).max(1);
    let reached = match name {
        "defended" => outcome.reached_per_second_later,
        _ => outcome.reached_packets / seconds,
    };
    format!(
        "{:<22}{:>10}{:>12}{:>13}{:>10}{:>14}{:>12}",
        format!("{name}, {}", outcome.wave),
        outcome.sent_per_second,
        reached,
        outcome.docker_user_dropped,
        outcome.early_dropped,
        format!("{} of {}", outcome.players.lost, outcome.players.asked()),
        format!("{:.0} ms", outcome.players.latency_p95_ms)
    )
}
