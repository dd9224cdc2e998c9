//! `ftagent run`.

use super::Places;
use crate::agent;
use crate::config;
use crate::exit::Outcome;

/// How to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Drop and limit at once instead of observing first; remembered
    #[arg(long)]
    enforce: bool,
    /// Watch this interface (repeatable) instead of finding them
    #[arg(long = "interface", value_name = "NAME")]
    interfaces: Vec<String>,
    /// Protect every container with published ports, not only those that a panel made
    #[arg(long)]
    all_containers: bool,
    /// Leave out a part, so that a demonstration can show what it is for
    #[arg(long, hide = true, value_enum)]
    test_without: Option<agent::Part>,
}

/// Runs the agent until it is told to end.
pub(crate) fn run(places: &Places, args: &Args) -> Outcome {
    let mut config = config::load(places)?;
    if !args.interfaces.is_empty() {
        config.interfaces.clone_from(&args.interfaces);
    }
    config.all_containers |= args.all_containers;
    agent::run(&config, args.enforce, args.test_without)
}
