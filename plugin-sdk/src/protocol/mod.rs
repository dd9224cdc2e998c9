//! Protocols that several plugins meet: pure functions from a payload to what it says or why no client sends it.
//!
//! Nothing here decides anything. A reader answers with what it read or with a `Flaw`, and the plugin maps each
//! flaw to a reason of its own manifest. What must stay true: a capture that ends early is [`Lack::Cut`] or
//! `Flaw::Cut` and never another flaw, every loop over a stranger's bytes has a bound, and nothing recurses.

pub mod a2s;
pub mod chosen;
pub mod gamespy;
pub mod raknet;
pub mod source_rcon;
pub mod steam_sockets;
mod walk;
pub mod web;

pub use chosen::Chosen;
pub use walk::{Lack, Walk};

/// First bytes of a PROXY protocol version 2 header (HAProxy "The PROXY protocol", section 2.2). A proxy in front
/// of a server may put it before a client's bytes, on TCP and on UDP; what follows is then not ours to judge.
pub const PROXY_V2: [u8; 12] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
