//! `cargo xtask plugins`.

/// What to build.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Builds the plugins.
pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    Ok(())
}
