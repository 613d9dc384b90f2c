//! Forwarding: choose a backend, borrow a connection, send, receive, and try again where it is safe.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::exchange::attempt::Attempt;
use crate::exchange::attempt::Relayed;
use crate::exchange::drain::drained;
use crate::exchange::drain::until_drained;
use crate::exchange::error::Carrier;
use crate::exchange::error::ExchangeError;
use crate::exchange::local;
use crate::exchange::queue::refusal;
use crate::exchange::queue::wait_for_room;
use crate::exchange::record::Recording;
use crate::exchange::request_buffer;
use crate::exchange::request_buffer::RequestBuffer;
use crate::exchange::response;
use crate::exchange::response_edits::ResponseTerms;
use crate::exchange::stickiness::StickyTarget;
use crate::exchange::stream::ClientWatch;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::exchange::stream::Stream;
use crate::exchange::tunnel;
use crate::exchange::upload::Rest;
use crate::exchange::upload::upload;
use crate::exchange::waiting::beside;
use crate::exchange::waiting::unless_left;
use crate::policy::compression::AcceptedCodings;
use crate::policy::grpc;
use crate::policy::retry::Replay;
use crate::policy::websocket;
use crate::snapshot::group::Group;
use crate::telemetry::operator::MessageKind;
use crate::telemetry::operator::log_repeatedly;
use crate::upstream::acquire::acquire;
use crate::upstream::acquire::acquire_idle;
use crate::upstream::balancer::InFlight;
use crate::upstream::error::UpstreamError;
use crate::upstream::lease::Lease;
use crate::upstream::pool_key::PoolKey;
use crate::upstream::proxied_client::ProxiedClient;
use crate::upstream::request;
use crate::upstream::request::PreparedRequest;
use crate::upstream::response_reader::ResponseReader;
use crate::upstream::selection::Next;
use crate::upstream::selection::NoChoice;
use crate::upstream::selection::Selection;
use crate::upstream::stream::UpstreamStream;
use crate::upstream::want::Want;
use crate::worker::Worker;
use crate::worker::choosing::wait_for_first_probe;

/// A request ready to be sent, and what must be remembered of it.
pub(super) struct Forward {
    /// The index of the group in the listener's.
    pub(super) group: usize,
    pub(super) target: StickyTarget,
    /// The client asks by https, be it of us or of a trusted proxy.
    pub(super) is_secure: bool,
    pub(super) request: PreparedRequest,
    /// Content that was received before a backend was chosen, and does not fit behind the head. It stays for another
    /// attempt.
    pub(super) buffered: Option<Rc<RequestBuffer>>,
    /// Bytes of content that are received before a backend is chosen; 0: what comes with the head.
    pub(super) request_buffer: usize,
    /// Some of the body was taken from the client and is not at hand any more.
    pub(super) streamed: bool,
    pub(super) pool_key: PoolKey,
    /// The client, where backends are told of it: only its own connections to them are used.
    pub(super) proxied: Option<Rc<ProxiedClient>>,
    /// The head tells by what name the request is logged.
    pub(super) names_request: bool,
    pub(super) idempotent: bool,
    pub(super) is_head: bool,
    pub(super) upgrade: bool,
    /// What the backend must answer to a WebSocket key that is ours.
    pub(super) accept: Option<Box<websocket::Accept>>,
    pub(super) expects_continue: bool,
    /// What the client can decode. None: the listener does not compress.
    pub(super) compression: Option<AcceptedCodings>,
}

/// Where a request is sent.
#[derive(Clone, Copy)]
pub(super) struct ForwardTo<'g> {
    pub(super) group: &'g Group,
    pub(super) worker: &'g Worker,
    /// What is changed about its response; None where no client gets that.
    pub(super) terms: Option<&'g ResponseTerms<'g>>,
}

