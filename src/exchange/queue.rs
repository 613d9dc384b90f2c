//! Requests that wait until a backend has room for them.

use crate::exchange::error::ExchangeError;
use crate::exchange::stream::ClientWatch;
use crate::snapshot::request_queue::RequestQueue;
use crate::telemetry::reason::Reason;
use crate::upstream::selection::NoChoice;
use crate::upstream::selection::Selection;
use crate::worker::Worker;
use crate::worker::choosing;
use crate::worker::choosing::NoRoom;

/// Waits for a backend with room, in the order in which requests came. The index of the member.
///
/// # Errors
/// The queue is full or its time over, no backend is left, or the client is gone.
pub(super) async fn wait_for_room(
    selection: &Selection<'_>,
    queue: &RequestQueue,
    watch: &impl ClientWatch,
    worker: &Worker,
) -> Result<u32, ExchangeError> {
    let room = choosing::wait_for_room(selection, queue, watch.disconnected(), worker).await;
    room.map_err(|no_room| match no_room {
        NoRoom::Full => ExchangeError::Refused(Reason::QueueFull),
        NoRoom::Timeout => ExchangeError::Refused(Reason::QueueTimeout),
        NoRoom::ClientGone => ExchangeError::ClientGone,
        NoRoom::NoChoice(no_choice) => refusal(no_choice),
    })
}

/// Why no backend can be asked.
pub(super) fn refusal(no_choice: NoChoice) -> ExchangeError {
    ExchangeError::Refused(no_choice.reason())
}
