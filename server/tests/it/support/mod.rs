//! What every test needs: servers in this process and out of it, clients good and bad.

pub mod client;
pub mod events;
pub mod handshake;
pub mod http;
pub mod panics;
pub mod process;
pub mod raw;
pub mod server;
pub mod socket_io;
pub mod wait;

pub use client::Client;
pub use handshake::Handshake;
pub use raw::Raw;
pub use server::{Builder, Server};
pub use wait::{eventually, within};
