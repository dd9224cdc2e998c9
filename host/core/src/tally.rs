//! What the kernel has counted: exact, for every packet, whatever capture sampled or lost. All numbers only grow.

use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::service::ServiceKey;

/// Packets and their bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the IP header on.
    pub bytes: u64,
}

/// One service, by what became of its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceTally {
    /// All that came in, before anything was decided.
    pub seen: Amount,
    /// Passed in a player's lane.
    pub lane: Amount,
    /// From leased sources.
    pub lease: Amount,
    /// Of a shape that is dropped.
    pub shape: Amount,
    /// First tries, which are asked to come again.
    pub second_try: Amount,
    /// Over a hashed bucket's limit.
    pub bucket: Amount,
    /// Over the limit on strangers as a crowd.
    pub crowd: Amount,
    /// Dropped in `DOCKER-USER`.
    pub docker_user: Amount,
    /// Dropped early.
    pub early: Amount,
}

impl ServiceTally {
    /// Dropped anywhere.
    pub const fn dropped(&self) -> Amount {
        Amount {
            packets: self.docker_user.packets + self.early.packets,
            bytes: self.docker_user.bytes + self.early.bytes,
        }
    }
}

/// Everything that the kernel counted up to one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tallies {
    /// Every service.
    pub services: Vec<(ServiceKey, ServiceTally)>,
    /// All that came in by the uplinks.
    pub node: Amount,
    /// Fragments, by the address they were sent to.
    pub fragments: Vec<(IpAddr, Amount)>,
}
