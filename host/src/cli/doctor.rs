//! `ftagent doctor`: is protection really there, and what mends it if not.

use serde::Serialize;

use super::Places;
use super::print;
use super::print::JsonFlag;
use crate::agent;
use crate::config;
use crate::exit::Exit;
use crate::exit::Outcome;

/// One thing that was checked.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    /// What was checked.
    pub(crate) name: String,
    /// Whether it is as it should be.
    pub(crate) ok: bool,
    /// What was found.
    pub(crate) says: String,
    /// The one line that mends it.
    pub(crate) mend: Option<String>,
}

#[derive(Serialize)]
struct Document {
    schema: u32,
    healthy: bool,
    checks: Vec<Check>,
}

/// Checks and prints; exit code 1 if anything is broken.
pub(crate) fn run(places: &Places, json: JsonFlag) -> Outcome {
    let config = config::load(places)?;
    let checks = agent::doctor(&config)?;
    let healthy = checks.iter().all(|check| check.ok);
    if json.json {
        print::json(&Document { schema: ftagent_api::SCHEMA, healthy, checks })?;
    } else {
        print::text(&shown(&checks))?;
    }
    Ok(if healthy { Exit::Fine } else { Exit::No })
}

fn shown(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let mark = if check.ok { "ok  " } else { "BAD " };
        text += &format!("{mark} {}: {}\n", check.name, check.says);
        if let Some(mend) = check.mend.as_ref().filter(|_| !check.ok) {
            text += &format!("     mend: {mend}\n");
        }
    }
    let bad = checks.iter().filter(|check| !check.ok).count();
    text += &match bad {
        0 => "everything checked is as it should be\n".to_owned(),
        bad => format!("{bad} of {} checks are bad\n", checks.len()),
    };
    text
}
