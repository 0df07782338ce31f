//! The verifier: every token of every kind, own, foreign or for testing.
//!
//! Owns the choice of who verifies a token, the separation of admin and user tokens, and the
//! question whether a token was revoked. Upgrade service, HTTP handlers and the first-message
//! authentication call it, each worker with its own [`TokenCache`]. It must never accept a token
//! because of a cache alone, nor let a test token work outside development.

use std::fmt;
use std::sync::Arc;

use super::TokenError;
use super::cache::{Checked, TokenCache};
use super::identity::{Identity, TokenHash, hash_token};
use super::issuers::{IssuerError, IssuerSettings, Issuers};
use super::jwt::{MAX_TOKEN_BYTES, UnverifiedToken};
use super::mint::{MintError, MintRequest, Token};
use super::revocation::Revocations;
use super::secret::ServerSecret;
use super::token::{OwnTokens, TokenSettings, TokenSettingsError};

/// The user that the insecure test token stands for.
pub const TEST_USER: &str = "test-user";

/// What a verifier accepts.
#[derive(Clone, Default)]
pub struct VerifierSettings {
    /// Own tokens.
    pub tokens: TokenSettings,
    /// Other issuers.
    pub issuers: Vec<IssuerSettings>,
    /// A fixed text that is accepted as the token of [`TEST_USER`] (REST contract section 1.2).
    pub insecure_test_token: Option<String>,
    /// Whether this is development mode: the test token is refused without it.
    pub development: bool,
}

impl fmt::Debug for VerifierSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifierSettings")
            .field("tokens", &self.tokens)
            .field("issuers", &self.issuers)
            .field(
                "insecure_test_token",
                &self.insecure_test_token.as_ref().map(|_| "(hidden)"),
            )
            .field("development", &self.development)
            .finish()
    }
}

/// Settings that no verifier can be made of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// The settings of own tokens are at fault.
    #[error(transparent)]
    Tokens(#[from] TokenSettingsError),
    /// An issuer's settings are at fault.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// A test token outside development.
    #[error(
        "an insecure test token is configured outside development mode, where anyone who knows it \
         is a user; remove it, or switch to development mode"
    )]
    TestTokenOutsideDevelopment,
    /// A test token that every client without a token would match.
    #[error("the insecure test token is empty; set a text such as `test-auth-token`, or remove it")]
    EmptyTestToken,
}

/// Verifies tokens. Clones share everything.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    own: OwnTokens,
    issuers: Issuers,
    revocations: Arc<dyn Revocations>,
    test_token: Option<TokenHash>,
}

impl Verifier {
    /// Derives and reads all keys.
    ///
    /// # Errors
    /// [`VerifierError`], with its remedy; a server must not start then.
    pub fn new(
        secret: &ServerSecret,
        settings: VerifierSettings,
        revocations: Arc<dyn Revocations>,
        now_ms: u64,
    ) -> Result<Self, VerifierError> {
        let own = OwnTokens::new(secret, &settings.tokens)?;
        let issuers = Issuers::new(settings.issuers, |issuer| own.is_own(issuer), now_ms)?;
        let test_token = match settings.insecure_test_token.as_deref() {
            None => None,
            Some(_) if !settings.development => {
                return Err(VerifierError::TestTokenOutsideDevelopment);
            }
            Some("") => return Err(VerifierError::EmptyTestToken),
            Some(token) => {
                tracing::warn!(user = TEST_USER, "an insecure test token is accepted");
                Some(hash_token(token))
            }
        };
        Ok(Self(Arc::new(Inner {
            own,
            issuers,
            revocations,
            test_token,
        })))
    }

    /// Verifies a user's token: an own one, one of a configured issuer, or the test token.
    ///
    /// # Errors
    /// [`TokenError`]; among them [`TokenError::AdminToken`], as an admin is no user.
    pub fn verify_user(&self, token: &str, now_ms: u64) -> Result<Identity, TokenError> {
        check_length(token)?;
        self.0.issuers.reload_if_due(now_ms);
        self.verify_user_hashed(token, hash_token(token), now_ms)
    }

    /// As [`Self::verify_user`], remembering what was verified in the calling thread's cache. A
    /// token found there costs its SHA-256 and a lookup.
    ///
    /// # Errors
    /// As [`Self::verify_user`].
    pub fn verify_user_cached(
        &self,
        cache: &mut TokenCache,
        token: &str,
        now_ms: u64,
    ) -> Result<Identity, TokenError> {
        check_length(token)?;
        self.0.issuers.reload_if_due(now_ms);
        // Both are read before the token is checked: what changes meanwhile makes the entry stale.
        let checked = Checked {
            epoch: self.0.revocations.epoch(),
            keys: self.0.issuers.generation(),
        };
        let hash = hash_token(token);
        if let Some(identity) = cache.get(&hash, now_ms, checked, &*self.0.revocations) {
            return Ok(identity);
        }
        let identity = self.verify_user_hashed(token, hash, now_ms)?;
        cache.insert(hash, identity.clone(), checked);
        Ok(identity)
    }

