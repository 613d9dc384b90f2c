//! Per-worker buffers: bytes between the kernel and a codec.
//!
//! A connection holds a buffer only while bytes are in motion. Buffers of the two standard sizes go
//! back to their worker's cache when dropped, so that a warm worker allocates none. The memory comes
//! from the allocator rather than from one page-aligned region: buffers that all begin at the same
//! offset of a page would compete for the same few sets of the CPU's cache.

use std::cell::RefCell;
use std::io;
use std::mem::ManuallyDrop;
use std::mem::MaybeUninit;
use std::rc::Rc;

use monoio::buf::IoBuf;
use monoio::buf::IoBufMut;

use crate::net::free_list::FreeList;

/// Holds most requests of programs. So much may stay with a busy connection while it waits.
pub const TINY_BYTES: usize = 512;
/// Holds the head of nearly every message, with a body of a few KiB: what fits is received and sent in one operation.
pub const SMALL_BYTES: usize = 8 * 1024;
/// Holds one piece of a body that came in a frame of HTTP/2, which is seldom longer than 16 KiB.
pub const MEDIUM_BYTES: usize = HEADROOM_BYTES + 16 * 1024 + TAILROOM_BYTES;
/// Holds one piece of a long body: large enough that system calls no longer dominate its cost.
pub const LARGE_BYTES: usize = 128 * 1024;
/// Free bytes kept before body pieces, so that a chunk-size line can be put in front in place:
/// 16 hexadecimal digits and CRLF (RFC 9112 §7.1).
pub const HEADROOM_BYTES: usize = 18;
/// Free bytes kept behind what is received: CRLF and the last chunk with an empty trailer section; and
/// what TLS adds to the at most 9 records of a large buffer, 29 bytes each at most and now and then 64
/// for new keys, so that a full buffer becomes one sealed buffer.
pub const TAILROOM_BYTES: usize = 2 + 5 + 9 * 29 + 64;

/// The buffers of one worker. Cloning gives another hold on the same cache.
#[derive(Clone, Default)]
pub struct Buffers {
    cache: Rc<BufferCache>,
}

#[derive(Default)]
struct BufferCache {
    empty: RefCell<FreeList<Box<BufferMemory>>>,
    tiny: RefCell<FreeList<Box<BufferMemory>>>,
    small: RefCell<FreeList<Box<BufferMemory>>>,
    medium: RefCell<FreeList<Box<BufferMemory>>>,
    large: RefCell<FreeList<Box<BufferMemory>>>,
}

/// Bytes that fill up at the end and are consumed from the start.
///
/// A buffer moves through many hands, so it is one pointer. Appending past the capacity grows it; a
/// grown buffer is freed instead of going back to the cache.
pub struct Buffer {
    /// Taken out only by `drop`.
    inner: ManuallyDrop<Box<BufferMemory>>,
}

/// `0 <= start <= bytes.len()`.
struct BufferMemory {
    bytes: Vec<u8>,
    start: usize,
    /// Where the memory goes back to. What lies in the cache keeps the cache alive, which is meant:
    /// both last as long as their worker.
    cache: Rc<BufferCache>,
}

impl Buffers {
    pub fn tiny(&self) -> Buffer {
        self.take(&self.cache.tiny, TINY_BYTES)
    }

    pub fn small(&self) -> Buffer {
        self.take(&self.cache.small, SMALL_BYTES)
    }

    /// A buffer without memory, to be exchanged for some that goes back to the cache.
    pub fn empty(&self) -> Buffer {
        self.take(&self.cache.empty, 0)
    }

    /// A buffer for a piece of a body of so many bytes, its first [`HEADROOM_BYTES`] still free.
    pub fn for_body(&self, bytes: usize) -> Buffer {
        let wanted = bytes.saturating_add(HEADROOM_BYTES + TAILROOM_BYTES);
        let mut buffer = if wanted <= SMALL_BYTES {
            self.small()
        } else if wanted <= MEDIUM_BYTES {
            self.take(&self.cache.medium, MEDIUM_BYTES)
        } else {
            self.large()
        };
        buffer.clear_for_body();
        buffer
    }

    /// A buffer for a long piece of a body, its first [`HEADROOM_BYTES`] still free.
    pub fn large(&self) -> Buffer {
        let mut buffer = self.take(&self.cache.large, LARGE_BYTES);
        buffer.clear_for_body();
        buffer
    }

    /// Frees some of the memory that was not needed lately.
    pub fn trim(&self) {
        self.cache.empty.borrow_mut().trim();
        self.cache.tiny.borrow_mut().trim();
        self.cache.small.borrow_mut().trim();
        self.cache.medium.borrow_mut().trim();
        self.cache.large.borrow_mut().trim();
    }

