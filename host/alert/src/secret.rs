//! The key of the signature: from a file that only its owner can read, never from an argument.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::AlertError;
use crate::limits;

/// The key; it shows itself to nobody.
pub(crate) struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads the file; one line end at its end does not count.
    pub(crate) fn read(path: &Path) -> Result<Self, AlertError> {
        let fault = |op| move |source| AlertError::File { op, path: path.to_path_buf(), source };
        let refuse = |why: String| AlertError::Secret { path: path.to_path_buf(), why };
        let file = std::fs::File::open(path).map_err(fault("open"))?;
        // Of the open file, so that nobody can swap it in between.
        let metadata = file.metadata().map_err(fault("look at"))?;
        if !metadata.is_file() {
            return Err(refuse("is no file".to_owned()));
        }
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o7777;
            return Err(refuse(format!("has mode {mode:04o}, so others can read it; `chmod 600` it")));
        }
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != us && metadata.uid() != 0 {
            return Err(refuse(format!("belongs to user {}, who is neither root nor us", metadata.uid())));
        }
        let mut bytes = Vec::new();
        file.take(limits::SECRET_BYTES + 1).read_to_end(&mut bytes).map_err(fault("read"))?;
        if bytes.len() as u64 > limits::SECRET_BYTES {
            return Err(refuse(format!("has more than {} bytes", limits::SECRET_BYTES)));
        }
        let end = bytes.strip_suffix(b"\n").map_or(bytes.len(), <[u8]>::len);
        bytes.truncate(end);
        if bytes.len() < limits::SECRET_BYTES_MIN {
            let (has, least) = (bytes.len(), limits::SECRET_BYTES_MIN);
            return Err(refuse(format!("has {has} bytes; at least {least} cannot be guessed")));
        }
        Ok(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn check(content: &[u8], mode: u32, expected: Result<&[u8], &str>) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("secret");
        std::fs::write(&path, content).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        match (Secret::read(&path), expected) {
            (Ok(secret), Ok(bytes)) => assert_eq!(secret.bytes(), bytes),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (read, expected) => panic!("{read:?} is not {expected:?}"),
        }
    }

    #[test]
    fn s12_a_secret_is_read_from_a_file_that_nobody_else_can_read() {
        check(b"0123456789abcdef\n", 0o600, Ok(b"0123456789abcdef"));
        check(b"0123456789abcdef", 0o400, Ok(b"0123456789abcdef"));
        check(b"0123456789abcdef", 0o640, Err("mode 0640"));
        check(b"0123456789abcdef", 0o604, Err("mode 0604"));
        check(b"short\n", 0o600, Err("has 5 bytes"));
        check(&[b'x'; 5_000], 0o600, Err("more than 4096 bytes"));
    }

    #[test]
    fn s12_a_secret_that_is_not_there_is_named_and_one_that_is_shows_nothing() {
        let missing = Secret::read(Path::new("/nowhere/secret")).expect_err("it is not there");
        assert!(missing.to_string().contains("/nowhere/secret"), "{missing}");
        assert_eq!(format!("{:?}", Secret(b"key".to_vec())), "Secret");
        assert!(Secret::read(Path::new("/")).expect_err("a folder").to_string().contains("is no file"));
    }
}
