//! The sets of our table, and what an element of them may carry.

use std::sync::Arc;

use ftagent_core::effect::Grain;
use ipnet::IpNet;

use crate::key;
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
    /// Services where decisions are counted and nothing is dropped.
    Observed,
    /// Services where leases are counted and do not drop.
    Limited,
    /// Sources blocked at a service.
    Leases,
    /// Networks of merged leases blocked at a service (IPv4 /24, IPv6 /48).
    WideLeases,
    /// Sources blocked at the node.
    NodeLeases,
    /// Networks of merged leases blocked at the node.
    NodeWideLeases,
    /// Networks of this prefix length that a person blocked at the node.
    Manual(u8),
    /// Flows of players.
    Lanes,
    /// Other flows from addresses of players.
    AddressLanes,
    /// Services where strangers pass at their second try.
    SecondTry(Tries),
    /// Services where strangers are limited by hashed source or network.
    Bucket(Grain, Rate),
    /// Limits of crowds: service to limit.
    Crowd,
    /// Services whose SYNs the kernel answers.
    Proxied,
    /// The same services, and for some seconds those that were, to their SYN proxy.
    Proxies,
    /// Services whose packets we drop ourselves.
    Early,
    /// Families whose packets we drop ourselves; one set for both.
    EarlyNode,
    /// Services at which a shape is dropped.
    Shape(ShapeId),
    /// Services at which a shape is counted only: service to counter.
    Trial(ShapeId),
    /// Service to counter.
    Counter(Count),
    /// Services of which a packet was dropped; the kernel adds them, and what is left of their time tells when.
    FirstDrop,
    /// Own address to the counter of its fragments.
    FragmentsSeen,
    /// Own address to the counter of its fragments over the limit.
    FragmentsOver,
    /// Own address to the limit of its fragments.
    FragmentsLimit,
}

/// When a second try counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tries {
    /// Not sooner than this after the first.
    pub after_ms: u32,
    /// Not later than this.
    pub within_ms: u32,
}

/// What one hashed bucket may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    /// Packets.
    pub per_second: u32,
    /// How many at once.
    pub burst: u32,
}

