//! What the wall says about itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ftagent_core::effect::Grain;
use ftagent_core::effect::Scope;
use ftagent_core::service::ServiceKey;
pub use ftagent_core::tally::Amount;
use ftagent_core::time::Instant;
use ipnet::IpNet;
use serde::Serialize;

use crate::config::Mode;
use crate::docker_user::Backend;
use crate::key::Family;
use crate::key::Key;
use crate::limits;
use crate::plan::Until;
use crate::set::Element;
use crate::set::Kind;
use crate::set::Object;
use crate::set::SetId;
use crate::set::Value;
use crate::wanted::early_node;

/// What happened to the packets of one service since the wall stands. In observe mode the reasons count what would
/// have been dropped or limited, and both hooks stay at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServiceCounts {
    /// All that came from an uplink.
    pub seen: Amount,
    /// Let through on a player's lane.
    pub lane: Amount,
    /// By reason: from leased sources.
    pub by_lease: Amount,
    /// By reason: of a dropped shape.
    pub by_shape: Amount,
    /// By reason: first tries, which were asked to come again.
    pub by_second_try: Amount,
    /// By reason: over the limit of a hashed bucket.
    pub by_bucket: Amount,
    /// By reason: over the limit of the crowd.
    pub by_crowd: Amount,
    /// By hook: marked, to be dropped in `DOCKER-USER`.
    pub marked: Amount,
    /// By hook: dropped early, at prerouting.
    pub early: Amount,
}

/// The counts of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// Which.
    pub service: ServiceKey,
    /// Whether its packets are dropped early at the moment.
    pub drops_early: bool,
    /// Its counts.
    #[serde(flatten)]
    pub counts: ServiceCounts,
}

/// The counts of the node in one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeCounts {
    /// All packets from uplinks.
    pub seen: Amount,
    /// From sources that are leased on the whole node.
    pub by_lease: Amount,
    /// Marked.
    pub marked: Amount,
    /// Dropped early.
    pub early: Amount,
    /// Fragments.
    pub fragments: Amount,
    /// Fragments over the limit of their destination.
    pub fragments_over: Amount,
    /// Marked, of no connection, and so dropped before they came to the node itself.
    pub strays: Amount,
    /// Dropped by our rule in `DOCKER-USER`, as last read there.
    pub docker_user_dropped: u64,
}

/// The way of marked packets in one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathStatus {
    /// The family.
    pub family: Family,
    /// Which half of iptables holds Docker's chains.
    pub backend: Option<Backend>,
    /// Whether `FORWARD` leads through `DOCKER-USER` to our rule.
    pub docker_user: bool,
    /// Why packets are dropped early instead; empty where they are not.
    pub early_because: Vec<String>,
    /// The counts of the node in this family.
    pub counts: NodeCounts,
}

/// A block that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseStatus {
    /// Who; IPv6 sources by their /64, merged ones by their /24 or /48.
    pub source: IpAddr,
    /// How much of the address counts.
    pub prefix_bits: u8,
    /// Where.
    pub scope: Scope,
    /// Whether the kernel holds it; where it does not, that is tried again each second.
    pub in_kernel: bool,
    /// Why.
    pub reason: String,
    /// How long still.
    pub seconds_left: u64,
}

/// A network that is blocked or allowed by hand or by a list of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManualStatus {
    /// Which.
    pub network: IpNet,
    /// What was said about it.
    pub note: String,
    /// How long still; `None` as long as it stands in the configuration.
    pub seconds_left: Option<u64>,
}

/// A limit or a shape in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeasureStatus {
    /// `limit`, `bucket`, `second-try`, `syn-proxy`, `shape` or `trial` (a shape that is counted only).
    pub what: &'static str,
    /// Where.
    pub service: ServiceKey,
    /// Whether the kernel holds it; where it does not, that is tried again each second.
    pub in_kernel: bool,
    /// For a limit, packets a second.
    pub packets_per_second: Option<u64>,
    /// For a shape that is counted only, what it hit so far.
    pub hit: Option<Amount>,
    /// Why.
    pub reason: String,
    /// How long still.
    pub seconds_left: u64,
}

