//! HTTP/2 on a client's connection (RFC 9113): many exchanges at a time, each a task of its own.
//!
//! One task drives the connection. It hands what comes to the codec and tells the streams (`receiving.rs`),
//! and it sends what all streams have written since the last time in one go (`sending.rs`). What they have in
//! common is in `shared.rs`; a stream as an exchange sees it in `stream.rs`, `body.rs` and `reply.rs`.

mod body;
mod receiving;
mod reply;
mod requests;
mod sending;
mod shared;
mod stream;
mod uploads;

use std::cell::Cell;
use std::future::Future;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::downstream::connection;
use crate::downstream::connection::Connection;
use crate::downstream::connection::MAX_DISCARD_BYTES;
use crate::downstream::h2::shared::ConnectionEnd;
use crate::downstream::h2::shared::Shared;
pub(super) use crate::downstream::h2::stream::Spawner;
pub(super) use crate::downstream::h2::stream::serve;
use crate::net::buffer::Buffer;
use crate::worker::Worker;

/// Runs a connection to its end. `input` was received already.
pub(super) async fn run(
    connection: Box<Connection>,
    worker: Rc<Worker>,
    input: Option<Buffer>,
    spawner: Spawner,
) {
    let Some(shared) = Shared::new(connection, worker) else { return };
    let end = drive(&shared, input, spawner).await;
    shared.fail_all();
    match end {
        ConnectionEnd::Gone => {}
        // Others wait for its place, and an idle client has sent nothing that could be in the way.
        ConnectionEnd::Said if shared.connection.deadline.is_evicted() => {}
        ConnectionEnd::Said => {
            connection::linger(&shared.connection, MAX_DISCARD_BYTES, &shared.worker).await
        }
    }
    shared.connection.transport.close();
}

/// Receives and sends side by side, until nothing more can be done.
async fn drive(shared: &Rc<Shared>, input: Option<Buffer>, spawner: Spawner) -> ConnectionEnd {
    let mut receiving = pin!(receiving::run(shared, input, spawner));
    let mut sending = pin!(sending::run(shared));
    let ended = Cell::new(None);
    poll_fn(|cx| {
        shared.register_driver(cx);
        if ended.get().is_none()
            && let Poll::Ready(end) = receiving.as_mut().poll(cx)
        {
            ended.set(Some(end));
        }
        match ended.get() {
            Some(ConnectionEnd::Gone) => return Poll::Ready(ConnectionEnd::Gone),
            Some(ConnectionEnd::Said) if shared.is_flushed() => return Poll::Ready(ConnectionEnd::Said),
            _ => {}
        }
        match sending.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(ConnectionEnd::Gone),
            Poll::Pending if ended.get().is_some() && shared.is_flushed() => Poll::Ready(ConnectionEnd::Said),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
