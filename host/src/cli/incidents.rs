//! `ftagent incidents`: from the log on disk, with what a running agent knows of those that go on. Works without one.

mod shown;

use ftagent_api::views::IncidentState;
use ftagent_api::views::IncidentView;
use serde::Serialize;

use super::Places;
use super::print;
use super::print::JsonFlag;
use crate::config;
use crate::exit::Exit;
use crate::exit::Failure;
use crate::exit::Outcome;
use crate::state;

pub(crate) use shown::vector;

/// Incidents listed unless more are asked for.
const LISTED: usize = 20;

/// Which incidents.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// List all that are remembered, not only the last twenty
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    json: JsonFlag,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show everything known of one incident
    Show {
        /// Its number
        id: u64,
        #[command(flatten)]
        json: JsonFlag,
    },
    /// Write the packets that were kept of one, as a file for Wireshark
    Pcap(super::pcap::Args),
}

#[derive(Serialize)]
struct Document {
    schema: u32,
    incidents: Vec<IncidentView>,
    /// Lines of the log that could not be read.
    unreadable_lines: u64,
}

/// Prints the incidents, or one of them.
pub(crate) fn run(places: &Places, args: &Args) -> Outcome {
    if let Some(Command::Pcap(args)) = &args.command {
        return super::pcap::run(places, args);
    }
    let (mut incidents, unreadable_lines) = known(places)?;
    if let Some(Command::Show { id, json }) = &args.command {
        let Some(incident) = incidents.into_iter().find(|incident| incident.id == *id) else {
            let error = anyhow::anyhow!("there is no incident {id}");
            return Err(Failure::new(Exit::Usage, error).hint("`ftagent incidents --all` lists them"));
        };
        return if json.json { print::json(&incident) } else { print::text(&shown::one(&incident)) };
    }
    let more = if args.all { 0 } else { incidents.len().saturating_sub(LISTED) };
    incidents.drain(..more);
    if args.json.json {
        return print::json(&Document { schema: ftagent_api::SCHEMA, incidents, unreadable_lines });
    }
    let mut text = shown::table(&incidents);
    if more > 0 {
        text += &format!("{more} earlier ones: `ftagent incidents --all`\n");
    }
    if unreadable_lines > 0 {
        print::say(&format!("warning: {unreadable_lines} lines of the incident log cannot be read"));
    }
    print::text(&text)
}

/// All incidents by number, and how many lines of the log cannot be read.
fn known(places: &Places) -> Result<(Vec<IncidentView>, u64), Failure> {
    let config = config::load(places)?;
    let past = state::incidents::read(&config.state_dir).map_err(|error| {
        let folder = config.state_dir.display();
        Failure::new(Exit::Environment, anyhow::anyhow!("failed to read the incidents in {folder}: {error}"))
            .hint("run it as root")
    })?;
    let mut incidents = past.incidents;
    match super::status::ask(places, async |client| client.status().await) {
        Ok(status) => incidents.extend(status.incidents.into_iter().map(|open| (open.id, open))),
        // Nobody is left to close what is open in the log.
        Err(failure) if failure.exit == Exit::Environment => {
            for incident in incidents.values_mut().filter(|i| i.state == IncidentState::Open) {
                incident.state = IncidentState::Interrupted;
            }
        }
        Err(failure) => return Err(failure),
    }
    Ok((incidents.into_values().collect(), past.unreadable))
}
