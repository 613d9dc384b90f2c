//! The only module, with `runtime/`, that touches monoio and the kernel.
//!
//! It knows sockets, bytes, buffers and time, and nothing of HTTP. Everything here belongs to one
//! worker and is reached from that worker's thread only; what crosses threads says so.

pub mod address;
pub mod buffer;
pub mod clock;
pub mod connect;
pub mod event_loop;
mod free_list;
pub mod listen;
pub mod mailbox;
pub mod memory;
pub mod memory_file;
pub mod packet_socket;
pub mod pipe;
pub mod policy_routes;
pub mod silent_sockets;
pub mod slab;
pub mod socket;
pub mod source;
pub mod task;
pub mod timer;
pub mod traffic;
pub mod udp;
pub mod unix_listener;
pub mod wait_queue;
pub mod wake;
pub mod work_budget;
