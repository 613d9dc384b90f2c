//! The first message of clients that speak TLS with a backend.

use std::pin::pin;
use std::time::Duration;

use crate::net::buffer::Buffer;
use crate::relay::client::ClientConnection;
use crate::relay::end::SessionEnd;
use crate::telemetry::reason::Reason;
use crate::tls::client_hello;
use crate::tls::client_hello::HelloNames;
use crate::tls::client_hello::HelloPeek;
use crate::worker::Worker;

/// How long the first message may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Receives it, however it is cut. It stays in the buffer, for the backend.
///
/// # Errors
/// What came is no ClientHello, or it did not come whole in time; or the client said nothing and left.
pub(super) async fn receive(
    client: &ClientConnection,
    input: Option<Buffer>,
    worker: &Worker,
) -> Result<(Buffer, HelloNames), SessionEnd> {
    let deadline = worker.timers.deadline();
    // A client that says nothing holds no drain up.
    deadline.set_drainable(HELLO_TIMEOUT);
    let mut received = match input.filter(|input| !input.is_empty()) {
        Some(input) => input,
        None => {
            let readable = deadline.guard(pin!(client.transport.readable())).await;
            if !matches!(readable, Ok(Ok(()))) {
                return Err(SessionEnd::Silent);
            }
            worker.buffers.small()
        }
    };
    loop {
        match client_hello::peek(received.filled()) {
            HelloPeek::Complete(names) => return Ok((received, names)),
            HelloPeek::Refused(word) => return Err(SessionEnd::Refused(Reason::ClientTls(word))),
            HelloPeek::Incomplete => {}
        }
        if received.spare() == 0 {
            // A ClientHello has no end of room: the look at it has a limit.
            received.make_room(received.len());
        }
        let is_first = received.is_empty();
        let (outcome, buffer) = match deadline.guard(pin!(client.transport.receive(received))).await {
            Ok(outcome) => outcome,
            Err(_elapsed) if is_first => return Err(SessionEnd::Silent),
            Err(_elapsed) => return Err(SessionEnd::Refused(Reason::ClientTls("client_hello_timeout"))),
        };
        received = buffer;
        match outcome {
            Ok(1..) => {}
            _ if is_first => return Err(SessionEnd::Silent),
            _ => return Err(SessionEnd::Refused(Reason::ClientTls("tls_client_closed"))),
        }
    }
}
