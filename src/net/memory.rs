//! Memory of the process that nothing uses.

/// Gives what lies unused to the system, which allocators keep for later. It takes some milliseconds for each 10 MiB, and other
/// threads that allocate wait meanwhile.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no pointers, and what is in use stays where it is.
    unsafe {
        libc::malloc_trim(0)
    };
}
