//! What the operator decides.

use std::path::PathBuf;

use ftagent_core::incident::Severity;

/// Whom to tell, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where signed JSON is posted to.
    pub webhook: Option<Webhook>,
    /// A program and its arguments; the JSON comes on its standard input. Empty for none.
    pub exec: Vec<String>,
    /// Less severe incidents are not told of.
    pub severity_min: Severity,
    /// Whether names of servers may leave the node. Without it a server is its uuid, or a code where it has none.
    pub names: bool,
    /// What this node calls itself in notices; empty for its random id alone.
    pub node: String,
    /// Where the node's id and what waits are kept.
    pub state_dir: PathBuf,
    /// How patient to be.
    pub pace: Pace,
}

/// One webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// `https://...`; `http://` only to this machine. It may hold a token, so no log shows more than its host.
    pub url: String,
    /// The file that holds the key of the signature; without one notices are not signed.
    pub secret_file: Option<PathBuf>,
}

/// Patience. The defaults are what a node uses; tests use less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A receiver may take so long to answer.
    pub answer_ms: u64,
    /// The first retry comes so long after a failure; each further one after twice the time.
    pub retry_ms: u64,
    /// After so many failures in a row the breaker opens.
    pub failures: u32,
    /// Open, it lets one probe through after each such time.
    pub probe_ms: u64,
    /// An incident that only grows is told of again after so long.
    pub change_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { answer_ms: 10_000, retry_ms: 1_000, failures: 5, probe_ms: 60_000, change_ms: 30_000 }
    }
}

impl Settings {
    /// Whether there is anybody to tell.
    pub fn tells_anybody(&self) -> bool {
        self.webhook.is_some() || !self.exec.is_empty()
    }
}
