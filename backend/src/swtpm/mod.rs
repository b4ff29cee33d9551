//! The protocol of swtpm: a control channel and a raw data channel.
//!
//! Two threads: the control thread accepts clients and answers control requests; the data thread reads a command from
//! the data channel, runs it and writes the response, without a hop to another thread in between. They meet at the
//! [`Device`](crate::device::Device)'s lock, which is held for the length of one command or one control request.

mod client;
mod control;
mod data;
pub(crate) mod server;
mod sockets;
