//! Games: from a container to a title, and from a title to what its ports are for.
//!
//! A title is one `game.toml`, pure data. [`parse`] turns its text into a [`Profile`] and reports every mistake at
//! once; a [`Catalog`] holds many profiles and knows whose word counts when two claim the same thing;
//! [`Catalog::recognise`] reads the facts of a container and says which game it is, why, and how each of its ports
//! is judged. Text comes in as text: nothing here opens a file. Two things stay true: a name counts only as a
//! whole word or a whole name, and a thing that many games share (a generic image, a switch whose name contains
//! `PORT`) proves nothing.

mod catalog;
mod finding;
mod name;
mod parse;
mod ports;
mod profile;
mod reader;
mod recognise;

pub use catalog::Catalog;
pub use catalog::Origin;
pub use finding::Finding;
pub use finding::Severity;
pub use name::nearest;
pub use name::normalise;
pub use parse::parse;
pub use ports::RecognisedPort;
pub use profile::Hints;
pub use profile::Marks;
pub use profile::PortRule;
pub use profile::Profile;
pub use profile::Source;
pub use profile::Variable;
pub use recognise::ContainerFacts;
pub use recognise::Published;
pub use recognise::Recognised;

/// The game of a container that nothing recognised.
pub const UNKNOWN: &str = "unknown";

/// The plugin that judges what no other plugin knows.
pub const GENERIC: &str = "generic";
