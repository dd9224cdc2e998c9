//! `ftagent events`.

use std::io::Write as _;

use super::Places;
use crate::exit::Exit;
use crate::exit::Outcome;

/// How long to listen.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End after so many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Prints events as they happen.
pub(crate) fn run(places: &Places, args: &Args) -> Outcome {
    let mut left = args.count.unwrap_or(u64::MAX);
    super::status::ask(places, async |client| {
        client
            .events(|line| {
                left = left.saturating_sub(1);
                let mut out = std::io::stdout().lock();
                // A closed pipe ends the listening.
                writeln!(out, "{line}").and_then(|()| out.flush()).is_ok() && left > 0
            })
            .await
    })?;
    Ok(Exit::Fine)
}
