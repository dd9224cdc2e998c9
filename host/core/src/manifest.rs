//! What a plugin declares about itself, after its manifest was read and checked. The written form (TOML in a
//! custom section) belongs to the sandbox.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::service::Transport;

/// How sure a hostile opinion with this reason is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// No client of this game sends it in any state: it may be dropped by itself.
    Impossible,
    /// Clients hardly ever send it.
    Unusual,
    /// Clients send it too; only too much of it is bad, and the host counts.
    Rate,
}

/// A reason that a plugin may give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Kebab-case, unique within the plugin.
    pub name: Arc<str>,
    /// How sure it is.
    pub certainty: Certainty,
    /// One sentence for people.
    pub says: Arc<str>,
    /// Where the fact comes from.
    pub source: Arc<str>,
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Class {
    /// The plugin does not say.
    #[default]
    None = 0,
    /// The first words of a connection.
    Opening = 1,
    /// A question about the server.
    Query = 2,
    /// Between the first words and playing.
    Join = 3,
    /// Playing.
    Play = 4,
    /// Acknowledgements, keep-alives, farewells.
    Control = 5,
}

/// How much of one class is normal. Packets a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassRate {
    /// The class.
    pub class: Class,
    /// Most that one source sends.
    pub per_source: u32,
    /// Most that one player sends.
    pub per_player: u32,
}

/// Bytes at a place of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BytesAt {
    /// Offset in the payload.
    pub offset: u16,
    /// What stands there after masking; at most 16 bytes (nftables compares at most 128 bits).
    pub value: Vec<u8>,
    /// Which bits count; as long as `value`.
    pub mask: Vec<u8>,
}

/// A shape that the kernel can match without a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// The transport it applies to.
    pub transport: Transport,
    /// Bounds of the payload length in bytes.
    pub payload_bytes: Option<RangeInclusive<u16>>,
    /// Bytes that must be there.
    pub bytes: Vec<BytesAt>,
    /// TCP flags: (which flags count, what they are).
    pub tcp_flags: Option<(u8, u8)>,
    /// TCP without any option (data offset 5).
    pub without_options: bool,
    /// The client's port.
    pub source_port: Option<u16>,
    /// Bounds of the time to live or hop limit.
    pub ttl: Option<RangeInclusive<u8>>,
    /// TCP window as sent.
    pub window: Option<u16>,
}

/// A shape that stands for an `impossible` reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonShape {
    /// Index into the manifest's reasons, from 1 as in an opinion.
    pub reason: u16,
    /// What to match.
    pub shape: Shape,
}

/// Where a service flag comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// Kebab-case, unique within the plugin; also the key in an operator's TOML.
    pub name: Arc<str>,
    /// Container variable; `1`, `true`, `yes`, `on` set the flag.
    pub env: Option<Arc<str>>,
    /// One sentence for people.
    pub says: Arc<str>,
}

/// A plugin's checked manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Kebab-case; how games name it.
    pub name: Arc<str>,
    /// Its own version.
    pub version: Arc<str>,
    /// Major version of the contract.
    pub contract: u16,
    /// SPDX expression.
    pub license: Arc<str>,
    /// Who wrote it.
    pub authors: Vec<Arc<str>>,
    /// One sentence.
    pub summary: Arc<str>,
    /// Payload bytes that it reads of each packet.
    pub payload_bytes: u16,
    /// Bytes of the client's TCP stream that it wants, at most 1024; 0 for none.
    pub stream_head: u16,
    /// Whether it wants to see what the server sends.
    pub replies: bool,
    /// Fuel that one packet may cost.
    pub fuel_per_packet: u32,
    /// Its reasons; an opinion counts from 1.
    pub reasons: Vec<Reason>,
    /// Rates of classes.
    pub rates: Vec<ClassRate>,
    /// Its service flags, bit 0 first; at most 64.
    pub flags: Vec<Flag>,
    /// What the kernel may drop by itself.
    pub shapes: Vec<ReasonShape>,
    /// Whole catalogue entries (the text of a `game.toml` each), so that a niche game needs no change in the host.
    pub games: Vec<Arc<str>>,
}
