//! What was learnt about each service, as MessagePack: first the version of the form, then the form.

use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::file;

/// Version of the file's form; another version is not read.
const VERSION: u32 = 1;

/// Reads it. A damaged file, or one of a newer ftagent, is set aside: the text is the one warning.
pub(crate) fn read<T: DeserializeOwned>(state_dir: &Path) -> Result<Option<T>, String> {
    file::read_form(&path(state_dir), VERSION)
}

/// Writes it, whole or not at all.
pub(crate) fn write(state_dir: &Path, learnt: &impl Serialize) -> anyhow::Result<()> {
    file::write_form(&path(state_dir), VERSION, learnt)
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("learnt.mp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(read::<Vec<u32>>(dir.path()), Ok(None));
        write(dir.path(), &vec![1u32, 70_000]).expect("writable");
        assert_eq!(read(dir.path()), Ok(Some(vec![1u32, 70_000])));
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_with_one_warning() {
        let newer = [&rmp_serde::to_vec(&99u32).expect("a number")[..], b"whatever"].concat();
        for (bytes, says) in [
            (&b""[..], "damaged"),
            (b"\xffnonsense", "damaged"),
            (&newer, "version 99"),
            (&[1, 0x93, 1], "damaged"),
        ] {
            let dir = tempfile::tempdir().expect("a temporary directory");
            std::fs::write(path(dir.path()), bytes).expect("writable");
            let warning = read::<Vec<u32>>(dir.path()).expect_err("it cannot be read");
            assert!(warning.contains(says) && warning.contains("learnt.mp.corrupt"), "{warning}");
            assert_eq!(read::<Vec<u32>>(dir.path()), Ok(None), "only one warning");
        }
    }
}
