//! Valve's family: A2S queries of every game that answers them, the connections of Source, GoldSrc and Steam
//! networking sockets, and Source RCON over TCP.
//!
//! What must stay true: most games that answer A2S speak something else on the same port, so bytes that are no
//! message of Valve's are unknown until the flow has shown what it speaks, or the operator has said so with a flag.
//! A challenge counts as echoed only after the server was seen choosing it.
//!
//! The flow's note: what the server chose ([`Chosen`](ftagent_plugin::protocol::Chosen)), above it what the flow
//! speaks, and in the topmost four bits the count of [`a2s::bare_infos`](ftagent_plugin::protocol::a2s::bare_infos).

mod judge;
mod remote_control;
mod segment;
#[cfg(test)]
mod tests;

ftagent_plugin::plugin!(manifest = "plugin.toml", judge = judge::judge);
