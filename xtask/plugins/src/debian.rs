//! The standard library's sources from Debian's package `rust-src` of the same version as the compiler.
//!
//! Nothing of the system's apt is touched: lists, caches and sources live below the target folder. The mirror is
//! the one that the machine's own apt sources name, because that one can be reached; only the suite is replaced.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use anyhow::bail;

/// Suites that hold newer compilers than the stable release, in the order in which they are asked.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The folder `library` of the sources of this compiler version, fetched if it is not there yet.
pub(super) fn library(scratch: &Path, rustc: &str) -> anyhow::Result<PathBuf> {
    let folder = scratch.join(format!("rust-src-{rustc}"));
    let library = folder.join("usr/src").join(format!("rustc-{rustc}")).join("library");
    if library.join("std/Cargo.toml").is_file() {
        return Ok(library);
    }
    let mut refusals = Vec::new();
    for mirror in mirrors(&own_sources()) {
        for suite in SUITES {
            match fetch(scratch, &folder, &mirror, suite, rustc) {
                Ok(()) if library.join("std/Cargo.toml").is_file() => return Ok(library),
                Ok(()) => refusals.push(format!("{mirror} {suite}: its rust-src has another layout")),
                Err(error) => refusals.push(format!("{mirror} {suite}: {error:#}")),
            }
        }
    }
    bail!("no rust-src {rustc} from Debian: {}", refusals.join("; "))
}

/// The text of the machine's apt source files.
fn own_sources() -> String {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    let is_source = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "list" || extension == "sources")
    };
    let mut files: Vec<PathBuf> = files.into_iter().filter(is_source).collect();
    files.sort();
    files.iter().flat_map(std::fs::read_to_string).collect::<Vec<_>>().join("\n")
}

/// Archives that hold Debian itself, out of apt sources of either form.
fn mirrors(sources: &str) -> Vec<String> {
    let mut mirrors: Vec<String> = Vec::new();
    let lines = sources.lines().filter(|line| !line.trim_start().starts_with('#'));
    for word in lines.flat_map(str::split_whitespace) {
        let address = word.trim_end_matches('/');
        let is_address = address.starts_with("http://") || address.starts_with("https://");
        // Not debian-security, not a stranger's archive. A snapshot ends with its date.
        let is_debian = address.ends_with("/debian") || address.contains("/archive/debian/");
        if is_address && is_debian && !mirrors.iter().any(|known| known == address) {
            mirrors.push(address.to_owned());
        }
    }
    mirrors
}

/// Unpacks the package of this version from one suite of one mirror into `folder`.
fn fetch(scratch: &Path, folder: &Path, mirror: &str, suite: &str, rustc: &str) -> anyhow::Result<()> {
    eprintln!(
        "looking for rust-src {rustc} in {mirror} {suite} (a private apt root; the system's is left alone)"
    );
    let apt = scratch.join("apt");
    // Lists of another suite would answer for it.
    let _ = std::fs::remove_dir_all(&apt);
    for part in ["lists/partial", "cache/archives/partial", "sources", "download"] {
        let part = apt.join(part);
        std::fs::create_dir_all(&part).with_context(|| format!("creating {}", part.display()))?;
    }
    let sources = apt.join("sources/rust-src.sources");
    let text =
        format!("Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n");
    std::fs::write(&sources, text).with_context(|| format!("writing {}", sources.display()))?;
    run(private(&apt, "apt-get").arg("update"), "apt-get update")?;
    let versions = run(private(&apt, "apt-cache").args(["madison", "rust-src"]), "apt-cache madison")?;
    let version = newest(&versions, rustc).context("it has another version")?;
    let download = apt.join("download");
    run(
        private(&apt, "apt-get").current_dir(&download).args(["download", &format!("rust-src={version}")]),
        "apt-get download",
    )?;
    let package = std::fs::read_dir(&download)
        .with_context(|| format!("listing {}", download.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded nothing")?;
    eprintln!("unpacking rust-src {version}");
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder), "dpkg-deb -x")?;
    std::fs::remove_dir_all(&apt).with_context(|| format!("removing {}", apt.display()))
}

/// The first version of `madison`'s table that is this release of the compiler.
fn newest(madison: &str, rustc: &str) -> Option<String> {
    let versions = madison.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
    let mut matching = versions
        .filter(|version| version.strip_prefix(rustc).is_some_and(|rest| rest.starts_with(['+', '-', '~'])));
    matching.next().map(str::to_owned)
}

/// A program of apt that keeps everything below `apt` and reads no settings of the system's sources.
fn private(apt: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    let set = |name: &str, value: &Path| format!("-o{name}={}", value.display());
    command.arg(set("Dir::State::lists", &apt.join("lists")));
    command.arg(set("Dir::Cache", &apt.join("cache")));
    command.arg(set("Dir::Etc::sourceparts", &apt.join("sources")));
    command.args(["-oDir::Etc::sourcelist=/dev/null", "-oDir::Etc::preferencesparts=/dev/null"]);
    command.args(["-oDir::Etc::preferences=/dev/null", "-oAPT::Sandbox::User=root"]);
    // The keyring is checked; only the packages' indices are wanted.
    command.args(["-oAcquire::Languages=none", "-oAcquire::Retries=3"]);
    command.env("LC_ALL", "C");
    command
}

/// Runs a program and gives what it printed.
fn run(command: &mut Command, what: &str) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("starting {what}"))?;
    if !output.status.success() {
        bail!("{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_debian_archives_of_either_form() {
        let deb822 = "Types: deb\n# http://snapshot.example/archive/debian/1\nURIs: http://m.example/debian\n\
                      Suites: bookworm\n\nURIs: http://m.example/debian-security\n";
        assert_eq!(mirrors(deb822), ["http://m.example/debian"]);
        let one_line =
            "deb [arch=amd64] https://m.example/debian/ bookworm main\ndeb https://x.example/apt a b\n";
        assert_eq!(mirrors(one_line), ["https://m.example/debian"]);
        let snapshot = "URIs: http://snapshot.example/archive/debian/20250520T000000Z\n";
        assert_eq!(mirrors(snapshot), ["http://snapshot.example/archive/debian/20250520T000000Z"]);
        assert!(mirrors("").is_empty());
    }

    #[test]
    fn the_version_is_the_compilers_own() {
        let table = " rust-src | 1.96.1+dfsg1-2~bpo13+1 | x\n rust-src | 1.95.0+dfsg1-2~bpo13+1 | x\n";
        assert_eq!(newest(table, "1.95.0").as_deref(), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(newest(table, "1.9"), None);
    }
}
