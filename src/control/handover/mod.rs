//! Handing everything over to a successor, without a lost connection: a newer program, or the same one started again.
//!
//! The two processes talk in packets over a socket of their own ([`channel`]). The successor loads its configuration,
//! then asks for what is running: listening sockets, and a [`CarriedState`](state::CarriedState). It starts its workers,
//! says that it is ready, and once it is told to go on, everything new is its own. The one before then serves what it
//! has, tells what it counts, and ends. Until the word to go on, either side can give up, and nothing has happened.

pub mod channel;
pub mod generations;
pub mod inheritance;
pub mod offer;
pub mod progress;
pub mod sessions;
pub mod start;
pub mod state;
pub mod succession;
