//! Checks that several plugins share.
