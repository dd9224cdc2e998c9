//! What waits and what is open, over a restart: one file, replaced whole; and the node's random id.

use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::AlertError;
use crate::courier::Letter;
use crate::gate::Known;
use crate::limits;

/// Version of the file's form; another version is not read.
const VERSION: u32 = 1;

/// Characters of a node's id: 64 bits.
const ID_CHARACTERS: usize = 16;

/// What is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) version: u32,
    /// Letters by receiver.
    pub(crate) waiting: Vec<(String, Vec<Letter>)>,
    /// Incidents that receivers believe to be open.
    pub(crate) open: Vec<Known>,
}

/// Where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join("alerts.mp") }
    }

    /// What was written. A file that cannot be read is a warning and a fresh start.
    pub(crate) fn read(&self) -> Result<Stored, String> {
        let shown = self.path.display();
        let bytes = match std::fs::File::open(&self.path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                let read = file.take(limits::STORE_BYTES).read_to_end(&mut bytes);
                read.map_err(|error| format!("failed to read {shown}: {error}"))?;
                bytes
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Stored::default()),
            Err(error) => return Err(format!("failed to open {shown}: {error}")),
        };
        match rmp_serde::from_slice::<Stored>(&bytes) {
            Ok(stored) if stored.version == VERSION => Ok(stored),
            Ok(stored) => {
                Err(format!("{shown} has version {}, not {VERSION}; starting afresh", stored.version))
            }
            Err(error) => Err(format!("{shown} is damaged ({error}); starting afresh")),
        }
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, stored: &Stored) -> Result<(), AlertError> {
        let stored = Stored { version: VERSION, ..stored.clone() };
        let bytes = rmp_serde::to_vec_named(&stored).expect("plain values can be written");
        replace(&self.path, &bytes)
    }
}

/// The node's id; made at the first start.
pub(crate) fn node_id(state_dir: &Path) -> Result<String, AlertError> {
    let path = state_dir.join("node-id");
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let known = known.trim();
    if known.len() == ID_CHARACTERS && known.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(known.to_owned());
    }
    let mut random = [0; ID_CHARACTERS / 2];
    let source = Path::new("/dev/urandom");
    let fault =
        |source_error| AlertError::File { op: "read", path: source.to_path_buf(), source: source_error };
    std::fs::File::open(source).and_then(|mut file| file.read_exact(&mut random)).map_err(fault)?;
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    replace(&path, format!("{id}\n").as_bytes())?;
    Ok(id)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), AlertError> {
    let new = path.with_extension("new");
    let fault = |op| move |source| AlertError::File { op, path: path.to_path_buf(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fault("make the folder of"))?;
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(fault("write"))?;
    file.write_all(bytes).and_then(|()| file.sync_data()).map_err(fault("write"))?;
    std::fs::rename(&new, path).map_err(fault("replace"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::What;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn l10_what_waits_is_read_back_and_nobody_else_can() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::new(dir.path());
        assert_eq!(store.read(), Ok(Stored::default()));
        let letter =
            Letter { id: "a-1-1".to_owned(), incident: 1, what: What::Opened, body: "{}".to_owned() };
        let stored =
            Stored { version: 0, waiting: vec![("webhook".to_owned(), vec![letter])], open: Vec::new() };
        store.write(&stored).expect("writable");
        assert_eq!(store.read(), Ok(Stored { version: VERSION, ..stored }));
        let mode = std::fs::metadata(&store.path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn l10_a_failed_write_leaves_the_old_file_and_a_damaged_one_is_said() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::new(dir.path());
        store.write(&Stored::default()).expect("writable");
        // What is to be written first is a folder: as good as a full disk.
        std::fs::create_dir(store.path.with_extension("new")).expect("writable");
        assert!(store.write(&Stored::default()).is_err());
        assert!(store.read().is_ok());
        std::fs::write(&store.path, b"\xffnonsense").expect("writable");
        assert!(store.read().expect_err("it is damaged").contains("starting afresh"));
    }

    #[test]
    fn l05_the_nodes_id_never_changes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let id = node_id(dir.path()).expect("writable");
        assert_eq!(node_id(dir.path()).expect("readable"), id);
        std::fs::write(dir.path().join("node-id"), "../../etc\n").expect("writable");
        let other = node_id(dir.path()).expect("writable");
        assert_eq!(other.len(), ID_CHARACTERS);
    }
}
