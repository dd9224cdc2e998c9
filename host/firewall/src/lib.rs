//! Rules out: the only crate that changes the kernel's packet filter.
//!
//! ```text
//! effects ─► wanted ─► plan ─► guard ─► netlink batch ─► table inet ftagent ─ marks ─► FTAGENT in DOCKER-USER
//!             (folded, bounded)  (last)                    └ drops early itself where DOCKER-USER is not met
//! ```
//!
//! What must stay true: nothing outlives its lease, nothing is dropped or limited eleven seconds after we are
//! gone, the guard is asked last, foreign rules stay as they are, and what is installed is read back.

#![forbid(unsafe_code)]

mod config;
mod counts;
mod discover;
mod docker_user;
pub mod doctor;
mod early;
mod first_drop;
pub mod guard;
pub mod key;
pub mod limits;
mod lock;
mod manual;
pub mod netlink;
mod off;
pub mod plan;
mod program;
mod proxy;
mod reconcile;
pub mod set;
pub mod shape;
mod status;
pub mod structure;
mod tally;
mod wall;
pub mod wanted;

use std::path::PathBuf;

use nix::errno::Errno;

pub use config::DockerBackend;
pub use config::LeftOut;
pub use config::Mode;
pub use config::WallConfig;
pub use docker_user::Backend;
pub use doctor::Check;
pub use doctor::doctor;
pub use early::EarlyRates;
pub use off::Paths;
pub use off::off;
pub use off::on;
pub use status::*;
pub use wall::Wall;

/// What can go wrong at the packet filter.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// Another ftagent has the node.
    #[error("another ftagent is running (process {pid}, which holds {}); stop it first", path.display())]
    Locked {
        /// The file that is locked.
        path: PathBuf,
        /// Who holds it.
        pid: String,
    },
    /// It was switched off.
    #[error("ftagent is switched off on this node; `ftagent on` switches it on again")]
    Off,
    /// A file or a program could not be used.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done to what.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program refused.
    #[error("{doing}: {says}")]
    Program {
        /// The program and its arguments.
        doing: String,
        /// What it printed.
        says: String,
    },
    /// The kernel refused.
    #[error("{doing}: {errno}")]
    Kernel {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        errno: Errno,
    },
    /// What a person asked for must not be.
    #[error("not blocked: {0}")]
    Refused(String),
    /// The configuration cannot be.
    #[error("{0}")]
    Config(String),
}

/// TCP connections that stand at this moment, by their public addresses and ports.
pub fn connections() -> Result<Vec<ftagent_core::connection::Connection>, FirewallError> {
    netlink::Netlink::open()?.connections()
}

impl FirewallError {
    pub(crate) fn kernel(doing: &'static str, errno: Errno) -> Self {
        Self::Kernel { doing, errno }
    }
}
