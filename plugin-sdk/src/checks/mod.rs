//! Checks that several plugins share. Each says what it saw and never which reason that is: a plugin maps the
//! finding to a reason of its own manifest, so that certainty and wording stay in one place.
//!
//! All are true of single packets in every state of every protocol named, so sampling cannot make them wrong.

pub mod reflection;
pub mod tcp;
