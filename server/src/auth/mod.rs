//! Who is calling: tokens, tickets, and the limits on asking for them.
//!
//! Owns the server secret and every key derived from it, the verification of own and foreign
//! tokens, the per-worker cache of verified tokens, revocation, single-use tickets, the fixed
//! windows of rate limits and the parsing of `Authorization`. Called by the upgrade service, the
//! HTTP handlers and the command line. It must never log a token, a ticket or a key, never read a
//! clock (callers pass Unix milliseconds), and never decide what an HTTP answer says: errors here
//! are for logs and metrics, clients get one generic 401 (REST contract section 1.2).
//!
//! # Two kinds of own token
//! A token with scope `admin` is an admin credential and nothing else: [`Verifier::verify_user`]
//! refuses it, and [`Verifier::verify_admin`] refuses every other token. A leaked admin token
//! therefore opens no user's sockets, and no user token, whoever issued it, reaches the admin side.

pub mod bearer;
pub mod cache;
mod claims;
pub mod error;
pub mod identity;
pub mod issuers;
mod jwks;
mod jwt;
mod key;
pub mod mint;
pub mod rate;
pub mod revocation;
pub mod secret;
#[cfg(test)]
mod testing;
pub mod ticket;
pub mod token;
pub mod verifier;
mod visible;

pub use cache::TokenCache;
pub use error::TokenError;
pub use identity::{Identity, TokenHash, UserIdError};
pub use issuers::{IssuerError, IssuerKeys, IssuerSettings};
pub use jwt::MAX_TOKEN_BYTES;
pub use key::{KeyError, PublicKeyAlgorithm};
pub use mint::{MintArguments, MintError, MintRequest, Token, mint_token};
pub use rate::{Admission, FixedWindow};
pub use revocation::{RevocationList, Revocations};
pub use secret::{Purpose, SecretError, ServerSecret};
pub use ticket::{Ticket, TicketError, TicketHolder, TicketSettings, Tickets};
pub use token::{TokenSettings, TokenSettingsError};
pub use verifier::{Verifier, VerifierError, VerifierSettings};
