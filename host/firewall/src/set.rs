//! The sets of our table, and what an element of them may carry.

use std::sync::Arc;

use crate::key::Family;
use crate::key::Key;
use crate::shape::ShapeId;

/// Something that is counted for each service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Count {
    /// All packets that came from an uplink.
    Seen,
    /// Packets of a lane, within its rate.
    Lane,
    /// Packets of leased sources.
    Lease,
    /// Packets of a dropped shape.
    Shape,
    /// First tries, which are asked to come again.
    SecondTry,
    /// Packets over the limit of a hashed bucket.
    Bucket,
    /// Packets over the limit of the crowd.
    Crowd,
    /// Marked for the chain in `DOCKER-USER`.
    Marked,
    /// Dropped by ourselves at prerouting.
    Early,
}

impl Count {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Seen,
        Self::Lane,
        Self::Lease,
        Self::Shape,
        Self::SecondTry,
        Self::Bucket,
        Self::Crowd,
        Self::Marked,
        Self::Early,
    ];

    /// As in names of maps and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Lane => "lane",
            Self::Lease => "lease",
            Self::Shape => "shape",
            Self::SecondTry => "second_try",
            Self::Bucket => "bucket",
            Self::Crowd => "crowd",
            Self::Marked => "marked",
            Self::Early => "early",
        }
    }
}

/// What a set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Services for which rules may drop; the dead man's switch.
    Armed,
    /// The same for the node as a whole; one set for both families.
    ArmedNode,
    /// Sources blocked at a service.
    Leases,
    /// Sources blocked at the node.
    NodeLeases,
    /// Flows of players.
    Lanes,
    /// Other flows from addresses of players.
    AddressLanes,
    /// Limits of crowds: service to limit.
    Crowd,
    /// Services whose packets we drop ourselves.
    Early,
    /// Families whose packets we drop ourselves; one set for both.
    EarlyNode,
    /// Services at which a shape is dropped.
    Shape(ShapeId),
    /// Service to counter.
    Counter(Count),
    /// Own address to the counter of its fragments.
    FragmentsSeen,
    /// Own address to the counter of its fragments over the limit.
    FragmentsOver,
    /// Own address to the limit of its fragments.
    FragmentsLimit,
}

impl Kind {
    /// What is counted of packets that meet an element of this kind.
    pub fn counts(self) -> &'static [Count] {
        match self {
            Self::Leases | Self::NodeLeases => &[Count::Lease, Count::Marked, Count::Early],
            Self::Lanes | Self::AddressLanes => &[Count::Lane],
            Self::Crowd => &[Count::Crowd, Count::Marked, Count::Early],
            Self::Shape(_) => &[Count::Shape, Count::Marked, Count::Early],
            _ => &[],
        }
    }
}

/// One set of our table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId {
    /// What for.
    pub kind: Kind,
    /// Whose addresses.
    pub family: Family,
}

impl SetId {
    /// Its name in the kernel.
    pub fn name(&self) -> String {
        let digit = self.family.digit();
        match self.kind {
            Kind::Armed => format!("armed{digit}"),
            Kind::ArmedNode => "armed_node".to_owned(),
            Kind::Leases => format!("leases{digit}"),
            Kind::NodeLeases => format!("node_leases{digit}"),
            Kind::Lanes => format!("lanes{digit}"),
            Kind::AddressLanes => format!("address_lanes{digit}"),
            Kind::Crowd => format!("crowd{digit}"),
            Kind::Early => format!("early{digit}"),
            Kind::EarlyNode => "early_node".to_owned(),
            Kind::Shape(id) => format!("shape_{id}_{digit}"),
            Kind::Counter(count) => format!("count_{}{digit}", count.name()),
            Kind::FragmentsSeen => format!("fragments_seen{digit}"),
            Kind::FragmentsOver => format!("fragments_over{digit}"),
            Kind::FragmentsLimit => format!("fragments_limit{digit}"),
        }
    }

    /// Every set that does not belong to a shape.
    pub fn lasting() -> impl Iterator<Item = Self> {
        let kinds = [
            Kind::Armed,
            Kind::ArmedNode,
            Kind::Leases,
            Kind::NodeLeases,
            Kind::Lanes,
            Kind::AddressLanes,
            Kind::Crowd,
            Kind::Early,
            Kind::EarlyNode,
            Kind::FragmentsSeen,
            Kind::FragmentsOver,
            Kind::FragmentsLimit,
        ];
        let all = kinds.into_iter().chain(Count::ALL.into_iter().map(Kind::Counter));
        all.flat_map(|kind| {
            let families = match kind {
                Kind::ArmedNode | Kind::EarlyNode => &Family::BOTH[..1],
                _ => &Family::BOTH[..],
            };
            families.iter().map(move |&family| Self { kind, family })
        })
    }
}

/// One element of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// Where.
    pub set: SetId,
    /// Which.
    pub key: Key,
}

/// An object of our table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// Packets and bytes.
    Counter,
    /// Matches what is over the rate.
    LimitOver { per_second: u64, burst: u32 },
}

/// What an element carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Nothing.
    None,
    /// A named object; a changed one has a new name, because changing a named limit is a silent no-op.
    Object(Arc<str>, Object),
    /// Matches only up to this rate (the element's own limit).
    UpTo { per_second: u32 },
}
