//! Every bound of the recorder in one place: its value with the unit, and what happens there.

/// Packets of one service's ring; a further one takes the place of the oldest.
pub(super) const RING_PACKETS: usize = 2_048;
/// Packets that a ring grows by.
pub(super) const RING_STEP_PACKETS: usize = 256;
/// Bytes of all rings; at the bound a ring grows no more.
pub(super) const RINGS_BYTES: usize = 32 << 20;
/// Milliseconds that a packet of a ring is worth writing; a ring without a younger one is freed.
pub(super) const RING_MS: u64 = 30_000;
/// Captured bytes of a packet, by default and if all is wanted; the rest is cut.
pub(super) const HEAD_BYTES: usize = 192;
pub(super) const FULL_BYTES: usize = 1_536;

/// Packets a second and at once that a ring takes; above it is thinned out.
pub(super) const RING_INTERVAL_US: u64 = 1_000_000 / 200;
pub(super) const RING_BURST_US: u64 = 1_000_000;

/// Incidents and recordings at once; a further one has no file and is counted.
pub(super) const RECORDINGS: usize = 16;
/// Of those, recordings by hand.
pub(super) const BY_HAND: usize = 4;

/// Packets of one incident's file, the ring's included.
pub(super) const FILE_PACKETS: u64 = 10_000;
/// Bytes of one incident's file.
pub(super) const FILE_BYTES: u64 = 24 << 20;
/// An incident's packets are taken ever more rarely: so many in all while its age grows by a factor of e. With the
/// ring's they reach the file's bound after 28 hours.
pub(super) const PACKETS_AN_E_FOLD: u64 = 800;
/// Age of an incident from which on it is so.
pub(super) const E_FOLD_START_US: u64 = 5_000_000;
/// Microseconds' worth of packets that are taken at once.
pub(super) const INCIDENT_BURST_US: u64 = 400_000;

/// Packets and bytes of a recording by hand; it takes no more than fit its time, evenly.
pub(super) const RECORD_PACKETS: u64 = 50_000;
pub(super) const RECORD_BYTES: u64 = 64 << 20;
/// Fewer microseconds than this do not lie between two packets of a recording.
pub(super) const RECORD_INTERVAL_US: u64 = 500;

/// Frames that may wait for their opinion while they are remembered here; a power of two. More than an epoch has.
pub(super) const PENDING: usize = 8_192;
/// Messages that may wait for the writer; what finds it full is lost and counted.
pub(super) const WAITING: usize = 256;
/// Blocks of a recording that may wait for whoever asked for it; what finds it full is lost.
pub(super) const STREAM_BLOCKS: usize = 1_024;
/// Seconds between two looks at how old and large the files are.
pub(super) const TIDY_SECONDS: u64 = 60;
