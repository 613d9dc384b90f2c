//! Forwarding: choose a backend, borrow a connection, send, receive, and try again where it is safe.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::exchange::Origin;
use crate::exchange::error::Carrier;
use crate::exchange::error::ExchangeError;
use crate::exchange::record::Recording;
use crate::exchange::request_buffer::RequestBuffer;
use crate::exchange::response;
use crate::exchange::response::Relayed;
use crate::exchange::stickiness::Claim;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;
use crate::exchange::tunnel;
use crate::exchange::upload::Rest;
use crate::exchange::upload::beside;
use crate::exchange::upload::upload;
use crate::exchange::waiting::unless_left;
use crate::exchange::waiting::until_drained;
use crate::exchange::waiting::wait_for_first_probe;
use crate::http::body::BodyLength;
use crate::net::buffer::Buffer;
use crate::net::buffer::Buffers;
use crate::net::clock::Moment;
use crate::policy::compression::Accepted;
use crate::policy::grpc;
use crate::policy::retry;
use crate::policy::retry::Replay;
use crate::policy::retry::Verdict;
use crate::policy::websocket;
use crate::snapshot::group::Availability;
use crate::snapshot::group::Group;
use crate::telemetry::operator::Kind;
use crate::telemetry::operator::tell_repeatedly;
use crate::telemetry::reason::Reason;
use crate::upstream::error::UpstreamError;
use crate::upstream::h1;
use crate::upstream::h1::MOST_FRAMING_BYTES;
use crate::upstream::lease::Lease;
use crate::upstream::link::Link;
use crate::upstream::link::Request;
use crate::upstream::link::ResponseReader;
use crate::upstream::load::InFlight;
use crate::worker::Worker;

/// Of a body that came in full, so much is kept to be sent again over HTTP/2, where a backend may refuse any request
/// without having looked at it. It fits into a window of the usual size, so that sending it waits for nobody.
const MOST_KEPT_BYTES: usize = 60 * 1024;

/// A request ready to be sent, and what must be remembered of it.
pub(super) struct Forward {
    /// The index of the group in the listener's.
    pub(super) group: usize,
    pub(super) claim: Claim,
    /// The client asks by https, be it of us or of a trusted proxy.
    pub(super) is_secure: bool,
    /// The head, and the body as far as it came with it. Kept until a response begins, so that it
    /// can be sent again; gone while it is being sent.
    pub(super) request: Option<Buffer>,
    /// Of the request.
    pub(super) head_bytes: usize,
    /// A piece of the body that was received but did not fit behind the head.
    pub(super) early_piece: Option<Buffer>,
    /// Content that was received before a backend was chosen, and does not fit behind the head. It stays for another
    /// attempt.
    pub(super) buffered: Option<Rc<RequestBuffer>>,
    /// Bytes of content that are received before a backend is chosen; 0: what comes with the head.
    pub(super) request_buffer: usize,
    /// Some of the body was taken from the client and is not at hand any more.
    pub(super) streamed: bool,
    pub(super) length: BodyLength,
    /// Some of the body may come, or has come.
    pub(super) has_content: bool,
    /// Stands for the terms of TLS, and for the host where backends are told of it; 0 in the clear.
    pub(super) server_name: u64,
    pub(super) idempotent: bool,
    pub(super) is_head: bool,
    pub(super) upgrade: bool,
    /// What the backend must answer to a WebSocket key that is ours.
    pub(super) accept: Option<Box<websocket::Accept>>,
    pub(super) expects_continue: bool,
    /// The request is framed for HTTP/1.1, and the backend speaks nothing else.
    pub(super) is_framed: bool,
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
    /// Of the listener; zero: none.
    pub(super) tunnel_idle_timeout: Duration,
    /// The client asked to switch protocols.
    pub(super) upgrade: bool,
    /// What the backend must answer to a WebSocket key that is ours.
    pub(super) accept: Option<&'a websocket::Accept>,
    /// What the client can decode. None: the listener does not compress.
    pub(super) compression: Option<Accepted>,
    /// When something last came of a response that flows while the request's body is still on its way.
    pub(super) flowed: Cell<Option<Moment>>,
    /// Held for another attempt.
    pub(super) buffered: Option<Rc<RequestBuffer>>,
    /// The final response has begun, so that there will be no other attempt.
    pub(super) is_answered: Cell<bool>,
    /// All of the request was received, though some of it may still have to be sent.
    pub(super) request_is_read: bool,
    /// The request's body is still on its way.
    pub(super) uploading: Cell<bool>,
    /// The backend takes no more of the body, though it may still answer.
    pub(super) upload_refused: Cell<bool>,
    /// The client waits for a 100 before it sends the body.
    pub(super) awaiting_continue: Cell<bool>,
}