    fn take(&self, list: &RefCell<FreeList<Box<BufferMemory>>>, size: usize) -> Buffer {
        let inner = list.borrow_mut().take();
        let inner = inner.unwrap_or_else(|| {
            Box::new(BufferMemory {
                bytes: Vec::with_capacity(size),
                start: 0,
                cache: Rc::clone(&self.cache),
            })
        });
        Buffer { inner: ManuallyDrop::new(inner) }
    }
}

impl Buffer {
    pub fn filled(&self) -> &[u8] {
        self.inner.bytes.get(self.inner.start..).unwrap_or_default()
    }

    pub fn filled_mut(&mut self) -> &mut [u8] {
        let start = self.inner.start;
        self.inner.bytes.get_mut(start..).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.inner.bytes.len() - self.inner.start
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that still fit behind the filled ones without growing.
    pub fn spare(&self) -> usize {
        self.inner.bytes.capacity() - self.inner.bytes.len()
    }

    /// Bytes that are received at a time.
    fn room(&self) -> usize {
        let spare = self.spare();
        if self.inner.bytes.capacity() <= TINY_BYTES {
            return spare;
        }
        // What frames a body piece must fit behind it, or the buffer would grow.
        spare.checked_sub(TAILROOM_BYTES).filter(|&left| left > 0).unwrap_or(spare)
    }

    /// Appends what `receive` writes into the room behind the filled bytes, which nobody has written to before.
    ///
    /// # Safety
    /// `receive` tells no more bytes than it has written, from the start of the room on.
    pub(super) unsafe fn receive_with(
        &mut self,
        receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let (length, most) = (self.inner.bytes.len(), self.room());
        let count = receive(self.inner.bytes.spare_capacity_mut().get_mut(..most).unwrap_or_default())?;
        // SAFETY: the caller states that so many bytes of the spare capacity were written.
        unsafe { self.inner.bytes.set_len(length + count.min(most)) };
        Ok(count)
    }

    /// The vector that encoders append to. What is before the filled bytes must stay.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.inner.bytes
    }

    /// Appends what `write` puts into `most` bytes of room; it returns how many it wrote.
    pub fn append_with<E>(
        &mut self,
        most: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let end = self.inner.bytes.len();
        self.inner.bytes.resize(end + most, 0);
        let written = write(self.inner.bytes.get_mut(end..).unwrap_or_default());
        let count = written.as_ref().map_or(0, |count| (*count).min(most));
        self.inner.bytes.truncate(end + count);
        written
    }

    /// Drops the first `count` filled bytes.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.inner.start = (self.inner.start + count).min(self.inner.bytes.len());
        if self.inner.start == self.inner.bytes.len() {
            self.clear();
        }
    }

    /// Whether what it holds is worth keeping all of its memory for.
    pub fn is_well_filled(&self) -> bool {
        let capacity = self.inner.bytes.capacity();
        capacity > SMALL_BYTES && self.len() >= capacity / 3
    }

    /// The memory, for whoever keeps the filled bytes long, and where they start; it goes back to the allocator.
    pub fn into_memory(mut self) -> (Vec<u8>, usize) {
        let start = std::mem::take(&mut self.inner.start);
        (std::mem::take(&mut self.inner.bytes), start)
    }

    /// Keeps the first `count` filled bytes.
    pub fn truncate(&mut self, count: usize) {
        let end = self.inner.start + count;
        self.inner.bytes.truncate(end);
    }

    pub fn clear(&mut self) {
        self.inner.bytes.clear();
        self.inner.start = 0;
    }

    /// Empties the buffer for the next piece of a body, leaving headroom.
    pub fn clear_for_body(&mut self) {
        self.inner.bytes.clear();
        self.inner.bytes.resize(HEADROOM_BYTES, 0);
        self.inner.start = HEADROOM_BYTES;
    }

    /// Puts `prefix` directly before the filled bytes. There must be room; see [`HEADROOM_BYTES`].
    pub fn prepend(&mut self, prefix: &[u8]) {
        let Some(start) = self.inner.start.checked_sub(prefix.len()) else {
            let mut joined = Vec::with_capacity(self.inner.bytes.capacity());
            joined.extend_from_slice(prefix);
            joined.extend_from_slice(self.filled());
            self.inner.bytes = joined;
            self.inner.start = 0;
            return;
        };
        let end = self.inner.start;
        self.inner.bytes[start..end].copy_from_slice(prefix);
        self.inner.start = start;
    }

    /// Puts `prefix` before and `suffix` behind the filled bytes.
    pub fn wrap(&mut self, prefix: &[u8], suffix: &[u8]) {
        self.prepend(prefix);
        self.inner.bytes.extend_from_slice(suffix);
    }

    /// Makes room for at least `count` more bytes, by moving the filled ones to the front and then,
    /// if need be, by growing.
    pub fn make_room(&mut self, count: usize) {
        if self.spare() >= count {
            return;
        }
        let start = self.inner.start;
        self.inner.bytes.drain(..start);
        self.inner.start = 0;
        self.inner.bytes.reserve(count);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: nobody looks at `inner` again, for this is the end of `self`.
        let mut inner = unsafe { ManuallyDrop::take(&mut self.inner) };
        inner.bytes.clear();
        inner.start = 0;
        let cache = Rc::clone(&inner.cache);
        match inner.bytes.capacity() {
            0 => cache.empty.borrow_mut().put(inner),
            TINY_BYTES => cache.tiny.borrow_mut().put(inner),
            SMALL_BYTES => cache.small.borrow_mut().put(inner),
            MEDIUM_BYTES => cache.medium.borrow_mut().put(inner),
            LARGE_BYTES => cache.large.borrow_mut().put(inner),
            _ => {}
        }
    }
}

