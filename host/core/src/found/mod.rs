//! Shapes that are found: what the packets of an attack have in common and no genuine packet has.
//!
//! What must stay true: a found shape has two fields or more, of which one is neither TTL nor source port; it hits
//! nothing that is retained of genuine packets; and it runs as a counter before it drops anything.

mod derive;
mod sample;

pub(crate) use derive::derive;
pub(crate) use sample::Sample;
pub(crate) use sample::Samples;

use crate::manifest::Shape;
use crate::service::Transport;

/// The shape that everything has.
pub(crate) const fn any(transport: Transport) -> Shape {
    Shape {
        transport,
        payload_bytes: None,
        bytes: Vec::new(),
        tcp_flags: None,
        without_options: false,
        source_port: None,
        ttl: None,
        window: None,
    }
}
