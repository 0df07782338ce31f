//! Own tokens: signed JWTs, EdDSA over Ed25519 (REST contract section 1.2).
//!
//! Owns their keys, claims and lifetimes. Called by the verifier, and by the command line through
//! [`super::mint`]. It knows nothing of revocation, which is the verifier's, and accepts an admin
//! token as readily as a user's: telling them apart is the verifier's too.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::claims;
use super::identity::{Identity, TokenHash, check_user_id, is_tier_name};
use super::jwt::{MAX_TOKEN_BYTES, UnverifiedToken};
use super::key::VerificationKey;
use super::mint::{MAX_LIFETIME, MintError, MintRequest, Token};
use super::secret::ServerSecret;
use super::visible::is_visible;
use super::{TokenError, UserIdError};

/// The scope of admin tokens.
const ADMIN_SCOPE: &str = "admin";

/// Most characters of an issuer's name.
const MAX_ISSUER_CHARS: usize = 128;

/// What precedes the 32-byte seed in the PKCS#8 form of an Ed25519 private key (RFC 8410 section 7
/// and its example in section 10.3): SEQUENCE, version 0, algorithm 1.3.101.112, and the seed as
/// an OCTET STRING inside an OCTET STRING.
const PKCS8_ED25519_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Settings of own tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// The `iss` of new tokens; their key is derived with it.
    pub issuer: String,
    /// Further own issuers whose tokens, made under the same secret, stay valid: `handy` for those
    /// of an earlier deployment.
    pub previous_issuers: Vec<String>,
    /// Lifetime of new tokens.
    pub lifetime: Duration,
    /// Clock difference that `exp` and `nbf` are forgiven.
    pub leeway: Duration,
    /// How long after its end a token can still be refreshed.
    pub refresh_grace: Duration,
}

impl Default for TokenSettings {
    /// Issuer `dormouse`, 30 days, no leeway, and a week of grace (REST contract 1.2 and 3.4).
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            issuer: "dormouse".to_owned(),
            previous_issuers: Vec::new(),
            lifetime: DAY * 30,
            leeway: Duration::ZERO,
            refresh_grace: DAY * 7,
        }
    }
}

/// Settings of own tokens that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenSettingsError {
    /// An issuer's name is not 1 to 128 visible characters.
    #[error("{0:?} cannot be the issuer of tokens; use 1 to 128 visible characters")]
    Issuer(String),
    /// The configured lifetime is outside the bounds.
    #[error("the lifetime of tokens must be 1 second to {} days", MAX_LIFETIME.as_secs() / 86_400)]
    Lifetime,
    /// The library refused a derived key.
    #[error("cannot derive the token key of issuer {issuer:?}: {source}")]
    Key {
        /// The issuer's name.
        issuer: String,
        /// What the library said.
        source: jsonwebtoken::errors::Error,
    },
}

/// The claims that are minted. A random `jti` (RFC 7519 section 4.1.7) makes every token unique:
/// signatures are deterministic, so two tokens of one user minted in the same second would be one,
/// and revoking one device's would revoke the other's.
#[derive(Serialize)]
struct MintedClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    user: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extras: Option<&'a Map<String, Value>>,
}

/// Mints own tokens and verifies them.
#[derive(Debug)]
pub(crate) struct OwnTokens {
    signing: EncodingKey,
    /// One per own issuer, the current one first.
    keys: Vec<(Box<str>, VerificationKey)>,
    issuer: Box<str>,
    lifetime: Duration,
    leeway_ms: u64,
    refresh_grace_ms: u64,
}

impl OwnTokens {
    /// Derives the keys of all own issuers.
    pub fn new(
        secret: &ServerSecret,
        settings: &TokenSettings,
    ) -> Result<Self, TokenSettingsError> {
        if !is_lifetime(settings.lifetime) {
            return Err(TokenSettingsError::Lifetime);
        }
        let mut keys = Vec::with_capacity(1 + settings.previous_issuers.len());
        for issuer in std::iter::once(&settings.issuer).chain(&settings.previous_issuers) {
            if !is_visible(issuer, MAX_ISSUER_CHARS) {
                return Err(TokenSettingsError::Issuer(issuer.clone()));
            }
            let key =
                VerificationKey::from_own(&signing_key(secret, issuer)).map_err(|source| {
                    TokenSettingsError::Key {
                        issuer: issuer.clone(),
                        source,
                    }
                })?;
            keys.push((issuer.as_str().into(), key));
        }
        Ok(Self {
            signing: signing_key(secret, &settings.issuer),
            keys,
            issuer: settings.issuer.as_str().into(),
            lifetime: settings.lifetime,
            leeway_ms: milliseconds(settings.leeway),
            refresh_grace_ms: milliseconds(settings.refresh_grace),
        })
    }

