//! Tells people of incidents: a signed webhook and a program of the operator's.
//!
//! ```text
//!  shard ── try_send ──► Alerts ──► gate: what is worth telling ──► one courier a receiver ──► webhook | exec
//!                                                                       │ queue, retries, breaker
//!                                                                   alerts.mp (survives a restart)
//! ```
//!
//! What must stay true:
//! * Nothing waits for it: telling is one `try_send`; what finds the queue full is counted.
//! * Each receiver is told of each incident in order, at least once, under one id that never changes, and of its end.
//! * A receiver that is slow, dead or refuses concerns neither the other nor anybody else.
//! * The program is run as it is named, with the notice on standard input; no shell reads anything.
//! * Secrets come from a file that others cannot read and leave it only as signatures.

#![forbid(unsafe_code)]

mod courier;
mod error;
mod exec;
mod gate;
pub mod limits;
mod notice;
mod post;
mod secret;
mod settings;
mod store;
mod webhook;

pub use error::AlertError;
pub use notice::Because;
pub use notice::Notice;
pub use notice::What;
pub use post::Alerts;
pub use post::Told;
pub use post::start;
pub use settings::Pace;
pub use settings::Settings;
pub use settings::Webhook;
pub use webhook::signature;
