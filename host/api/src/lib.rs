//! Answers questions about a running ftagent, over a Unix socket that only root can open.
//!
//! The server reads what the agent publishes and hands requests to it over a bounded queue; it can never reach
//! the packet path. The forms in [`views`] belong to this border: they are separate from the types of the core,
//! so that the core may change without breaking whoever reads the JSON.

#![forbid(unsafe_code)]

pub mod client;
pub mod server;
pub mod views;

/// Version of every JSON document that ftagent prints or serves. It rises when a field changes its meaning or
/// goes away; new fields may come at any time.
pub const SCHEMA: u32 = 1;

/// What can go wrong at this border.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The socket could not be made or opened.
    #[error("failed to {op} {path}: {source}")]
    Socket {
        /// What was being done.
        op: &'static str,
        /// The socket.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody answers at the socket.
    #[error("no ftagent answers at {path}: {cause}")]
    NoAgent {
        /// The socket.
        path: std::path::PathBuf,
        /// What the connection said.
        cause: String,
    },
    /// The agent answered, and the answer is no.
    #[error("{message}")]
    Refused {
        /// What the agent said.
        message: String,
    },
    /// The answer could not be read.
    #[error("cannot read the agent's answer to {path}: {cause}")]
    Unreadable {
        /// The route.
        path: String,
        /// Why not.
        cause: String,
    },
}
