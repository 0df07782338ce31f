//! Keys that verify signatures.
//!
//! Owns the rule that a key belongs to exactly one algorithm, whatever a token's header says: that
//! rule ends every confusion between public keys and shared secrets. Called at start-up to build
//! keys and per token to use them. Every key is tried out when it is built, so that using it
//! cannot fail for any reason but a bad signature: `jsonwebtoken` checks some keys late, and slices
//! a short Ed25519 key out of bounds.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use super::TokenError;

/// Shortest shared secret of an HS256 issuer, in bytes (RFC 7518 section 3.2).
pub const MIN_HS256_SECRET_BYTES: usize = 32;

/// Smallest RSA modulus, in bytes: 2048 bits (RFC 7518 section 3.3).
const MIN_RSA_BYTES: usize = 256;

/// Largest RSA modulus, in bytes: 4096 bits, the library's limit.
const MAX_RSA_BYTES: usize = 512;

/// The algorithm of an issuer's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl PublicKeyAlgorithm {
    const fn algorithm(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

impl fmt::Display for PublicKeyAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        })
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A shared secret that can be guessed.
    #[error(
        "an HS256 secret needs at least {MIN_HS256_SECRET_BYTES} bytes; use a longer one at the \
         issuer and here"
    )]
    SecretTooShort,
    /// A key file's text where a shared secret belongs; a public key is known to everyone.
    #[error("an HS256 secret must not be a PEM key; configure it as the issuer's public key")]
    SecretIsPem,
    /// A private key where only a public key belongs.
    #[error(
        "this is a private key; configure its public half, for example the output of `openssl pkey \
         -in key.pem -pubout`, and keep the private key at the issuer"
    )]
    PrivateKey,
    /// Not a public key in PEM form for the named algorithm.
    #[error("not a PEM public key for {0}; export one with `openssl pkey -in key.pem -pubout`")]
    NotAPublicKey(PublicKeyAlgorithm),
    /// An RSA key that is too short to trust or too long to use.
    #[error("an RSA key must have 2048 to 4096 bits; use such a key at the issuer")]
    RsaLength,
    /// A JWKS file that cannot be read.
    #[error("cannot read the JWKS file {path}: {source}; check the path and its permissions")]
    JwksUnreadable {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A JWKS file that is not a JWK Set (RFC 7517 section 5) or too long.
    #[error("{path} is not a JWK Set: it must be a JSON object with an array `keys`, under 1 MiB")]
    JwksMalformed {
        /// The file.
        path: std::path::PathBuf,
    },
    /// A JWKS file without a usable key.
    #[error(
        "{path} has no key that can be used; it needs a public signature key for RS256 (2048 to \
         4096 bits), ES256 (P-256) or EdDSA (Ed25519)"
    )]
    JwksEmpty {
        /// The file.
        path: std::path::PathBuf,
    },
}

/// A key and the one algorithm that it verifies.
pub(crate) struct VerificationKey {
    algorithm: Algorithm,
    key: DecodingKey,
    id: Option<Box<str>>,
}

impl VerificationKey {
    /// A shared secret for HS256.
    pub fn from_hs256_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_HS256_SECRET_BYTES {
            return Err(KeyError::SecretTooShort);
        }
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err(KeyError::SecretIsPem);
        }
        let key = DecodingKey::from_secret(secret);
        Ok(Self {
            algorithm: Algorithm::HS256,
            key,
            id: None,
        })
    }

    /// A public key in PEM form.
    pub fn from_pem(algorithm: PublicKeyAlgorithm, pem: &str) -> Result<Self, KeyError> {
        if pem.contains("PRIVATE KEY-----") {
            return Err(KeyError::PrivateKey);
        }
        let key = match algorithm {
            PublicKeyAlgorithm::Rs256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
            PublicKeyAlgorithm::Es256 => DecodingKey::from_ec_pem(pem.as_bytes()),
            PublicKeyAlgorithm::EdDsa => DecodingKey::from_ed_pem(pem.as_bytes()),
        };
        let not_a_key = KeyError::NotAPublicKey(algorithm);
        let Ok(key) = key else { return Err(not_a_key) };
        Self::tried(algorithm, key, None).map_err(|fault| match fault {
            Fault::RsaLength => KeyError::RsaLength,
            Fault::Unusable => not_a_key,
        })
    }

    /// A key of a JWK Set; `None` for one that is not for verifying signatures with a supported
    /// algorithm. Symmetric keys are among those: a set of public keys must not hold secrets.
    pub fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        if common
            .public_key_use
            .as_ref()
            .is_some_and(|usage| *usage != PublicKeyUse::Signature)
            || common
                .key_operations
                .as_ref()
                .is_some_and(|operations| !operations.contains(&KeyOperations::Verify))
        {
            return None;
        }
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => PublicKeyAlgorithm::Rs256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                PublicKeyAlgorithm::Es256
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                PublicKeyAlgorithm::EdDsa
            }
            _ => return None,
        };
        if common
            .key_algorithm
            .is_some_and(|named| named != algorithm.algorithm().into())
        {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Self::tried(algorithm, key, common.key_id.as_deref()).ok()
    }

    /// The public half of an own signing key.
    pub fn from_own(signing: &EncodingKey) -> Result<Self, jsonwebtoken::errors::Error> {
        let jwk = Jwk::from_encoding_key(signing, Algorithm::EdDSA)?;
        let key = DecodingKey::from_jwk(&jwk)?;
        Ok(Self {
            algorithm: Algorithm::EdDSA,
            key,
            id: None,
        })
    }

    /// Accepts a public key that the library can verify with.
    fn tried(
        algorithm: PublicKeyAlgorithm,
        key: DecodingKey,
        id: Option<&str>,
    ) -> Result<Self, Fault> {
        let named = algorithm.algorithm();
        // Components come out of well-formed keys only; an Ed25519 key has its 32 bytes then.
        let jwk = Jwk::from_decoding_key(&key, Some(named)).map_err(|_| Fault::Unusable)?;
        match (&jwk.algorithm, algorithm) {
            (AlgorithmParameters::RSA(rsa), PublicKeyAlgorithm::Rs256) => {
                let modulus = decoded(&rsa.n).ok_or(Fault::Unusable)?;
                let bytes = modulus.iter().skip_while(|byte| **byte == 0).count();
                if !(MIN_RSA_BYTES..=MAX_RSA_BYTES).contains(&bytes) {
                    return Err(Fault::RsaLength);
                }
            }
            (AlgorithmParameters::EllipticCurve(_), PublicKeyAlgorithm::Es256)
            | (AlgorithmParameters::OctetKeyPair(_), PublicKeyAlgorithm::EdDsa) => {}
            _ => return Err(Fault::Unusable),
        }
        // An error here is the key's, such as a point off the curve or on another curve; a
        // signature that does not match is `Ok(false)`.
        jsonwebtoken::crypto::verify("", b"", &key, named).map_err(|_| Fault::Unusable)?;
        Ok(Self {
            algorithm: named,
            key,
            id: id.map(Box::from),
        })
    }

    /// The algorithm that this key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key's `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether `signature` (base64url) is this key's over `message`.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        message: &str,
        signature: &str,
    ) -> Result<(), TokenError> {
        if algorithm != self.algorithm {
            return Err(TokenError::WrongAlgorithm);
        }
        match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm) {
            Ok(true) => Ok(()),
            // An error is a signature that is not base64url: the key was tried when it was built.
            Ok(false) | Err(_) => Err(TokenError::BadSignature),
        }
    }
}

enum Fault {
    RsaLength,
    Unusable,
}

fn decoded(base64url: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(base64url).ok()
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerificationKey")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
