//! Connections of layer 4: one to a backend for each of a client, and bytes both ways.
//!
//! Nothing here looks into what is relayed. A connection waits with neither buffer nor snapshot, so that many can be
//! idle for long.

mod both_ways;
mod choice;
mod client;
mod end;
mod flow;
mod hello;
mod pace;
mod record;
mod resting;
mod route;
mod session;
mod silence;

pub use choice::preference;
pub use choice::remember;
pub use client::ClientConnection;
pub use client::RelayedClient;
pub use record::Endpoints;
pub use record::count;
pub use record::log;
pub use record::record_unserved;
pub use resting::RestingConnections;
pub use session::serve;
