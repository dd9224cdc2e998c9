//! One ftagent at a time: a lock on a file that the kernel lets go when the process ends, however it ends.

use std::fs;
use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::Flock;
use nix::fcntl::FlockArg;

use crate::FirewallError;

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Takes the lock in this folder, or says who holds it.
    pub(crate) fn take(state_dir: &Path) -> Result<Self, FirewallError> {
        let path = state_dir.join("lock");
        let io = |doing: &str| {
            let doing = format!("{doing} {}", path.display());
            move |source| FirewallError::Io { doing, source }
        };
        fs::create_dir_all(state_dir).map_err(io("making the folder of"))?;
        let mut options = fs::OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(io("opening"))?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                // The holder writes its number right after it took the lock; in between the file says nothing.
                let _ = file.read_to_string(&mut pid);
                return Err(FirewallError::Locked { path, pid: pid.trim().to_owned() });
            }
            Err((_, errno)) => return Err(io("locking")(errno.into())),
        };
        file.set_len(0).map_err(io("emptying"))?;
        writeln!(&mut *file, "{}", std::process::id()).map_err(io("writing"))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let says = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(says.contains(&std::process::id().to_string()), "{says}");
        drop(first);
        Lock::take(folder.path()).unwrap();
    }
}
