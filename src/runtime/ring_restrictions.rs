//! Rings that take only the operations that workers submit.
//!
//! A ring is a second way into the kernel, which filters of system calls do not see: whoever runs code in this process
//! could open files by it, or send descriptors. So a ring is made disabled, is told what it may take, and is enabled then.
//! Nothing in the process can take that back, and other processes cannot either.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::sync::PoisonError;

use io_uring::opcode;
use io_uring::register::Restriction;

/// What is submitted: waiting, receiving, sending, connecting, closing, and giving up any of these. Accepting is a
/// system call, and so is all that is done to files.
const OPERATIONS: [u8; 6] = [
    opcode::PollAdd::CODE,
    opcode::Recv::CODE,
    opcode::Send::CODE,
    opcode::Connect::CODE,
    opcode::Close::CODE,
    opcode::AsyncCancel::CODE,
];

/// IORING_REGISTER_RESTRICTIONS and IORING_REGISTER_ENABLE_RINGS of `linux/io_uring.h`.
const REGISTER_RESTRICTIONS: libc::c_long = 11;
const REGISTER_ENABLE_RINGS: libc::c_long = 12;

/// Descriptors behind the one that was free where a new ring is looked for first: as many may be opened meanwhile.
const NEAR: RawFd = 1_024;

/// While a ring is made, no other one is disabled.
#[expect(
    clippy::disallowed_types,
    reason = "only the start waits for it, once in each thread that has a ring"
)]
static IN_THE_MAKING: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Restricts and enables the ring that `make` makes disabled, on the thread that is to use it.
///
/// The driver does not show the descriptor of its ring, so it is looked for: the kernel takes restrictions for rings alone
/// that are disabled, and while this runs there is just one.
pub(super) fn restricted<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _alone = IN_THE_MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let free = lowest_free_descriptor()?;
    let made = make()?;
    let mut candidates = (free..free.saturating_add(NEAR)).chain(0..free);
    let ring = candidates.find(|descriptor| restrict(*descriptor).is_ok());
    let ring = ring.ok_or_else(|| io::Error::other("the kernel takes no restrictions for it"))?;
    enable(ring)?;
    Ok(made)
}

/// Lets a disabled ring take [`OPERATIONS`] and no others, none of them with flags, and no registrations.
fn restrict(ring: RawFd) -> io::Result<()> {
    let restrictions = OPERATIONS.map(Restriction::sqe_op);
    let (list, count) = (restrictions.as_ptr(), restrictions.len());
    // SAFETY: the kernel reads `count` entries of the list, whose type is transparent for its own `io_uring_restriction`.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_register, ring, REGISTER_RESTRICTIONS, list, count) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn enable(ring: RawFd) -> io::Result<()> {
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: the call reads no memory.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_register, ring, REGISTER_ENABLE_RINGS, nothing, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The number that the next descriptor gets, unless another thread opens or closes one first.
fn lowest_free_descriptor() -> io::Result<RawFd> {
    // SAFETY: the call takes no pointers.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use io_uring::IoUring;
    use io_uring::squeue;
    use io_uring::types::Fd;

    use super::*;

    /// A ring as workers have it; None where the kernel grants none.
    fn ring() -> Option<IoUring> {
        let disabled = || {
            let mut builder = IoUring::builder();
            builder.setup_single_issuer().setup_coop_taskrun().setup_r_disabled();
            builder.build(8)
        };
        match restricted(disabled) {
            Ok(ring) => Some(ring),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    }

    /// What comes of an operation, as the kernel tells it: a negative error, or a result.
    fn outcome(ring: &mut IoUring, entry: &squeue::Entry) -> i32 {
        // SAFETY: what the entries of these tests point to lives until they are completed.
        unsafe { ring.submission().push(entry) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        ring.completion().next().unwrap().result()
    }

    #[test]
    fn what_workers_do_is_taken_and_nothing_else() {
        let Some(mut ring) = ring() else { return };
        let (reader, writer) = io::pipe().unwrap();
        let (writing, path) = (Fd(writer.as_raw_fd()), c"/dev/null".as_ptr());
        let ready = opcode::PollAdd::new(writing, libc::POLLOUT as u32).build();
        assert_eq!(outcome(&mut ring, &ready), i32::from(libc::POLLOUT));
        for refused in [
            opcode::Nop::new().build(),
            opcode::OpenAt::new(Fd(libc::AT_FDCWD), path).build(),
            opcode::Write::new(writing, b"x".as_ptr(), 1).build(),
            opcode::Accept::new(writing, std::ptr::null_mut(), std::ptr::null_mut()).build(),
            opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build(),
            ready.clone().flags(squeue::Flags::ASYNC),
        ] {
            assert_eq!(outcome(&mut ring, &refused), -libc::EACCES, "{refused:?}");
        }
        assert_eq!(outcome(&mut ring, &ready), i32::from(libc::POLLOUT));
        drop(reader);
    }

    #[test]
    fn nothing_can_be_registered_any_more() {
        let Some(ring) = ring() else { return };
        let own = ring.as_raw_fd();
        assert_eq!(restrict(own).unwrap_err().raw_os_error(), Some(libc::EACCES));
        let refusal = ring.submitter().register_files(&[0]).unwrap_err();
        assert_eq!(refusal.raw_os_error(), Some(libc::EACCES));
    }

    #[test]
    fn rings_of_several_threads_are_told_apart() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let Some(mut ring) = ring() else { return };
                        // Other descriptors come and go beside it.
                        let (_reader, writer) = io::pipe().unwrap();
                        let ready =
                            opcode::PollAdd::new(Fd(writer.as_raw_fd()), libc::POLLOUT as u32).build();
                        assert_eq!(outcome(&mut ring, &ready), i32::from(libc::POLLOUT));
                        assert_eq!(outcome(&mut ring, &opcode::Nop::new().build()), -libc::EACCES);
                    }
                });
            }
        });
    }

    #[test]
    fn what_is_no_ring_is_left_alone() {
        let made = restricted(io::pipe);
        assert!(made.is_err());
    }
}
