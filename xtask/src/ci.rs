//! `cargo xtask ci`: what must hold before a change lands, in order, timed.

use std::time::Instant;

use crate::cargo;
use crate::plugins;
use crate::test;

/// Runs every check; the first that fails ends it.
pub(crate) fn run() -> anyhow::Result<()> {
    step("formatting", || cargo::run(&mut cargo::cargo(&["fmt", "--all", "--check"])))?;
    step("the built plugins are those of their sources", || plugins::run(&plugins::Args::checking()))?;
    step("lints", || {
        let clippy = ["clippy", "--release", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        cargo::run(&mut cargo::cargo(&clippy))
    })?;
    step("tests", || test::run(&test::Args::everything()))
}

fn step(name: &str, check: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("== {name}");
    let start = Instant::now();
    check()?;
    println!("== {name}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
