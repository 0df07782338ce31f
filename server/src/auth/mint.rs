//! Asking for an own token, and what comes back.
//!
//! Owns the request and its checks, the minted [`Token`], and the entry point of the command line.
//! Called by the login, pairing and refresh handlers and by the subcommand that mints tokens
//! offline for load tests and admins. It must never print a token other than by giving it to its
//! caller.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::identity::{Identity, UserIdError};
use super::secret::ServerSecret;
use super::token::{OwnTokens, TokenSettings, TokenSettingsError};

/// Longest lifetime of a token: ten years.
pub const MAX_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// What a new token is to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MintRequest<'a> {
    /// The account id; of an admin token, the admin's name for the logs.
    pub user: &'a str,
    /// The user's tier.
    pub tier: Option<&'a str>,
    /// An admin token instead of a user token: it opens the admin side and no user's sockets.
    pub admin: bool,
    /// Lifetime; `None` takes the configured one.
    pub ttl: Option<Duration>,
    /// The `extras` claim.
    pub extras: Option<&'a Map<String, Value>>,
}

impl<'a> MintRequest<'a> {
    /// A new token that says what a verified one said, for the configured lifetime (REST contract
    /// section 3.4: extras are carried over).
    #[must_use]
    pub fn renewing(identity: &'a Identity) -> Self {
        Self {
            user: &identity.user,
            tier: identity.tier.as_deref(),
            admin: identity.admin,
            ttl: None,
            extras: identity.extras.as_deref(),
        }
    }
}

/// Why no token was minted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The user id cannot be used.
    #[error(transparent)]
    UserId(#[from] UserIdError),
    /// The tier cannot be a tier's name.
    #[error("a tier's name is 1 to 64 visible characters")]
    Tier,
    /// Too short or too long a life.
    #[error("a token's lifetime is 1 second to {} days", MAX_LIFETIME.as_secs() / 86_400)]
    Lifetime,
    /// `extras` given as text is not a JSON object.
    #[error("extras must be a JSON object, for example {{\"session\":\"abc\"}}")]
    Extras,
    /// The token would be longer than what verification reads.
    #[error(
        "the token would be longer than {} bytes; shorten extras",
        super::MAX_TOKEN_BYTES
    )]
    TooLong,
    /// The settings of own tokens are at fault.
    #[error(transparent)]
    Settings(#[from] TokenSettingsError),
    /// The library could not sign.
    #[error("cannot sign the token: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// A minted token. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    expires_at_ms: u64,
}

impl Token {
    pub(super) fn new(text: String, expires_at_ms: u64) -> Self {
        Self {
            text,
            expires_at_ms,
        }
    }

    /// The token's text, for the one who asked for it. Never log it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The token's text by value; see [`Self::as_str`].
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }

    /// When it expires, in Unix milliseconds.
    #[must_use]
    pub fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Token")
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

/// What the command line says about the token to mint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MintArguments {
    /// The account id.
    pub user: String,
    /// The user's tier.
    pub tier: Option<String>,
    /// An admin token instead of a user token.
    pub admin: bool,
    /// Lifetime; `None` takes the configured one.
    pub ttl: Option<Duration>,
    /// The `extras` claim as JSON text.
    pub extras: Option<String>,
}

/// Mints a token offline, for the command line (REST contract section 1.2). A running server with
/// the same secret and settings accepts it.
///
/// # Errors
/// [`MintError`], each with its remedy.
pub fn mint_token(
    secret: &ServerSecret,
    settings: &TokenSettings,
    arguments: &MintArguments,
    now_ms: u64,
) -> Result<Token, MintError> {
    let extras = match &arguments.extras {
        Some(text) => Some(serde_json::from_str(text).map_err(|_| MintError::Extras)?),
        None => None,
    };
    let request = MintRequest {
        user: &arguments.user,
        tier: arguments.tier.as_deref(),
        admin: arguments.admin,
        ttl: arguments.ttl,
        extras: extras.as_ref(),
    };
    OwnTokens::new(secret, settings)?.mint(&request, now_ms)
}
