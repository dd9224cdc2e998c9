//! Every bound of this crate in one place: its value with the unit, and what happens there.

/// Changes of incidents that wait for the gate. At the bound the newest is lost and counted (`lost_full`).
pub const WAITING_CHANGES: usize = 256;

/// Notices that wait for one receiver. At the bound the oldest makes room and is counted (`dropped`).
pub const QUEUE_LETTERS: usize = 256;

/// Incidents that are remembered as told of and open. At the bound the oldest is forgotten; its end is still told.
pub const OPEN_INCIDENTS: usize = 1_024;

/// Bytes of a secret file. A larger one is refused.
pub const SECRET_BYTES: u64 = 4_096;

/// Bytes of a secret below which it is refused, because it could be guessed.
pub const SECRET_BYTES_MIN: usize = 16;

/// Bytes of the file with what waits. A larger one is not read.
pub const STORE_BYTES: u64 = 16 * 1024 * 1024;

/// Milliseconds that a receiver may ask us to wait at most (`Retry-After`).
pub const RETRY_AFTER_MS: u64 = 600_000;

/// Milliseconds between two retries at most, as long as the breaker is closed.
pub const RETRY_MS: u64 = 30_000;

/// Milliseconds that are spent on what waits when the agent ends.
pub const LAST_MS: u64 = 2_000;
