//! What an operator blocks and allows by hand.

use serde::Deserialize;
use serde::Serialize;

/// What is done with a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// Nothing of it comes in.
    Block,
    /// It is never dropped or limited.
    Allow,
}

impl std::fmt::Display for Ruling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Block => "block",
            Self::Allow => "allow",
        })
    }
}

/// A change of what is blocked and allowed by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockChange {
    /// The network, as `192.0.2.0/24` or a single address.
    pub prefix: String,
    /// What to do with it; none takes back what was said of it by hand.
    pub ruling: Option<Ruling>,
    /// For how long; without it until it is taken back.
    pub for_seconds: Option<u64>,
}

/// One network that an operator ruled on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockView {
    /// The network.
    pub prefix: String,
    /// What is done with it.
    pub ruling: Ruling,
    /// `by hand` or `configuration`.
    pub origin: String,
    /// When it ends, in milliseconds since 1970; none: when it is taken back.
    pub ends_unix_ms: Option<u64>,
    /// Seconds left.
    pub seconds_left: Option<u64>,
}
