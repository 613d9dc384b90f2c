//! Text that is handed to another process as a whole: a file in memory that nobody can change any more.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::fs::MemfdFlags;
use rustix::fs::SealFlags;

/// A file with these bytes, sealed. The name shows up in `/proc` and tells nothing else.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let descriptor = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// What [`sealed`] has made.
///
/// # Errors
/// It has more bytes than this, or is no file.
pub fn read(descriptor: OwnedFd, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::from(descriptor);
    let length = file.metadata()?.len();
    if length > max_bytes {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has {length} bytes")));
    }
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_cannot_be_changed() {
        let descriptor = sealed("test", b"some bytes").unwrap();
        let mut copy = File::from(descriptor.try_clone().unwrap());
        copy.rewind().unwrap();
        assert!(copy.write_all(b"x").is_err());
        assert!(read(descriptor.try_clone().unwrap(), 9).is_err());
        assert_eq!(read(descriptor, 10).unwrap(), b"some bytes");
    }
}
