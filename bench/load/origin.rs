//! The backend that every measured proxy forwards to.

fn main() {}