/// The filled bytes of a buffer behind the first `sent`, lent to the kernel to read from.
pub(super) struct Filled {
    pub(super) buffer: Buffer,
    pub(super) sent: usize,
}

impl Filled {
    fn unsent(&self) -> &[u8] {
        self.buffer.filled().get(self.sent..).unwrap_or_default()
    }
}

// SAFETY: the pointer is into the heap block of the vector, which neither moves nor is freed while
// the kernel owns the `Filled`, and `bytes_init` bytes behind it are initialised.
unsafe impl IoBuf for Filled {
    fn read_ptr(&self) -> *const u8 {
        self.unsent().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.unsent().len()
    }
}

/// The spare capacity of a buffer, lent to the kernel to write into.
pub(super) struct Spare(pub(super) Buffer);

// SAFETY: the pointer is to the spare capacity of the vector, whose heap block neither moves nor is
// freed while the kernel owns the `Spare`; `bytes_total` stays within its capacity.
unsafe impl IoBufMut for Spare {
    fn write_ptr(&mut self) -> *mut u8 {
        self.0.inner.bytes.spare_capacity_mut().as_mut_ptr().cast()
    }

    fn bytes_total(&mut self) -> usize {
        self.0.room()
    }

    unsafe fn set_init(&mut self, received: usize) {
        let length = self.0.inner.bytes.len() + received;
        // SAFETY: the caller states that `received` bytes of the spare capacity were written.
        unsafe { self.0.inner.bytes.set_len(length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_well_filled_can_be_kept() {
        let buffers = Buffers::default();
        let mut buffer = buffers.large();
        buffer.tail().extend_from_slice(&[b'x'; LARGE_BYTES / 3]);
        assert!(buffer.is_well_filled());
        buffer.consume(1);
        let length = buffer.len();
        let (memory, start) = buffer.into_memory();
        assert_eq!((memory.len() - start, start), (length, HEADROOM_BYTES + 1));
        let mut next = buffers.large();
        assert!(next.is_empty() && !next.is_well_filled());
        next.tail().extend_from_slice(b"little");
        assert!(!next.is_well_filled());
        let mut small = buffers.small();
        small.tail().extend_from_slice(&[b'x'; SMALL_BYTES]);
        assert!(!small.is_well_filled());
    }

    #[test]
    fn buffers_of_standard_size_are_used_again() {
        let buffers = Buffers::default();
        let mut first = buffers.small();
        first.tail().extend_from_slice(b"secret of another connection");
        let address = first.inner.bytes.as_ptr();
        drop(first);
        let second = buffers.small();
        assert_eq!(second.inner.bytes.as_ptr(), address);
        assert!(second.is_empty());
    }

    #[test]
    fn a_grown_buffer_is_not_kept() {
        let buffers = Buffers::default();
        let mut buffer = buffers.small();
        buffer.make_room(SMALL_BYTES + 1);
        drop(buffer);
        assert_eq!(buffers.cache.small.borrow().len(), 0);
    }

    #[test]
    fn consuming_everything_gives_the_room_back() {
        let mut buffer = Buffers::default().small();
        buffer.tail().extend_from_slice(b"abc");
        buffer.consume(2);
        assert_eq!(buffer.filled(), b"c");
        buffer.consume(1);
        assert_eq!(buffer.spare(), SMALL_BYTES);
    }

    #[test]
    fn a_prefix_uses_the_headroom_and_grows_without_it() {
        let mut buffer = Buffers::default().large();
        buffer.tail().extend_from_slice(b"body");
        buffer.prepend(b"4\r\n");
        assert_eq!(buffer.filled(), b"4\r\nbody");

        let mut tight = Buffers::default().small();
        tight.tail().extend_from_slice(b"body");
        tight.prepend(b"4\r\n");
        assert_eq!(tight.filled(), b"4\r\nbody");
    }

    #[test]
    fn making_room_moves_before_it_grows() {
        let mut buffer = Buffers::default().small();
        buffer.tail().resize(SMALL_BYTES, b'x');
        buffer.consume(SMALL_BYTES - 10);
        buffer.make_room(100);
        assert_eq!((buffer.len(), buffer.inner.bytes.capacity()), (10, SMALL_BYTES));
    }
}
