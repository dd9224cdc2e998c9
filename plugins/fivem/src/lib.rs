//! FiveM and RedM: one port with queries and ENet over UDP, and HTTP or TLS over TCP.
//!
//! A client joins over TCP first and gets a token; only then its ENet CONNECT is taken. A CONNECT after a join of
//! the same source is therefore a step of a join, and one without is an opening; the missing join proves nothing
//! (another address family, a carrier's NAT, sampling). ENet returns nothing that a forger could not guess, so the
//! proof that a client is there is its TCP connection.
//!
//! What must stay true: a datagram of a connection whose beginning nobody saw is unknown and never hostile, unless
//! its commands break, which is unusual at most because FiveM's ENet is a copy of its own.

mod enet;
mod judge;
mod out_of_band;
mod segment;
#[cfg(test)]
mod tests;
mod web_side;

ftagent_plugin::plugin!(manifest = "plugin.toml", judge = judge::judge);
