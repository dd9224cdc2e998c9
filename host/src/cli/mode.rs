//! `ftagent mode`.

use ftagent_api::views::Mode;
use ftagent_api::views::ModeChange;

use super::Places;
use super::print;
use crate::exit::Outcome;

/// A mode, or none of one's own.
#[derive(Clone, Copy, Debug)]
struct Word(Option<Mode>);

/// What to change to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `observe` counts what would be dropped, `limit` drops and limits but blocks no address, `enforce` does all,
    /// `follow` ends a server's own mode
    #[arg(value_parser = word)]
    mode: Word,
    /// This server only
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// Go back after this time (90s, 10m, 1h) unless confirmed by the same command without --try
    #[arg(long = "try", value_name = "TIME", value_parser = print::seconds)]
    try_seconds: Option<u64>,
}

/// Changes the running agent's mode.
pub(crate) fn run(places: &Places, args: &Args) -> Outcome {
    let change = ModeChange { mode: args.mode.0, server: args.server.clone(), try_seconds: args.try_seconds };
    let view = super::status::ask(places, async |client| client.set_mode(&change).await)?;
    if let Some(why) = &view.not_remembered {
        print::say(&format!("warning: {why}"));
    }
    let mut text = format!("{} mode\n", view.node);
    for (server, mode) in &view.servers {
        text += &format!("  {server}: {mode}\n");
    }
    if let Some(seconds) = view.reverts_in_seconds {
        text += &format!("goes back in {seconds} s unless confirmed with `ftagent mode {}`\n", view.node);
    }
    print::text(&text)
}

fn word(text: &str) -> Result<Word, String> {
    match text {
        "observe" => Ok(Word(Some(Mode::Observe))),
        "limit" => Ok(Word(Some(Mode::Limit))),
        "enforce" => Ok(Word(Some(Mode::Enforce))),
        "follow" => Ok(Word(None)),
        _ => Err("the modes are `observe`, `limit` and `enforce`; `follow` ends a server's own".to_owned()),
    }
}
