//! ftagent itself, in the node of a lab, and what it says. All knowledge of its command line is in this file.

use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;
use serde_json::Value;

use crate::Docker;
use crate::Lab;
use crate::Player;
use crate::clock;
use crate::command;
use crate::player::Event;

/// How long it may take from its start until it knows all servers.
const READY: Duration = Duration::from_secs(20);
/// How long it may take to take its rules out and end.
const ENDING: Duration = Duration::from_secs(10);

/// How to start it.
#[derive(Clone, Debug)]
pub struct Start {
    /// The program, `.../ftagent`.
    pub program: PathBuf,
    /// Arguments of `run`.
    pub arguments: Vec<String>,
    /// The name of its folder in the lab's: a new one is a first start.
    pub folder: String,
}

/// The running program; killed when dropped.
#[derive(Debug)]
pub struct Agent {
    process: Child,
    log: PathBuf,
    places: Places,
    /// `ftagent events`: a client like any other, as far as listening goes.
    events: Option<Player>,
}

/// Where a running one is found.
#[derive(Clone, Debug)]
struct Places {
    lab: Lab,
    program: PathBuf,
    dir: PathBuf,
    docker_socket: PathBuf,
}

impl Agent {
    /// Starts it in the node of the daemon's lab and waits until it knows so many services of each of these games.
    pub fn start(docker: &Docker, start: &Start, games: &[(&str, usize)]) -> anyhow::Result<Self> {
        let lab = docker.lab();
        let log = lab.dir().join(format!("{}.log", start.folder));
        let file =
            File::options().create(true).append(true).open(&log).context("cannot write ftagent's log")?;
        let errors = file.try_clone().context("cannot write ftagent's log")?;
        let places = Places {
            lab: lab.clone(),
            program: start.program.clone(),
            dir: lab.dir().join(&start.folder),
            docker_socket: docker.socket(),
        };
        let mut run = places.command(&["run"]);
        let run = run.args(&start.arguments).stdin(Stdio::null()).stdout(file).stderr(errors);
        let process = run.spawn().context("cannot start ftagent")?;
        let mut agent = Self { process, log, places, events: None };
        agent.wait_until_it_knows(games)?;
        agent.events = Some(Player::start("ftagent events", agent.places.command(&["events"]))?);
        Ok(agent)
    }

    /// Waits until it knows so many services of each of these games.
    pub fn wait_until_it_knows(&mut self, games: &[(&str, usize)]) -> anyhow::Result<()> {
        let ready = clock::wait_for(READY, || {
            if matches!(self.process.try_wait(), Ok(Some(_)) | Err(_)) {
                return Some(false);
            }
            let text = self.status().ok()?.to_string();
            let knows =
                |&(game, count): &(&str, usize)| text.matches(&format!("\"{game}\"")).count() >= count;
            games.iter().all(knows).then_some(true)
        });
        if ready != Some(true) {
            let (said, status) = (self.log_tail().join("\n"), self.status().unwrap_or_default());
            bail!("ftagent does not know its servers after {READY:?}\n{said}\n{status}");
        }
        Ok(())
    }

    /// Its number as a process. `nsenter` becomes the program that it starts, so it is the agent's own.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `ftagent status --json`.
    pub fn status(&self) -> anyhow::Result<Value> {
        let text = command::output(&mut self.places.command(&["status", "--json"]))?;
        serde_json::from_str(&text).context("ftagent's status is no JSON")
    }

    /// Runs a command of it beside the running one and returns what it prints.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        command::output(&mut self.places.command(arguments))
    }

    /// Whether it has said so since.
    #[must_use]
    pub fn said(&self, what: &str, since_ms: u64) -> bool {
        self.of(what).iter().any(|event| event.at_ms >= since_ms)
    }

    /// What it has said of one kind, with the times that it gives itself.
    #[must_use]
    pub fn of(&self, what: &str) -> Vec<Event> {
        let events = self.events.iter().flat_map(Player::events).filter(|event| event.said["what"] == what);
        events
            .map(|event| Event { at_ms: event.said["at_ms"].as_u64().unwrap_or(event.at_ms), ..event })
            .collect()
    }

    /// Incidents that are open.
    #[must_use]
    pub fn open_incidents(&self) -> usize {
        self.of("incident-opened").len().saturating_sub(self.of("incident-closed").len())
    }

    /// Time of processors that it has used, in milliseconds, read from `/proc`; a tick of the kernel is 10 ms.
    #[must_use]
    pub fn processor_ms(&self) -> u64 {
        clock::processor_ms(self.pid())
    }

    /// Memory that it holds now and the most that it ever held, in KiB, read from `/proc`.
    #[must_use]
    pub fn memory_kib(&self) -> (u64, u64) {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
            line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// How many services it watches.
    pub fn services(&self) -> anyhow::Result<u64> {
        let text = self.run(&["services", "--json"])?;
        let said: Value = serde_json::from_str(&text).context("ftagent's services are no JSON")?;
        Ok(said["services"].as_array().map_or(0, Vec::len) as u64)
    }

    /// The incidents that it opened since, each in its own sentence.
    #[must_use]
    pub fn incidents_since(&self, since_ms: u64) -> Vec<String> {
        let opened = self.of("incident-opened").into_iter().filter(|event| event.at_ms >= since_ms);
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        opened
            .map(|Event { said, .. }| {
                let [service, reason] = ["service", "reason"].map(|name| text(&said[name]));
                format!("{service} ({reason}): {}", text(&said["incident"]["says"]))
            })
            .collect()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[lines.len().saturating_sub(20)..].to_vec()
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Ends it as an operator does and waits until its rules are out.
    pub fn end(mut self) -> anyhow::Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid()).context("no number of a process")?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).context("cannot end ftagent")?;
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

impl Places {
    /// `ftagent` in the node's network, with all its places in the lab's folder.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.node().command(&self.program.display().to_string());
        command.arg("--runtime-dir").arg(self.dir.join("run"));
        command.arg("--state-dir").arg(self.dir.join("state"));
        command.arg("--docker-socket").arg(&self.docker_socket);
        command.args(arguments);
        command
    }
}
