//! What can go wrong at this edge; every variant says what was being done to what.

use std::io;

/// A capture could not be started or continued.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A file could not be opened or its first bytes not be read.
    #[error("failed to {op} `{path}`: {source}")]
    File {
        /// What was being done.
        op: &'static str,
        /// To which file; `-` is standard input.
        path: String,
        /// What the system answered.
        source: io::Error,
    },
    /// The file is no pcap and no pcapng, plain or compressed with gzip.
    #[error("`{path}` is not a capture: {found}")]
    NotACapture {
        /// Which file.
        path: String,
        /// What its first bytes are.
        found: String,
    },
    /// The whole file has a link type that cannot be read.
    #[error(
        "`{path}` has link type {link_type}; Ethernet (1), raw IP (12, 14, 101, 228, 229), Linux cooked (113, 276) and BSD loopback (0, 108) can be read"
    )]
    LinkType {
        /// Which file.
        path: String,
        /// Its number on tcpdump.org's list.
        link_type: u32,
    },
    /// A packet socket, its ring or its filter could not be set up or used.
    #[error("failed to {op} on interface `{interface}`: {source}")]
    Socket {
        /// What was being done.
        op: &'static str,
        /// The interface it was for.
        interface: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The list of interfaces could not be read.
    #[error("failed to {op}: {source}")]
    Interfaces {
        /// What was being done.
        op: String,
        /// What the kernel answered.
        source: io::Error,
    },
}
