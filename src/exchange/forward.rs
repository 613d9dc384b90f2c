//! Forwarding: choose a backend, borrow a connection, send, receive, and try again where it is safe.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::pin::pin;
use std::task::Poll;

use crate::exchange::error::ExchangeError;
use crate::exchange::record::Recording;
use crate::exchange::response;
use crate::exchange::response::Relayed;
use crate::exchange::stream::Patience;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;
use crate::exchange::tunnel;
use crate::http::body::BodyLength;
use crate::net::buffer::Buffer;
use crate::policy::compression::Accepted;
use crate::policy::retry;
use crate::policy::retry::Replay;
use crate::policy::retry::Verdict;
use crate::snapshot::Group;
use crate::telemetry::reason::Reason;
use crate::upstream::connect;
use crate::upstream::connect::Target;
use crate::upstream::connect::TlsTarget;
use crate::upstream::error::UpstreamError;
use crate::upstream::h1;
use crate::upstream::h1::ResponseReader;
use crate::upstream::lease::Connection;
use crate::upstream::lease::Lease;
use crate::worker::Worker;

/// A request ready to be sent, and what must be remembered of it.
pub(super) struct Forward {
    pub(super) group: usize,
    /// The head, and the body as far as it came with it. Kept until a response begins, so that it
    /// can be sent again; gone while it is being sent.
    pub(super) request: Option<Buffer>,
    /// A piece of the body that was received but did not fit behind the head.
    pub(super) early_piece: Option<Buffer>,
    /// Some of the body was taken from the client and is not at hand any more.
    pub(super) streamed: bool,
    pub(super) length: BodyLength,
    /// Stands for the host where backends are told of it in the TLS handshake; else 0.
    pub(super) server_name: u64,
    pub(super) idempotent: bool,
    pub(super) is_head: bool,
    pub(super) upgrade: bool,
    pub(super) expects_continue: bool,
    /// What the client can decode. None: the listener does not compress.
    pub(super) compression: Option<Accepted>,
}

/// What an attempt needs besides the streams.
pub(super) struct Terms<'a> {
    pub(super) worker: &'a Worker,
    pub(super) group: &'a Group,
    /// The client asked to switch protocols.
    pub(super) upgrade: bool,
    /// What the client can decode. None: the listener does not compress.
    pub(super) compression: Option<Accepted>,
    /// The request's body is still on its way.
    pub(super) uploading: Cell<bool>,
    /// The backend takes no more of the body, though it may still answer.
    pub(super) upload_refused: Cell<bool>,
    /// The client waits for a 100 before it sends the body.
    pub(super) awaiting_continue: Cell<bool>,
}

impl Forward {
    pub(super) async fn run<S: Stream>(
        mut self,
        stream: &mut S,
        recording: &mut Recording,
        worker: &Worker,
    ) -> Result<(), ExchangeError> {
        self.take_received_body(stream.parts().0)?;
        let Some(group) = worker.snapshot.groups.get(self.group) else {
            return Err(ExchangeError::Refused(Reason::NoRoute));
        };
        let position = worker.next_position(self.group);
        let mut retries_left = group.max_retries;
        let mut backend = choose(group, position, recording)?;
        let mut fresh = false;
        recording.upstream_began(worker);
        loop {
            let (error, reused) = match self.lease(group, backend, fresh, worker).await {
                Err(error) => (error.into(), false),
                Ok(lease) => {
                    let reused = lease.reused;
                    match self.attempt(lease, stream, recording, worker).await {
                        Ok(()) => return Ok(()),
                        Err(error) => (error, reused),
                    }
                }
            };
            match self.verdict(error, reused, retries_left) {
                Verdict::GiveUp => return Err(error),
                Verdict::SameBackend => fresh = true,
                Verdict::OtherBackend => {
                    retries_left -= 1;
                    backend = choose(group, position, recording).map_err(|_| error)?;
                }
            }
            recording.retries += 1;
        }
    }

    /// Appends what came with the head to it: one send for both, and another attempt can repeat it.
    fn take_received_body(&mut self, body: &mut impl RequestBody) -> Result<(), ExchangeError> {
        if self.length.is_empty() {
            return Ok(());
        }
        let piece = body.at_hand()?;
        let trailers = body.is_finished().then(|| body.trailers());
        let Some(request) = &mut self.request else { return Ok(()) };
        match (piece, trailers) {
            (Some(mut piece), trailers) => {
                h1::frame_body(&mut piece, self.length, trailers);
                if piece.len() <= request.spare() || body.is_finished() {
                    request.tail().extend_from_slice(piece.filled());
                } else {
                    self.early_piece = Some(piece);
                }
            }
            (None, Some(trailers)) => h1::end_body(request, self.length, trailers),
            (None, None) => {}
        }
        Ok(())
    }

    async fn lease(
        &self,
        group: &Group,
        backend: usize,
        fresh: bool,
        worker: &Worker,
    ) -> Result<Lease, UpstreamError> {
        if !fresh && let Some(connection) = worker.pool.take(self.group, backend, self.server_name) {
            return Ok(Lease { connection, reused: true, group: self.group, backend });
        }
        let Some(backend_terms) = group.backends.get(backend) else {
            return Err(UpstreamError::ConnectFailed);
        };
        let client = match &group.tls {
            Some(terms) => {
                let client = worker.pool.client(self.group, backend, terms);
                Some(client.ok_or(UpstreamError::ConnectFailed)?)
            }
            None => None,
        };
        let tls = client.as_deref().map(|client| TlsTarget {
            client,
            host: self.request.as_ref().map_or(&b""[..], |request| h1::host(request.filled())),
            server_name: self.server_name,
            buffers: &worker.buffers,
            turnstile: &worker.handshakes,
        });
        let target = Target { address: &backend_terms.address, timeout: group.connect_timeout, tls };
        let connection = connect::open(&target, &worker.timers).await?;
        Ok(Lease { connection, reused: false, group: self.group, backend })
    }

