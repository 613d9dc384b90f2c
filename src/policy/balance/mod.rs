//! Which backend of a group gets the next request.

pub mod weighted_round_robin;
