//! Off and on, without a daemon, a socket or a configuration: a file says off, and what we put into the kernel
//! goes. It stays off through restarts until on.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;

use crate::FirewallError;
use crate::docker_user;
use crate::key::Family;
use crate::netlink::Netlink;
use crate::proxy;
use crate::structure::TABLE;

/// Where ftagent keeps what outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The folder; by default `/var/lib/ftagent`.
    pub state_dir: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self { state_dir: PathBuf::from("/var/lib/ftagent") }
    }
}

impl Paths {
    fn latch(&self) -> PathBuf {
        self.state_dir.join("off")
    }

    /// Whether it was switched off.
    pub fn is_off(&self) -> bool {
        self.latch().exists()
    }
}

/// Latches off and removes everything of ours from the kernel. Returns a line for each thing that it did, and one
/// for each that it could not do; one failure does not keep it from the rest.
pub fn off(paths: &Paths) -> Vec<String> {
    let latch = paths.latch();
    let written = fs::create_dir_all(&paths.state_dir).and_then(|()| fs::write(&latch, "off\n"));
    let mut lines = vec![match written {
        Ok(()) => format!("switched off in {}; `ftagent on` switches on again", latch.display()),
        Err(error) => {
            format!("could not write {}: {error}; it is off only until the next start", latch.display())
        }
    }];
    // A running daemon reads the latch before each change; one that was in the middle of a change has ended it by
    // the second time.
    lines.extend(clear(&paths.state_dir));
    if lines.len() > 1 {
        std::thread::sleep(std::time::Duration::from_millis(150));
        lines.extend(clear(&paths.state_dir));
    }
    lines
}

/// Lets ftagent work again at its next start, or at once if it runs. Returns a line for what it did.
pub fn on(paths: &Paths) -> Result<String, FirewallError> {
    let latch = paths.latch();
    match fs::remove_file(&latch) {
        Ok(()) => Ok(format!("switched on: removed {}", latch.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok("it was not switched off".to_owned()),
        Err(source) => Err(FirewallError::Io { doing: format!("removing {}", latch.display()), source }),
    }
}

/// Whether off is latched in this folder.
pub(crate) fn is_latched(state_dir: &Path) -> bool {
    state_dir.join("off").exists()
}

/// Removes jumps, chains and the table: the jumps first, so that no packet meets half of it. Gives back what else was
/// changed.
pub(crate) fn clear(state_dir: &Path) -> Vec<String> {
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => return vec![format!("could not remove anything: {error}")],
    };
    let mut lines = Vec::new();
    for family in Family::BOTH {
        match docker_user::remove(family, &mut netlink) {
            Ok(removed) => lines.extend(removed),
            Err(error) => lines.push(format!("could not remove the jump and our chain: {error}")),
        }
    }
    match netlink.delete_table(TABLE) {
        Ok(true) => lines.push(format!("removed the table inet {TABLE} with its sets and chains (nft)")),
        Ok(false) => (),
        Err(error) => lines.push(format!("could not remove the table inet {TABLE}: {error}")),
    }
    match proxy::loosen(state_dir) {
        Ok(true) => lines.push("gave back the old value of nf_conntrack_tcp_loose".to_owned()),
        Ok(false) => (),
        Err(error) => lines.push(format!("could not give back nf_conntrack_tcp_loose: {error}")),
    }
    lines
}
