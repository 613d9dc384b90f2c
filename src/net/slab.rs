//! Many things of one kind by small keys, in memory that follows their number.

/// Things that lie in memory together: one that has come to nothing is freed at once.
const CHUNK: usize = 64;

/// Things by their keys. A key is used again when its thing was taken.
///
/// Growing moves nothing, and what is left of a peak are four bytes for each.
pub struct Slab<T> {
    chunks: Vec<SlabChunk<T>>,
    unused: Vec<u32>,
}

struct SlabChunk<T> {
    /// Empty unless something is in it.
    things: Vec<Option<T>>,
    used: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { chunks: Vec::new(), unused: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// A key for one that is put there next.
    pub fn reserve(&mut self) -> u32 {
        if self.unused.is_empty() {
            let first = (self.chunks.len() * CHUNK) as u32;
            self.chunks.push(SlabChunk { things: Vec::new(), used: 0 });
            self.unused.extend((first..first + CHUNK as u32).rev());
        }
        self.unused.pop().unwrap_or_default()
    }

    /// Gives a key back at which there is nothing.
    pub fn release(&mut self, key: u32) {
        self.unused.push(key);
    }

    /// Puts it at a key that was reserved.
    pub fn put(&mut self, key: u32, thing: T) {
        let Some(chunk) = self.chunks.get_mut(key as usize / CHUNK) else { return };
        if chunk.things.is_empty() {
            chunk.things.reserve_exact(CHUNK);
            chunk.things.resize_with(CHUNK, || None);
        }
        if let Some(slot) = chunk.things.get_mut(key as usize % CHUNK) {
            *slot = Some(thing);
            chunk.used += 1;
        }
    }

    /// What was put there; None if nothing was, or it was taken.
    pub fn take(&mut self, key: u32) -> Option<T> {
        let chunk = self.chunks.get_mut(key as usize / CHUNK)?;
        let thing = chunk.things.get_mut(key as usize % CHUNK)?.take()?;
        chunk.used -= 1;
        if chunk.used == 0 {
            chunk.things = Vec::new();
        }
        self.unused.push(key);
        Some(thing)
    }

    /// Those of every so manieth chunk, from this one on.
    pub fn share(&self, first: usize, of: usize) -> impl Iterator<Item = (u32, &T)> {
        let chunks = self.chunks.iter().enumerate().skip(first).step_by(of);
        chunks.flat_map(|(index, chunk)| {
            let keys = (index * CHUNK) as u32..;
            keys.zip(&chunk.things).filter_map(|(key, thing)| Some((key, thing.as_ref()?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_once_and_its_key_used_again() {
        let mut slab = Slab::default();
        let keys: Vec<u32> = (0..200).map(|_| slab.reserve()).collect();
        keys.iter().for_each(|key| slab.put(*key, *key * 2));
        assert_eq!(slab.take(150), Some(300));
        assert_eq!(slab.take(150), None);
        assert_eq!(slab.reserve(), 150);
        slab.release(150);
        let all: Vec<u32> = (0..3).flat_map(|first| slab.share(first, 3)).map(|(key, _)| key).collect();
        assert_eq!(all.len(), 199);
        assert!(slab.share(1, 3).all(|(key, thing)| *thing == key * 2 && (64..128).contains(&key)));
        assert!(keys.iter().filter(|key| **key != 150).all(|key| slab.take(*key) == Some(*key * 2)));
        assert!(slab.chunks.iter().all(|chunk| chunk.things.capacity() == 0));
        assert_eq!(slab.take(10_000), None);
    }
}
