//! Datagrams of layer 4: a session for each client, with a socket of its own to a backend.
//!
//! Nothing here looks into what is relayed, and nothing waits: what cannot be sent at once is lost, as in any router, and
//! counted. All sessions of a worker stand in one table, so that one costs neither a task nor a timer.

mod answers;
mod client_socket;
mod dropped;
mod expiry;
mod hand_over;
mod opening;
mod proxied;
mod record;
mod requests;
mod service;
mod session;
mod session_table;
mod upstream;

pub use client_socket::DatagramSocket;
pub use service::DatagramService;
