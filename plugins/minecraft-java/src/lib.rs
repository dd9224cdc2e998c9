//! Minecraft Java servers and proxies.
//!
//! ```text
//!              ┌─ fe .. ───────────── legacy ping
//! [PROXY] ─────┼─ handshake, next 1 ─ status request, ping ...        all of it checked
//!              └─ handshake, next 2 ─ login start ─┬─ encryption response ─ opaque from here
//!                             next 3               └─ plain or compressed packets  (offline mode)
//! ```
//!
//! The client's first bytes are read from the stream's head, so it does not matter how they were cut into
//! segments. What was learnt is kept in the flow's note; where the beginning was not seen (sampling, or a player
//! who was there before us) the plugin knows nothing and says so.

mod judge;
mod note;
mod opening;
mod segment;

ftagent_plugin::plugin!(manifest = "plugin.toml", judge = judge::judge);

#[cfg(test)]
mod tests;
