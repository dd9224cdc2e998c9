//! `ftagent config`.

use clap::Subcommand;

use super::Places;
use super::print;
use crate::config;
use crate::exit::Exit;
use crate::exit::Outcome;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read the configuration, report every mistake with its place, change nothing
    Check,
    /// Print every setting with the value that would hold
    Show,
}

/// `ftagent config check` and `show`.
pub(crate) fn run(places: &Places, command: &Command) -> Outcome {
    let config = match config::load(places) {
        Err(mut failure) if matches!(command, Command::Check) && failure.exit == Exit::Usage => {
            failure.exit = Exit::No;
            return Err(failure);
        }
        loaded => loaded?,
    };
    match (command, &config.file) {
        (Command::Show, _) => print::text(&config::shown(&config)),
        (Command::Check, Some(file)) => print::text(&format!("{} has no mistakes\n", file.display())),
        (Command::Check, None) => print::text("there is no configuration file; the defaults hold\n"),
    }
}
