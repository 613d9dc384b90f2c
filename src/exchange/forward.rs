//! Forwarding: choose a backend, borrow a connection, send, receive, and try again where it is safe.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::pin::pin;
use std::task::Poll;

use crate::exchange::Origin;
use crate::exchange::error::ExchangeError;
use crate::exchange::record::Recording;
use crate::exchange::response;
use crate::exchange::response::Relayed;
use crate::exchange::stickiness::Claim;
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
use crate::snapshot::backend::Backend;
use crate::snapshot::group::Availability;
use crate::snapshot::group::Group;
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
    /// The index of the group in the listener's.
    pub(super) group: usize,
    pub(super) claim: Claim,
    /// The head, and the body as far as it came with it. Kept until a response begins, so that it
    /// can be sent again; gone while it is being sent.
    pub(super) request: Option<Buffer>,
    /// A piece of the body that was received but did not fit behind the head.
    pub(super) early_piece: Option<Buffer>,
    /// Some of the body was taken from the client and is not at hand any more.
    pub(super) streamed: bool,
    pub(super) length: BodyLength,
    /// Stands for the terms of TLS, and for the host where backends are told of it; 0 in the clear.
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
    /// The index of the backend that was chosen.
    pub(super) member: u32,
    pub(super) claim: &'a Claim,
    pub(super) is_secure: bool,
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

impl Terms<'_> {
    /// Notes what a final status says about its backend.
    pub(super) fn judge(&self, status: u16) {
        match status {
            502..=504 => self.worker.note_failure(self.group, self.member),
            _ => self.worker.note_success(self.group, self.member),
        }
    }
}

impl Forward {
    pub(super) async fn run<S: Stream>(
        mut self,
        stream: &mut S,
        recording: &mut Recording,
        origin: &Origin<'_>,
        worker: &Worker,
    ) -> Result<(), ExchangeError> {
        self.take_received_body(stream.parts().0)?;
        let Some(group) = origin.listener.group(self.group) else {
            return Err(ExchangeError::Refused(Reason::NoRoute));
        };
        worker.loads.request_began(group);
        let mut retries_left = group.max_retries;
        let mut chosen = self.choose(group, recording, worker)?;
        let mut fresh = false;
        recording.upstream_began(worker);
        loop {
            let in_flight = worker.loads.begin(group, chosen);
            let (error, reused) = match self.lease(group, chosen, fresh, worker).await {
                Err(error) => (error.into(), false),
                Ok(lease) => {
                    let reused = lease.reused;
                    match self.attempt(lease, (stream, chosen), recording, (origin, worker)).await {
                        Ok(()) => return Ok(()),
                        Err(error) => (error, reused),
                    }
                }
            };
            drop(in_flight);
            let error = self.judge(error, reused, (group, chosen), worker);
            match self.verdict(error, (reused, chosen), retries_left) {
                Verdict::SameBackend => fresh = true,
                Verdict::OtherBackend if worker.loads.may_retry(group) => {
                    retries_left -= 1;
                    fresh = false;
                    chosen = self.choose(group, recording, worker).map_err(|_| error)?;
                }
                _ => return Err(error),
            }
            recording.retries += 1;
        }
    }

    /// The next backend: the client's own, or else one that was not tried yet.
    fn choose(
        &self,
        group: &Group,
        recording: &mut Recording,
        worker: &Worker,
    ) -> Result<u32, ExchangeError> {
        let own = self.claim.valid_owner(group, worker).filter(|own| !recording.tried.contains(own));
        let chosen = own.or_else(|| worker.loads.choose(group, self.claim.key, &recording.tried));
        let Some(chosen) = chosen else {
            return Err(ExchangeError::Refused(match worker.loads.availability(group) {
                Some(Availability::AllDown) => Reason::NoHealthyBackend,
                _ => Reason::NoBackend,
            }));
        };
        self.claim.remember(group, chosen, worker);
        // The capacity covers the most retries that the configuration allows.
        let _ = recording.tried.try_push(chosen);
        Ok(chosen)
    }

