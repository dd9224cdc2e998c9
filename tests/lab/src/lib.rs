//! A node, its players and its attackers in network namespaces, with a real Docker.
//!
//! ```text
//!   players                     attackers                        node
//!   192.0.2.0/24 ───── veth ──► bridge `wire` ◄───── veth ─────► uplink 203.0.113.10, .11
//!   2001:db8:1::/64             198.51.100.0/24, 198.19.0.0/16   2001:db8::10, ::11
//!                               (real: they answer)              dockerd, containers
//!                               198.18.0.0/16 (forged: silence)
//! ```
//!
//! What must stay true: a lab never touches the namespace it was started from; every name in it begins with
//! `ft<pid>-`; and whatever was started in it ends with it, also when the process panics, is interrupted or is
//! killed (a sweeper, `sweep.sh`, waits for that in a process of its own). Only documentation and
//! benchmark addresses are used, and no packet can leave the three namespaces.
//!
//! The library needs root. It never skips: what is missing is an error that says so.

pub mod address;
pub mod agent;
pub mod attack;
pub mod clients;
pub mod clock;
pub mod command;
pub mod crowd;
pub mod docker;
pub mod kernel;
mod lab;
pub mod meter;
pub mod namespace;
pub mod player;
pub mod scenario;
pub mod server;
mod sweep;

pub use agent::Agent;
pub use attack::Attack;
pub use attack::Bounds;
pub use attack::Sent;
pub use clients::Clients;
pub use crowd::Crowd;
pub use docker::Docker;
pub use lab::Lab;
pub use meter::Meter;
pub use namespace::Namespace;
pub use player::Player;
pub use server::Server;
pub use server::ServerSpec;