impl Forward {
    pub(super) async fn run<S: Stream>(
        &mut self,
        stream: &mut S,
        recording: &mut Recording,
        to: &ForwardTo<'_>,
    ) -> Result<(), ExchangeError> {
        let ForwardTo { group, worker, .. } = *to;
        self.take_received_body(stream.parts().0)?;
        if self.request_buffer > 0 || group.awaits_probes {
            Box::pin(self.wait_for_choice(stream, recording, group, worker)).await?;
        }
        let selection = Selection::new(group, self.target.preference, &worker.balancer);
        let mut chosen = match (selection.choose(), &group.queue) {
            (Ok(chosen), _) => chosen,
            (Err(NoChoice::AllFull), Some(queue)) => {
                Box::pin(wait_for_room(&selection, queue, stream.parts().2, worker)).await?
            }
            (Err(no_choice), _) => return Err(refusal(no_choice)),
        };
        let mut fresh = false;
        recording.upstream_began(worker);
        loop {
            self.target.remember(group, chosen, worker);
            recording.attempt_began((self.group, chosen), &mut self.request, worker);
            let in_flight = worker.balancer.begin(group, chosen);
            let idle = if fresh { None } else { self.acquire_idle(group, chosen, worker) };
            let lease = match idle {
                Some(lease) => Ok(recording.connected(lease, Duration::ZERO)),
                // Boxed, because most requests find a connection.
                None => Box::pin(self.acquire((group, chosen, fresh), (stream, recording), worker)).await?,
            };
            let (error, carrier) = match lease {
                Err(error) => {
                    log_want(error, group);
                    if error.is_local() || error == UpstreamError::NoStreamFree {
                        in_flight.iter().for_each(InFlight::never_sent);
                    }
                    (error.into(), Carrier::default())
                }
                Ok(lease) => {
                    // An attempt on a fresh one is the second chance already.
                    let carrier = Carrier { reused: lease.reused, is_shared: lease.is_shared() && !fresh };
                    let is_stopgap = lease.is_stopgap();
                    match self.attempt(lease, (stream, chosen, &selection), recording, to).await {
                        Ok(()) => return Ok(()),
                        Err(ExchangeError::Retried(other)) => {
                            (chosen, fresh) = (other, false);
                            continue;
                        }
                        Err(error) if is_stopgap => (error.of_stopgap(), carrier),
                        Err(error) => (error, carrier),
                    }
                }
            };
            drop(in_flight);
            let error = recording.attempt_failed(drained(error, group, chosen), worker);
            let next = selection.after(error.failure(carrier), self.replay(recording));
            // That a kept connection was closed is excused if it costs the client nothing.
            if error.is_backends(carrier.reused && next != Next::None) {
                worker.balancer.note_failure(group, chosen);
            }
            match next {
                Next::None => return Err(error),
                Next::Same => fresh = true,
                Next::Other(other) => (chosen, fresh) = (other, false),
            }
        }
    }

