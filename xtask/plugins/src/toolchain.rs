//! Where a standard library for WebAssembly comes from: the installed target, else rustup, else Debian.

use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::bail;

use crate::debian;

/// What plugins are compiled for.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// A mirror that does not answer must not keep us from the next way.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(120);

/// A compiler and a standard library for the target.
#[derive(Debug)]
pub(super) struct Toolchain {
    /// `1.95.0`.
    pub(super) rustc: String,
    /// Its standard library.
    pub(super) std: Std,
}

/// Where the standard library comes from.
#[derive(Debug)]
pub(super) enum Std {
    /// Built by the Rust project, lying in the toolchain.
    Installed,
    /// Built by us from Debian's package `rust-src`.
    Debian {
        /// The folder `library` of the sources.
        library: PathBuf,
    },
}

impl Std {
    /// As the lock names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Installed => "the Rust project",
            Self::Debian { .. } => "Debian's rust-src",
        }
    }
}

/// Finds a toolchain, installing what is missing below `scratch` or with rustup.
pub(super) fn find(scratch: &Path, debian_only: bool) -> anyhow::Result<Toolchain> {
    let rustc = version()?;
    if !debian_only {
        if is_installed()? {
            return Ok(Toolchain { rustc, std: Std::Installed });
        }
        eprintln!("the target {TARGET} is not installed; trying `rustup target add {TARGET}`");
        match add_by_rustup() {
            Ok(()) if is_installed()? => return Ok(Toolchain { rustc, std: Std::Installed }),
            Ok(()) => eprintln!("rustup succeeded, but for another toolchain than rustc {rustc}"),
            Err(error) => eprintln!("{error:#}"),
        }
    }
    let library = debian::library(scratch, &rustc)?;
    Ok(Toolchain { rustc, std: Std::Debian { library } })
}

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn version() -> anyhow::Result<String> {
    let output = rustc().arg("-vV").output().context("starting rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let release = text.lines().find_map(|line| line.strip_prefix("release: "));
    release.map(str::to_owned).context("rustc -vV names no release")
}

fn is_installed() -> anyhow::Result<bool> {
    let output = rustc()
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("asking rustc for the folder of the target's libraries")?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let Ok(mut entries) = std::fs::read_dir(&folder) else { return Ok(false) };
    Ok(entries
        .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))))
}

fn add_by_rustup() -> anyhow::Result<()> {
    let child =
        Command::new("rustup").args(["target", "add", TARGET]).spawn().context("starting rustup failed")?;
    wait(child, RUSTUP_PATIENCE).context("`rustup target add`")
}

/// Waits for a program, and ends it when it takes too long.
fn wait(mut child: Child, patience: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    loop {
        match child.try_wait().context("waiting for it")? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("it failed: {status}"),
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(100)),
            None => {
                child.kill().context("ending it")?;
                child.wait().context("waiting for its end")?;
                bail!("no answer within {} s", patience.as_secs());
            }
        }
    }
}
