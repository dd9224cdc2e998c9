//! Packets in: packet sockets and capture files.
//!
//! Two sources, one product, the [`Frame`](ftagent_core::frame::Frame):
//!
//! ```text
//!  interfaces::read ─► interfaces::choose ─► LiveCapture::open ─► next_block ─► frames   (a node)
//!                                                  CaptureFile ─► next_frame ─► frames   (a file)
//! ```
//!
//! What must stay true:
//! * Frames are borrowed from the ring or from the file's window, never copied for the caller.
//! * A file is hostile: no length in it is believed before it was compared with a limit, and what was
//!   read before the damage is kept.
//! * Live, what the filter let through is either handed out or counted in [`Losses`].
//! * The kernel filter is attached before the socket is bound, so no foreign packet is ever counted.
//! * All `unsafe` code of the crate is in `ring.rs` and `pages.rs`.

pub mod anonymise;
mod bpf;
mod error;
pub mod file;
pub mod interfaces;
mod layers;
mod live;
mod pages;
mod peek;
mod plan;
mod ring;
mod sample;
pub mod write;

pub use anonymise::Anonymiser;
pub use error::CaptureError;
pub use file::CaptureFile;
pub use file::Ended;
pub use interfaces::Interface;
pub use layers::payload_at;
pub use live::BlockEnd;
pub use live::FRAMES_PER_CALL_MAX;
pub use live::LiveCapture;
pub use live::Losses;
pub use live::ORDER_US;
pub use live::Options;
pub use live::RETIRE_MS;
pub use live::Report;
pub use pages::prefer_large_pages;
pub use plan::CapturePlan;
