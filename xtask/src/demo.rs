//! `cargo xtask demo`: the main job on one machine. A node with real game servers in a real Docker is flooded while
//! real clients play, first without ftagent and then with it.
//!
//! What must stay true: every number of the table comes from counters that ftagent does not own (the containers' own
//! networks, the attackers' own books, the clients' own words, `iptables -nvxL`), and a demo from which a part was
//! taken away fails.

mod agent;
mod judge;
mod offline;
mod report;
mod stage;
mod waves;

use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use ftagent_lab::Clients;
use ftagent_lab::clock;

use crate::cargo;
use crate::packages;
use agent::Agent;
use report::Report;
use stage::Stage;
use waves::Wave;

/// What to leave out, and how to print.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take a part of ftagent away; the demo must then fail
    #[arg(long, value_enum)]
    without: Option<Part>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Run even though game containers run on this machine
    #[arg(long)]
    on_this_node: bool,
}

/// A part of ftagent that can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// No plugin judges
    Plugin,
    /// Nothing is dropped in DOCKER-USER
    Jump,
    /// Nothing is dropped early
    Early,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Jump => "jump",
            Self::Early => "early",
        }
    }
}

/// How long players play before anything happens: long enough for ftagent to know them as players.
const CALM: Duration = Duration::from_secs(6);
/// How long after a flood its end is waited for.
const AFTER: Duration = Duration::from_secs(15);

/// Tells what is being done and since when.
pub(crate) struct Progress {
    begun: Instant,
    /// With `--json` standard output is for data alone.
    to_stderr: bool,
}

impl Progress {
    pub(crate) fn say(&self, text: &str) {
        let line = format!("[{:6.1} s] {text}", self.begun.elapsed().as_secs_f64());
        if self.to_stderr { eprintln!("{line}") } else { println!("{line}") }
    }
}

/// Runs the demo.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let progress = Progress { begun: Instant::now(), to_stderr: args.json };
    if !packages::is_root() {
        progress.say("not root: no namespaces can be made here. The replay of a bundled capture instead:");
        return offline::run(args.json);
    }
    progress.say("packages: looking for what is missing");
    packages::ensure(packages::LAB, args.on_this_node, &mut |text| progress.say(text))?;
    progress.say("build: ftagent");
    cargo::run(&mut cargo::cargo(&["build", "--quiet", "--release", "--workspace", "--bin", "ftagent"]))?;
    progress.say("downloads: real servers and clients, pinned (nothing to do when they are there)");
    let clients = Clients::fetch(&cargo::target_dir())?;

    let report = play(&args, &clients, &progress)?;
    progress.say("everything is cleaned up");
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    if !report.passed {
        match args.without {
            Some(part) => bail!("the demo failed, as it must without `{}`", part.name()),
            None => bail!("the demo failed"),
        }
    }
    Ok(())
}

/// Everything that needs the lab; when it returns the lab is gone.
fn play(args: &Args, clients: &Clients, progress: &Progress) -> anyhow::Result<Report> {
    progress.say(
        "lab: namespaces for node, players and attackers; dockerd in the node; two Minecraft Java servers on",
    );
    progress.say(
        "     the same port of two addresses and one of Bedrock, published as Wings does it; players join",
    );
    let mut stage = Stage::new(clients)?;
    let mut report = Report::new(args.without);
    for wave in [Wave::below(), Wave::above()] {
        progress.say(&format!("undefended, {}", wave.says()));
        report.undefended.push(waves::run(&stage, &wave, waves::UNDEFENDED)?);
    }

    progress.say("ftagent run --enforce; the servers are started afresh, it finds them, players join");
    let mut agent = Agent::start(&stage, args.without)?;
    stage.serve(clients)?;
    agent.wait_until_it_knows()?;
    progress.say(&format!("players play for {} s", CALM.as_secs()));
    std::thread::sleep(CALM);
    for wave in [Wave::below(), Wave::above()] {
        progress.say(&format!("defended, {}", wave.says()));
        report.defended.push(waves::run(&stage, &wave, waves::DEFENDED)?);
    }
    progress.say("the attack is over; waiting for its measures to end");
    let over_ms = clock::now_ms();
    clock::wait_for(AFTER, || agent.said("incident-closed", over_ms).then_some(()));
    report.timeline = agent.timeline(&report.defended);
    report.judge(&agent, over_ms);
    agent.end()?;
    Ok(report)
}