impl Kind {
    /// What is counted of packets that meet an element of this kind.
    pub fn counts(self) -> &'static [Count] {
        match self {
            Self::Leases | Self::WideLeases | Self::NodeLeases | Self::NodeWideLeases | Self::Manual(_) => {
                &[Count::Lease, Count::Marked, Count::Early]
            }
            Self::Lanes | Self::AddressLanes => &[Count::Lane],
            Self::SecondTry(_) => &[Count::SecondTry, Count::Marked, Count::Early],
            Self::Bucket(..) => &[Count::Bucket, Count::Marked, Count::Early],
            Self::Crowd => &[Count::Crowd, Count::Marked, Count::Early],
            Self::Shape(_) => &[Count::Shape, Count::Marked, Count::Early],
            _ => &[],
        }
    }

    /// Whether an element concerns every service of the node.
    pub fn is_of_node(self) -> bool {
        matches!(self, Self::NodeLeases | Self::NodeWideLeases | Self::Manual(_))
    }

    /// Whether a set of this kind comes and goes with rules of its own, which its name tells.
    pub fn has_own_rules(self) -> bool {
        matches!(
            self,
            Self::Shape(_) | Self::Trial(_) | Self::SecondTry(_) | Self::Bucket(..) | Self::Manual(_)
        )
    }

    /// Whether its elements are what effects or people asked for, so that a restart takes them over.
    pub fn is_measure(self) -> bool {
        !self.counts().is_empty() || matches!(self, Self::Trial(_) | Self::Proxied | Self::Proxies)
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
            Kind::Observed => format!("observed{digit}"),
            Kind::Limited => format!("limited{digit}"),
            Kind::Leases => format!("leases{digit}"),
            Kind::WideLeases => format!("wide_leases{digit}"),
            Kind::NodeLeases => format!("node_leases{digit}"),
            Kind::NodeWideLeases => format!("node_wide_leases{digit}"),
            Kind::Manual(bits) => format!("manual_{bits}_{digit}"),
            Kind::Lanes => format!("lanes{digit}"),
            Kind::AddressLanes => format!("address_lanes{digit}"),
            Kind::SecondTry(Tries { after_ms, within_ms }) => format!("try_{after_ms}_{within_ms}_{digit}"),
            Kind::Bucket(grain, Rate { per_second, burst }) => {
                format!("{}_{per_second}_{burst}_{digit}", bucket_word(grain))
            }
            Kind::Crowd => format!("crowd{digit}"),
            Kind::Proxied => format!("proxied{digit}"),
            Kind::Proxies => format!("proxies{digit}"),
            Kind::Early => format!("early{digit}"),
            Kind::EarlyNode => "early_node".to_owned(),
            Kind::Shape(id) => format!("shape_{id}_{digit}"),
            Kind::Trial(id) => format!("trial_{id}_{digit}"),
            Kind::Counter(count) => format!("count_{}{digit}", count.name()),
            Kind::FirstDrop => format!("first_drop{digit}"),
            Kind::FragmentsSeen => format!("fragments_seen{digit}"),
            Kind::FragmentsOver => format!("fragments_over{digit}"),
            Kind::FragmentsLimit => format!("fragments_limit{digit}"),
        }
    }

    /// The set of such a name, if it is one that comes and goes with rules of its own.
    pub fn parse_own(name: &str) -> Option<Self> {
        let (rest, digit) = name.rsplit_once('_')?;
        let family = Family::BOTH.into_iter().find(|family| digit == family.digit().to_string())?;
        let (what, rest) = rest.split_once('_')?;
        let two = || {
            let (first, second) = rest.split_once('_')?;
            Some((first.parse().ok()?, second.parse().ok()?))
        };
        let kind = match what {
            "shape" => Kind::Shape(ShapeId::parse(rest)?),
            "trial" => Kind::Trial(ShapeId::parse(rest)?),
            "try" => two().map(|(after_ms, within_ms)| Kind::SecondTry(Tries { after_ms, within_ms }))?,
            "bucket" | "netbucket" => {
                let grains = [Grain::Source, Grain::Network];
                let grain = grains.into_iter().find(|grain| bucket_word(*grain) == what)?;
                two().map(|(per_second, burst)| Kind::Bucket(grain, Rate { per_second, burst }))?
            }
            "manual" => Kind::Manual(rest.parse().ok()?),
            _ => return None,
        };
        Some(Self { kind, family })
    }

    /// Every set that stands as long as the table, but for those that the kernel fills.
    pub fn lasting() -> impl Iterator<Item = Self> {
        let kinds = [
            Kind::Armed,
            Kind::ArmedNode,
            Kind::Observed,
            Kind::Limited,
            Kind::Leases,
            Kind::WideLeases,
            Kind::NodeLeases,
            Kind::NodeWideLeases,
            Kind::Lanes,
            Kind::AddressLanes,
            Kind::Crowd,
            Kind::Proxied,
            Kind::Proxies,
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

/// What the name of a set of bucket limits begins with.
const fn bucket_word(grain: Grain) -> &'static str {
    match grain {
        Grain::Source => "bucket",
        Grain::Network => "netbucket",
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

impl Element {
    /// Who is blocked by this element; `None` if it blocks nobody.
    pub fn blocks(&self) -> Option<IpNet> {
        let bits = match (self.set.kind, self.set.family) {
            (Kind::Leases | Kind::NodeLeases, family) => key::lease_bits(family, false),
            (Kind::WideLeases | Kind::NodeWideLeases, family) => key::lease_bits(family, true),
            (Kind::Manual(bits), _) => bits,
            _ => return None,
        };
        IpNet::new(self.key.source(self.set.family), bits).ok()
    }
}

/// An object of our table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// Packets and bytes.
    Counter,
    /// Matches what is over the rate.
    LimitOver { per_second: u64, burst: u32 },
    /// How a server's handshake looks that the kernel makes in its place.
    SynProxy { segment_bytes: u16, window_scale: u8 },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_with_own_rules_are_known_by_their_names() {
        let id = ShapeId::parse("0123456789abcdef").unwrap();
        let kinds = [
            Kind::Shape(id),
            Kind::Trial(id),
            Kind::SecondTry(Tries { after_ms: 300, within_ms: 5_000 }),
            Kind::Bucket(Grain::Source, Rate { per_second: 40, burst: 9 }),
            Kind::Bucket(Grain::Network, Rate { per_second: 40, burst: 9 }),
            Kind::Manual(24),
        ];
        for kind in kinds {
            for family in Family::BOTH {
                let set = SetId { kind, family };
                assert_eq!(SetId::parse_own(&set.name()), Some(set));
            }
            assert!(kind.has_own_rules());
        }
        for set in SetId::lasting() {
            assert_eq!(SetId::parse_own(&set.name()), None);
        }
        for other in ["shape_x_4", "manual_300_4", "try_1_4", "buckets_40_9_4", ""] {
            assert_eq!(SetId::parse_own(other), None, "{other}");
        }
    }
}
