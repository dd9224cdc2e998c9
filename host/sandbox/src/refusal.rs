//! Why a plugin is not taken, and why the sandbox cannot start.

use std::path::PathBuf;

use crate::limits;
use crate::manifest::Fault;

/// Why a plugin was refused. Nothing of it has run, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file is too large.
    #[error("the component has {bytes} bytes, at most {} are taken", limits::COMPONENT_BYTES)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The bytes are no WebAssembly component.
    #[error("not a WebAssembly component: {says}")]
    NotAComponent {
        /// What they look like instead.
        says: String,
    },
    /// It wants something from outside.
    #[error("a plugin imports nothing, this one imports {}", quoted(names))]
    Imports {
        /// What it imports.
        names: Vec<String>,
    },
    /// There is no manifest in it.
    #[error("no custom section `{}`", crate::manifest::SECTION)]
    NoManifest,
    /// There is more than one manifest in it.
    #[error("{count} custom sections `{}`, one is allowed", crate::manifest::SECTION)]
    ManyManifests {
        /// How many.
        count: usize,
    },
    /// The manifest has faults.
    #[error("the manifest has {} fault(s):{}", faults.len(), listed(faults))]
    Manifest {
        /// All of them.
        faults: Vec<Fault>,
    },
    /// It was made for a contract that this host does not know.
    #[error("made for contract {found:?}, this host knows {}", crate::contract::KNOWN)]
    UnknownContract {
        /// What the manifest says.
        found: String,
    },
    /// An export that the contract asks for is missing or has another type.
    #[error("does not fulfil contract {contract}: {says}")]
    Contract {
        /// The contract's major version.
        contract: u16,
        /// What is wrong.
        says: String,
    },
    /// The component is invalid, or uses a WebAssembly feature that is switched off.
    #[error("cannot be compiled: {says}")]
    Invalid {
        /// The compiler's words.
        says: String,
    },
    /// It was started once to see whether it can be, and could not.
    #[error("cannot be started: {says}")]
    CannotStart {
        /// What happened.
        says: String,
    },
}

/// Why there is no sandbox at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder for compiled code cannot be made or read.
    #[error("{op} the folder for compiled plugins `{}`", path.display())]
    Cache {
        /// What was being done.
        op: &'static str,
        /// To which folder.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The folder for compiled code is not ours alone. Whoever writes there runs code as us.
    #[error("the folder for compiled plugins `{}` must belong to this user and have mode 0700: {says}", path.display())]
    CacheNotOurs {
        /// Which folder.
        path: PathBuf,
        /// What is wrong with it.
        says: String,
    },
    /// The engine refused its configuration.
    #[error("starting the WebAssembly engine: {says}")]
    Engine {
        /// The engine's words.
        says: String,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}
