//! `plugins/prebuilt/plugins.lock`: from which sources each kept component was built, and with what.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

const HEADING: &str = "# Written by `cargo xtask plugins`. `sources` is the digest of the plugin's folder, plugin-sdk \
                       and wit;\n# `--check` compares.\n\n";

/// The whole file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lock {
    /// By the folder's name.
    #[serde(default)]
    pub(super) plugins: BTreeMap<String, Entry>,
}

/// One kept component.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// sha256 of the component.
    pub(super) component: String,
    /// sha256 of its sources.
    pub(super) sources: String,
    /// The compiler's version.
    pub(super) rustc: String,
    /// Where the standard library came from; another one gives other bytes.
    pub(super) std: String,
}

impl Lock {
    /// The lock of this repository; empty if there is none yet.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let path = path(root);
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("reading {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Keeps it.
    pub(super) fn write(&self, root: &Path) -> anyhow::Result<()> {
        let path = path(root);
        let text = toml::to_string(self).context("writing the lock as TOML")?;
        std::fs::write(&path, format!("{HEADING}{text}"))
            .with_context(|| format!("writing {}", path.display()))
    }
}

fn path(root: &Path) -> PathBuf {
    root.join("plugins/prebuilt/plugins.lock")
}

/// sha256 as hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of everything of ours that a plugin is built from: paths and contents, in order.
pub(super) fn sources(root: &Path, name: &str) -> anyhow::Result<String> {
    let mut files = Vec::new();
    for folder in [Path::new("plugins").join(name), PathBuf::from("plugin-sdk"), PathBuf::from("wit")] {
        list(root, &folder, &mut files)?;
    }
    files.sort();
    let mut sum = Sha256::new();
    for file in files {
        let path = root.join(&file);
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let shown = file.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
        // Lengths go in too, so that no two sets of files look alike.
        sum.update((shown.len() as u64).to_le_bytes());
        sum.update(shown.as_bytes());
        sum.update((bytes.len() as u64).to_le_bytes());
        sum.update(&bytes);
    }
    Ok(hex(&sum.finalize()))
}

/// Files below `folder` that a build reads: all but hidden ones and tests.
fn list(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let at = root.join(folder);
    for entry in std::fs::read_dir(&at).with_context(|| format!("listing {}", at.display()))? {
        let entry = entry.with_context(|| format!("listing {}", at.display()))?;
        let name = entry.file_name();
        let path = folder.join(&name);
        let kind = entry.file_type().with_context(|| format!("looking at {}", path.display()))?;
        let skipped = name.to_string_lossy().starts_with('.') || name == "target" || name == "tests";
        if kind.is_dir() && !skipped {
            list(root, &path, files)?;
        } else if kind.is_file() && !skipped && name != "tests.rs" {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_change_with_names_and_contents() {
        let folder = std::env::temp_dir().join(format!("ftagent-lock-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folder");
            std::fs::write(path, text).expect("file");
        };
        write("plugins/x/plugin.toml", "a");
        write("plugin-sdk/src/lib.rs", "b");
        write("wit/v1/plugin.wit", "c");
        let first = sources(&folder, "x").expect("sources");
        write("plugins/x/src/tests.rs", "tests do not change the component");
        assert_eq!(sources(&folder, "x").expect("sources"), first);
        write("plugin-sdk/src/lib.rs", "d");
        assert_ne!(sources(&folder, "x").expect("sources"), first);
        std::fs::remove_dir_all(&folder).expect("clean up");
    }
}
