//! Counting what is too many to list, in fixed memory: distinct values and heavy ones.
//!
//! Both exist only while an incident is open.

mod distinct;
mod heavy;

pub(crate) use distinct::Distinct;
pub(crate) use heavy::Heavy;
