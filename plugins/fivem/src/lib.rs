//! fivem
