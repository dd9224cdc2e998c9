//! One file of the state folder: private from its first byte, replaced whole or not at all.

use std::fs;
use std::io::ErrorKind;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits;

/// Puts these bytes in place of the file. After a crash there is the old file or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    if let Some(folder) = path.parent() {
        private_folder(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    }
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("failed to replace {}", new.display()));
        }
        _ => {}
    }
    let written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    if let Err(error) = written {
        // Half a file takes room on a disk that may be full.
        let _ = fs::remove_file(&new);
        return Err(error).with_context(|| format!("failed to write {}", new.display()));
    }
    fs::rename(&new, path).with_context(|| format!("failed to replace {}", path.display()))
}

/// Reads a file of ours; none if it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let fault = |error: std::io::Error| format!("failed to read {}: {error}", path.display());
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault(error)),
        Ok(meta) if meta.len() > limits::STATE_BYTES => {
            Err(set_aside(path, &format!("has {} bytes", meta.len())))
        }
        Ok(_) => fs::read(path).map(Some).map_err(fault),
    }
}

/// Reads a form in MessagePack that follows its version; another version is set aside like a damaged file.
pub(crate) fn read_form<T: DeserializeOwned>(path: &Path, version: u32) -> Result<Option<T>, String> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let mut reader = rmp_serde::Deserializer::from_read_ref(&bytes);
    match <u32 as serde::Deserialize>::deserialize(&mut reader) {
        Ok(found) if found != version => Err(set_aside(path, &format!("has version {found}, not {version}"))),
        Ok(_) => match T::deserialize(&mut reader) {
            Ok(form) => Ok(Some(form)),
            Err(error) => Err(set_aside(path, &format!("is damaged ({error})"))),
        },
        Err(error) => Err(set_aside(path, &format!("is damaged ({error})"))),
    }
}

/// Writes a form behind its version.
pub(crate) fn write_form(path: &Path, version: u32, form: &impl Serialize) -> anyhow::Result<()> {
    let mut bytes = rmp_serde::to_vec(&version)?;
    bytes.extend(rmp_serde::to_vec_named(form)?);
    replace(path, &bytes)
}

/// Renames a file that cannot be read, so that it is not lost and is not met again. Returns the warning.
pub(crate) fn set_aside(path: &Path, why: &str) -> String {
    let aside = path.with_extension(match path.extension() {
        Some(extension) => format!("{}.corrupt", extension.to_string_lossy()),
        None => "corrupt".to_owned(),
    });
    match fs::rename(path, &aside) {
        Ok(()) => format!("{} {why}; starting afresh, kept as {}", path.display(), aside.display()),
        Err(error) => format!("{} {why}; starting afresh (it could not be kept: {error})", path.display()),
    }
}

/// Makes a folder that only we can enter; one that is there stays as it is.
pub(crate) fn private_folder(folder: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn c04_a_file_is_private_from_its_first_byte_and_replaced_whole() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("deep/x.mp");
        for bytes in [&b"one"[..], b"another"] {
            replace(&path, bytes).expect("writable");
            assert_eq!(read(&path), Ok(Some(bytes.to_vec())));
            let mode = fs::metadata(&path).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // What was left half written, and readable by all, is not written into.
        let new = path.with_extension("new");
        fs::write(&new, b"half").expect("writable");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).expect("it is ours");
        let open = fs::File::open(&new).expect("it is there");
        replace(&path, b"third").expect("writable");
        assert_eq!(open.metadata().expect("it is open").len(), 4, "who had it open reads nothing of ours");
        assert_eq!(
            fs::read_dir(dir.path().join("deep")).expect("a folder").count(),
            1,
            "nothing else is left"
        );
    }

    #[test]
    fn what_is_set_aside_is_kept() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("x.mp");
        assert_eq!(read(&path), Ok(None));
        fs::write(&path, b"odd").expect("writable");
        assert!(set_aside(&path, "is damaged").contains("x.mp.corrupt"));
        assert_eq!(read(&path), Ok(None));
        assert_eq!(fs::read(dir.path().join("x.mp.corrupt")).expect("it was kept"), b"odd");
    }
}
