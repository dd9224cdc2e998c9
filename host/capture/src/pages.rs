//! Large pages for tables that are read at random: finding the address of a small page costs as much as reading it.

#![allow(unsafe_code, reason = "advice about memory is given by its address")]

/// The size of a large page on every machine that we run on, in bytes.
const LARGE_BYTES: usize = 2 << 20;

/// Asks the kernel to back these regions (address and bytes) with large pages, as far as whole ones fit in. Only a
/// wish: where it is refused, or large pages are switched off, everything works as before.
pub fn prefer_large_pages(regions: impl IntoIterator<Item = (usize, usize)>) {
    for (start, bytes) in regions {
        let end = start.saturating_add(bytes) / LARGE_BYTES * LARGE_BYTES;
        let start = start.next_multiple_of(LARGE_BYTES);
        if start < end {
            // SAFETY: this advice changes neither what the memory holds nor who may use it, whoever owns it; the
            // kernel refuses addresses where nothing is mapped.
            // JUSTIFICATION: there is no safe way to say which memory is read at random.
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
        }
    }
}
