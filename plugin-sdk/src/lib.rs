//! All that the author of a plugin depends on.
//!
//! A plugin says what traffic is; the host decides what follows. It is a manifest and a judge: a pure function from
//! a [`Packet`] and two notes to an [`Opinion`]. A whole plugin with its test:
//!
//! ```
//! use ftagent_plugin::{Class, Opinion, Packet};
//!
//! ftagent_plugin::plugin!(manifest = "example.toml", judge = judge);
//!
//! fn judge(packet: &Packet<'_>, _flow: &mut u64, _source: &mut u64) -> Opinion {
//!     let payload = packet.payload();
//!     if !packet.is_to_server() || !packet.is_udp() {
//!         Opinion::unknown()
//!     } else if payload.is_empty() {
//!         Opinion::hostile(Class::None, reason::EMPTY)
//!     } else if payload.len() == 12 && payload.starts_with(&[0; 4]) {
//!         Opinion::genuine(Class::Query)
//!     } else {
//!         Opinion::unknown()
//!     }
//! }
//!
//! use ftagent_plugin::testing::{Conversation, hex};
//!
//! # fn main() {
//! let ping = Conversation::udp(64738).client(&hex("00000000 0102030405060708"));
//! assert_eq!(ping.judge(&PLUGIN).words(), ["query"]);
//! assert_eq!(Conversation::udp(64738).client(b"").judge(&PLUGIN).reasons(), ["empty"]);
//! # }
//! ```
//!
//! The manifest beside it (`example.toml`) is read and checked by the macro at compile time; each `[[reasons]]`
//! becomes a constant in the module `reason`, each `[[flags]]` one in `flag`:
//!
//! ```toml
#![doc = include_str!("../example.toml")]
//! ```
//!
//! `cargo xtask plugins` makes the component. What to keep in mind:
//!
//! * **Not seen is not wrong.** Sampling and cut captures hide bytes and whole packets. Say `hostile` only about what
//!   is there: [`Payload::differs_at`], never `!starts_with`; a missing opening only with [`Packet::opening_seen`].
//! * **`impossible` means impossible**: no client in any state sends it, from any port, through any proxy. Such a
//!   reason may drop by itself, and with a shape the kernel drops it without asking.
//! * **Streams come as heads.** TCP cuts a client's words anywhere. Ask for a `stream-head` and read
//!   [`Packet::head`] with a [`Cursor`] and `?`; running out of bytes is [`Parse::NeedMore`].
//! * **Remember in notes.** 64 bits a flow and 64 a source, 0 at first. Nothing else outlives a packet, and the same
//!   packets in other batches must give the same opinions ([`testing`] holds you to it).
//! * **Check first what others check**: [`checks`] has segments that no stack sends and reflected answers,
//!   [`protocol`] has readers of protocols that several games share.

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
