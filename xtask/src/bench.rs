//! `cargo xtask bench`: builds the program and its benchmarks, and measures. The measurements are in `tests/bench`, so
//! that these tasks build without wasmtime.

use std::process::Command;

use crate::cargo;

/// What to measure, and how to print.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Measure only these: crossing, classification, engine, memory, start, live
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Builds and measures. Nothing is asserted: a missed target is printed as missed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    // The whole workspace, because its features decide what wasmtime is built with; but only these programs.
    let build =
        ["build", "--quiet", "--release", "--workspace", "--bin", "ftagent", "--bin", "ftagent-bench"];
    cargo::run(&mut cargo::cargo(&build))?;
    let mut bench = Command::new(cargo::target_dir().join("release/ftagent-bench"));
    bench.args(args.json.then_some("--json")).args(&args.names);
    cargo::run(&mut bench)
}