    /// Notes a failure that is the backend's, and says what it comes down to.
    fn judge(
        &self,
        error: ExchangeError,
        reused: bool,
        (group, chosen): (&Group, u32),
        worker: &Worker,
    ) -> ExchangeError {
        let is_closed =
            || group.member(chosen as usize).is_some_and(|member| member.backend.health.is_closed());
        match error {
            // Its deadline was brought forward.
            ExchangeError::Upstream(UpstreamError::ResponseTimeout | UpstreamError::ConnectTimeout)
                if is_closed() =>
            {
                return ExchangeError::Refused(Reason::DrainTimeout);
            }
            ExchangeError::Upstream(UpstreamError::NoDescriptor) => {}
            // A kept connection that its backend has closed says nothing about the backend.
            ExchangeError::Upstream(UpstreamError::NothingSent | UpstreamError::ClosedBeforeResponse)
                if reused => {}
            ExchangeError::Upstream(_) => worker.note_failure(group, chosen),
            _ => {}
        }
        error
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

    async fn lease<'g>(
        &self,
        group: &'g Group,
        chosen: u32,
        fresh: bool,
        worker: &Worker,
    ) -> Result<Lease<'g>, UpstreamError> {
        let Some(member) = group.member(chosen as usize) else {
            return Err(UpstreamError::ConnectFailed);
        };
        let backend = &member.backend;
        if !fresh && let Some(connection) = worker.pool.take(backend, self.server_name) {
            return Ok(Lease { connection, reused: true, group, backend });
        }
        let client = group.tls.as_ref().map(|terms| worker.pool.client(backend, terms));
        let tls = client.as_deref().map(|client| TlsTarget {
            client,
            host: self.request.as_ref().map_or(&b""[..], |request| h1::host(request.filled())),
            server_name: self.server_name,
            buffers: &worker.buffers,
            turnstile: &worker.handshakes,
        });
        let target = Target { backend, timeout: group.connect_timeout, tls };
        let connection = connect::open(&target, &worker.timers).await?;
        Ok(Lease { connection, reused: false, group, backend })
    }

    /// One attempt on one connection, which goes back to the pool if it is fit for another exchange.
    async fn attempt<S: Stream>(
        &mut self,
        lease: Lease<'_>,
        (stream, member): (&mut S, u32),
        recording: &mut Recording,
        (origin, worker): (&Origin<'_>, &Worker),
    ) -> Result<(), ExchangeError> {
        let group = lease.group;
        let claim = self.claim;
        let (body, reply, presence) = stream.parts();
        let terms = Terms {
            worker,
            group,
            member,
            claim: &claim,
            is_secure: origin.secured.is_some(),
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
            until_drained(lease.backend, pin!(beside(pin!(upload), pin!(download)))).await?
        } else {
            recording.request_read(worker);
            let relay = pin!(response::relay(&mut reader, reply, presence, recording, &terms));
            until_drained(lease.backend, relay).await?
        };
        recording.upstream_ended(worker);
        match relayed {
            Relayed::Switched => {
                let tunnel = Box::pin(tunnel::run(connection, &mut reader, body, reply, &terms));
                until_drained(lease.backend, pin!(tunnel)).await?;
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

    fn verdict(&self, error: ExchangeError, (reused, chosen): (bool, u32), retries_left: u32) -> Verdict {
        let Some(failure) = error.failure(reused) else { return Verdict::GiveUp };
        let complete = !self.streamed && self.request.is_some();
        // A client that was sent elsewhere, because its own backend is gone, has nothing to lose there.
        let sticky = self.claim.owner == Some(chosen);
        retry::after(failure, Replay { idempotent: self.idempotent, complete, sticky }, retries_left)
    }
}

/// Runs `operation` unless the drain of its backend is over. Who waits in silence is woken by its deadline,
/// but a busy exchange moves that before it passes.
async fn until_drained<T>(
    backend: &Backend,
    mut operation: Pin<&mut impl Future<Output = Result<T, ExchangeError>>>,
) -> Result<T, ExchangeError> {
    std::future::poll_fn(|turn| match operation.as_mut().poll(turn) {
        Poll::Pending if backend.health.is_closed() => {
            Poll::Ready(Err(ExchangeError::Refused(Reason::DrainTimeout)))
        }
        outcome => outcome,
    })
    .await
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
