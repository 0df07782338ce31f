//! What every test needs: a clock, clients, stores and a server.

pub mod client;
pub mod clock;
pub mod events;
pub mod outside;
pub mod server;
pub mod stores;

pub use client::{Client, Seen};

pub use outside::{Door, Recorder};

pub use stores::MemoryBackend;
