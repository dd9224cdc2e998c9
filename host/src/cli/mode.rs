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
    /// `observe` counts what would be dropped, `enforce` drops it, `follow` ends a server's own mode
    #[arg(value_parser = word)]
    mode: Word,
    /// This server only
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// Go back after this time (90s, 10m, 1h) unless confirmed by the same command without --try
    #[arg(long = "try", value_name = "TIME", value_parser = seconds)]
    try_seconds: Option<u64>,
}

/// Changes the running agent's mode.
pub(crate) fn run(places: &Places, args: &Args) -> Outcome {
    let change = ModeChange { mode: args.mode.0, server: args.server.clone(), try_seconds: args.try_seconds };
    let view = super::status::ask(places, async |client| client.set_mode(&change).await)?;
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
        "enforce" => Ok(Word(Some(Mode::Enforce))),
        "follow" => Ok(Word(None)),
        _ => Err("the modes are `observe` and `enforce`; `follow` ends a server's own".to_owned()),
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err("a number and s, m or h, such as 10m".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a number and s, m or h, such as 10m".to_owned())?;
    match number.checked_mul(factor) {
        Some(seconds @ 1..=604_800) => Ok(seconds),
        _ => Err("between 1s and 168h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_bounds() {
        for (text, expected) in [("90s", Some(90)), ("10m", Some(600)), ("1h", Some(3_600))] {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
        for text in ["", "10", "m", "0s", "-1s", "169h", "10 m", "99999999999999999999h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
