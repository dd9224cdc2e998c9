//! What outlives a restart, all of it in the state folder: modes, blocks by hand, what was learnt, incidents.
//!
//! What must stay true: a file is replaced whole or not at all, only root can read it, and one that cannot be read is
//! set aside with a warning and a fresh start, never a reason not to protect.

pub(crate) mod blocks;
pub(crate) mod file;
pub(crate) mod incidents;
pub(crate) mod learnt;
pub(crate) mod modes;

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

pub(crate) use modes::Remembered;

/// Seconds since 1970, now.
pub(crate) fn unix_seconds() -> u64 {
    unix_ms() / 1_000
}

/// Milliseconds since 1970, now.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
