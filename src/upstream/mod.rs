//! Connections to backends: choosing, opening, lending, reusing, and speaking HTTP on them.
//!
//! Nothing here knows on whose behalf it is asked.

pub mod acquire;
pub mod balancer;
pub mod client_pool;
pub mod connect;
pub mod connection;
pub mod error;
pub mod h1;
pub mod h2;
pub mod lease;
pub mod stream;
pub mod message;
pub mod pool;
pub mod pool_key;
pub mod proxied_client;
pub mod proxy_header;
pub mod request;
pub mod request_queues;
pub mod response_reader;
pub mod selection;
pub mod want;
