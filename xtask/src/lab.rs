//! `cargo xtask lab`: scenarios of attacks and of harmless crowds on real servers in a real Docker, each without ftagent
//! and with it. The scenarios are in `tests/lab/src/scenario/table.rs`.

use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use ftagent_lab::Clients;
use ftagent_lab::scenario;
use ftagent_lab::scenario::Plan;
use ftagent_lab::scenario::Scenario;
use ftagent_lab::scenario::table;

use crate::cargo;
use crate::packages;

/// A flood lasts at least so long: the figures speak of what comes after two seconds.
const SECONDS_MIN: u64 = 3;

/// What to run.
#[derive(clap::Args)]
#[command(after_help = "\
A command of --attack-cmd finds what it may attack in its environment: FTLAB_TARGET, FTLAB_TARGET6 and
FTLAB_NEIGHBOUR (addresses of the node), FTLAB_JAVA_PORT, FTLAB_BEDROCK_PORT, FTLAB_SOURCE_PORT, FTLAB_INTERFACE (where
it sends), FTLAB_BOTS and FTLAB_BOTS6 (ranges whose addresses it may bind), FTLAB_FORGED and FTLAB_FORGED6 (ranges to
forge from), FTLAB_SECONDS (it is killed after these). It sees nothing but the lab.")]
pub(crate) struct Args {
    /// Only these, by name; `--list` names all
    scenario: Vec<String>,
    /// Print the scenarios and end
    #[arg(long)]
    list: bool,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// How long floods last where the scenario does not say
    #[arg(long, default_value_t = 8, value_name = "N")]
    seconds: u64,
    /// Cut the scenarios that last minutes; the table says so
    #[arg(long)]
    fast: bool,
    /// So many more beginnings of each attack, for the figures of the first drop
    #[arg(long, default_value_t = 0, value_name = "N")]
    more_onsets: u64,
    /// Only without ftagent
    #[arg(long, conflicts_with = "defended_only")]
    undefended_only: bool,
    /// Only with it
    #[arg(long)]
    defended_only: bool,
    /// Run this command in the attackers' namespace instead of the floods
    #[arg(long, value_name = "CMD", conflicts_with = "scenario")]
    attack_cmd: Option<String>,
    /// Run even though game containers run on this machine
    #[arg(long)]
    on_this_node: bool,
}

/// Runs the lab.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    // Standard output is for data alone.
    let say = |text: &str| eprintln!("[{:6.1} s] {text}", begun.elapsed().as_secs_f64());
    let scenarios = chosen(&args)?;
    if args.list {
        let alone = table::only_by_name(args.fast);
        let by_name = |name: &str| alone.iter().any(|scenario| scenario.name == name);
        for scenario in &scenarios {
            let only = if by_name(scenario.name) { " (run by name only)" } else { "" };
            println!("{:<26} {}{only}", scenario.name, scenario.says);
        }
        return Ok(());
    }
    if !(SECONDS_MIN..=scenario::COMMAND_SECONDS_MAX).contains(&args.seconds) {
        let most = scenario::COMMAND_SECONDS_MAX;
        bail!("`--seconds {}`: a flood lasts {SECONDS_MIN} to {most} seconds", args.seconds);
    }
    if !packages::is_root() {
        bail!("the lab makes network namespaces: run as root");
    }
    packages::ensure(packages::LAB, args.on_this_node, &mut |text| say(text))?;
    say("build: ftagent");
    cargo::run(&mut cargo::cargo(&["build", "--quiet", "--release", "--workspace", "--bin", "ftagent"]))?;
    say("downloads: real servers and clients, pinned (nothing to do when they are there)");
    let clients = Clients::fetch(&cargo::target_dir())?;
    let plan = Plan {
        program: cargo::target_dir().join("release/ftagent"),
        clients: &clients,
        scenarios,
        lasting: Duration::from_secs(args.seconds),
        undefended_only: args.undefended_only,
        defended_only: args.defended_only,
        more_onsets: args.more_onsets,
        attack_command: args.attack_cmd,
        say: &say,
    };
    let report = scenario::run(&plan)?;
    say("everything is cleaned up");
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.table());
        for row in &report.rows {
            for missed in row.missed() {
                println!("missed: {}: {}: {}", row.name, missed.what, missed.because);
            }
        }
    }
    Ok(())
}

/// The scenarios that were asked for.
fn chosen(args: &Args) -> anyhow::Result<Vec<Scenario>> {
    let alone = table::only_by_name(args.fast);
    let mut all = table::all(args.fast);
    if args.attack_cmd.is_some() {
        return Ok(vec![table::stranger()]);
    }
    if !args.scenario.is_empty() || args.list {
        all.extend(alone);
    }
    let unknown = Scenario::unknown(&all, &args.scenario);
    if !unknown.is_empty() {
        bail!("no scenario is named `{}`; `cargo xtask lab --list` names all", unknown.join("`, `"));
    }
    if !args.scenario.is_empty() {
        all.retain(|scenario| args.scenario.iter().any(|name| name == scenario.name));
    }
    Ok(all)
}
