//! Every bound of the engine in one place: its value with the unit, what happens there, and which counter moves.
//!
//! Levels of attack detection are not bounds; they stand in `judge::level`.

/// Flows known at once. At the bound a stranger takes the place of the stranger seen longest ago in its set.
pub const FLOWS: usize = 131_072;

/// Sources known at once, one for each (address, service). As with flows.
pub const SOURCES: usize = 131_072;

/// Entries of one set of a table: so many places are tried for a key.
pub const WAYS: usize = 8;

/// Rows of one batch. At the bound the batch must be answered before the next frame.
pub const BATCH_ROWS: usize = 256;

/// Frames of a run that is read ahead: enough for their waits to overlap, few enough to stay in the nearest cache.
pub const RUN_FRAMES: usize = 32;

/// Frames of one epoch. At its end all batches are answered; eviction reads only what earlier epochs settled.
pub const EPOCH_FRAMES: u32 = 4_096;

/// Milliseconds of one epoch at most.
pub const EPOCH_MS: u64 = 100;

/// Memory for stream heads in bytes. At the bound new streams get no head; those who have one keep it.
pub const STREAM_BYTES: usize = 16 * 1024 * 1024;

/// Longest stream head in bytes; a manifest cannot ask for more.
pub const HEAD_BYTES: usize = 1_024;

/// Pieces of a stream head that may wait behind a gap. At the bound a further piece is forgotten.
pub const HEAD_PIECES: usize = 3;

/// Flows with a lane. At the bound further flows share their address's lane or the crowd.
pub const LANES: usize = 16_384;

/// Flows in a report. At the bound the report says that there are more.
pub const REPORT_FLOWS: usize = 10_000;

/// Different reasons remembered for a flow or source. At the bound further ones only count in the totals.
pub const REASONS_KEPT: usize = 4;

/// Effects remembered for `explain`. At the bound the oldest is forgotten.
pub const LOG_EFFECTS: usize = 1_024;

/// VLAN tags of a frame.
pub const VLAN_TAGS: usize = 4;

/// IPv6 extension headers of a packet.
pub const IPV6_EXTENSIONS: usize = 8;

/// Steps of 100 ms made up for after a silence. Attacks end within them; the rest of the silence is skipped.
pub const STEPS_AFTER_SILENCE: u64 = 100;

/// Judged packets that wait for a recorder. At the bound it misses the rest; it is asked after every frame and answer.
pub const TAPPED: usize = 4_096;

/// Milliseconds that a vanished service is still known.
pub const SERVICE_KEPT_MS: u64 = 600_000;

/// Settled flows of a service before anything was learnt about it.
pub const SETTLED_FLOWS: u32 = 128;

/// Incidents open at once. At the bound a further attack counts into the last one.
pub const OPEN_INCIDENTS: usize = 256;

/// Closed incidents remembered, so that one that comes back goes on under its number. The oldest is forgotten.
pub const CLOSED_INCIDENTS: usize = 64;

/// Seconds of an incident's curve. At the bound the oldest are kept.
pub const INCIDENT_SECONDS: usize = 600;

/// Further services named in one incident. At the bound further ones only count.
pub const INCIDENT_ALSO: usize = 64;

/// Sources named in one incident.
pub const INCIDENT_SOURCES: usize = 10;

/// Registers of the estimate of distinct sources: 16 KiB an open incident.
pub const DISTINCT_REGISTERS: usize = 1 << 14;

/// Places for heavy sources of an open incident. At the bound the lightest makes room.
pub const HEAVY_PLACES: usize = 512;

/// Services whose restored baselines wait for them to appear. At the bound further ones begin afresh.
pub const LEARNT_SERVICES: usize = 4_096;

/// Addresses whose fragments are counted. At the bound further ones are only sampled.
pub const FRAGMENT_ADDRESSES: usize = 256;

/// Own conversations of the node remembered, so that their answers are no attack. The newest stays.
pub const OWN_CONVERSATIONS: usize = 8_192;

/// Measures in the record of an incident. At the bound further ones are not noted; they are taken all the same.
pub const INCIDENT_MEASURES: usize = 32;

/// Sentences about one measure in the record of an incident. At the bound further ones are not noted.
pub const INCIDENT_BECAUSE: usize = 8;
/// Packets that are retained of one player. The newest are kept.
pub const RETAINED_HEADS: usize = 32;

