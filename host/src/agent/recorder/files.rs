//! The folder of incidents' packets: only root can enter it, names are numbers, age and size are bounded.

use std::fs::File;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use anyhow::Context as _;

use super::limits;
use crate::config::ForensicsConfig;

/// Files of one number; ids count on, so that a second one means that the state folder was lost in between.
const SAME_NUMBER_MAX: u32 = 9;

/// The folder.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    age_max: Duration,
    bytes_max: u64,
}

impl Files {
    pub(crate) fn new(folder: PathBuf, config: &ForensicsConfig) -> Self {
        Self {
            folder,
            age_max: Duration::from_secs(u64::from(config.days) * 86_400),
            bytes_max: u64::from(config.total_mib) << 20,
        }
    }

    /// Makes the file of an incident.
    pub(crate) fn create(&self, id: u64) -> anyhow::Result<File> {
        let folder = &self.folder;
        crate::agent::private_folder(folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut path = folder.join(format!("{id}.pcapng"));
        for again in 2..=SAME_NUMBER_MAX {
            match options.open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    path = folder.join(format!("{id}-{again}.pcapng"));
                }
                made => return made.with_context(|| format!("failed to make {}", path.display())),
            }
        }
        anyhow::bail!("{} is there already", path.display())
    }

    /// The newest file of an incident.
    pub(crate) fn find(&self, id: u64) -> Option<PathBuf> {
        let again = (2..=SAME_NUMBER_MAX).rev().map(|again| format!("{id}-{again}.pcapng"));
        let names = again.chain([format!("{id}.pcapng")]);
        names.map(|name| self.folder.join(name)).find(|path| path.is_file())
    }

    /// Removes what is too old, and the oldest while all are too large. Other files of the folder are not ours.
    pub(crate) fn tidy(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let mut files = Vec::new();
        for entry in entries.flatten().filter(|entry| is_ours(&entry.file_name().to_string_lossy())) {
            let Ok(metadata) = entry.metadata() else { continue };
            let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push((changed, metadata.len(), entry.path()));
        }
        files.sort();
        // One file more than there is may be in the making.
        let mut bytes = files.iter().map(|(_, bytes, _)| bytes).sum::<u64>() + limits::FILE_BYTES;
        let now = SystemTime::now();
        for (changed, length, path) in files {
            let old = now.duration_since(changed).is_ok_and(|age| age > self.age_max);
            if !old && bytes <= self.bytes_max {
                break;
            }
            match std::fs::remove_file(&path) {
                Ok(()) => bytes = bytes.saturating_sub(length),
                Err(error) => tracing::warn!("failed to remove {}: {error}", path.display()),
            }
        }
    }
}

/// `17.pcapng` or `17-2.pcapng`.
fn is_ours(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_suffix(".pcapng").is_some_and(|stem| match stem.split_once('-') {
        Some((id, again)) => digits(id) && digits(again),
        None => digits(stem),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn files(dir: &std::path::Path, total_mib: u32) -> Files {
        let config = ForensicsConfig { total_mib, ..ForensicsConfig::default() };
        Files::new(dir.join("incidents"), &config)
    }

    fn names(files: &Files) -> Vec<String> {
        let entries = std::fs::read_dir(&files.folder).expect("it is there");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn s10_names_are_numbers_and_only_root_can_read_them() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = files(dir.path(), 1_024);
        assert_eq!(files.find(7), None);
        files.create(7).expect("writable");
        let file = files.create(7).expect("writable");
        let mode = |path: &std::path::Path| {
            std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
        };
        assert_eq!(file.metadata().expect("it is open").permissions().mode() & 0o777, 0o600);
        assert_eq!(mode(&files.folder), 0o700);
        assert_eq!(names(&files), ["7-2.pcapng", "7.pcapng"]);
        assert_eq!(files.find(7), Some(files.folder.join("7-2.pcapng")));
        for (name, ours) in
            [("1.pcapng", true), ("1-2.pcapng", true), ("log.jsonl", false), ("x.pcapng", false)]
        {
            assert_eq!(is_ours(name), ours, "{name}");
        }
    }

    #[test]
    fn l15_the_oldest_go_when_all_are_too_old_or_too_large_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = files(dir.path(), 24 + 3);
        let other = files.folder.join("incidents.jsonl");
        for (id, age_days) in [(1, 8), (2, 3), (3, 2), (4, 1)] {
            let file = files.create(id).expect("writable");
            file.set_len(if id == 1 { 1 } else { 2 << 20 }).expect("writable");
            let changed = SystemTime::now() - Duration::from_secs(age_days * 86_400);
            file.set_modified(changed).expect("it is ours");
        }
        std::fs::write(&other, vec![0; 9 << 20]).expect("writable");
        files.tidy();
        assert_eq!(names(&files), ["4.pcapng", "incidents.jsonl"], "3 MiB beside the one in the making");
    }
}
