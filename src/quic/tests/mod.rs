//! Connections between two endpoints: joined by a wire of the test's own, or by real sockets.

mod conversation;
mod handshakes;
mod over_sockets;
mod over_wire;
mod simulation;
