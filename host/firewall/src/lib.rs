//! Rules out: the only crate that changes the kernel's packet filter
