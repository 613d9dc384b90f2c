//! A listening unix socket that belongs to one user and one process, and a way to connect to it.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use socket2::Domain;
use socket2::SockAddr;
use socket2::Socket as RawSocket;
use socket2::Type;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// Nobody but the user of the process, and root.
const MODE: u32 = 0o600;

/// How long another process that is about to bind in the same folder is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The socket and its file. Dropping it removes the file, unless somebody else has taken its place.
pub struct PrivateListener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    file: (u64, u64),
    /// Where the file lies until it takes its place; None: it has.
    beside: Cell<Option<PathBuf>>,
}

/// Why it cannot listen.
#[derive(Debug)]
pub enum ListenError {
    /// A process listens there, and does not give way.
    Taken,
    /// What is there is no socket, and stays.
    NoSocket,
    System(io::Error),
}

impl From<io::Error> for ListenError {
    fn from(error: io::Error) -> ListenError {
        ListenError::System(error)
    }
}

impl PrivateListener {
    /// Listens at a path. The socket of a process that is gone is replaced, and one whose process gives
    /// way, as `gives_way` finds out over a connection to it.
    pub fn bind(
        path: &Path,
        gives_way: impl FnOnce(UnixStream) -> bool,
    ) -> Result<PrivateListener, ListenError> {
        // Between the look at an old socket and the new one, nobody else may do the same.
        let _lock = lock_folder_of(path);
        make_room(path, gives_way)?;
        Ok(PrivateListener::listen(path, path)?)
    }

    /// The same beside a process that still listens there. [`PrivateListener::take_place`] puts it in place of the other,
    /// whose clients are answered by it nevertheless if they have connected before.
    pub fn bind_beside(path: &Path) -> io::Result<PrivateListener> {
        let beside = neighbour(path);
        // One that came to nothing may have left it.
        match fs::symlink_metadata(&beside) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&beside)?,
            Ok(_) => {
                let place = beside.display();
                return Err(io::Error::other(format!("{place} is in the way, and is no socket; remove it")));
            }
            Err(_) => {}
        }
        let listener = PrivateListener::listen(&beside, path)?;
        listener.beside.set(Some(beside));
        Ok(listener)
    }

    /// Takes the place of whoever listens at the path.
    pub fn take_place(&self) -> io::Result<()> {
        match self.beside.take() {
            Some(beside) => fs::rename(beside, &self.path),
            None => Ok(()),
        }
    }

    /// Listens at a file that is not there, and belongs at another path.
    fn listen(file: &Path, path: &Path) -> io::Result<PrivateListener> {
        let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
        // The file is made with the mode of the socket.
        let as_file = File::from(OwnedFd::from(socket.try_clone()?));
        as_file.set_permissions(Permissions::from_mode(MODE))?;
        socket.bind(&SockAddr::unix(file)?)?;
        let metadata = fs::symlink_metadata(file)?;
        let listener = PrivateListener {
            listener: UnixListener::from(OwnedFd::from(socket.try_clone()?)),
            path: path.to_owned(),
            file: (metadata.dev(), metadata.ino()),
            beside: Cell::new(None),
        };
        // A mask of the process may have taken more away. Nobody can connect before the socket listens.
        fs::set_permissions(file, Permissions::from_mode(MODE))?;
        socket.listen(BACKLOG)?;
        Ok(listener)
    }

    /// The socket, for the thread that accepts.
    pub fn acceptor(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateListener {
    fn drop(&mut self) {
        let is_ours =
            |found: &fs::Metadata| found.file_type().is_socket() && (found.dev(), found.ino()) == self.file;
        let path = self.beside.take().unwrap_or_else(|| self.path.clone());
        if fs::symlink_metadata(&path).is_ok_and(|found| is_ours(&found)) {
            // What cannot be removed is replaced at the next start.
            drop(fs::remove_file(&path));
        }
    }
}

/// Connects without waiting: an error of the kind `WouldBlock` says that too many others wait already.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    Ok(UnixStream::from(OwnedFd::from(socket)))
}

/// A file in the same folder, whose path is no longer: the system bounds that.
fn neighbour(path: &Path) -> PathBuf {
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last = if *last == b'~' { b'-' } else { b'~' };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn make_room(path: &Path, gives_way: impl FnOnce(UnixStream) -> bool) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NoSocket),
        Ok(_) => {}
    }
    match connect(path) {
        Ok(stream) => {
            if !gives_way(stream) {
                return Err(ListenError::Taken);
            }
        }
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => {}
            io::ErrorKind::NotFound => return Ok(()),
            io::ErrorKind::WouldBlock => return Err(ListenError::Taken),
            _ => return Err(error.into()),
        },
    }
    Ok(fs::remove_file(path)?)
}

/// A lock on the folder, if it can be had soon. Whoever holds it for other purposes is not waited for long.
fn lock_folder_of(path: &Path) -> Option<File> {
    let folder = File::open(path.parent()?).ok()?;
    let mut waited = Duration::ZERO;
    while folder.try_lock().is_err() && waited < LOCK_TIMEOUT {
        waited += LOCK_PAUSE;
        thread::sleep(LOCK_PAUSE);
    }
    Some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never(_: UnixStream) -> bool {
        false
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        (folder, path)
    }

    #[test]
    fn the_file_is_private_and_goes_with_the_listener() {
        let (_folder, path) = folder();
        let listener = PrivateListener::bind(&path, never).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(connect(&path).is_ok());
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn dead_sockets_are_replaced_and_living_ones_are_not() {
        let (_folder, path) = folder();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let first = PrivateListener::bind(&path, never).unwrap();
        assert!(matches!(PrivateListener::bind(&path, never), Err(ListenError::Taken)));

        let second = PrivateListener::bind(&path, |_| true).unwrap();
        drop(first);
        assert!(path.exists(), "it is the second one's");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_successor_takes_the_place_of_one_that_still_listens() {
        let (folder, path) = folder();
        let first = PrivateListener::bind(&path, never).unwrap();
        let second = PrivateListener::bind_beside(&path).unwrap();
        let to_first = connect(&path).unwrap();
        second.take_place().unwrap();
        let to_second = connect(&path).unwrap();
        drop(first.acceptor().unwrap().accept().unwrap());
        drop(second.acceptor().unwrap().accept().unwrap());
        drop((to_first, to_second, first));
        assert!(path.exists(), "it is the second one's");
        // One that comes to nothing leaves nothing behind.
        drop(PrivateListener::bind_beside(&path).unwrap());
        drop(second);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_socket_stays() {
        let (folder, path) = folder();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(PrivateListener::bind(&path, |_| true), Err(ListenError::NoSocket)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(PrivateListener::bind(&link, |_| true), Err(ListenError::NoSocket)));
    }
}
