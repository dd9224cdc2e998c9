//! The engine of ftagent: bytes and a time in, effects out.
//!
//! This crate has no outside world. It opens nothing, spawns nothing, reads no clock, logs nothing and cannot
//! fail; hostile bytes are data and are counted. Everything around it (`ftagent-capture`, `ftagent-sandbox`,
//! `ftagent-firewall`, `ftagent-discovery`) is the only one that may touch its own piece of the world.

#![forbid(unsafe_code)]

pub mod effect;
pub mod frame;
pub mod game;
pub mod manifest;
pub mod question;
pub mod service;
pub mod time;
