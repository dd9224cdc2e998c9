//! All rows of a run as a table that is Markdown and reads well without it, and as data.

use super::Scenario;
use super::check;
use super::check::Check;
use super::outcome::Outcome;

/// One scenario, without ftagent and with it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// The scenario's name.
    pub name: &'static str,
    /// What it is.
    pub says: &'static str,
    /// What was cut short.
    pub cut: Option<String>,
    /// Without ftagent.
    pub undefended: Option<Outcome>,
    /// With it.
    pub defended: Option<Outcome>,
    /// The targets.
    pub checks: Vec<Check>,
    /// Whether, without ftagent, so much reached the servers that it was an attack.
    pub is_attack: Option<bool>,
    /// First drops of more beginnings of the same attack, in microseconds; 0 where nothing was dropped.
    pub more_first_drops_us: Vec<u64>,
    /// Why it could not be run, or not to its end.
    pub failed: Option<String>,
    #[serde(skip)]
    scenario: Scenario,
}

impl Row {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            name: scenario.name,
            says: scenario.says,
            cut: scenario.cut.clone(),
            undefended: None,
            defended: None,
            checks: Vec::new(),
            is_attack: None,
            more_first_drops_us: Vec::new(),
            failed: None,
            scenario: scenario.clone(),
        }
    }

    /// It could not be run to its end; the others still can.
    pub(crate) fn fails(&mut self, how: &str, error: &anyhow::Error, say: &dyn Fn(&str)) {
        let text = format!("{how}: {error:#}");
        say(&format!("{} failed {text}", self.name));
        self.failed.get_or_insert(text);
    }

    /// The targets that are missed.
    #[must_use]
    pub fn missed(&self) -> Vec<&Check> {
        self.checks.iter().filter(|check| !check.met).collect()
    }
}

/// Everything.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// The form of this report.
    pub schema: u32,
    /// One for each scenario.
    pub rows: Vec<Row>,
    /// First attack packet to first drop over all attacks, in milliseconds: how many, the middle one, the slowest of
    /// a hundred.
    pub first_drops: FirstDrops,
}

/// Over all attacks of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FirstDrops {
    /// Onsets that were answered by a drop.
    pub onsets: u64,
    /// Those of attacks that reach containers and were not.
    pub unanswered: u64,
    /// The middle one, in milliseconds.
    pub p50_ms: u64,
    /// All but one in a hundred are sooner.
    pub p99_ms: u64,
}

impl Report {
    pub(crate) fn new(mut rows: Vec<Row>) -> Self {
        let calm = rows.iter().find(|row| row.name == "calm").and_then(|row| row.defended.as_ref());
        let calm_ppm = calm.map_or(0, Outcome::lost_ppm);
        let (mut drops, mut unanswered): (Vec<u64>, u64) = (Vec::new(), 0);
        for row in &mut rows {
            if row.scenario.stopped_min().is_some() {
                row.is_attack = row.undefended.as_ref().map(check::reaches);
                let first = row.defended.as_ref().map(|outcome| outcome.first_drop_us.unwrap_or(0));
                let onsets = || first.iter().chain(&row.more_first_drops_us);
                drops.extend(onsets().filter(|us| **us > 0));
                if row.is_attack != Some(false) {
                    unanswered += onsets().filter(|us| **us == 0).count() as u64;
                }
            }
            if let Some(outcome) = &row.defended {
                row.checks = check::checks(&row.scenario, outcome, calm_ppm, row.is_attack);
            }
        }
        drops.sort_unstable();
        let at = |percent: usize| {
            let rank = (drops.len() * percent).div_ceil(100).saturating_sub(1);
            drops.get(rank).map_or(0, |us| us / 1_000)
        };
        let first_drops =
            FirstDrops { onsets: drops.len() as u64, unanswered, p50_ms: at(50), p99_ms: at(99) };
        Self { schema: 1, rows, first_drops }
    }

