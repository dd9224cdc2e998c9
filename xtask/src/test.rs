//! `cargo xtask test`: every test, including those with namespaces and a real Docker.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::bail;

use ftagent_lab::Clients;

use crate::cargo;
use crate::packages;

/// What to test.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name holds this
    filter: Option<String>,
    /// Set up packages even where game containers already run on this machine
    #[arg(long)]
    on_this_node: bool,
}

impl Args {
    /// Every test.
    pub(crate) fn everything() -> Self {
        Self { filter: None, on_this_node: false }
    }
}

/// How many tests ended how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    suites: u64,
}

/// Sets up, builds, runs every test and prints how many passed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    for needs in [packages::LAB, packages::GAMES] {
        packages::ensure(needs, args.on_this_node, &mut |text| println!("packages: {text}"))?;
    }
    println!("downloads: the third-party clients and servers, pinned; the tests run without network");
    Clients::fetch(&cargo::target_dir())?;
    let mut command = cargo::cargo(&["test", "--release", "--workspace", "--no-fail-fast"]);
    command.args(&args.filter);
    let mut child = command.stdout(Stdio::piped()).spawn().context("failed to start `cargo test`")?;
    let mut tally = Tally::default();
    for line in BufReader::new(child.stdout.take().expect("it was piped")).lines() {
        let line = line.context("failed to read what `cargo test` prints")?;
        println!("{line}");
        tally.add(&line);
    }
    let status = child.wait().context("failed to wait for `cargo test`")?;
    println!("\n{} suites", tally.suites);
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if !status.success() {
        bail!("`cargo test` ended with {status}");
    }
    if tally.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

impl Tally {
    /// Counts a line such as `test result: ok. 3 passed; 0 failed; 0 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let number = |word: &str| {
            let before = result.split(word).next()?;
            before.split_whitespace().next_back()?.parse::<u64>().ok()
        };
        self.suites += 1;
        self.passed += number(" passed").unwrap_or(0);
        self.failed += number(" failed").unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed() {
        let mut tally = Tally::default();
        tally.add("test wire::tests::cut ... ok");
        tally.add(
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        tally.add("test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!(tally, Tally { passed: 13, failed: 2, suites: 2 });
    }
}
