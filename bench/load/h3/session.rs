//! One connection of the client: its streams, and what comes on them.

use crate::message::{CONTROL_STREAM, Response};
use bytes::Bytes;
use quinn_proto::{Connection, Dir, Event, ReadError, StreamEvent, StreamId, VarInt};
use std::collections::HashMap;
use std::time::Instant;

/// H3_NO_ERROR (RFC 9114 §8.1).
const NO_ERROR: u32 = 0x0100;

/// What each connection is to do.
pub(crate) struct Work {
    /// The bytes of each request's stream.
    pub(crate) request: Vec<u8>,
    /// Of each response's content.
    pub(crate) length: u64,
    /// Requests at a time on each connection.
    pub(crate) streams: usize,
    /// Requests of each connection. None: without end.
    pub(crate) requests: Option<u64>,
    /// Requests a second of all connections together. None: as soon as one is answered.
    pub(crate) rate: Option<f64>,
}

/// What all connections have got so far.
#[derive(Default)]
pub(crate) struct Counters {
    /// Whole responses.
    pub(crate) responses: u64,
    /// Bytes of content, also of responses that are not whole.
    pub(crate) content: u64,
    /// Connections that have had all their responses.
    pub(crate) done: u64,
    /// Requests that have been sent.
    pub(crate) asked: u64,
    /// Requests that may have been sent by now, where there is a rate.
    pub(crate) due: u64,
}

pub(crate) struct Session {
    pub(crate) quic: Connection,
    responses: HashMap<StreamId, Response>,
    asked: u64,
    /// Whether it waits for its turn in the client's list.
    pub(crate) listed: bool,
    pub(crate) done: bool,
    /// By the client.
    closed: bool,
}

impl Session {
    pub(crate) fn new(quic: Connection) -> Session {
        Session { quic, responses: HashMap::new(), asked: 0, listed: false, done: false, closed: false }
    }

    /// Takes what has happened, and asks again where a response is whole.
    pub(crate) fn take_events(&mut self, work: &Work, counters: &mut Counters) -> Result<(), String> {
        while let Some(event) = self.quic.poll() {
            match event {
                Event::Connected => self.send_settings()?,
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => self.accept()?,
                Event::Stream(StreamEvent::Readable { id }) => self.read(id, work, counters)?,
                // A peer that has forgotten what was closed may answer what comes late with a reset.
                Event::ConnectionLost { reason } if !self.closed => {
                    return Err(format!("a connection was lost: {reason}"));
                }
                _ => {}
            }
        }
        if !self.closed && !self.quic.is_handshaking() {
            self.ask(work, counters)?;
        }
        if !self.done && self.responses.is_empty() && work.requests == Some(self.asked) {
            self.done = true;
            counters.done += 1;
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, now: Instant) {
        self.closed = true;
        self.quic.close(now, VarInt::from_u32(NO_ERROR), Bytes::new());
    }

    fn send_settings(&mut self) -> Result<(), String> {
        let id = self.quic.streams().open(Dir::Uni).ok_or("the peer allows no control stream")?;
        let written = self.quic.send_stream(id).write(&CONTROL_STREAM);
        written.map(drop).map_err(|e| format!("the control stream: {e}"))
    }

    /// Opens as many streams as may be open; where there is a rate, one at most.
    fn ask(&mut self, work: &Work, counters: &mut Counters) -> Result<(), String> {
        while self.responses.len() < work.streams && work.requests.is_none_or(|all| self.asked < all) {
            if work.rate.is_some() && counters.asked >= counters.due {
                break;
            }
            let Some(id) = self.quic.streams().open(Dir::Bi) else { break };
            let mut stream = self.quic.send_stream(id);
            // A request is shorter than any window that is of use.
            if stream.write(&work.request) != Ok(work.request.len()) {
                return Err("a request does not fit into the peer's window".to_owned());
            }
            stream.finish().map_err(|e| format!("ending a request: {e}"))?;
            self.responses.insert(id, Response::default());
            self.asked += 1;
            counters.asked += 1;
            if work.rate.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// The peer's control stream, and those of QPACK. What they say is of no interest here.
    fn accept(&mut self) -> Result<(), String> {
        while let Some(id) = self.quic.streams().accept(Dir::Uni) {
            read_stream(&mut self.quic, id, |_| Ok(()))?;
        }
        Ok(())
    }

    fn read(&mut self, id: StreamId, work: &Work, counters: &mut Counters) -> Result<(), String> {
        let Some(response) = self.responses.get_mut(&id) else {
            return read_stream(&mut self.quic, id, |_| Ok(())).map(drop);
        };
        let before = response.content;
        let ended = read_stream(&mut self.quic, id, |bytes| response.take(bytes))?;
        counters.content += response.content - before;
        if ended {
            response.check(work.length)?;
            self.responses.remove(&id);
            counters.responses += 1;
        }
        Ok(())
    }
}

/// Takes all that is there; true at the end.
fn read_stream(
    quic: &mut Connection,
    id: StreamId,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<bool, String> {
    let mut stream = quic.recv_stream(id);
    // More than one event may tell of what has been read to the end since.
    let Ok(mut chunks) = stream.read(true) else { return Ok(false) };
    let ended = loop {
        match chunks.next(usize::MAX) {
            Ok(Some(chunk)) => take(&chunk.bytes)?,
            Ok(None) => break true,
            Err(ReadError::Blocked) => break false,
            Err(ReadError::Reset(code)) => return Err(format!("a stream was reset with {code}")),
        }
    };
    // Whether a window is to be told of is asked at each turn anyway.
    let _ = chunks.finalize();
    Ok(ended)
}