impl Terms<'_> {
    /// Notes that something of the final response came.
    pub(super) fn note_flow(&self) {
        if self.uploading.get() {
            self.flowed.set(Some(self.worker.clock.now()));
        }
    }

    /// Whether a client that has sent nothing since then may go on like that: once the response flows, it is no
    /// stalled upload, but a conversation in which it has nothing to say, as in a tunnel.
    pub(super) fn allows_silence(&self, since: Moment) -> bool {
        let Some(flowed) = self.flowed.get() else { return false };
        let now = self.worker.clock.now();
        let silence = now.since(since).min(now.since(flowed));
        self.tunnel_idle_timeout.is_zero() || silence < self.tunnel_idle_timeout
    }

    /// Gives the memory of what was sent back, once nobody needs it for another attempt.
    pub(super) fn release_sent(&self) {
        if let Some(buffered) =
            self.buffered.as_ref().filter(|_| self.is_answered.get() && !self.uploading.get())
        {
            buffered.release();
        }
    }

    /// Notes what a final status says about its backend.
    pub(super) fn judge(&self, status: u16) {
        match status {
            502..=504 => self.worker.note_failure(self.group, self.member),
            _ => self.worker.note_success(self.group, self.member),
        }
    }
}

/// Who gets the request after a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    None,
    /// The same backend, on a fresh connection.
    Same,
    Other(u32),
}

impl Forward {
    pub(super) async fn run<S: Stream>(
        &mut self,
        stream: &mut S,
        recording: &mut Recording,
        origin: &Origin<'_>,
        worker: &Worker,
    ) -> Result<(), ExchangeError> {
        self.take_received_body(stream.parts().0)?;
        let Some(group) = origin.listener.group(self.group) else {
            return Err(ExchangeError::Refused(Reason::NoRoute));
        };
        if self.request_buffer > 0 || group.awaits_probes {
            Box::pin(self.wait_for_choice(stream, recording, group, worker)).await?;
        }
        worker.loads.request_began(group);
        let mut retries_left = group.max_retries;
        let mut chosen = self.choose(group, recording, worker)?;
        let mut fresh = false;
        recording.upstream_began(worker);
        let mut may_ask_standby = group.max_retries > 0;
        loop {
            recording.attempt_began();
            let in_flight = worker.loads.begin(group, chosen);
            let lease = match self.idle_connection(group, chosen, fresh, worker) {
                Some(lease) => Ok(lease),
                None => {
                    let (_, _, presence) = stream.parts();
                    // Boxed, because most requests find a connection.
                    unless_left(Box::pin(self.lease(group, chosen, fresh, worker)).as_mut(), presence).await?
                }
            };
            let (error, carrier) = match lease {
                Err(error) => {
                    tell_of_want(error, group);
                    if error.is_local() || error == UpstreamError::NoStreamFree {
                        in_flight.iter().for_each(InFlight::never_sent);
                    }
                    (error.into(), Carrier::default())
                }
                Ok(lease) => {
                    // Whoever asked for a fresh one has had its second chance.
                    let is_shared = lease.link.is_http2() && !fresh;
                    let carrier = Carrier { reused: lease.reused, is_shared };
                    let is_stopgap = lease.is_stopgap();
                    match self.attempt(lease, (stream, chosen), recording, (origin, worker)).await {
                        Ok(()) => return Ok(()),
                        Err(error) if is_stopgap => (error.of_stopgap(), carrier),
                        Err(error) => (error, carrier),
                    }
                }
            };
            drop(in_flight);
            let error = self.drained(error, (group, chosen));
            // Where every active backend has failed, a standby is asked besides.
            let to_standby = may_ask_standby && worker.loads.has_only_standbys_left(group, &recording.tried);
            let backends_left = retries_left.max(u32::from(to_standby));
            match self.next(error, (carrier, chosen), (backends_left, recording), (group, worker)) {
                Next::None => return Err(error),
                Next::Same => fresh = true,
                Next::Other(other) => {
                    retries_left = retries_left.saturating_sub(1);
                    may_ask_standby &= !to_standby;
                    fresh = false;
                    chosen = other;
                }
            }
        }
    }

