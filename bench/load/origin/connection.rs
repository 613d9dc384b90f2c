//! One connection of the origin: requests in, responses out, in order.

use crate::request::{Answer, Discard, MAX_BODY_BYTES, Request, parse_head};
use ringway_bench::epoll::Interest;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;

pub(crate) struct Connection {
    stream: TcpStream,
    /// An incomplete head or chunk-size line, or requests that wait until the output has gone.
    input: Vec<u8>,
    discard: Discard,
    /// The request whose body is being discarded; it is answered when the body has ended.
    asked: Option<Request>,
    /// Heads and small bodies that the socket did not take yet.
    output: Vec<u8>,
    /// Bytes of a large body that follow `output`.
    body_left: usize,
    close: bool,
}

/// Buffers that all connections use in turn, and the counts of answers.
pub(crate) struct Scratch {
    input: Vec<u8>,
    output: Vec<u8>,
    body: Vec<u8>,
    served: u64,
    probed: u64,
}

/// Bytes read at once.
const INPUT_BYTES: usize = 64 * 1024;

/// Bodies up to this size are copied behind their head, so that pipelined answers share one write.
const SMALL_BODY_BYTES: usize = 16 * 1024;

/// The constant buffer that large bodies are sent from; longer ones repeat it.
const BODY_BUFFER_BYTES: usize = 1 << 20;

/// A head that is still incomplete at this size ends the connection.
const MAX_HEAD_BYTES: usize = 256 * 1024;

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch {
            input: vec![0; INPUT_BYTES],
            output: Vec::with_capacity(INPUT_BYTES),
            body: vec![b'x'; BODY_BUFFER_BYTES],
            served: 0,
            probed: 0,
        }
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            input: Vec::new(),
            discard: Discard::Nothing,
            asked: None,
            output: Vec::new(),
            body_left: 0,
            close: false,
        }
    }

    /// While output waits nothing more is read: a client that does not read gets no further answers.
    pub(crate) fn interest(&self) -> Interest {
        if self.is_blocked() { Interest::WRITE } else { Interest::READ }
    }

    /// Sends what waits, then reads once and answers. Returns false when the connection has ended.
    pub(crate) fn make_progress(&mut self, readable: bool, scratch: &mut Scratch) -> io::Result<bool> {
        if self.is_blocked() {
            scratch.output.clear();
            scratch.output.append(&mut self.output);
            self.flush(scratch)?;
            if self.is_blocked() {
                return Ok(true);
            }
            let waiting = std::mem::take(&mut self.input);
            return self.answer_all(&waiting, scratch);
        }
        if !readable {
            return Ok(true);
        }
        let mut input = std::mem::take(&mut scratch.input);
        let result = match self.stream.read(&mut input) {
            Ok(0) => Ok(false),
            Ok(length) if self.input.is_empty() => self.answer_all(&input[..length], scratch),
            Ok(length) => {
                let mut joined = std::mem::take(&mut self.input);
                joined.extend_from_slice(&input[..length]);
                self.answer_all(&joined, scratch)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        };
        scratch.input = input;
        result
    }

    /// Answers every complete request of `input` until the socket blocks, and keeps the rest.
    fn answer_all(&mut self, input: &[u8], scratch: &mut Scratch) -> io::Result<bool> {
        let mut rest = input;
        scratch.output.clear();
        while !self.close && !self.is_blocked() && self.take_step(&mut rest, scratch) {
            if self.body_left > 0 || scratch.output.len() > INPUT_BYTES {
                self.flush(scratch)?;
            }
        }
        self.flush(scratch)?;
        self.input.extend_from_slice(rest);
        let ended = self.close && !self.is_blocked();
        Ok(!ended && self.input.len() <= MAX_HEAD_BYTES)
    }

    /// Discards body bytes, then answers the request or reads the next head. False: more input is needed.
    fn take_step(&mut self, rest: &mut &[u8], scratch: &mut Scratch) -> bool {
        *rest = &rest[self.discard.consume(rest)..];
        if self.discard != Discard::Nothing {
            return false;
        }
        if let Some(request) = self.asked.take() {
            self.answer(request, scratch);
            return true;
        }
        let Some((request, length)) = parse_head(rest) else { return false };
        *rest = &rest[length..];
        self.discard = request.body;
        self.asked = Some(request);
        true
    }

    /// Puts the head and, unless it is large, the body behind the output.
    fn answer(&mut self, request: Request, scratch: &mut Scratch) {
        self.close = request.close;
        let connection = if request.close { "Connection: close\r\n" } else { "" };
        let out = &mut scratch.output;
        match request.answer {
            Answer::Served => {}
            Answer::Health => scratch.probed += 1,
            _ => scratch.served += 1,
        }
        match request.answer {
            Answer::Sized(length) => {
                write_head(out, "200 OK", length, connection);
                if !request.without_body {
                    if length <= SMALL_BODY_BYTES {
                        out.extend_from_slice(&scratch.body[..length]);
                    } else {
                        self.body_left = length;
                    }
                }
            }
            Answer::Chunked(length) => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n{connection}\r\n"
                );
                out.extend_from_slice(head.as_bytes());
                if !request.without_body {
                    write_chunks(out, length.min(MAX_BODY_BYTES), &scratch.body);
                }
            }
            Answer::Served => {
                let counts = format!("{} {}", scratch.served, scratch.probed);
                write_head(out, "200 OK", counts.len(), connection);
                out.extend_from_slice(counts.as_bytes());
            }
            Answer::Health => write_head(out, "200 OK", 0, connection),
            Answer::NotFound => write_head(out, "404 Not Found", 0, connection),
        }
    }

    /// Writes the output and the large body behind it; what the socket does not take stays in the connection.
    fn flush(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let mut sent_of_output = 0;
        loop {
            let output = &scratch.output[sent_of_output..];
            let body = &scratch.body[..self.body_left.min(BODY_BUFFER_BYTES)];
            if output.is_empty() && body.is_empty() {
                break;
            }
            match self.stream.write_vectored(&[IoSlice::new(output), IoSlice::new(body)]) {
                Ok(sent) => {
                    let of_output = sent.min(output.len());
                    sent_of_output += of_output;
                    self.body_left -= sent - of_output;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.output.extend_from_slice(&scratch.output[sent_of_output..]);
        scratch.output.clear();
        Ok(())
    }

    fn is_blocked(&self) -> bool {
        self.body_left > 0 || !self.output.is_empty()
    }
}

fn write_head(out: &mut Vec<u8>, status: &str, length: usize, connection: &str) {
    // Formatting into the buffer directly: this is half of what the origin does per request.
    let result = write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n{connection}\r\n"
    );
    debug_assert!(result.is_ok(), "a Vec takes every byte");
}

fn write_chunks(out: &mut Vec<u8>, length: usize, body: &[u8]) {
    let mut left = length;
    while left > 0 {
        let size = left.min(SMALL_BODY_BYTES);
        out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        out.extend_from_slice(&body[..size]);
        out.extend_from_slice(b"\r\n");
        left -= size;
    }
    out.extend_from_slice(b"0\r\n\r\n");
}
