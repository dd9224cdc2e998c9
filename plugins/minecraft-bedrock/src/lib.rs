//! Minecraft Bedrock: RakNet on one UDP port, and GameSpy queries beside it.
//!
//! What must stay true: a datagram of a connection whose beginning nobody saw is unknown and never hostile;
//! `impossible` is said only of bytes that no client sends in any state; a cookie counts as echoed only after the
//! server was seen choosing it. Servers that give no cookie leave a client without proof here: everything else
//! that RakNet echoes can be guessed (packet sizes, clocks in milliseconds).
//!
//! The flow's note: what the server chose ([`Chosen`]), and above it how far the connection has come.

mod judge;
#[cfg(test)]
mod tests;

ftagent_plugin::plugin!(manifest = "plugin.toml", judge = judge::judge);
