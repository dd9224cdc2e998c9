//! `cargo xtask demo`.

/// What to leave out, and how to print.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the demo.
pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    Ok(())
}
