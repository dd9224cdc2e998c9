//! Lanes: who is proven passes whatever strangers do, up to a few times its own usual rate. Lanes stand in peace
//! too, so that they are there when an attack begins.

use std::net::IpAddr;

use crate::effect::Lane;
use crate::flow::Flow;
use crate::flow::FlowKey;
use crate::service::ServiceKey;
use crate::standing::Standing;
use crate::time::Instant;

/// Lanes are renewed so often in peace.
pub(crate) const RENEW_MS: u64 = 5_000;
/// And end by themselves after so long.
const LANE_MS: u32 = 15_000;
/// A client that was silent for so long needs none.
const SILENT_MS: u64 = 60_000;
const FLOOR_PPS: u32 = 100;
const CEILING_PPS: u32 = 5_000;
/// So many times its usual rate.
const TIMES_USUAL: u32 = 4;

/// Whether a flow should have a lane now.
pub(crate) fn deserves(flow: &Flow, at: Instant) -> bool {
    flow.standing.now() >= Standing::Proven
        && !flow.tcp.gone()
        && !flow.mostly_hostile()
        && at.millis_since(flow.client_seen) < SILENT_MS
}

/// The lane of a flow.
pub(crate) fn of_flow(key: &FlowKey, flow: &Flow, service: ServiceKey) -> Lane {
    Lane {
        source: IpAddr::from(key.client),
        source_port: Some(key.client_port),
        service,
        for_ms: LANE_MS,
        packets_per_second: flow.usual_pps.saturating_mul(TIMES_USUAL).clamp(FLOOR_PPS, CEILING_PPS),
    }
}

/// The smaller lane of the other ports of the same address: a player who reconnects has a new port.
pub(crate) fn of_address(lane: &Lane) -> Lane {
    Lane { source_port: None, packets_per_second: lane.packets_per_second / 2, ..lane.clone() }
}
