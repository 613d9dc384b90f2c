//! Bytes both ways after a 101, until both sides have ended (RFC 9110 §7.8).

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use crate::exchange::attempt::Attempt;
use crate::exchange::error::ExchangeError;
use crate::exchange::stream::BodyTimeout;
use crate::exchange::stream::Reply;
use crate::exchange::stream::RequestBody;
use crate::net::task;
use crate::upstream::message::ReadTimeout;
use crate::upstream::response_reader::ResponseReader;
use crate::upstream::stream::UpstreamStream;

/// Runs the tunnel. The end of one direction is passed on as such; the other goes on.
pub(super) async fn run(
    upstream: &UpstreamStream,
    reader: &mut ResponseReader<'_>,
    body: &mut impl RequestBody,
    reply: &mut impl Reply,
    attempt: &Attempt<'_>,
) -> Result<(), ExchangeError> {
    reader.become_tunnel();
    body.become_tunnel();
    let idle = IdleTimeout(attempt.tunnel_idle_timeout());
    let client_ended = Cell::new(false);
    let backend_ended = Cell::new(false);
    let toward_backend = async {
        loop {
            // Once the backend has ended nothing else bounds this wait, so the client must not keep its
            // half open by a last byte.
            let bound = if backend_ended.get() { BodyTimeout::Limited } else { BodyTimeout::Unlimited };
            let Some(piece) = body.next(bound).await? else { break };
            upstream.send_raw(piece, attempt.response_timeout()).await?;
            // Each piece is a sign of life, whichever side it comes from.
            idle.begin(upstream);
        }
        client_ended.set(true);
        upstream.finish_sending();
        // A backend that has nothing to add closes soon.
        upstream.wait_at_most(attempt.response_timeout());
        Ok(())
    };
    let toward_client = async {
        loop {
            // The 101 itself leaves with the first bytes, or alone if there are none yet.
            reply.send(None, None).await?;
            let silence = if client_ended.get() {
                ReadTimeout::AtMost(attempt.response_timeout())
            } else {
                idle.begin(upstream)
            };
            let piece = reader.body(&attempt.worker.buffers, silence, reply.room()).await?;
            reply.send(piece.bytes, piece.finished.then_some(&[])).await?;
            if piece.finished {
                backend_ended.set(true);
                return Ok(());
            }
        }
    };
    task::join(pin!(toward_backend), pin!(toward_client)).await
}

/// How long a tunnel may be in which neither side says anything; zero: for ever.
struct IdleTimeout(Duration);

impl IdleTimeout {
    /// Counts from now on.
    fn begin(&self, upstream: &UpstreamStream) -> ReadTimeout {
        if self.0.is_zero() {
            upstream.suspend_timeout();
            return ReadTimeout::NotOurs;
        }
        upstream.wait_at_most(self.0);
        ReadTimeout::AtMost(self.0)
    }
}
