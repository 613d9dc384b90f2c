//! Datagrams: batches in and out, with the addresses that they came to and are to leave from.
//!
//! monoio's UDP knows no control messages, so a worker waits by a poll operation, as for listening sockets of TCP, and
//! then receives what waits in one system call. The kernel may hand several datagrams of one sender over as one piece
//! (UDP_GRO), and takes several that go the same way as one (UDP_SEGMENT); so a relay costs little for each.

pub mod awaited;
pub mod connected;
pub mod control_messages;
pub mod datagrams;
pub mod handed;
pub mod kernel_address;
pub mod listening;
pub mod options;
pub mod readiness;
pub mod receive;
pub mod send;
pub mod steering;
#[cfg(test)]
mod tests;
