//! Opening a connection to a backend.

use std::pin::pin;
use std::time::Duration;

use crate::net::address::Address;
use crate::net::connect::ConnectError;
use crate::net::connect::connect;
use crate::net::timer::TICK;
use crate::net::timer::Timers;
use crate::upstream::error::UpstreamError;
use crate::upstream::lease::Connection;

/// Connects within `timeout`.
pub async fn open(
    address: &Address,
    timeout: Duration,
    timers: &Timers,
) -> Result<Connection, UpstreamError> {
    let deadline = timers.deadline();
    deadline.set(timeout);
    let attempts = pin!(async {
        loop {
            match connect(address).await {
                Err(ConnectError::Busy) => timers.sleep(TICK).await,
                outcome => return outcome,
            }
        }
    });
    match deadline.guard(attempts).await {
        Ok(Ok(socket)) => {
            deadline.clear();
            Ok(Connection { socket, deadline })
        }
        Ok(Err(error)) => Err(classify(error)),
        Err(_elapsed) => Err(UpstreamError::ConnectTimeout),
    }
}

fn classify(error: ConnectError) -> UpstreamError {
    match error {
        ConnectError::Refused => UpstreamError::ConnectRefused,
        ConnectError::TimedOut => UpstreamError::ConnectTimeout,
        ConnectError::NoDescriptor => UpstreamError::NoDescriptor,
        ConnectError::Busy | ConnectError::Other => UpstreamError::ConnectFailed,
    }
}
