//! An open-loop client: requests leave by a schedule, whatever the answers do.
//!
//! Latency counts from the moment at which a request was due, so a proxy that stalls pays for every request that
//! had to wait meanwhile.

use crate::interrupt;
use crate::proxy::Running;
use ringway_bench::epoll::{Epoll, Interest};
use ringway_bench::{now, process};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// The rate of the schedule as a share of what the slowest proxy can do.
pub(crate) const SHARE_OF_MAXIMUM: f64 = 0.6;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) requests_per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// How long the last answers may take after the last request.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What is due is sent together this often; a finer schedule would cost the client more than the proxy.
const TICK: Duration = Duration::from_micros(200);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n";
const BODY_BYTES: usize = 128;

/// Sends `rate` requests per second for this number of seconds, after one that warms up, from this CPU.
pub(crate) fn measure(
    running: &Running,
    (connections, rate): (usize, f64),
    (cpu, seconds): (usize, u64),
) -> Result<Figures, String> {
    let address = running.address;
    let second = Duration::from_secs(1);
    let bound = Duration::from_secs(seconds);
    let before = std::cell::Cell::new(running.cpu_time());
    let mut latencies_us = std::thread::scope(|scope| {
        let work = scope.spawn(move || -> Result<Vec<f64>, String> {
            process::pin_to_cpu(cpu).map_err(|e| format!("pinning the client: {e}"))?;
            let mut client = Client::connect(address, connections)?;
            client.follow_schedule(rate, second)?;
            client.latencies_us.clear();
            client.follow_schedule(rate, bound)?;
            Ok(client.latencies_us)
        });
        std::thread::sleep(second);
        before.set(running.cpu_time());
        work.join().map_err(|_| "the client panicked".to_owned())?
    })?;
    let spent = running.cpu_time() - before.get();
    latencies_us.sort_by(f64::total_cmp);
    let at = |share: f64| latencies_us.get((latencies_us.len() as f64 * share) as usize).copied();
    Ok(Figures {
        requests_per_second: latencies_us.len() as f64 / bound.as_secs_f64(),
        cpu_us: spent.total_us() / latencies_us.len() as f64,
        p50_us: at(0.50).ok_or("no answers")?,
        p99_us: at(0.99).ok_or("no answers")?,
    })
}

struct Client {
    epoll: Epoll,
    first_fd: usize,
    connections: Vec<Connection>,
    /// Indices of connections that wait for nothing.
    free: Vec<usize>,
    /// Requests that are due and found no free connection.
    waiting: VecDeque<Instant>,
    latencies_us: Vec<f64>,
}

struct Connection {
    stream: TcpStream,
    due: Instant,
    received: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, count: usize) -> Result<Client, String> {
        let broken = |e: std::io::Error| format!("connecting: {e}");
        let epoll = Epoll::new().map_err(broken)?;
        let mut connections = Vec::new();
        for _ in 0..count {
            let stream = TcpStream::connect(address).map_err(broken)?;
            stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).map_err(broken)?;
            epoll.add(stream.as_raw_fd(), Interest::READ).map_err(broken)?;
            connections.push(Connection { stream, due: now(), received: Vec::new() });
        }
        let first_fd = connections.first().map_or(0, |connection| connection.stream.as_raw_fd() as usize);
        let free = (0..count).collect();
        Ok(Client { epoll, first_fd, connections, free, waiting: VecDeque::new(), latencies_us: Vec::new() })
    }

    /// Sends `rate` requests per second for `duration`, then waits for the answers that are missing.
    fn follow_schedule(&mut self, rate: f64, duration: Duration) -> Result<(), String> {
        let interval = Duration::from_secs_f64(1.0 / rate.max(1.0));
        let start = now();
        let (end, last_answer) = (start + duration, start + duration + LAST_ANSWERS);
        let mut next_due = start;
        let mut ready = Vec::new();
        loop {
            let time = now();
            while next_due <= time && next_due < end {
                self.waiting.push_back(next_due);
                next_due += interval;
            }
            self.send_waiting()?;
            if time >= end && self.free.len() == self.connections.len() {
                return Ok(());
            }
            if time >= last_answer {
                return Err(format!("{} answers are missing", self.connections.len() - self.free.len()));
            }
            interrupt::check()?;
            self.epoll.wait(Some(TICK), &mut ready).map_err(|e| format!("waiting for answers: {e}"))?;
            for event in &ready {
                self.receive(event.fd as usize)?;
            }
        }
    }

    fn send_waiting(&mut self) -> Result<(), String> {
        while !self.waiting.is_empty() {
            let Some(index) = self.free.pop() else { return Ok(()) };
            let connection = &mut self.connections[index];
            connection.due = self.waiting.pop_front().unwrap_or_else(now);
            connection.received.clear();
            // Forty bytes always fit into the send buffer of a connection that waits for nothing.
            connection.stream.write_all(REQUEST).map_err(|e| format!("sending a request: {e}"))?;
        }
        Ok(())
    }

    fn receive(&mut self, fd: usize) -> Result<(), String> {
        let found =
            self.connections.iter().position(|connection| connection.stream.as_raw_fd() as usize == fd);
        let guess = fd.wrapping_sub(self.first_fd);
        let is_guess_right = self
            .connections
            .get(guess)
            .is_some_and(|connection| connection.stream.as_raw_fd() as usize == fd);
        let Some(index) = (if is_guess_right { Some(guess) } else { found }) else { return Ok(()) };
        let connection = &mut self.connections[index];
        let mut piece = [0; 4096];
        let length = connection.stream.read(&mut piece).map_err(|e| format!("reading an answer: {e}"))?;
        if length == 0 {
            return Err("a connection was closed".to_owned());
        }
        connection.received.extend_from_slice(&piece[..length]);
        let received = &connection.received;
        let Some(head) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(()) };
        if !received.starts_with(b"HTTP/1.1 200") {
            return Err(format!("answered `{}`", String::from_utf8_lossy(&received[..head])));
        }
        if received.len() >= head + 4 + BODY_BYTES {
            self.latencies_us.push(now().duration_since(connection.due).as_secs_f64() * 1e6);
            self.free.push(index);
        }
        Ok(())
    }
}
