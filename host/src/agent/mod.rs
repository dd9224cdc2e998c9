//! The running agent: build → spawn → wait → drain.
//!
//! ```text
//!  discovery ─► services ─┬─► shard ── effects ──► enforcer ──► kernel
//!  plugins folder ─ seats ┘    ▲│                  │ │
//!                              │└─ report  status ─┼─┴─► socket
//!                              └──── tallies ──────┤
//!                                                  └─ incidents ─► keeper ─► disk
//! ```
//!
//! The main task owns everything that is slow; the shard, the enforcer and the keeper are plain threads that it tells
//! things over bounded queues.

mod again;
mod alert;
mod blocks;
mod catalog;
mod clock;
mod doctor;
mod enforcer;
mod events;
mod folder;
mod incident;
mod keeper;
mod life;
mod look;
mod modes;
pub(crate) mod plugins;
mod pressure;
mod quiet;
pub(crate) mod recorder;
pub(crate) mod seats;
mod shard;
mod status;

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::Context as _;
use ftagent_sandbox::Sandbox;

use crate::config::Config;
use crate::exit::Exit;
use crate::exit::Failure;
use crate::exit::Outcome;

pub(crate) use catalog::open as open_catalog;
pub(crate) use doctor::doctor;
pub(crate) use look::look_once;

/// A part that a demonstration leaves out, to show what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// No plugin judges.
    Plugin,
    /// Nothing is dropped in `DOCKER-USER`.
    Jump,
    /// Nothing is dropped early.
    Early,
}

/// Runs until it is told to end.
pub(crate) fn run(config: &Config, enforce: bool, without: Option<Part>) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        let error = anyhow::anyhow!("watching a node needs root");
        return Err(
            Failure::new(Exit::Environment, error).hint("`ftagent replay FILE` judges a capture without it")
        );
    }
    tell_to_standard_error();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("failed to start the tasks")?;
    runtime.block_on(life::live(config, enforce, without))
}

/// A sandbox whose compiled code is kept in the state directory; without one where that cannot be written, so that
/// `replay` and `plugins` work for everybody.
pub(crate) fn sandbox(config: &Config) -> Result<Sandbox, Failure> {
    let cache = config.state_dir.join("compiled");
    let cache = private_folder(&cache).is_ok().then_some(cache);
    let config = ftagent_sandbox::Config { cache, ..ftagent_sandbox::Config::default() };
    Sandbox::new(&config).map_err(|error| Failure::new(Exit::Environment, error))
}

/// Makes a folder that only we can enter.
fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

/// Events of the program go to standard error, where the journal takes them; `FTAGENT_LOG` sets the level.
fn tell_to_standard_error() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FTAGENT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