    /// Verifies an admin's token: an own one with scope `admin`. Other issuers' tokens are never
    /// consulted, nor is the test token.
    ///
    /// # Errors
    /// [`TokenError`]; among them [`TokenError::NotAdmin`] for a user's token.
    pub fn verify_admin(&self, token: &str, now_ms: u64) -> Result<Identity, TokenError> {
        check_length(token)?;
        let parsed = UnverifiedToken::parse(token)?;
        let identity = self.0.own.verify(parsed, hash_token(token), now_ms)?;
        if !identity.admin {
            return Err(TokenError::NotAdmin);
        }
        // An admin's name is no account's.
        if self.is_revoked(&identity.token_hash) {
            return Err(TokenError::Revoked);
        }
        Ok(identity)
    }

    /// Verifies an own user token that is to be refreshed: valid, or expired within the grace
    /// (REST contract section 3.4). Tokens of other issuers are renewed by their issuers, so here
    /// they are [`TokenError::WrongIssuer`]. Mint the new one with [`MintRequest::renewing`].
    ///
    /// # Errors
    /// [`TokenError`], whose [`TokenError::refresh_code`] is the answer's `code`.
    pub fn verify_for_refresh(&self, token: &str, now_ms: u64) -> Result<Identity, TokenError> {
        check_length(token)?;
        let parsed = UnverifiedToken::parse(token)?;
        let identity = self
            .0
            .own
            .verify_for_refresh(parsed, hash_token(token), now_ms)?;
        self.unless_revoked(as_user(identity)?)
    }

    /// Whether the token of this hash ([`Identity::token_hash`]) was revoked.
    #[must_use]
    pub fn is_revoked(&self, token_hash: &TokenHash) -> bool {
        self.0.revocations.is_revoked(token_hash)
    }

    /// Whether no token of this user is accepted.
    #[must_use]
    pub fn is_blocked(&self, user: &str) -> bool {
        self.0.revocations.is_blocked(user)
    }

    /// Until when the revocation of a token must be remembered, in Unix milliseconds: its end, and
    /// the time in which it could still be refreshed. `None` for the test token, which has no end.
    #[must_use]
    pub fn forget_revocation_at(&self, identity: &Identity) -> Option<u64> {
        let end = identity.expires_at_ms;
        (end != u64::MAX).then(|| end.saturating_add(self.0.own.grace_ms()))
    }

    /// Mints an own token.
    ///
    /// # Errors
    /// [`MintError`], with its remedy.
    pub fn mint(&self, request: &MintRequest<'_>, now_ms: u64) -> Result<Token, MintError> {
        self.0.own.mint(request, now_ms)
    }

    fn verify_user_hashed(
        &self,
        token: &str,
        hash: TokenHash,
        now_ms: u64,
    ) -> Result<Identity, TokenError> {
        // Comparing hashes tells a prober's clock nothing about the text.
        if self.0.test_token == Some(hash) {
            return self.unless_revoked(test_identity(hash));
        }
        let token = UnverifiedToken::parse(token)?;
        let identity = if token
            .claimed_issuer()
            .is_some_and(|issuer| self.0.own.is_own(issuer))
        {
            as_user(self.0.own.verify(token, hash, now_ms)?)?
        } else {
            self.0.issuers.verify(&token, now_ms)?
        };
        self.unless_revoked(identity)
    }

    fn unless_revoked(&self, identity: Identity) -> Result<Identity, TokenError> {
        if self.is_revoked(&identity.token_hash) {
            return Err(TokenError::Revoked);
        }
        if self.is_blocked(&identity.user) {
            return Err(TokenError::Blocked);
        }
        Ok(identity)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verifier")
            .field("own", &self.0.own)
            .field("issuers", &self.0.issuers)
            .field("test_token", &self.0.test_token.is_some())
            .finish_non_exhaustive()
    }
}

/// Before anything is computed over the text.
fn check_length(token: &str) -> Result<(), TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        Err(TokenError::TooLong)
    } else {
        Ok(())
    }
}

fn as_user(identity: Identity) -> Result<Identity, TokenError> {
    if identity.admin {
        Err(TokenError::AdminToken)
    } else {
        Ok(identity)
    }
}

fn test_identity(token_hash: TokenHash) -> Identity {
    Identity {
        user: Arc::from(TEST_USER),
        tier: None,
        admin: false,
        expires_at_ms: u64::MAX,
        extras: None,
        token_hash,
    }
}

#[cfg(test)]
mod tests;
