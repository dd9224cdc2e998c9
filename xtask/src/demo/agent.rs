//! ftagent as the demo uses it: how it is started, and what it and the counters beside it tell of what happened.

use ftagent_lab::agent;
use ftagent_lab::player::Event;

use super::Part;
use super::report::Moment;
use super::stage::Stage;
use super::waves::Outcome;
use crate::cargo;

/// What the stage serves, as ftagent names it.
const GAMES: &[(&str, usize)] = &[("minecraft-java", 2), ("minecraft-bedrock", 1)];

/// The running program; killed when dropped.
pub(crate) struct Agent {
    inner: agent::Agent,
}

impl Agent {
    /// Starts it in the node and waits until it knows the servers and their games.
    pub(crate) fn start(stage: &Stage, without: Option<Part>) -> anyhow::Result<Self> {
        let mut arguments = vec!["--enforce".to_owned()];
        if let Some(part) = without {
            arguments.extend(["--test-without".to_owned(), part.name().to_owned()]);
        }
        let program = cargo::target_dir().join("release/ftagent");
        let start = agent::Start { program, arguments, folder: "ftagent".to_owned() };
        Ok(Self { inner: agent::Agent::start(&stage.docker, &start, GAMES)? })
    }

    /// Waits until it knows all servers of the stage and their games.
    pub(crate) fn wait_until_it_knows(&mut self) -> anyhow::Result<()> {
        self.inner.wait_until_it_knows(GAMES)
    }

    /// Whether it has said so since.
    pub(crate) fn said(&self, what: &str, since_ms: u64) -> bool {
        self.inner.said(what, since_ms)
    }

    /// What it has said of one kind, with the times that it gives itself.
    pub(crate) fn of(&self, what: &str) -> Vec<Event> {
        self.inner.of(what)
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> Vec<String> {
        self.inner.log_tail()
    }

    /// Ends it as an operator does and waits until its rules are out.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.inner.end()
    }

    /// What happened when: its own words beside the counters that are not its own.
    pub(crate) fn timeline(&self, outcomes: &[Outcome]) -> Vec<Moment> {
        let mut moments = Vec::new();
        for outcome in outcomes {
            let mut note = |at_ms: u64, text: String| moments.push(Moment { at_ms, text });
            note(outcome.began_ms, format!("the attack `{}` starts", outcome.wave));
            if let Some(at_ms) = outcome.docker_user_first_ms {
                note(at_ms, "the counter of the rule in DOCKER-USER has moved".to_owned());
            }
            if let Some(at_ms) = outcome.early_first_ms {
                note(at_ms, "the counter of the early hook has moved".to_owned());
            }
            let players = &outcome.players;
            let text = format!(
                "the attack `{}` stops; players: {} of {} echoes came back, {} disconnected",
                outcome.wave,
                players.echoes,
                players.asked(),
                players.disconnected
            );
            note(outcome.ended_ms, text);
        }
        let words = [
            ("first-hostile", "first hostile opinion"),
            ("incident-opened", "ftagent: an attack begins"),
            ("first-drop", "ftagent: first drop"),
            ("lease", "ftagent: a source is blocked"),
            ("lease-ends", "ftagent: a block ends"),
            ("incident-closed", "ftagent: the attack is over"),
            ("firewall", "ftagent: firewall"),
            ("problem", "ftagent: problem"),
        ];
        for (what, says) in words {
            let events = self.of(what);
            // Sixty bots are blocked one by one; the first and the number say enough.
            let shown = if what.starts_with("lease") { 1 } else { 6 };
            for event in events.iter().take(shown) {
                let more = if shown == 1 { format!(" ({} in all)", events.len()) } else { String::new() };
                moments.push(Moment { at_ms: event.at_ms, text: format!("{says}{}{more}", details(event)) });
            }
        }
        moments.sort_by_key(|moment| moment.at_ms);
        moments
    }
}

/// The parts of an event that a person wants to read.
fn details(event: &Event) -> String {
    let fields =
        ["service", "source", "reason", "hook", "packets_per_second", "dropped", "lasted_ms", "says"];
    let shown = fields.iter().filter_map(|field| match &event.said[field] {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        value => Some(format!("{} {value}", field.replace('_', " "))),
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { String::new() } else { format!(": {}", shown.join(", ")) }
}
