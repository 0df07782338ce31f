//! `ConnectionManager`: the actor that owns a user's connections, one per shard.
//!
//! `state` holds plain data and functions that say what to do through an [`outlet::Outlet`];
//! `actor` receives, calls and sends. So every rule of a hub is tested without a runtime.

mod actor;
mod calls;
pub mod members;
pub mod outlet;
pub mod rpc;
pub mod state;

pub use actor::ConnectionManager;

#[cfg(test)]
mod tests;
