//! The contents of sessions' files: a folder of the data folder, addresses that let a client in for
//! some minutes, and the removal of what nobody needs.
//!
//! Contents are ciphertext of the clients, kept as they came. What exists, and whose it is, is in
//! the database ([`crate::sync::session_files`]).

pub mod folder;
pub mod links;
pub mod sweep;

pub use folder::{FileFolder, StoreFault};
pub use links::{FileLinks, LinkFault};

/// Most bytes of a file (contract happy-client.md section 7).
pub const MOST_BYTES: u64 = 10 << 20;
