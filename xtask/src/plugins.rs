//! `cargo xtask plugins`: hands over to the program in `xtask/plugins`.

use std::ffi::OsString;

use crate::cargo;

/// What to build; `cargo xtask plugins --help` tells.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Args {
    /// Only compare.
    pub(crate) fn checking() -> Self {
        Self { arguments: vec!["--check".into()] }
    }
}

/// Builds the plugins.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let program = ["run", "--quiet", "--release", "--package", "xtask-plugins", "--"];
    cargo::run(cargo::cargo(&program).args(&args.arguments))
}
