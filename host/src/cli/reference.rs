//! What is generated from the command line's definitions.

use clap::CommandFactory as _;

use super::Cli;
use super::print;
use crate::exit;
use crate::exit::Outcome;

/// Which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell to complete for
    shell: clap_complete::Shell,
}

/// `ftagent completions SHELL`.
pub(crate) fn completions(args: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ftagent", &mut script);
    print::text(&String::from_utf8_lossy(&script))
}

/// `ftagent man`: one page for the program and all its commands.
pub(crate) fn man() -> Outcome {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        clap_mangen::Man::new(sub.clone()).render(&mut page)?;
    }
    print::text(&String::from_utf8_lossy(&page))
}

/// `ftagent exit-codes`.
pub(crate) fn exit_codes() -> Outcome {
    print::text(&format!("{}\n", exit::PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
