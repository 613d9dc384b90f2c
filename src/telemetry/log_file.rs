//! An access log in a file, or on standard output or standard error. A line that could be written in part only is completed
//! before the next one begins, so that a full disk costs whole lines.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::path::PathBuf;

use crate::telemetry::operator::write_patiently;

/// What is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LogPath {
    Stdout,
    Stderr,
    File(PathBuf),
}

/// An open file.
pub struct LogFile {
    path: LogPath,
    /// Standard output without the buffer of the standard library, which would keep what it could not write.
    file: File,
    half: Option<Half>,
}

/// A line of which only the beginning is written.
struct Half {
    rest: Vec<u8>,
    /// How long the file was then. If that has changed, another process has truncated the file or written to it.
    length: u64,
}

impl LogFile {
    pub(super) fn open(path: LogPath) -> io::Result<LogFile> {
        let (file, half) = match &path {
            LogPath::Stdout => (io::stdout().as_fd().try_clone_to_owned()?.into(), None),
            LogPath::Stderr => (io::stderr().as_fd().try_clone_to_owned()?.into(), None),
            LogPath::File(path) => open_file(path)?,
        };
        Ok(LogFile { path, file, half })
    }

    /// Reopens the file. What is open stays so when that fails.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let LogPath::File(path) = &self.path {
            (self.file, self.half) = open_file(path)?;
        }
        Ok(())
    }

    /// Writes whole lines. The error comes with the number of lines that are lost.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), (u64, io::Error)> {
        let count = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
        if let Err(error) = self.complete() {
            return Err((count(lines), error));
        }
        let Err((written, error)) = self.write_bytes(lines) else { return Ok(()) };
        let (done, left) = lines.split_at(written);
        if done.last().is_none_or(|last| *last == b'\n') {
            return Err((count(left), error));
        }
        let end = memchr::memchr(b'\n', left).map_or(left.len(), |position| position + 1);
        self.half = Some(Half { rest: left[..end].to_vec(), length: self.length() });
        Err((count(&left[end..]), error))
    }

    /// Writes the rest of a line whose beginning is there.
    fn complete(&mut self) -> io::Result<()> {
        let Some(Half { mut rest, length }) = self.half.take() else { return Ok(()) };
        let present = self.length();
        if present != length {
            rest = if present == 0 { Vec::new() } else { b"\n".to_vec() };
        }
        self.write_bytes(&rest).map_err(|(written, error)| {
            rest.drain(..written);
            self.half = Some(Half { rest, length: self.length() });
            error
        })
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        // Messages for the operator go there as well, and no line is to begin within another.
        let _turn = (self.path == LogPath::Stderr).then(|| io::stderr().lock());
        write_patiently(&mut self.file, bytes)
    }

    /// The length of the file; 0 for what is none.
    fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |found| found.len())
    }
}

fn open_file(path: &Path) -> io::Result<(File, Option<Half>)> {
    // To open a pipe for writing alone waits until somebody reads it.
    let is_pipe = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    let file = OpenOptions::new().read(is_pipe).create(true).append(true).open(path)?;
    // The process that wrote it before may have ended within a line.
    let found = file.metadata()?;
    let mut last = [b'\n'];
    if found.is_file() && found.len() > 0 {
        // A file that may be written but not read is taken as it is.
        drop(File::open(path).and_then(|file| file.read_at(&mut last, found.len() - 1)));
    }
    let half = (last != [b'\n']).then(|| Half { rest: b"\n".to_vec(), length: found.len() });
    Ok((file, half))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> LogFile {
        LogFile::open(LogPath::File(path.to_owned())).unwrap()
    }

    #[test]
    fn a_file_that_ends_within_a_line_gets_an_end_of_line_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (before, after) in [("", "new\n"), ("old\n", "old\nnew\n"), ("ol", "ol\nnew\n")] {
            std::fs::write(&path, before).unwrap();
            at(&path).write(b"new\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn the_rest_of_a_line_comes_before_the_next_unless_the_file_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (before, after) in [("one\ntw", "one\ntwo\nnew\n"), ("", "new\n"), ("other", "other\nnew\n")] {
            std::fs::write(&path, "one\n").unwrap();
            let mut output = at(&path);
            output.half = Some(Half { rest: b"o\n".to_vec(), length: 6 });
            std::fs::write(&path, before).unwrap();
            output.write(b"new\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted_in_lines() {
        let mut output = at(Path::new("/dev/full"));
        let (lost, error) = output.write(b"one\ntwo\n").unwrap_err();
        assert_eq!((lost, error.kind()), (2, io::ErrorKind::StorageFull));
        assert!(output.half.is_none());
    }
}
