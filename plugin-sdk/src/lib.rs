//! All that the author of a plugin depends on
