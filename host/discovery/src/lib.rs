//! Which port is which game: the only crate that speaks to Docker
