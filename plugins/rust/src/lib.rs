//! Rust by Facepunch: the game over RakNet or Steam sockets, Valve's queries on their own port or beside the game,
//! WebRCON and Rust+ over TCP.
//!
//! What must stay true: which transport a server speaks is learnt flow by flow from what the server itself says;
//! until then well-known bytes are genuine, unknown ones unknown, and nothing about RakNet or Steam sockets is
//! called more than unusual, because no public capture of Rust exists.
//!
//! The flow's note: what the server chose ([`Chosen`](ftagent_plugin::protocol::Chosen)), above it what the flow
//! speaks, and in the topmost four bits the count of [`a2s::bare_infos`](ftagent_plugin::protocol::a2s::bare_infos).

mod game;
mod judge;
mod query;
mod segment;
#[cfg(test)]
mod tests;
mod web_ports;

ftagent_plugin::plugin!(manifest = "plugin.toml", judge = judge::judge);