    /// Whether every target of every scenario is met.
    #[must_use]
    pub fn all_met(&self) -> bool {
        self.rows.iter().all(|row| row.missed().is_empty() && row.failed.is_none())
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = "| scenario | attack/s | first drop | reached undefended | reached | after 2 s | players' packets \
                        lost | newcomers' | disconnected | joins | slowest | genuine leased | processor | all-clear | missed |\n\
                        |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
        for row in &self.rows {
            text += &row.line();
        }
        let drops = self.first_drops;
        text += &format!(
            "\nfirst drop over {} onsets: p50 {} ms, p99 {} ms; {} more without a drop\n",
            drops.onsets, drops.p50_ms, drops.p99_ms, drops.unanswered
        );
        for row in &self.rows {
            if let Some(failed) = &row.failed {
                text += &format!("failed: {}: {failed}\n", row.name);
            }
        }
        for row in self.rows.iter().filter(|row| row.scenario.further > 0) {
            let runs = [("undefended", &row.undefended), ("defended", &row.defended)];
            for (how, outcome) in runs.iter().filter_map(|(how, run)| Some((how, run.as_ref()?))) {
                text += &format!("{}, {how}: {}\n", row.name, outcome.calm());
            }
        }
        for row in self.rows.iter().filter(|row| row.cut.is_some()) {
            text += &format!("cut short: {}: {}\n", row.name, row.cut.as_deref().unwrap_or(""));
        }
        text
    }
}

impl Row {
    fn line(&self) -> String {
        let (Some(outcome), undefended) =
            (self.defended.as_ref().or(self.undefended.as_ref()), self.undefended.as_ref())
        else {
            return format!("| {} | not run |\n", self.name);
        };
        let is_attack = self.scenario.stopped_min().is_some();
        let attacked = |text: String| if is_attack { text } else { "-".to_owned() };
        let permille = |value: u64| format!("{}.{} %", value / 10, value % 10);
        let first = outcome.first_drop_us.map_or("none".to_owned(), |us| format!("{} ms", us / 1_000));
        let joins = &outcome.joins;
        let missed: Vec<&str> = self.missed().iter().map(|check| check.what).collect();
        let all_clear = match outcome.all_clear_ms {
            Some(ms) => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
            None if outcome.not_cleared => "not".to_owned(),
            None => "-".to_owned(),
        };
        let cells = [
            self.name.to_owned(),
            outcome.attack_per_second.to_string(),
            attacked(first),
            undefended.map_or("-".to_owned(), |run| attacked(permille(run.reached_permille()))),
            attacked(permille(outcome.reached_permille())),
            attacked(permille(outcome.later_permille())),
            format!("{} of {}", outcome.players_lost, outcome.players_sent),
            format!("{} of {}", outcome.newcomers_lost, outcome.newcomers_sent),
            outcome.disconnected.to_string(),
            format!("{} of {}", joins.joined, joins.tried),
            format!("{} ms", joins.slowest_ms),
            outcome.genuine_leased.len().to_string(),
            outcome.processor_permille.map_or("-".to_owned(), permille),
            all_clear,
            if self.defended.is_some() { missed.join(", ") } else { "not defended".to_owned() },
        ];
        format!("| {} |\n", cells.join(" | "))
    }
}

impl Outcome {
    /// What is to be said of a time without attack.
    fn calm(&self) -> String {
        let processor = self.processor_permille.unwrap_or(0);
        let mut text = format!(
            "{} services, {} s, {} genuine packets, {} incidents opened, {} genuine packets dropped, \
             {} sources leased, {}.{} % of a processor, {} KiB of memory (at most {})",
            self.services,
            self.lasted_ms / 1_000,
            self.genuine_sent(),
            self.incidents,
            self.dropped,
            self.genuine_leased.len(),
            processor / 10,
            processor % 10,
            self.memory_kib,
            self.memory_most_kib
        );
        for says in &self.incidents_say {
            text += &format!("\n  {says}");
        }
        text
    }

    /// One line while it runs.
    pub(crate) fn line(&self) -> String {
        let first = self.first_drop_us.map_or("-".to_owned(), |us| format!("{} ms", us / 1_000));
        format!(
            "{:>6}/s  first drop {first:>7}  reached {:>3}.{} %  lost {} of {} (newcomers {} of {}, {} on the wire)  disconnected {}{}  joined {} of {}  incidents {}",
            self.attack_per_second,
            self.reached_permille() / 10,
            self.reached_permille() % 10,
            self.players_lost,
            self.players_sent,
            self.newcomers_lost,
            self.newcomers_sent,
            self.players_lost_on_wire,
            self.disconnected,
            self.light_disconnected
                .iter()
                .map(|(seat, lost)| format!(" ({lost} at {seat:?})"))
                .collect::<String>(),
            self.joins.joined,
            self.joins.tried,
            self.incidents
        )
    }
}
