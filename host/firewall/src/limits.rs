//! Every bound of the wall in one place: what it counts, and what happens there.

/// Seconds that one element of `armed` lives without us. After this and one more second nothing is dropped.
pub const ARMED_MS: u64 = 10_000;
/// How often `armed` is renewed: three tries fit into its life.
pub const ARMED_RENEWAL_MS: u64 = 3_000;
/// How often the kernel is read back.
pub const RECONCILE_MS: u64 = 1_000;
/// How often the sources that must never be blocked are looked up again.
pub const GUARD_MS: u64 = 10_000;
/// Longest life of any measure, whatever was asked for; a longer one is cut.
pub const MEASURE_MS_MAX: u32 = 6 * 3_600_000;

/// Services that are armed and counted; further ones are let through and reported.
pub const SERVICES_MAX: usize = 4_096;
/// Leases for each family, on services and on the node each; a newer one is refused and counted.
pub const LEASES_MAX: usize = 65_536;
/// Lanes for each family, exact and by address each; a newer one is refused and counted.
pub const LANES_MAX: usize = 65_536;
/// Distinct shapes, each a rule of its own; a newer one is refused and counted.
pub const SHAPES_MAX: usize = 32;
/// Rules that one shape may become (a TCP payload length is one rule for each header length).
pub const SHAPE_RULES_MAX: usize = 16;
/// Bytes that nftables compares at once.
pub const COMPARE_BYTES_MAX: usize = 16;
/// Networks in the guard; further ones are not guarded in the kernel and reported.
pub const GUARD_MAX: usize = 4_096;
/// Fragments a second that one address of the node may receive while it is armed, and how many at once.
pub const FRAGMENTS_PER_SECOND: u64 = 2_000;
/// See [`FRAGMENTS_PER_SECOND`].
pub const FRAGMENTS_BURST: u32 = 1_000;

/// Re-inserted jumps within [`REINSERT_WINDOW_MS`] after which the jump is left where it is.
pub const REINSERTS_MAX: usize = 3;
/// See [`REINSERTS_MAX`].
pub const REINSERT_WINDOW_MS: u64 = 600_000;

/// Elements in one netlink message; the length of a nested attribute has 16 bits.
pub const ELEMENTS_PER_MESSAGE: usize = 200;
/// Bytes of one batch; larger plans become several transactions, never inside one element.
pub const BATCH_BYTES: usize = 1 << 20;
/// Refusals that are remembered for people.
pub const REFUSALS_KEPT: usize = 32;
/// Leases and measures that `status` lists; the total is always exact.
pub const SHOWN_MAX: usize = 1_000;

/// Connections that are taken over at start; further ones settle by what they acknowledge.
pub const CONNECTIONS_MAX: usize = 65_536;
