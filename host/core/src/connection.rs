//! A connection that stood before the engine saw a packet.

use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::service::ServiceKey;

/// A TCP connection whose both ends somebody trustworthy has seen: the kernel's connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Connection {
    /// Who opened it.
    pub client: IpAddr,
    /// From this port.
    pub client_port: u16,
    /// Where it leads, by the public address and port.
    pub service: ServiceKey,
}
