//! Every bound of the sandbox, with its unit and what happens there.

/// Size of a component. A larger one is refused before it is read. The largest of ours is below 200 KB; a
/// garbage-collected language brings its runtime along.
pub const COMPONENT_BYTES: usize = 4 << 20;

/// Size of the manifest's text, catalogue entries included. A larger one is refused.
pub const MANIFEST_BYTES: usize = 256 << 10;

/// Faults of one manifest that are reported; the rest is counted only.
pub const MANIFEST_FAULTS: usize = 64;

/// Names of imports, exports and custom sections that are remembered of one component.
pub const ANATOMY_NAMES: usize = 64;

/// Length of a name in a manifest, in bytes.
pub const NAME_BYTES: usize = 64;

/// Length of a sentence in a manifest, in bytes.
pub const SENTENCE_BYTES: usize = 600;

/// Authors of one plugin.
pub const AUTHORS: usize = 32;

/// Reasons of one plugin.
pub const REASONS: usize = 256;

/// Service flags of one plugin: the bits of `service-flags`.
pub const FLAGS: usize = 64;

/// Kernel shapes of one plugin.
pub const SHAPES: usize = 512;

/// Catalogue entries of one plugin.
pub const GAMES: usize = 256;

/// Payload bytes of each packet that a plugin may ask for.
pub const PAYLOAD_BYTES: u16 = 512;

/// Bytes of a client's TCP stream that a plugin may ask for.
pub const STREAM_HEAD_BYTES: u16 = 1024;

/// Bytes that one comparison of a shape covers: nftables compares at most 128 bits.
pub const COMPARED_BYTES: usize = 16;

/// Fuel that a manifest may ask for each packet: about 15 µs at 0.3 ns a unit, so a full batch of a plugin that
/// uses it all takes a few milliseconds. A manifest that asks for more is refused.
pub const FUEL_PER_PACKET: u32 = 50_000;

/// Fuel of one call beside that of its packets, for what does not grow with them.
pub const FUEL_PER_CALL: u64 = 100_000;

/// Fuel for starting an instance. A plugin that needs more cannot be started.
pub const FUEL_TO_START: u64 = 20_000_000;

/// Linear memory of one instance; growing beyond it fails inside the plugin.
pub const MEMORY_BYTES: usize = 16 << 20;

/// Elements of one instance's table.
pub const TABLE_ELEMENTS: usize = 16 << 10;

/// Core instances within one component: its module and the shims of its tool chain.
pub const CORE_INSTANCES: u32 = 8;

/// Stack of WebAssembly code, in bytes. The thread that calls needs this and about 128 KiB beside it.
pub const STACK_BYTES: usize = 512 << 10;

/// Bytes of an answer beside its opinions and notes: the record of three lists, with room. An answer that is
/// larger is a lie, found before it is copied.
pub const ANSWER_SLACK_BYTES: usize = 256;

/// Seats at one time unless the caller knows better: 64 plugins on 16 shards. Beyond it a seat stays without
/// an opinion.
pub const SEATS: u32 = 1024;

/// This many failures ...
pub const FAILURES: u32 = 3;

/// ... within this many milliseconds bring a seat into quarantine.
pub const FAILURE_WINDOW_MS: u64 = 10_000;

/// The first quarantine, in milliseconds. Each next one is twice as long ...
pub const QUARANTINE_MS: u64 = 1_000;

/// ... up to this.
pub const QUARANTINE_MAX_MS: u64 = 300_000;
