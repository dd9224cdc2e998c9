//! `ftagent watch`: the running agent once a second, on one screen or as plain lines. It asks like any other client
//! and changes nothing: what runs does not notice whether somebody watches.

mod screen;
mod shown;

use std::io::IsTerminal as _;
use std::time::Duration;

use ftagent_api::client::Client;
use ftagent_api::views::Status;

use super::Places;
use super::print;
use crate::exit::Exit;
use crate::exit::Outcome;

pub(super) use shown::measure_clause;
pub(super) use shown::node_line;
pub(super) use shown::place;

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);

/// How to watch.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print lines instead of drawing a screen, as always where standard output is no terminal
    #[arg(long)]
    plain: bool,
    /// End after so many seconds
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Watches until told to stop.
pub(crate) fn run(places: &Places, args: &Args) -> Outcome {
    let on_screen = !args.plain && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let left = args.count.unwrap_or(u64::MAX);
    // Asked before the screen is taken, so that an answer of no is read on a terminal as it was.
    super::status::ask(places, async |client| {
        let mut before = client.status().await?;
        if on_screen {
            drawn(client, &mut before, left).await
        } else {
            lines(client, &mut before, left).await
        }
    })?;
    Ok(Exit::Fine)
}

async fn lines(client: &Client, before: &mut Status, count: u64) -> Result<(), ftagent_api::ApiError> {
    for _ in 0..count {
        tokio::time::sleep(EVERY).await;
        let now = newer(client, before).await?;
        let text = shown::text(before, &now, usize::MAX) + "\n";
        *before = now;
        // A reader who left ends the watching.
        if print::text(&text).is_err() {
            break;
        }
    }
    Ok(())
}

async fn drawn(client: &Client, before: &mut Status, count: u64) -> Result<(), ftagent_api::ApiError> {
    let Ok(mut screen) = screen::Screen::take() else { return lines(client, before, count).await };
    let mut now = before.clone();
    for _ in 0..count {
        let said = screen.draw(|rows| shown::text(before, &now, rows));
        if said.is_err() || screen.quits_within(EVERY) {
            break;
        }
        let next = newer(client, &now).await?;
        *before = std::mem::replace(&mut now, next);
    }
    Ok(())
}

/// The next status; the agent makes one a second, and asking a little early finds the one before.
async fn newer(client: &Client, than: &Status) -> Result<Status, ftagent_api::ApiError> {
    for _ in 0..20 {
        let status = client.status().await?;
        if status.at_ms != than.at_ms || status.pid != than.pid {
            return Ok(status);
        }
        tokio::time::sleep(EVERY / 20).await;
    }
    client.status().await
}