/// First payload bytes of a retained packet.
pub const RETAINED_BYTES: usize = 64;

/// Players of whom packets are retained. At the bound no further ones are until some have gone.
pub const RETAINED_PLAYERS: usize = 2_048;

/// Services whose openings and queries are retained. At the bound further ones retain none, and there only limits
/// and declared shapes are used.
pub const RETAINED_SERVICES: usize = 512;

/// Openings that are retained of a service. The newest are kept.
pub const RETAINED_OPENINGS: usize = 200;

/// Queries that are retained of a service. The newest are kept.
pub const RETAINED_QUERIES: usize = 200;

/// Openings that wait for their flow to be proven. At the bound the oldest is forgotten.
pub const RETAINED_PENDING: usize = 1_024;

/// Retained packets of a service from which measures can be tried; below, only declared shapes and limits are used.
pub const RETAINED_ENOUGH: u32 = 600;

/// Packets of strangers that are kept of a service under attack. The newest are kept.
pub const SAMPLES: usize = 512;

/// Services under attack of which samples are kept. At the bound further ones find no shapes and stay with limits.
pub const SAMPLED_SERVICES: usize = 64;

/// Found shapes of one service.
pub const FOUND_SHAPES: usize = 4;

/// Leases of one service. At the bound further sources are left out and counted; from half of it networks are merged
/// sooner.
pub const LEASES_A_SERVICE: usize = 16_384;

/// Leased addresses of one network that is not merged because somebody peaceful is there.
pub const LEASES_A_NETWORK: usize = 256;

/// Steps of answers remembered for `explain`. At the bound the oldest is forgotten.
pub const LOG_STEPS: usize = 512;

/// One bound, for documents and `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Kebab-case.
    pub name: &'static str,
    /// How much.
    pub value: u64,
    /// Of what.
    pub unit: &'static str,
    /// What happens there.
    pub at_bound: &'static str,
    /// The counter that moves, by its name in a report.
    pub counter: &'static str,
}

const fn limit(
    name: &'static str,
    value: u64,
    unit: &'static str,
    at_bound: &'static str,
    counter: &'static str,
) -> Limit {
    Limit { name, value, unit, at_bound, counter }
}

/// All bounds.
pub const ALL: &[Limit] = &[
    limit("flows", FLOWS as u64, "flows", "the stranger seen longest ago makes room", "flows-forgotten"),
    limit(
        "flow-ways",
        WAYS as u64,
        "places",
        "if all are protected the packet has no flow",
        "flow-table-full",
    ),
    limit(
        "sources",
        SOURCES as u64,
        "sources",
        "the stranger seen longest ago makes room",
        "sources-forgotten",
    ),
    limit(
        "source-ways",
        WAYS as u64,
        "places",
        "if all are protected the packet has no flow",
        "source-table-full",
    ),
    limit("batch-rows", BATCH_ROWS as u64, "packets", "the batch must be answered first", "batch-full"),
    limit("stream-bytes", STREAM_BYTES as u64, "bytes", "new streams get no head", "stream-bytes-full"),
    limit("head-pieces", HEAD_PIECES as u64, "pieces", "a further piece is forgotten", "head-pieces-full"),
    limit("lanes", LANES as u64, "flows", "further flows get no lane of their own", "lanes-full"),
    limit("settled-flows", SETTLED_FLOWS as u64, "flows", "further flows stay strangers", "settled-full"),
    limit("report-flows", REPORT_FLOWS as u64, "flows", "the report says that there are more", "flows-more"),
    limit(
        "open-incidents",
        OPEN_INCIDENTS as u64,
        "incidents",
        "a further attack counts into the last one",
        "incidents-full",
    ),
    limit("vlan-tags", VLAN_TAGS as u64, "tags", "the frame is malformed", "too-many-tags"),
    limit(
        "ipv6-extensions",
        IPV6_EXTENSIONS as u64,
        "headers",
        "the packet is malformed",
        "too-many-extensions",
    ),
    limit(
        "leases-a-service",
        LEASES_A_SERVICE as u64,
        "leases",
        "further sources are left out",
        "leases-full",
    ),
    limit(
        "retained-players",
        RETAINED_PLAYERS as u64,
        "players",
        "further ones are not retained",
        "retained-full",
    ),
    limit(
        "sampled-services",
        SAMPLED_SERVICES as u64,
        "services",
        "further ones find no shapes",
        "samples-full",
    ),
];
