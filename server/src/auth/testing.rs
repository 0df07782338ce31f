//! What the tests of this module share: a secret, a time, and tokens of every make.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::issuers::{IssuerKeys, IssuerSettings};
use super::key::PublicKeyAlgorithm;
use super::mint::MintRequest;
use super::secret::ServerSecret;

/// Unix milliseconds of "now": not on a full second, which is where rounding shows.
pub const NOW: u64 = 1_700_000_000_321;

/// The same in seconds, as claims have it.
pub const NOW_S: u64 = NOW / 1000;

/// The shared secret of the HS256 issuer.
pub const HS256_SECRET: &[u8] = b"a shared secret of 32 or more bytes";

/// Key pairs made for these tests and used nowhere else.
pub const RS256_PRIVATE: &str = include_str!("fixtures/rs256-private.pem");
pub const RS256_PUBLIC: &str = include_str!("fixtures/rs256-public.pem");
pub const RSA_1024_PUBLIC: &str = include_str!("fixtures/rsa-1024-public.pem");
pub const ES256_PRIVATE: &str = include_str!("fixtures/es256-private.pem");
pub const ES256_PUBLIC: &str = include_str!("fixtures/es256-public.pem");
pub const P384_PUBLIC: &str = include_str!("fixtures/p384-public.pem");
pub const EDDSA_PRIVATE: &str = include_str!("fixtures/eddsa-private.pem");
pub const EDDSA_PUBLIC: &str = include_str!("fixtures/eddsa-public.pem");

pub fn secret() -> ServerSecret {
    ServerSecret::from_bytes(b"the secret of these tests, 32 bytes or more").unwrap()
}

pub fn other_secret() -> ServerSecret {
    ServerSecret::from_bytes(b"another secret, which has 32 bytes or more").unwrap()
}

pub fn request(user: &str) -> MintRequest<'_> {
    MintRequest {
        user,
        ..MintRequest::default()
    }
}

pub fn encoding_key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::HS256 => EncodingKey::from_secret(HS256_SECRET),
        Algorithm::RS256 => EncodingKey::from_rsa_pem(RS256_PRIVATE.as_bytes()).unwrap(),
        Algorithm::ES256 => EncodingKey::from_ec_pem(ES256_PRIVATE.as_bytes()).unwrap(),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(EDDSA_PRIVATE.as_bytes()).unwrap(),
        other => panic!("no test key for {other:?}"),
    }
}

/// Signs `claims` as a foreign issuer would.
pub fn sign(algorithm: Algorithm, key_id: Option<&str>, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = key_id.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, &encoding_key(algorithm)).unwrap()
}

/// Signs arbitrary header and payload bytes with a key.
pub fn sign_raw(header: &[u8], payload: &[u8], key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", base64url(header), base64url(payload));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Good claims of the issuer `https://id.example`.
pub fn foreign_claims() -> Value {
    json!({"iss": "https://id.example", "sub": "alice", "exp": NOW_S + 600, "iat": NOW_S})
}

/// `claims` with one claim set; null takes it away.
pub fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

/// The keys of the test issuer of this algorithm.
pub fn issuer_keys(algorithm: Algorithm) -> IssuerKeys {
    match algorithm {
        Algorithm::HS256 => IssuerKeys::Hs256Secret(HS256_SECRET.to_vec()),
        Algorithm::RS256 => pem(PublicKeyAlgorithm::Rs256, RS256_PUBLIC),
        Algorithm::ES256 => pem(PublicKeyAlgorithm::Es256, ES256_PUBLIC),
        Algorithm::EdDSA => pem(PublicKeyAlgorithm::EdDsa, EDDSA_PUBLIC),
        other => panic!("no test issuer for {other:?}"),
    }
}

fn pem(algorithm: PublicKeyAlgorithm, pem: &str) -> IssuerKeys {
    IssuerKeys::PublicKeyPem(algorithm, pem.to_owned())
}

/// An issuer for tokens of [`foreign_claims`].
pub fn issuer(algorithm: Algorithm) -> IssuerSettings {
    IssuerSettings {
        issuer: Some("https://id.example".to_owned()),
        ..IssuerSettings::new(format!("{algorithm:?}"), issuer_keys(algorithm))
    }
}

/// The public JWK of a test key.
pub fn jwk(algorithm: Algorithm, key_id: Option<&str>) -> Value {
    let mut jwk = Jwk::from_encoding_key(&encoding_key(algorithm), algorithm).unwrap();
    jwk.common.key_id = key_id.map(str::to_owned);
    serde_json::to_value(jwk).unwrap()
}
