//! Which modes hold, remembered as MessagePack.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use ftagent_api::views::Mode;
use serde::Deserialize;
use serde::Serialize;

use super::file;
use super::unix_seconds;

/// Version of the file's form; another version is not read.
const VERSION: u32 = 1;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    version: u32,
    /// The node's mode.
    pub(crate) mode: Mode,
    /// Exceptions by server.
    pub(crate) servers: BTreeMap<String, Mode>,
    /// A tried mode goes back to this one at that time, in seconds since 1970. Wall clock, because it must hold
    /// over a reboot.
    pub(crate) reverts: Option<(u64, Mode)>,
}

impl Remembered {
    /// What holds at the first start.
    pub(crate) fn first(mode: Mode, servers: BTreeMap<String, Mode>) -> Self {
        Self { version: VERSION, mode, servers, reverts: None }
    }

    /// Seconds until a tried mode goes back.
    pub(crate) fn reverts_in_seconds(&self) -> Option<u64> {
        self.reverts.map(|(at, _)| at.saturating_sub(unix_seconds()))
    }

    /// Goes back if a tried mode was not confirmed in time; says whether it did.
    pub(crate) fn revert_if_due(&mut self) -> bool {
        match self.reverts {
            Some((at, mode)) if unix_seconds() >= at => {
                self.mode = mode;
                self.reverts = None;
                true
            }
            _ => false,
        }
    }

    /// Reads what was remembered. A file that cannot be read is a warning and a fresh start, never a failure.
    pub(crate) fn read(state_dir: &Path) -> Result<Option<Self>, String> {
        let path = path(state_dir);
        let Some(bytes) = file::read(&path)? else { return Ok(None) };
        match rmp_serde::from_slice::<Self>(&bytes) {
            Ok(read) if read.version == VERSION => Ok(Some(read)),
            Ok(read) => Err(file::set_aside(&path, &format!("has version {}, not {VERSION}", read.version))),
            Err(error) => Err(file::set_aside(&path, &format!("is damaged ({error})"))),
        }
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, state_dir: &Path) -> anyhow::Result<()> {
        file::replace(&path(state_dir), &rmp_serde::to_vec_named(self)?)
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("modes.mp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut saved =
            Remembered::first(Mode::Enforce, BTreeMap::from([("lobby".to_owned(), Mode::Observe)]));
        saved.reverts = Some((7, Mode::Observe));
        saved.write(dir.path()).expect("writable");
        assert_eq!(Remembered::read(dir.path()), Ok(Some(saved.clone())));
        assert!(saved.revert_if_due());
        assert_eq!(saved.mode, Mode::Observe);
    }

    #[test]
    fn a_damaged_file_is_said_and_not_fatal() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(Remembered::read(dir.path()), Ok(None));
        std::fs::write(path(dir.path()), b"\xffnonsense").expect("writable");
        assert!(Remembered::read(dir.path()).is_err());
    }
}
