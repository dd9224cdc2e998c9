//! What can be wrong before anything is sent.

use std::path::PathBuf;

/// A setting that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// A file could not be used.
    #[error("failed to {op} {path}: {source}")]
    File {
        /// What was being done.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The secret could be read by others, or is none.
    #[error("the webhook's secret {path} {why}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The address cannot be sent to. It may hold a token, so it is not repeated.
    #[error("the webhook's address {why}")]
    Address {
        /// What is wrong with it.
        why: String,
    },
    /// The program cannot be run.
    #[error("the program {program} {why}")]
    Program {
        /// Its path.
        program: String,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be used.
    #[error("cannot prepare for https: {why}")]
    Tls {
        /// Why not.
        why: String,
    },
}
