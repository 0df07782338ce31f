//! Accounts: who may sign in, how devices are paired, whose tokens are refused.
//!
//! Owns the rows of accounts, pairing requests, invitations and revoked tokens, and keeps what
//! verification asks on every request in memory ([`access::Access`]). Called by the HTTP handlers
//! and by the commands, which work on the database of a running server as well as of a stopped one:
//! a server looks for changes of others every second. It knows no HTTP, and it never stores or logs
//! a token or an invitation's code.

pub mod access;
pub mod administration;
pub mod error;
pub mod invites;
pub mod key_login;
pub mod pairing;
pub mod public_key;
pub mod removal;
pub mod revoked_tokens;

#[cfg(test)]
mod tests;

pub use access::Access;

/// Whether a text can be looked up: not every database can be asked for one with U+0000.
pub(crate) fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

pub use error::AccountError;
pub use public_key::PublicKey;
