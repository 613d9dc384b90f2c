//! RFC 9110, HTTP semantics.

mod content;
mod fields;
mod forwarding;
mod methods;
mod statuses;