    /// Whether tokens that claim this issuer are own ones.
    pub fn is_own(&self, issuer: &str) -> bool {
        self.key_of(issuer).is_some()
    }

    fn key_of(&self, issuer: &str) -> Option<&VerificationKey> {
        self.keys
            .iter()
            .find_map(|(own, key)| (**own == *issuer).then_some(key))
    }

    /// Mints a token. Its `exp` is a whole second, so it may live up to a second less than asked.
    pub fn mint(&self, request: &MintRequest<'_>, now_ms: u64) -> Result<Token, MintError> {
        check_user_id(request.user).map_err(|err: UserIdError| MintError::UserId(err))?;
        if !request.tier.is_none_or(is_tier_name) {
            return Err(MintError::Tier);
        }
        let lifetime = request.ttl.unwrap_or(self.lifetime);
        if !is_lifetime(lifetime) {
            return Err(MintError::Lifetime);
        }
        let iat = now_ms / 1000;
        let exp = iat.saturating_add(lifetime.as_secs());
        let jti = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        let claims = MintedClaims {
            iss: &self.issuer,
            sub: request.user,
            user: request.user,
            iat,
            exp,
            jti: &jti,
            tier: request.tier,
            scope: request.admin.then_some(ADMIN_SCOPE),
            extras: request.extras,
        };
        let text = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.signing)?;
        if text.len() > MAX_TOKEN_BYTES {
            return Err(MintError::TooLong);
        }
        Ok(Token::new(text, exp.saturating_mul(1000)))
    }

    /// Verifies a token that claims an own issuer.
    pub fn verify(
        &self,
        token: UnverifiedToken<'_>,
        token_hash: TokenHash,
        now_ms: u64,
    ) -> Result<Identity, TokenError> {
        self.verify_with_grace(token, token_hash, now_ms, self.leeway_ms)
    }

    /// Verifies a token that claims an own issuer and may have expired within the grace of
    /// refreshing (REST contract section 3.4).
    pub fn verify_for_refresh(
        &self,
        token: UnverifiedToken<'_>,
        token_hash: TokenHash,
        now_ms: u64,
    ) -> Result<Identity, TokenError> {
        self.verify_with_grace(token, token_hash, now_ms, self.grace_ms())
    }

    /// How long after its end a token may still be of use, in milliseconds.
    pub fn grace_ms(&self) -> u64 {
        self.refresh_grace_ms.max(self.leeway_ms)
    }

    fn verify_with_grace(
        &self,
        token: UnverifiedToken<'_>,
        token_hash: TokenHash,
        now_ms: u64,
        grace_ms: u64,
    ) -> Result<Identity, TokenError> {
        let key = token
            .claimed_issuer()
            .and_then(|issuer| self.key_of(issuer));
        let key = key.ok_or(TokenError::WrongIssuer)?;
        let mut claims = token.verify_into(key)?;
        claims.check_audience(None)?;
        let expires_at_ms = claims.check_times(now_ms, self.leeway_ms, grace_ms)?;
        let user = match (claims.text("sub")?, claims.text("user")?) {
            (Some(sub), Some(user)) if sub != user => return Err(TokenError::TwoUsers),
            (Some(user), _) | (None, Some(user)) => claims::user(user)?,
            (None, None) => return Err(TokenError::MissingClaim("sub")),
        };
        let tier = claims::tier(claims.get("tier"))?;
        let admin = claims
            .text("scope")?
            .is_some_and(|scopes| scopes.split(' ').any(|scope| scope == ADMIN_SCOPE));
        let extras = match claims.take("extras") {
            None => None,
            Some(Value::Object(extras)) => Some(Arc::new(extras)),
            Some(_) => return Err(TokenError::BadClaim("extras")),
        };
        Ok(Identity {
            user,
            tier,
            admin,
            expires_at_ms,
            extras,
            token_hash,
        })
    }
}

fn signing_key(secret: &ServerSecret, issuer: &str) -> EncodingKey {
    let mut der = Zeroizing::new([0; 48]);
    let (prefix, seed) = der.split_at_mut(PKCS8_ED25519_PREFIX.len());
    prefix.copy_from_slice(&PKCS8_ED25519_PREFIX);
    seed.copy_from_slice(secret.token_seed(issuer).as_slice());
    EncodingKey::from_ed_der(der.as_slice())
}

fn is_lifetime(lifetime: Duration) -> bool {
    (Duration::from_secs(1)..=MAX_LIFETIME).contains(&lifetime)
}

/// A duration in whole milliseconds, as clocks here are given.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
