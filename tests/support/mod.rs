//! The kit of the process-level tests: a real Ringway, real sockets, raw bytes.
//!
//! - [`Ringway`] starts the binary with a configuration and ends it when dropped.
//! - [`Backend`] is a scripted server: a closure gets each accepted connection.
//! - [`Collector`] takes spans of traces.
//! - [`Dns`] answers questions about names.
//! - [`Http2`] is a client or a backend of HTTP/2 that shows every frame and can break every rule.
//! - [`Http3`] is a client of HTTP/3 of the same kind, on a connection of QUIC ([`Quic`]).
//! - [`Client`] sends exactly the bytes of a test and reads answers strictly.
//!
//! With RINGWAY_TEST_TLS=1, listeners in cleartext become listeners for HTTPS and clients speak TLS to them, so that
//! every test runs over both.
//!
//! A test target says `#[path = "../support/mod.rs"] mod support;`. Everything listens on a port that the kernel
//! chooses, and every wait has a bound, so tests run beside each other and a broken one ends.
#![allow(dead_code, reason = "each test target uses its own part of the kit")]
#![allow(unused_imports, reason = "each test target uses its own part of the kit")]

pub(crate) mod api;
mod backend;
pub(crate) mod call_stops;
mod client;
mod clock;
mod collector;
mod datagrams;
mod dns;
pub(crate) mod elb;
mod either;
mod either_backend;
pub(crate) mod frames;
pub(crate) mod h2;
mod h2_backend;
mod h2_client;
mod h2_stream;
mod h3;
mod h3_client;
mod h3_control;
pub(crate) mod h3_frames;
mod h3_huffman;
mod h3_qpack;
mod h3_static_table;
mod h3_stream;
mod message;
pub(crate) mod network;
mod quic;
mod quic_driver;
mod quic_tls;
mod relayed;
mod ringway;
mod scenario;
mod sockets;
mod system_calls;
pub(crate) mod tls;
pub(crate) mod tools;
mod wire;

pub(crate) use backend::{Backend, Peer};
pub(crate) use client::{Client, expect_refused};
pub(crate) use clock::{PATIENCE, eventually, now, within};
pub(crate) use collector::{Collector, TAKEN, ToldSpan};
pub(crate) use datagrams::{UdpBackend, UdpClient};
pub(crate) use dns::{Dns, Reply};
pub(crate) use either::{Answer, Ask, BackendVersion, Call, Content, EitherClient, Pair, Version};
pub(crate) use either_backend::Exchange;
pub(crate) use h2::{Frame, Http2};
pub(crate) use h2_stream::Message;
pub(crate) use h3::{Http3, Http3Options};
pub(crate) use h3_qpack::encode_section;
pub(crate) use h3_stream::{H3Frame, H3Stream};
pub(crate) use message::{Head, Response};
pub(crate) use quic::{Closed, Quic, QuicOptions, first_flight};
pub(crate) use quic_tls::QuicTls;
pub(crate) use relayed::{Relayed, echo, echo_all};
pub(crate) use ringway::{Ringway, check_text_functions, configuration_for, over_tls};
pub(crate) use scenario::{Scenario, log_entries, log_lines, recording};
pub(crate) use system_calls::StoppedThread;
pub(crate) use wire::Wire;
