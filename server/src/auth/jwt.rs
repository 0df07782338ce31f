//! The compact form of a signed JSON web token (RFC 7515 section 7.1, RFC 7519).
//!
//! Owns the split between what a token claims and what is proven: claims come out of
//! [`UnverifiedToken::verify`] only. Called by the verifier and by the code of own and foreign
//! issuers. The mathematics is `jsonwebtoken`'s; its `decode` is not used, because it validates
//! times with the system clock and parses header and claims twice. It also ignores `crit`.

use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::TokenError;
use super::claims::Claims;
use super::key::VerificationKey;

/// Longest token that is looked at, in bytes. Own tokens have about 350; large identity providers
/// send up to some thousands.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token whose signature has not been checked.
pub(crate) struct UnverifiedToken<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    claims: Claims,
    signing_input: &'a str,
    signature: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// Whether a member is there at all; even `null` demands what is not understood.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> UnverifiedToken<'a> {
    /// Parses the three parts without believing them.
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = from_part(header)?;
        let algorithm = supported_algorithm(&header.alg).ok_or(TokenError::UnsupportedAlgorithm)?;
        if header.crit {
            return Err(TokenError::UnsupportedExtension);
        }
        let claims = from_part(payload)?;
        Ok(Self {
            algorithm,
            key_id: header.kid,
            claims,
            signing_input,
            signature,
        })
    }

    /// The header's algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The header's `kid`.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The `iss` that the token claims; good for choosing the key to check it with, for nothing
    /// else.
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claims.text("iss").ok().flatten()
    }

    /// The token without its signature.
    pub fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// The claims, if `key` signed them with the algorithm that it is for.
    pub fn verify(&self, key: &VerificationKey) -> Result<&Claims, TokenError> {
        key.verify(self.algorithm, self.signing_input, self.signature)?;
        Ok(&self.claims)
    }

    /// The claims by value; see [`Self::verify`].
    pub fn verify_into(self, key: &VerificationKey) -> Result<Claims, TokenError> {
        self.verify(key)?;
        Ok(self.claims)
    }
}

fn from_part<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenError> {
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)?;
    // serde would also fill a struct from an array.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(TokenError::Malformed);
    }
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

/// The algorithms that keys can be configured for. Names are matched exactly: `none` in any
/// spelling is not among them.
fn supported_algorithm(name: &str) -> Option<Algorithm> {
    Algorithm::from_str(name).ok().filter(|algorithm| {
        matches!(
            algorithm,
            Algorithm::HS256 | Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA
        )
    })
}
