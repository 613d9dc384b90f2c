//! User memory of connections that each made one request and then wait.

use crate::client::{self, Stream};
use crate::http2;
use crate::interrupt;
use crate::proxy::Running;
use crate::usage;
use std::io::{Read, Write};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Anonymous memory of the proxy per connection.
    pub(crate) user_bytes: f64,
    /// Growth of slabs and socket buffers of the whole machine per connection, both ends of it included.
    pub(crate) kernel_bytes: f64,
}

/// Samples this far apart that agree mean quiet.
const QUIET_INTERVAL: Duration = Duration::from_secs(1);

/// Quiet or not, the memory is taken after this many samples.
const MAX_SAMPLES: usize = 10;

pub(crate) fn measure(running: &Running, count: usize, http2: bool) -> Result<Figures, String> {
    // What a first request allocates once is not the price of a connection.
    let site = running.site.as_deref();
    client::get(running.address, site, "/")?;
    let user_before = quiet_bytes(running)?;
    let kernel_before = usage::kernel_bytes();
    let mut connections = Vec::with_capacity(count);
    for number in 1..=count {
        let stream = match site {
            Some(site) if http2 => Stream::open_http2(running.address, site),
            site => Stream::open(running.address, site),
        };
        connections.push(stream.map_err(|e| format!("opening connection {number}: {e}"))?);
        interrupt::check()?;
    }
    for (index, stream) in connections.iter_mut().enumerate() {
        let asked = if http2 { http2::request(stream) } else { request(stream) };
        asked.map_err(|e| format!("request on connection {}: {e}", index + 1))?;
        interrupt::check()?;
    }
    let user_after = quiet_bytes(running)?;
    let kernel_after = usage::kernel_bytes();
    let per_connection = |after: u64, before: u64| (after as f64 - before as f64) / count as f64;
    Ok(Figures {
        user_bytes: per_connection(user_after, user_before),
        kernel_bytes: per_connection(kernel_after, kernel_before),
    })
}

/// Waits until the memory of the proxy no longer changes.
fn quiet_bytes(running: &Running) -> Result<u64, String> {
    let mut last = running.anonymous_bytes();
    for _ in 0..MAX_SAMPLES {
        interrupt::sleep(QUIET_INTERVAL)?;
        let bytes = running.anonymous_bytes();
        if bytes == last {
            break;
        }
        last = bytes;
    }
    Ok(last)
}

/// One request whose answer of 128 bytes is read to its end; the connection stays open.
fn request(stream: &mut Stream) -> Result<(), String> {
    const BODY_BYTES: usize = 128;
    let broken = |e: std::io::Error| e.to_string();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n").map_err(broken)?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let length = stream.read(&mut piece).map_err(broken)?;
        if length == 0 {
            return Err("closed before the answer was complete".to_owned());
        }
        answer.extend_from_slice(&piece[..length]);
        if !answer.starts_with(b"HTTP/1.1 200") && answer.len() >= 12 {
            return Err(format!("answered `{}`", String::from_utf8_lossy(&answer)));
        }
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
        if head.is_some_and(|head| answer.len() >= head + 4 + BODY_BYTES) {
            return Ok(());
        }
    }
}