    /// One attempt on one connection, which goes back to the pool if it is fit for another exchange.
    async fn attempt<S: Stream>(
        &mut self,
        lease: Lease,
        stream: &mut S,
        recording: &mut Recording,
        worker: &Worker,
    ) -> Result<(), ExchangeError> {
        let Some(group) = worker.snapshot.groups.get(self.group) else {
            return Err(ExchangeError::Refused(Reason::NoRoute));
        };
        let (body, reply, presence) = stream.parts();
        let terms = Terms {
            worker,
            group,
            upgrade: self.upgrade,
            compression: self.compression,
            uploading: Cell::new(!body.is_finished() || self.early_piece.is_some()),
            upload_refused: Cell::new(false),
            awaiting_continue: Cell::new(self.expects_continue && !body.is_finished()),
        };
        let connection = &lease.connection;
        self.send_request(connection, group).await?;
        self.streamed = terms.uploading.get();
        let mut reader = ResponseReader::new(connection, self.is_head);
        let relayed = if terms.uploading.get() {
            let early_piece = self.early_piece.take();
            let upload = Box::pin(upload(early_piece, body, self.length, connection, &terms));
            let download = Box::pin(response::relay(&mut reader, reply, presence, recording, &terms));
            beside(pin!(upload), pin!(download)).await?
        } else {
            recording.request_read(worker);
            response::relay(&mut reader, reply, presence, recording, &terms).await?
        };
        recording.upstream_ended(worker);
        match relayed {
            Relayed::Switched => {
                Box::pin(tunnel::run(connection, &mut reader, body, reply, &terms)).await?;
            }
            Relayed::Whole(end) => {
                let clean = reader.leaves_connection_clean() && !terms.uploading.get();
                drop(reader);
                if clean {
                    lease.give_back(&worker.pool, &worker.clock);
                }
                reply.send(end.piece, Some(&end.trailers)).await?;
            }
        }
        Ok(())
    }

    async fn send_request(&mut self, connection: &Connection, group: &Group) -> Result<(), UpstreamError> {
        let Some(request) = self.request.take() else { return Err(UpstreamError::NothingSent) };
        let (result, request) = h1::send(connection, request, group.response_timeout).await;
        self.request = request;
        result
    }

    fn verdict(&self, error: ExchangeError, reused: bool, retries_left: u32) -> Verdict {
        let Some(failure) = error.failure(reused) else { return Verdict::GiveUp };
        let complete = !self.streamed && self.request.is_some();
        retry::after(failure, Replay { idempotent: self.idempotent, complete }, retries_left)
    }
}

/// The next backend that was not tried yet.
fn choose(group: &Group, position: usize, recording: &mut Recording) -> Result<usize, ExchangeError> {
    let backend = if recording.tried.is_empty() {
        group.schedule.pick(position)
    } else {
        group.schedule.pick_other(position, &recording.tried)
    };
    let backend = backend.ok_or(ExchangeError::Refused(Reason::NoBackend))?;
    // The capacity covers the most retries that the configuration allows.
    let _ = recording.tried.try_push(backend as u32);
    Ok(backend)
}

/// Sends the rest of the request's body. A backend that stops taking it may still answer, so its
/// refusal ends the upload without an error.
async fn upload(
    early_piece: Option<Buffer>,
    body: &mut impl RequestBody,
    length: BodyLength,
    connection: &Connection,
    terms: &Terms<'_>,
) -> Result<(), ExchangeError> {
    let timeout = terms.group.response_timeout;
    if let Some(piece) = early_piece
        && h1::send(connection, piece, timeout).await.0.is_err()
    {
        terms.upload_refused.set(true);
        return Ok(());
    }
    while !body.is_finished() {
        let patience = if terms.awaiting_continue.get() { Patience::Unlimited } else { Patience::Limited };
        if patience == Patience::Limited {
            // The backend waits for the client, so its silence proves nothing.
            connection.deadline.clear();
        }
        let piece = body.next(patience).await?;
        terms.awaiting_continue.set(false);
        let last = body.is_finished().then(|| body.trailers());
        let mut piece = piece.unwrap_or_else(|| terms.worker.buffers.small());
        h1::frame_body(&mut piece, length, last);
        if h1::send(connection, piece, timeout).await.0.is_err() {
            terms.upload_refused.set(true);
            return Ok(());
        }
    }
    connection.deadline.set(timeout);
    terms.uploading.set(false);
    Ok(())
}

/// Runs `upload` beside `download` until the download is over or the upload fails.
async fn beside<T>(
    mut upload: Pin<&mut impl Future<Output = Result<(), ExchangeError>>>,
    mut download: Pin<&mut impl Future<Output = Result<T, ExchangeError>>>,
) -> Result<T, ExchangeError> {
    let mut uploading = true;
    std::future::poll_fn(|turn| {
        if uploading && let Poll::Ready(result) = upload.as_mut().poll(turn) {
            uploading = false;
            if let Err(error) = result {
                return Poll::Ready(Err(error));
            }
        }
        download.as_mut().poll(turn)
    })
    .await
}