    /// What a group can want before a backend is chosen.
    async fn wait_for_choice<S: Stream>(
        &mut self,
        stream: &mut S,
        recording: &mut Recording,
        group: &Group,
        worker: &Worker,
    ) -> Result<(), ExchangeError> {
        if self.request_buffer > 0 && !self.length.is_empty() {
            self.receive_content(stream, self.request_buffer, worker).await?;
            if stream.parts().0.is_finished() {
                recording.request_read(worker);
            }
        }
        if group.awaits_probes {
            unless_left(pin!(wait_for_first_probe(group, worker)), stream.parts().2).await?;
        }
        Ok(())
    }

    /// Decides what follows a failed attempt, and notes the failure if it is the backend's.
    fn next(
        &self,
        error: ExchangeError,
        (carrier, chosen): (Carrier, u32),
        (retries_left, recording): (u32, &mut Recording),
        (group, worker): (&Group, &Worker),
    ) -> Next {
        let next = match self.verdict(error, (carrier, chosen), retries_left) {
            Verdict::SameBackend => Next::Same,
            verdict @ (Verdict::OtherBackend | Verdict::Elsewhere) if worker.loads.may_retry(group) => {
                match self.choose(group, recording, worker) {
                    Ok(other) => Next::Other(other),
                    Err(_) if verdict == Verdict::Elsewhere => Next::Same,
                    Err(_) => Next::None,
                }
            }
            _ => Next::None,
        };
        // That a kept connection was closed is excused if it costs the client nothing.
        if error.is_backends(carrier.reused && next != Next::None) {
            worker.note_failure(group, chosen);
        }
        next
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

    /// What a failure comes down to where the deadline was brought forward, because the backend was taken out of
    /// service.
    fn drained(&self, error: ExchangeError, (group, chosen): (&Group, u32)) -> ExchangeError {
        let is_closed =
            || group.member(chosen as usize).is_some_and(|member| member.backend.health.is_closed());
        match error {
            ExchangeError::Upstream(UpstreamError::ResponseTimeout | UpstreamError::ConnectTimeout)
                if is_closed() =>
            {
                ExchangeError::Refused(Reason::DrainTimeout)
            }
            error => error,
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
            (Some(piece), trailers) if !self.is_framed => {
                let most = if trailers.is_some() { MOST_KEPT_BYTES } else { request.spare() };
                if piece.len() <= most {
                    request.tail().extend_from_slice(piece.filled());
                } else {
                    self.early_piece = Some(piece);
                }
            }
            (Some(mut piece), trailers) => {
                let fits = piece.len() + MOST_FRAMING_BYTES <= request.spare();
                if fits || body.is_finished() {
                    h1::frame_body(&mut piece, self.length, trailers);
                    request.tail().extend_from_slice(piece.filled());
                } else {
                    self.early_piece = Some(piece);
                }
            }
            (None, trailers) if self.is_framed => h1::end_body(request, self.length, trailers),
            (None, Some(trailers)) => self.has_content = !trailers.is_empty(),
            (None, None) => {}
        }
        Ok(())
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
        let accept = self.accept.clone();
        let (body, reply, presence) = stream.parts();
        // HTTP/2 may end a request without content by a frame of its own, which is not waited for.
        let is_incomplete = !body.is_finished() && !self.length.is_empty();
        let terms = Terms {
            worker,
            group,
            member,
            claim: &claim,
            is_secure: self.is_secure,
            tunnel_idle_timeout: origin.listener.tunnel_idle_timeout,
            upgrade: self.upgrade,
            accept: accept.as_deref(),
            compression: self.compression,
            // Of a call, either side may be silent from the beginning.
            flowed: Cell::new(recording.is_call.then(|| worker.clock.now())),
            buffered: self.buffered.clone(),
            is_answered: Cell::new(false),
            request_is_read: body.is_finished(),
            uploading: Cell::new(is_incomplete || self.early_piece.is_some() || self.buffered.is_some()),
            upload_refused: Cell::new(false),
            awaiting_continue: Cell::new(self.expects_continue && is_incomplete),
        };
        let link = &lease.link;
        let last = if terms.uploading.get() { None } else { Some(body.trailers()) };
        self.send_request(link, last, group, &worker.buffers).await?;
        self.streamed = is_incomplete || self.early_piece.is_some();
        if terms.request_is_read {
            recording.request_read(worker);
        }
        let mut reader = ResponseReader::new(link, self.is_head, group.response_limits);
        let relayed = if terms.uploading.get() {
            let rest = self.rest();
            let mut upload = Box::pin(upload(rest, body, link, &terms));
            let mut download = Box::pin(response::relay(&mut reader, reply, presence, recording, &terms));
            let both = beside(upload.as_mut(), download.as_mut());
            unless_left(pin!(until_drained(lease.backend, pin!(both))), presence).await??
        } else {
            let relay = pin!(response::relay(&mut reader, reply, presence, recording, &terms));
            until_drained(lease.backend, relay).await?
        };
        recording.upstream_ended(worker);
        match relayed {
            Relayed::Switched => {
                let tunnel = Box::pin(tunnel::run(link, &mut reader, body, reply, &terms));
                until_drained(lease.backend, pin!(tunnel)).await?;
            }
            Relayed::Whole(end) => {
                let clean = reader.leaves_connection_clean() && !terms.uploading.get();
                drop(reader);
                // Where backends speak HTTP/2, nobody would ask for one of HTTP/1.1.
                if clean && !lease.is_stopgap() {
                    lease.give_back(&worker.pool, &worker.clock);
                }
                recording.note_call_status(grpc::status_in_trailers(&end.trailers));
                reply.send(end.piece, Some(&end.trailers)).await?;
            }
        }
        Ok(())
    }

    /// What is still to be sent of the body, as far as it was received.
    fn rest(&mut self) -> Rest {
        let request = self.request.as_ref().map_or(0, Buffer::len);
        Rest {
            early_piece: self.early_piece.take(),
            length: self.length,
            kept: request.saturating_sub(self.head_bytes),
        }
    }

    /// `last` is the trailer section, if the body is complete.
    async fn send_request(
        &mut self,
        link: &Link,
        last: Option<&[u8]>,
        group: &Group,
        buffers: &Buffers,
    ) -> Result<(), UpstreamError> {
        let Some(request) = self.request.take() else { return Err(UpstreamError::NothingSent) };
        let timeout = group.response_timeout;
        if !self.is_framed && !link.is_http2() {
            let whole = Request { text: request.filled(), head_bytes: self.head_bytes, last };
            // Boxed, because seldom a backend that could speak HTTP/2 does not.
            let sent = Box::pin(link.send_framed(&whole, self.length, buffers, timeout)).await;
            self.request = Some(request);
            return sent;
        }
        let (result, request) = link.send_request(request, self.head_bytes, last, timeout).await;
        self.request = request;
        result
    }

    fn verdict(&self, error: ExchangeError, (carrier, chosen): (Carrier, u32), retries_left: u32) -> Verdict {
        let Some(failure) = error.failure(carrier) else { return Verdict::GiveUp };
        let complete = !self.streamed && self.request.is_some();
        // A client that was sent elsewhere, because its own backend is gone, has nothing to lose there.
        let sticky = self.claim.owner == Some(chosen);
        retry::after(failure, Replay { idempotent: self.idempotent, complete, sticky }, retries_left)
    }
}

/// Tells the operator what is short on this host.
fn tell_of_want(error: UpstreamError, group: &Group) {
    let (what, cure) = match error {
        UpstreamError::NoDescriptor => {
            ("descriptor", "raise the descriptor limit (LimitNOFILE=) or lower max_connections")
        }
        UpstreamError::NoLocalPort => ("local port", "widen sysctl net.ipv4.ip_local_port_range"),
        _ => return,
    };
    tell_repeatedly(Kind::Want, || {
        let name = &group.name;
        format!("warning: no {what} is left for a connection to a backend of group \"{name}\"; {cure}")
    });
}
