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
/// Merged leases (/24, /48) for each family, on services and on the node each; a newer one is refused and counted.
pub const WIDE_LEASES_MAX: usize = 16_384;
/// Networks that people blocked, of one prefix length; together as many. A newer one is refused and says so.
pub const MANUAL_MAX: usize = 1_024;
/// The widest network that a person can block or allow: a prefix of so many bits.
pub const MANUAL_WIDEST_V4: u8 = 8;
/// See [`MANUAL_WIDEST_V4`].
pub const MANUAL_WIDEST_V6: u8 = 16;
/// Lanes for each family, exact and by address each; a newer one is refused and counted.
pub const LANES_MAX: usize = 65_536;
/// Distinct shapes, each a rule of its own; a newer one is refused and counted.
pub const SHAPES_MAX: usize = 32;
/// Rules that one shape may become (a TCP payload length is one rule for each header length).
pub const SHAPE_RULES_MAX: usize = 16;
/// Different numbers that second tries may have at once, and bucket limits too, each with rules of its own; a
/// measure with other ones is refused and counted.
pub const DISTINCT_MAX: usize = 8;
/// Strangers that are waited for at once, for each family; when full, a first try goes on to buckets and crowd.
/// 100,000 forged sources a second for five seconds fit; an element takes about 100 bytes.
pub const TRIED_MAX: usize = 524_288;
/// First tries that are too fresh for a second one, for each family; when full, a second try may come too soon.
pub const YOUNG_MAX: usize = 131_072;
/// The longest time in which a second try may come.
pub const TRY_MS_MAX: u32 = 60_000;
/// Hashed buckets of one service; forged sources cannot fill more.
pub const BUCKETS: usize = 4_096;
/// Services with bucket limits of the same rate, for each family: so many times [`BUCKETS`] have room in the set. A
/// further one is refused and counted.
pub const BUCKET_SERVICES_MAX: usize = 64;
/// A bucket that was not hit for so long is forgotten.
pub const BUCKET_MS: u64 = 10_000;
/// A handshake that a SYN proxy began may end so long after the last SYN that it answered.
pub const PROXY_LINGER_MS: u64 = 10_000;
/// Different numbers that SYN proxies may have while the table stands; one with other ones is refused and counted.
pub const PROXIES_MAX: usize = 32;
/// Segment sizes that a SYN proxy can announce (RFC 9293 section 3.7.1: 536 is every host's least).
pub const SEGMENT_BYTES: std::ops::RangeInclusive<u16> = 536..=9_000;
/// The largest window scale (RFC 7323 section 2.3).
pub const WINDOW_SCALE_MAX: u8 = 14;
/// For so long the kernel keeps the time of the first drop at a service.
pub const FIRST_DROP_MS: u64 = 3_600_000;
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
