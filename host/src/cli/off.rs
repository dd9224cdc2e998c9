//! `ftagent off` and `on`. They need no running agent, no configuration and no socket.

use ftagent_firewall::Paths;

use super::Places;
use super::print;
use crate::config::Config;
use crate::exit::Exit;
use crate::exit::Failure;
use crate::exit::Outcome;

/// Takes everything out of the kernel and latches off.
pub(crate) fn off(places: &Places) -> Outcome {
    root_needed()?;
    let lines = ftagent_firewall::off(&paths(places));
    print::text(&(lines.join("\n") + "\n"))
}

/// Allows ftagent to run again.
pub(crate) fn on(places: &Places) -> Outcome {
    root_needed()?;
    let line = ftagent_firewall::on(&paths(places))?;
    print::text(&(line + "\n"))
}

/// A broken configuration must not keep anybody from switching off, so only the flag is asked.
fn paths(places: &Places) -> Paths {
    Paths { state_dir: places.state_dir.clone().unwrap_or_else(|| Config::default().state_dir) }
}

fn root_needed() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::new(Exit::Environment, anyhow::anyhow!("the packet filter belongs to root"))
        .hint("run it as root"))
}
