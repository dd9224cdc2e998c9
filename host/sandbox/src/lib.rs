//! Runs plugins: strangers' WebAssembly components that judge packets. The only crate that knows wasmtime.
//!
//! ```text
//!  bytes ── anatomy ──► manifest ──► compiled Plugin ──► Seat (one a shard) ── classify(batch) ──► answer
//!           imports?     faults?      one start tried      fuel, memory, bytes        └─► NoOpinion + Health
//! ```
//!
//! What must stay true: a plugin imports nothing, so it cannot reach anything; everything that it can use up
//! (fuel, memory, stack, bytes returned, start-up) has a bound in [`limits`]; whatever it does costs its own
//! opinion and nothing else. A plugin that traps, runs out of fuel or lies loses its instance, is given a fresh
//! one, and is left alone for a while when that repeats. Time is an argument: this crate reads no clock.
//!
//! `unsafe` stands in `contract/v1.rs` alone, where whole batches of rows are copied instead of field by field.

mod anatomy;
mod contract;
mod engine;
mod health;
pub mod limits;
pub mod manifest;
mod plugin;
mod refusal;
mod seat;

pub use anatomy::Export;
pub use contract::Contract;
pub use engine::Allocation;
pub use engine::Config;
pub use engine::Sandbox;
pub use health::Health;
pub use health::State;
pub use plugin::Digest;
pub use plugin::Inspection;
pub use plugin::Plugin;
pub use plugin::inspect;
pub use refusal::Refusal;
pub use refusal::StartError;
pub use seat::Seat;
