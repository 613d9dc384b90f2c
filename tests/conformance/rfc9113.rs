//! RFC 9113, HTTP/2: the codec at its frames.

mod connection;
mod frames;
mod messages;
mod streams;
