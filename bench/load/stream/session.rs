//! Many connections at a time, with exchanges that come back as they were sent.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) fn opened(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let open = || {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(stream)
    };
    (0..count).map(|_| open()).collect()
}

/// Says the same on all connections, and waits until it has come back on all.
pub(crate) fn exchange(streams: &[TcpStream], question: &[u8]) -> io::Result<()> {
    let mut answer = vec![0; question.len()];
    for mut stream in streams {
        stream.write_all(question)?;
    }
    for mut stream in streams {
        stream.read_exact(&mut answer)?;
    }
    Ok(())
}

/// Open connections that have had an exchange.
pub(crate) fn exchanged(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let streams = opened(address, (count - all.len()).min(32))?;
        exchange(&streams, &[b'q'; 128])?;
        all.extend(streams);
    }
    Ok(all)
}