/// Something that is not as it should be, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// What is wrong.
    pub says: String,
    /// What to do; empty where we are doing it.
    pub mend: String,
}

/// What one tick found and did.
#[derive(Clone, Debug, Default)]
pub struct WallReport {
    /// The counts of each service.
    pub services: Vec<(ServiceKey, ServiceCounts)>,
    /// The counts of the node: IPv4, IPv6.
    pub node: [NodeCounts; 2],
    /// When the first packet was dropped at services under attack, as the kernel noted it: to a tick of its clock
    /// (1 to 4 ms) and what passed between `now` and its answer.
    pub dropped_first: Vec<(ServiceKey, Instant)>,
    /// What was repaired, a sentence each.
    pub repaired: Vec<String>,
    /// Switches between early and `DOCKER-USER`, a sentence each.
    pub switched: Vec<String>,
    /// What is wrong now.
    pub problems: Vec<Problem>,
    /// Whether `ftagent off` was called.
    pub is_off: bool,
}

/// All that there is to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WallStatus {
    /// Observe or enforce.
    pub mode: Mode,
    /// Whether `ftagent off` was called.
    pub is_off: bool,
    /// Each service.
    pub services: Vec<ServiceStatus>,
    /// IPv4 and IPv6.
    pub paths: Vec<PathStatus>,
    /// The blocks in force, at most `limits::SHOWN_MAX`.
    pub leases: Vec<LeaseStatus>,
    /// How many blocks there are.
    pub leases_total: usize,
    /// What people and the configuration blocked.
    pub blocks: Vec<ManualStatus>,
    /// What people and the configuration allowed.
    pub allowed: Vec<ManualStatus>,
    /// Limits and shapes in force.
    pub measures: Vec<MeasureStatus>,
    /// Players' lanes.
    pub lanes_total: usize,
    /// Networks that are never blocked.
    pub guarded_total: usize,
    /// Measures that were refused, by why.
    pub refused: BTreeMap<String, u64>,
    /// The last of them in words.
    pub refused_last: Vec<String>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl crate::wall::Wall {
    /// All that there is to show.
    pub fn status(&self, now: Instant) -> WallStatus {
        let leases = [Kind::Leases, Kind::WideLeases, Kind::NodeLeases, Kind::NodeWideLeases];
        let leases_total = leases.into_iter().map(|kind| self.wanted.size(kind)).sum();
        let refusals = &self.wanted.refusals;
        WallStatus {
            mode: self.structure.mode,
            is_off: self.is_off,
            services: self.service_status(),
            paths: Family::BOTH.into_iter().map(|family| self.path_status(family)).collect(),
            leases: self.lease_status(now),
            leases_total,
            blocks: self.block_status(now),
            allowed: self.allowed_status(now),
            measures: self.measure_status(now),
            lanes_total: self.wanted.size(Kind::Lanes) + self.wanted.size(Kind::AddressLanes),
            guarded_total: self.structure.guard.networks().count(),
            refused: refusals
                .counts
                .iter()
                .map(|(why, count)| (format!("{why:?}").to_lowercase(), *count))
                .collect(),
            refused_last: refusals.last.iter().cloned().collect(),
            problems: self.problems(),
        }
    }

    fn service_status(&self) -> Vec<ServiceStatus> {
        let counts = self.service_counts().into_iter();
        counts
            .map(|(service, counts)| {
                let family = Family::of(service.ip);
                let set = SetId { kind: Kind::Early, family };
                let at = Element { set, key: Key::service(&service) };
                let node = early_node(family);
                let drops_early = [at, node].iter().any(|at| self.wanted.elements.contains_key(at));
                ServiceStatus { service, drops_early, counts }
            })
            .collect()
    }

    fn path_status(&self, family: Family) -> PathStatus {
        let path = self.reconcile.path(family);
        PathStatus {
            family,
            backend: path.backend,
            docker_user: path.leads,
            early_because: self.early_because(family),
            counts: self.node_counts(family),
        }
    }

    fn in_force(&self, now: Instant) -> impl Iterator<Item = (&Element, &Value, u64)> {
        self.wanted.elements.iter().filter_map(move |(at, (value, until))| {
            let Until::Time(end) = until else { return None };
            Some((at, value, end.millis_since(now).div_ceil(1_000)))
        })
    }

    /// Why an element is there; there may be very many, so only those that are shown are asked for.
    pub(crate) fn reason_of(&self, at: &Element) -> String {
        self.wanted.reasons.get(at).map(|reason| reason.to_string()).unwrap_or_default()
    }

    fn lease_status(&self, now: Instant) -> Vec<LeaseStatus> {
        let leases = self.in_force(now).filter_map(|(at, _, seconds_left)| {
            let scope = match at.set.kind {
                Kind::NodeLeases | Kind::NodeWideLeases => Scope::Node,
                Kind::Leases | Kind::WideLeases => Scope::Service(at.key.ending_service(at.set.family)?),
                _ => return None,
            };
            let block = at.blocks()?;
            let (source, prefix_bits) = (block.addr(), block.prefix_len());
            let (in_kernel, reason) = (self.present.elements.contains_key(at), self.reason_of(at));
            Some(LeaseStatus { source, prefix_bits, scope, in_kernel, reason, seconds_left })
        });
        let mut leases: Vec<_> = leases.take(limits::SHOWN_MAX).collect();
        leases.sort_by_key(|lease| (lease.source, lease.seconds_left));
        leases
    }

    fn measure_status(&self, now: Instant) -> Vec<MeasureStatus> {
        let measures = self.in_force(now).filter_map(|(at, value, seconds_left)| {
            let (what, packets_per_second) = match (at.set.kind, value) {
                (Kind::Crowd, Value::Object(_, Object::LimitOver { per_second, .. })) => {
                    ("limit", Some(*per_second))
                }
                (Kind::Shape(_), _) => ("shape", None),
                (Kind::Trial(_), _) => ("trial", None),
                (Kind::SecondTry(_), _) => ("second-try", None),
                (Kind::Proxied, _) => ("syn-proxy", None),
                (Kind::Bucket(Grain::Source, rate), _) => ("bucket", Some(u64::from(rate.per_second))),
                (Kind::Bucket(Grain::Network, rate), _) => {
                    ("network-bucket", Some(u64::from(rate.per_second)))
                }
                _ => return None,
            };
            let service = at.key.ending_service(at.set.family)?;
            let hit = match (at.set.kind, value) {
                (Kind::Trial(_), Value::Object(name, _)) => Some(self.counted(name)),
                _ => None,
            };
            let (in_kernel, reason) = (self.present.elements.contains_key(at), self.reason_of(at));
            Some(MeasureStatus { what, service, in_kernel, packets_per_second, hit, reason, seconds_left })
        });
        let mut measures: Vec<_> = measures.take(limits::SHOWN_MAX).collect();
        measures.sort_by(|a, b| (a.service, a.what, &a.reason).cmp(&(b.service, b.what, &b.reason)));
        measures
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut say = |says: String, mend: &str| problems.push(Problem { says, mend: mend.to_owned() });
        if !self.renews {
            say(
                "this kernel does not renew timeouts, so nothing is dropped".into(),
                "use kernel 5.10 or later",
            );
        }
        if self.config.uplinks.is_empty() {
            say(
                "no uplink is known, so no packet is judged".into(),
                "name the interface in the configuration",
            );
        }
        if self.services_beyond > 0 {
            let says = format!("{} services too many; they are let through", self.services_beyond);
            say(says, "publish fewer ports");
        }
        for rule in &self.marks {
            say(format!("another rule uses our mark: {rule}"), "choose another mark bit for ftagent");
        }
        for family in Family::BOTH {
            let path = self.reconcile.path(family);
            let concerned = self.wanted.services().iter().any(|service| Family::of(service.ip) == family);
            if let Some((says, mend)) = &path.broken
                && (concerned || path.filter.is_some())
                && self.structure.mode != Mode::Observe
            {
                say(format!("{says}; packets are dropped early instead"), mend);
            }
            if path.erased_at.is_some() {
                let says = "marked packets do not arrive at DOCKER-USER with their mark; packets are dropped early instead";
                say(
                    says.into(),
                    "look for a rule of the mangle table that sets marks (iptables -t mangle -S)",
                );
            }
        }
        problems.extend(self.refused_by_kernel.clone());
        problems
    }
}
