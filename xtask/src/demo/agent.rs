//! ftagent itself, in the node of the lab, and what it says. All knowledge of its command line is in this file.

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use ftagent_lab::Player;
use ftagent_lab::clock;
use ftagent_lab::player::Event;

use super::Part;
use super::report::Moment;
use super::stage::Stage;
use super::waves::Outcome;
use crate::cargo;

/// How long it may take from its start until it knows all servers.
const READY: Duration = Duration::from_secs(20);
/// How long it may take to take its rules out and end.
const ENDING: Duration = Duration::from_secs(10);

/// The running program; killed when dropped.
pub(crate) struct Agent {
    process: Child,
    log: PathBuf,
    /// `ftagent events`: a client like any other, as far as listening goes.
    events: Option<Player>,
}

impl Agent {
    /// Starts it in the node and waits until it knows the servers and their games.
    pub(crate) fn start(stage: &Stage, without: Option<Part>) -> anyhow::Result<Self> {
        let log = stage.lab.dir().join("ftagent.log");
        let file = File::create(&log).context("cannot write ftagent's log")?;
        let errors = file.try_clone().context("cannot write ftagent's log")?;
        let mut run = command(stage, &["run", "--enforce"]);
        if let Some(part) = without {
            run.args(["--test-without", part.name()]);
        }
        let run = run.stdin(Stdio::null()).stdout(file).stderr(errors);
        let process = run.spawn().context("cannot start ftagent")?;
        let mut agent = Self { process, log, events: None };
        agent.wait_until_it_knows(stage)?;
        agent.events = Some(Player::start("ftagent events", command(stage, &["events"]))?);
        Ok(agent)
    }

    /// Waits until it knows all servers of the stage and their games.
    pub(crate) fn wait_until_it_knows(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let status = || {
            let output = command(stage, &["status", "--json"]).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let ready = clock::wait_for(READY, || {
            if matches!(self.process.try_wait(), Ok(Some(_)) | Err(_)) {
                return Some(false);
            }
            let text = status()?;
            let knows = |count: usize, game: &str| text.matches(game).count() >= count;
            (knows(2, "\"minecraft-java\"") && knows(1, "\"minecraft-bedrock\"")).then_some(true)
        });
        if ready != Some(true) {
            let (said, status) = (self.log_tail().join("\n"), status().unwrap_or_default());
            bail!("ftagent does not know its servers after {READY:?}\n{said}\n{status}");
        }
        Ok(())
    }

    /// Whether it has said so since.
    pub(crate) fn said(&self, what: &str, since_ms: u64) -> bool {
        self.of(what).iter().any(|event| event.at_ms >= since_ms)
    }

    /// What it has said of one kind, with the times that it gives itself.
    pub(crate) fn of(&self, what: &str) -> Vec<Event> {
        let events = self.events.iter().flat_map(Player::events).filter(|event| event.said["what"] == what);
        events
            .map(|event| Event { at_ms: event.said["at_ms"].as_u64().unwrap_or(event.at_ms), ..event })
            .collect()
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

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[lines.len().saturating_sub(20)..].to_vec()
    }

    /// Ends it as an operator does and waits until its rules are out.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        let pid = self.process.id().to_string();
        cargo::run(Command::new("kill").args(["-TERM", &pid]))?;
        let ended = clock::wait_for(ENDING, || self.process.try_wait().ok().flatten());
        if ended.is_none() {
            bail!("ftagent does not end within {ENDING:?} of SIGTERM\n{}", self.log_tail().join("\n"));
        }
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `ftagent` in the node's network, with all its places in the lab's folder.
fn command(stage: &Stage, arguments: &[&str]) -> Command {
    let dir = stage.lab.dir().join("ftagent");
    let program = cargo::target_dir().join("release/ftagent");
    let mut command = stage.lab.node().command(&program.display().to_string());
    command.arg("--runtime-dir").arg(dir.join("run"));
    command.arg("--state-dir").arg(dir.join("state"));
    command.arg("--docker-socket").arg(stage.docker.socket());
    command.args(arguments);
    command
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
