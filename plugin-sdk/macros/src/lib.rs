//! The macro that reads a plugin's manifest at compile time