    /// A connection to this backend that was used before.
    fn acquire_idle<'g>(&self, group: &'g Group, chosen: u32, worker: &Worker) -> Option<Lease<'g>> {
        acquire_idle(group, chosen, self.pool_key, (&worker.pool, self.proxied.as_deref()))
    }

    /// Ends the loan of a connection that is fit for another exchange.
    fn give_back(&self, lease: Lease<'_>, worker: &Worker) {
        match &self.proxied {
            Some(client) => client.give_back(lease, &worker.pool, &worker.clock),
            None => lease.give_back(&worker.pool, &worker.clock),
        }
    }

    /// A connection to the backend that was chosen, unless the client leaves first.
    async fn acquire<'g, S: Stream>(
        &self,
        (group, chosen, fresh): (&'g Group, u32, bool),
        (stream, recording): (&mut S, &mut Recording),
        worker: &Worker,
    ) -> Result<Result<Lease<'g>, UpstreamError>, ExchangeError> {
        let Some(member) = group.member(chosen as usize) else {
            return Ok(Err(UpstreamError::ConnectFailed));
        };
        let want = Want {
            group,
            backend: &member.backend,
            pool_key: self.pool_key,
            head: self.request.head(),
            has_content: self.request.has_content(),
            upgrade: self.upgrade,
            fresh,
            proxied: self.proxied.as_ref().map(|client| client.wanted(self.unique_id())),
        };
        let began = worker.clock.now();
        let shared = (&worker.streams, self.proxied.as_deref());
        let acquired = pin!(acquire(want, shared, worker.resources()));
        let lease = unless_left(acquired, stream.parts().2).await?;
        Ok(lease.map(|lease| recording.connected(lease, worker.clock.now().since(began))))
    }

    /// What the request is known by in the log, for backends that are told of the connection.
    fn unique_id(&self) -> &[u8] {
        if self.names_request { request::field(self.request.head(), b"X-Request-ID") } else { b"" }
    }

    /// What a group can want before a backend is chosen.
    async fn wait_for_choice<S: Stream>(
        &mut self,
        stream: &mut S,
        recording: &mut Recording,
        group: &Group,
        worker: &Worker,
    ) -> Result<(), ExchangeError> {
        if self.request_buffer > 0 && !self.request.length().is_empty() {
            let Forward { request, request_buffer, expects_continue, .. } = self;
            self.buffered =
                request_buffer::receive(request, stream, *request_buffer, *expects_continue, worker).await?;
            // The client waits no more, and no backend was told of it.
            self.expects_continue = false;
            if stream.parts().0.is_finished() {
                recording.request_read(worker);
            }
        }
        if group.awaits_probes {
            unless_left(pin!(wait_for_first_probe(group, worker)), stream.parts().2).await?;
        }
        Ok(())
    }

    fn take_received_body(&mut self, body: &mut impl RequestBody) -> Result<(), ExchangeError> {
        // Of a copy, all was received before.
        if !self.request.length().is_empty() && self.buffered.is_none() {
            let piece = body.at_hand()?;
            let last = body.is_finished().then(|| body.trailers());
            if piece.is_none() && last.is_some_and(<[u8]>::is_empty) && !self.expects_continue {
                self.request.forget_content();
            }
            self.request.take_content(piece, last);
        }
        Ok(())
    }

    /// Looks once more where nothing of the content had come before there was a connection to the backend, and tells
    /// whether some is still to come.
    fn look_for_body(&mut self, body: &mut impl RequestBody) -> Result<bool, ExchangeError> {
        let has_some = self.request.kept_bytes() > 0 || self.request.has_early_piece() || self.streamed;
        if !has_some && !body.is_finished() && self.request.is_at_hand() {
            self.take_received_body(body)?;
        }
        // HTTP/2 may end a request without content by a frame of its own, which is not waited for.
        Ok(!body.is_finished() && !self.request.length().is_empty())
    }

    /// One attempt on one connection, which goes back to the pool if it is fit for another exchange.
    async fn attempt<S: Stream>(
        &mut self,
        lease: Lease<'_>,
        (stream, member, selection): (&mut S, u32, &Selection<'_>),
        recording: &mut Recording,
        to: &ForwardTo<'_>,
    ) -> Result<(), ExchangeError> {
        let group = lease.group;
        let (body, reply, watch) = stream.parts();
        let is_incomplete = self.look_for_body(body)?;
        let ForwardTo { worker, terms, .. } = *to;
        let attempt = Attempt {
            worker,
            terms,
            group,
            member,
            target: self.target,
            selection: (!group.retry_on.statuses.is_empty()).then_some(selection),
            replay: Cell::new(self.replay(recording)),
            is_secure: self.is_secure,
            upgrade: self.upgrade,
            accept: self.accept.clone(),
            compression: self.compression,
            // In a call, either side may be silent from the beginning.
            flowed: Cell::new(recording.is_call.then(|| worker.clock.now())),
            buffered: self.buffered.clone(),
            is_answered: Cell::new(false),
            request_is_read: body.is_finished(),
            uploading: Cell::new(is_incomplete || self.request.has_early_piece() || self.buffered.is_some()),
            upload_refused: Cell::new(false),
            awaiting_continue: Cell::new(self.expects_continue && is_incomplete),
        };
        let (upstream, timeout) = (recording.carried_by(&lease), attempt.response_timeout());
        let last = if attempt.uploading.get() { None } else { Some(body.trailers()) };
        // A backend may take its time for the content that goes with the head.
        unless_left(pin!(self.request.send(upstream, last, timeout, &worker.buffers)), watch).await??;
        self.streamed = is_incomplete || self.request.has_early_piece();
        attempt.replay.set(self.replay(recording));
        if attempt.request_is_read {
            recording.request_read(worker);
        }
        let mut reader = ResponseReader::new(upstream, self.is_head, group.response_limits);
        let relayed = {
            // Futures are pinned where they are made: moved, they would be copied.
            let parts = (&mut *body, &mut *reply, watch);
            let conversation = pin!(self.converse((upstream, &mut reader), parts, recording, &attempt));
            until_drained(lease.backend, conversation).await?
        };
        let clean = relayed.is_read() && reader.leaves_connection_clean() && !attempt.uploading.get();
        drop(reader);
        // Where backends speak HTTP/2, no request would ask for one of HTTP/1.1.
        if clean && !lease.is_stopgap() {
            self.give_back(lease, worker);
            selection.release(member);
        }
        match relayed {
            Relayed::Whole(end) => {
                recording.note_call_status(grpc::status_in_trailers(&end.trailers));
                reply.send(end.piece, Some(&end.trailers)).await?;
            }
            Relayed::ErrorPage { status, .. } => {
                let page = terms.and_then(|terms| terms.error_page(status, true));
                Box::pin(local::send_page(page.map_or(&[], |page| &page.content), reply, worker)).await?;
            }
            Relayed::Retried { other, .. } => return Err(ExchangeError::Retried(other)),
            Relayed::Replaced { rule, .. } => return Err(ExchangeError::Replaced(rule)),
            Relayed::Switched => {}
        }
        Ok(())
    }

    /// Receives the response beside what is still to be sent of the request, and runs the tunnel that both switch to.
    async fn converse<B: RequestBody, R: Reply>(
        &mut self,
        (upstream, reader): (&UpstreamStream, &mut ResponseReader<'_>),
        (body, reply, watch): (&mut B, &mut R, &impl ClientWatch),
        recording: &mut Recording,
        attempt: &Attempt<'_>,
    ) -> Result<Relayed, ExchangeError> {
        let relayed = {
            let mut download = pin!(response::relay(reader, reply, watch, recording, attempt));
            match attempt.uploading.get() {
                // Boxed, because most requests come with all of their content.
                true => {
                    let upload = Box::pin(upload(self.rest(), body, upstream, attempt));
                    beside(upload, download.as_mut(), watch).await?
                }
                false => download.as_mut().await?,
            }
        };
        recording.upstream_ended(attempt.worker);
        if let Relayed::Switched = relayed {
            Box::pin(tunnel::run(upstream, reader, body, reply, attempt)).await?;
        }
        Ok(relayed)
    }

    /// What is still to be sent of the body, as far as it was received.
    fn rest(&mut self) -> Rest {
        Rest {
            early_piece: self.request.take_early_piece(),
            length: self.request.length(),
            kept: self.request.kept_bytes(),
        }
    }

    /// What another attempt would have to send again.
    fn replay(&self, recording: &Recording) -> Replay {
        // The client may have seen some of a response that has begun, and cannot get another one.
        let complete = !self.streamed && self.request.is_at_hand() && !recording.has_response();
        Replay { idempotent: self.idempotent, complete, sticky: false }
    }
}

/// Tells the operator what is short on this host.
fn log_want(error: UpstreamError, group: &Group) {
    let (what, fix) = match error {
        UpstreamError::NoDescriptor => {
            ("descriptor", "raise the descriptor limit (LimitNOFILE=) or lower max_connections")
        }
        UpstreamError::NoLocalPort => ("local port", "widen sysctl net.ipv4.ip_local_port_range"),
        _ => return,
    };
    log_repeatedly(MessageKind::Want, || {
        let name = &group.name;
        format!("warning: no {what} is left for a connection to a backend of group \"{name}\"; {fix}")
    });
}
