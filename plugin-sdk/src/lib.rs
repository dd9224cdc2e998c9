//! All that the author of a plugin depends on.

#![warn(missing_docs)]

// The macros write paths that begin with the crate's name, also where this crate itself uses them.
extern crate self as ftagent_plugin;

pub mod batch;
pub mod checks;
mod opinion;
mod packet;
mod parse;
mod payload;
pub mod protocol;
#[doc(hidden)]
pub mod rows;
mod tcp;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use batch::Judge;
pub use ftagent_plugin_macros::plugin;
pub use opinion::{Class, Flag, Judgement, Opinion, Reason};
pub use packet::{Direction, Packet, Role, Transport};
pub use parse::{Cursor, Head, Parse, Stop};
pub use payload::Payload;
pub use tcp::{TcpFlags, TcpOptions};

/// A plugin as its own tests see it. The macro writes one, named `PLUGIN`.
#[derive(Clone, Copy, Debug)]
pub struct Plugin {
    /// The manifest's text.
    pub manifest: &'static str,
    /// Names of its reasons, in order.
    pub reasons: &'static [&'static str],
    /// Payload bytes that it wants of each packet.
    pub payload_bytes: u16,
    /// Bytes of the client's TCP stream that it wants.
    pub stream_head: u16,
    /// Whether it wants to see what the server sends.
    pub replies: bool,
    /// The judge.
    pub judge: Judge,
}
