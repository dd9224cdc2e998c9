//! The engine of ftagent: bytes and a time in, effects out.
//!
//! This crate has no outside world. It opens nothing, spawns nothing, reads no clock, logs nothing and cannot
//! fail; hostile bytes are data and are counted. Everything around it (`ftagent-capture`, `ftagent-sandbox`,
//! `ftagent-firewall`, `ftagent-discovery`) is the only one that may touch its own piece of the world.

#![forbid(unsafe_code)]

pub mod baseline;
pub mod connection;
pub mod count;
pub mod effect;
pub mod engine;
mod escort;
mod flow;
mod found;
pub mod frame;
pub mod game;
mod hash;
pub mod incident;
mod judge;
pub mod limits;
pub mod manifest;
mod measure;
mod outbox;
mod places;
pub mod question;
mod retained;
mod roster;
mod run;
pub mod service;
mod site;
mod sketch;
mod source;
mod standing;
mod stream;
mod table;
pub mod tally;
pub mod tap;
pub mod time;
pub mod wire;

pub use engine::Engine;
pub use engine::EngineConfig;
pub use engine::Explanation;
pub use engine::FixedLimit;
pub use engine::Report;
pub use flow::Tally;
pub use flow::Verdict;
pub use measure::Came;
pub use measure::Measure;
pub use measure::Step;
pub use question::NoOpinion;
pub use roster::PluginIndex;
pub use roster::Roster;
pub use run::Run;
pub use site::SiteCounts;
pub use standing::Standing;
