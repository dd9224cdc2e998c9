//! Every bound of the program itself: what it counts, and what happens there. The libraries have their own.

/// Bytes of one segment of the incident log; a fuller one is closed and another begun.
pub(crate) const LOG_SEGMENT_BYTES: u64 = 2 << 20;
/// Records of one segment; the same happens.
pub(crate) const LOG_SEGMENT_RECORDS: u64 = 4_096;
/// Segments of the incident log; the oldest is dropped.
pub(crate) const LOG_SEGMENTS: u32 = 8;
/// Bytes of one record that is read back; a longer line is not ours and is skipped.
pub(crate) const LOG_RECORD_BYTES: usize = 256 << 10;
/// Incidents whose records wait because the disk does not take them; the oldest is dropped.
pub(crate) const LOG_WAITING: usize = 256;
/// Milliseconds between two records of one incident that goes on; what is newer waits.
pub(crate) const LOG_EVERY_MS: u64 = 5_000;
/// Bytes of a state file that are read back; a larger one is not ours.
pub(crate) const STATE_BYTES: u64 = 64 << 20;
/// Seconds between two saves of what was learnt.
pub(crate) const LEARNT_EVERY_SECONDS: u64 = 60;
/// Longest time that can be given to a tried mode or a block, in seconds: a week.
pub(crate) const TIME_SECONDS: u64 = 604_800;
/// Networks that operators can rule on by hand; a further one is refused.
pub(crate) const BLOCKS: usize = 4_096;
