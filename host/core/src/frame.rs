//! What capture hands in: one frame as it was seen, not yet parsed.

use crate::time::Instant;

/// What the first byte of a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet II or 802.3, with or without 802.1Q and 802.1ad tags.
    Ethernet,
    /// An IP header; the version is in its first four bits.
    RawIp,
    /// Linux cooked capture v1 (LINKTYPE_LINUX_SLL 113).
    LinuxCooked,
    /// Linux cooked capture v2 (LINKTYPE_LINUX_SLL2 276).
    LinuxCooked2,
    /// BSD loopback: four bytes of address family (LINKTYPE_NULL 0).
    Loopback,
}

/// Which way a frame went at the interface, as far as capture can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Into this node.
    Ingress,
    /// Out of this node.
    Egress,
    /// A capture file does not say; the service table decides.
    Unknown,
}

/// One frame, borrowed from the capture's memory.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When it was captured.
    pub at: Instant,
    /// How to read its first bytes.
    pub link: Link,
    /// Which way it went.
    pub passage: Passage,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Bytes on the wire; at least `bytes.len()`.
    pub wire_bytes: u32,
    /// This frame stands for so many; at least 1.
    pub sample_rate: u32,
}
