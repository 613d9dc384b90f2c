//! Pipes of the kernel: what goes from one socket to another through one is not copied.

use std::cell::Cell;
use std::cell::RefCell;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::rc::Rc;

use crate::net::free_list::FreeList;
use crate::net::socket::Socket;

/// What a pipe can hold. Pages count, full or not, so it holds less of small packets.
pub const PIPE_BYTES: usize = 256 * 1024;
/// How many a worker has at most: two descriptors each.
const MAX_PIPES: usize = 32;
/// After the kernel refused one, so many askers go without, before it is asked again.
const ASKERS_AFTER_REFUSAL: u32 = 1000;

/// The pipes of one worker. Cloning gives another hold on the same ones.
#[derive(Clone, Default)]
pub struct Pipes {
    pool: Rc<PipePool>,
}

#[derive(Default)]
struct PipePool {
    unused: RefCell<FreeList<PipeEnds>>,
    /// Those in use included.
    open: Cell<usize>,
    /// How many askers still go without.
    refusing: Cell<u32>,
}

struct PipeEnds {
    read: OwnedFd,
    write: OwnedFd,
}

/// A pipe in somebody's hands. It goes back when it is dropped empty, and is closed otherwise.
pub struct Pipe {
    /// Taken out only by `drop`.
    ends: Option<PipeEnds>,
    held: usize,
    pool: Rc<PipePool>,
}

impl Pipes {
    /// An empty pipe; None if there are enough, or the kernel gives none of a useful size (`fs.pipe-user-pages-soft`).
    pub fn take(&self) -> Option<Pipe> {
        let pool = &self.pool;
        let unused = pool.unused.borrow_mut().take();
        let ends = match unused {
            Some(ends) => ends,
            None if pool.open.get() >= MAX_PIPES => return None,
            None if pool.refusing.get() > 0 => {
                pool.refusing.set(pool.refusing.get() - 1);
                return None;
            }
            None => match PipeEnds::open() {
                Ok(ends) => {
                    pool.open.set(pool.open.get() + 1);
                    ends
                }
                Err(_) => {
                    pool.refusing.set(ASKERS_AFTER_REFUSAL);
                    return None;
                }
            },
        };
        Some(Pipe { ends: Some(ends), held: 0, pool: Rc::clone(pool) })
    }

    /// Closes some of those that were not needed lately.
    pub fn trim(&self) {
        let mut unused = self.pool.unused.borrow_mut();
        let before = unused.len();
        unused.trim();
        self.pool.open.set(self.pool.open.get() - (before - unused.len()));
    }
}

impl PipeEnds {
    fn open() -> io::Result<PipeEnds> {
        let mut ends: [RawFd; 2] = [0; 2];
        // SAFETY: the pointer is to two descriptors, which the call writes.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us these descriptors, and nobody else has them.
        let (read, write) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // SAFETY: the descriptor is open, and the call takes no pointer.
        if unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES as libc::c_int) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(PipeEnds { read, write })
    }
}

impl Pipe {
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes what waits at a socket that does not block into an empty pipe. Zero bytes are the peer's end or an urgent byte that
    /// is next; receiving tells which. `None`: nothing waits, or this kernel, or what guards the process, moves no bytes.
    ///
    /// # Errors
    /// The connection broke, which the kernel tells once: nobody who receives from it afterwards hears of it.
    pub fn fill(&mut self, from: &Socket) -> io::Result<Option<usize>> {
        let Some(ends) = &self.ends else { return Ok(None) };
        let moved = match splice(from.descriptor(), ends.write.as_raw_fd(), PIPE_BYTES) {
            Err(error) if is_unable(&error) => None,
            moved => moved?,
        };
        if let Some(count) = moved {
            from.count_received(count);
            self.held += count;
        }
        Ok(moved)
    }

    /// Gives what it holds to a socket that does not block, as far as that takes it; `None` if it takes nothing now.
    pub fn empty(&mut self, to: &Socket) -> io::Result<Option<usize>> {
        let Some(ends) = &self.ends else { return Ok(None) };
        let moved = splice(ends.read.as_raw_fd(), to.descriptor(), self.held)?;
        if let Some(count) = moved {
            to.count_sent(count);
            self.held -= count.min(self.held);
        }
        Ok(moved)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        if self.held == 0 {
            self.pool.unused.borrow_mut().put(ends);
        } else {
            self.pool.open.set(self.pool.open.get() - 1);
        }
    }
}

fn is_unable(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM | libc::ENOMEM))
}

/// Moves at most so many bytes; `None` instead of waiting.
fn splice(from: RawFd, to: RawFd, most: usize) -> io::Result<Option<usize>> {
    let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
    // SAFETY: without offsets the call takes no pointers; both descriptors are open as long as their owners are.
    let moved = unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), most, flags) };
    match usize::try_from(moved).map_err(|_| io::Error::last_os_error()) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pipe_is_used_again_and_one_that_holds_bytes_is_closed() {
        let pipes = Pipes::default();
        let first = pipes.take().unwrap();
        let number = first.ends.as_ref().unwrap().read.as_raw_fd();
        drop(first);
        let mut second = pipes.take().unwrap();
        assert_eq!(second.ends.as_ref().unwrap().read.as_raw_fd(), number);
        second.held = 1;
        drop(second);
        assert_eq!((pipes.pool.open.get(), pipes.pool.unused.borrow().len()), (0, 0));
    }

    #[test]
    fn there_are_so_many_and_those_not_needed_are_closed() {
        let pipes = Pipes::default();
        let taken: Vec<_> = std::iter::from_fn(|| pipes.take()).take(2 * MAX_PIPES).collect();
        assert_eq!(taken.len(), MAX_PIPES);
        drop(taken);
        (0..10).for_each(|_| pipes.trim());
        assert_eq!(pipes.pool.open.get(), 0);
    }
}
