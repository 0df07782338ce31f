//! Who a verified token speaks for.
//!
//! Owned here as the one result of every way to verify. Upgrade service and HTTP handlers read it;
//! only the verification code of this module may make one.

use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::visible::is_visible;

/// Most characters of a user id (realtime contract section 2.2 has the same bound for ids).
pub const MAX_USER_ID_CHARS: usize = 128;

/// Most characters of a tier's name in a token.
pub const MAX_TIER_CHARS: usize = 64;

/// SHA-256 by which a token is revoked and remembered; never the token itself.
pub type TokenHash = [u8; 32];

/// The SHA-256 of a token's text.
pub(crate) fn hash_token(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// What a verified token says. Cloning one counts references and copies no text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Identity {
    /// The account id: 1 to [`MAX_USER_ID_CHARS`] visible characters.
    pub user: Arc<str>,
    /// The tier's name as claimed; whether such a tier exists is for the caller to see.
    pub tier: Option<Arc<str>>,
    /// Whether this is an admin credential; then it is no user's.
    pub admin: bool,
    /// The token's `exp` in Unix milliseconds, without leeway; `u64::MAX` if it has none.
    pub expires_at_ms: u64,
    /// The `extras` claim of an own token; carried over when the token is refreshed.
    pub extras: Option<Arc<Map<String, Value>>>,
    /// The key of this token in the revocation list (data model, revokedToken). Own tokens: SHA-256
    /// of the token. Tokens of other issuers: SHA-256 of the token without its signature, because
    /// a second valid ES256 signature can be computed from the first by anyone, and would give a
    /// revoked token another hash.
    pub token_hash: TokenHash,
}

/// A user id that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a user id is 1 to {MAX_USER_ID_CHARS} visible characters, without white space or control \
     characters"
)]
pub struct UserIdError;

/// Checks a user id: 1 to [`MAX_USER_ID_CHARS`] visible characters.
///
/// # Errors
/// [`UserIdError`] for any other text.
pub fn check_user_id(user: &str) -> Result<(), UserIdError> {
    if is_visible(user, MAX_USER_ID_CHARS) {
        Ok(())
    } else {
        Err(UserIdError)
    }
}

/// Whether `tier` can be the name of a tier: 1 to [`MAX_TIER_CHARS`] visible characters.
pub(crate) fn is_tier_name(tier: &str) -> bool {
    is_visible(tier, MAX_TIER_CHARS)
}
