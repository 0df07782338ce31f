use serde_json::{Value, json};

use super::*;
use crate::auth::testing::{
    EDDSA_PRIVATE, EDDSA_PUBLIC, ES256_PRIVATE, ES256_PUBLIC, HS256_SECRET, P384_PUBLIC,
    RS256_PRIVATE, RS256_PUBLIC, RSA_1024_PUBLIC, base64url, jwk, with,
};

use PublicKeyAlgorithm::{EdDsa, Es256, Rs256};

fn from_jwk(value: Value) -> Option<VerificationKey> {
    VerificationKey::from_jwk(&serde_json::from_value(value).unwrap())
}

#[test]
fn public_keys_are_accepted_for_their_algorithm_only() {
    let keys = [
        (Rs256, RS256_PUBLIC),
        (Es256, ES256_PUBLIC),
        (EdDsa, EDDSA_PUBLIC),
    ];
    for (algorithm, _) in keys {
        for (of, pem) in keys {
            let key = VerificationKey::from_pem(algorithm, pem);
            if of == algorithm {
                assert_eq!(key.unwrap().algorithm(), algorithm.algorithm());
            } else {
                assert!(matches!(key, Err(KeyError::NotAPublicKey(named)) if named == algorithm));
            }
        }
    }
}

#[test]
fn private_keys_are_refused_with_a_remedy() {
    for (algorithm, pem) in [
        (Rs256, RS256_PRIVATE),
        (Es256, ES256_PRIVATE),
        (EdDsa, EDDSA_PRIVATE),
    ] {
        let err = VerificationKey::from_pem(algorithm, pem).unwrap_err();
        assert!(matches!(err, KeyError::PrivateKey), "{err}");
        assert!(err.to_string().contains("-pubout"));
        let body = pem.lines().nth(1).unwrap();
        assert!(!format!("{err} {err:?}").contains(body));
    }
}

#[test]
fn other_text_and_other_curves_are_refused() {
    for algorithm in [Rs256, Es256, EdDsa] {
        for text in [
            "",
            "not a key",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        ] {
            let err = VerificationKey::from_pem(algorithm, text).unwrap_err();
            assert!(matches!(err, KeyError::NotAPublicKey(_)), "{err}");
        }
    }
    let err = VerificationKey::from_pem(Es256, P384_PUBLIC).unwrap_err();
    assert!(matches!(err, KeyError::NotAPublicKey(Es256)), "{err}");
}

#[test]
fn short_rsa_keys_are_refused() {
    let err = VerificationKey::from_pem(Rs256, RSA_1024_PUBLIC).unwrap_err();
    assert!(matches!(err, KeyError::RsaLength), "{err}");
    let short = json!({"kty": "RSA", "n": base64url([0xff; 255]), "e": "AQAB"});
    assert!(from_jwk(short).is_none());
    let padded =
        json!({"kty": "RSA", "n": base64url([&[0; 2][..], &[0xff; 255]].concat()), "e": "AQAB"});
    assert!(
        from_jwk(padded).is_none(),
        "leading zeros add nothing to a key's length"
    );
    let long = json!({"kty": "RSA", "n": base64url([0xff; 513]), "e": "AQAB"});
    assert!(from_jwk(long).is_none());
}

#[test]
fn shared_secrets_must_be_long_and_secret() {
    assert!(VerificationKey::from_hs256_secret(HS256_SECRET).is_ok());
    let short = VerificationKey::from_hs256_secret(&[1; 31]);
    assert!(matches!(short, Err(KeyError::SecretTooShort)));
    let public = VerificationKey::from_hs256_secret(RS256_PUBLIC.as_bytes());
    assert!(matches!(public, Err(KeyError::SecretIsPem)));
}

#[test]
fn jwks_of_every_supported_kind_are_read() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let key = from_jwk(jwk(algorithm, Some("one"))).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(key.id(), Some("one"));
        let without_alg = with(jwk(algorithm, None), "alg", Value::Null);
        assert_eq!(from_jwk(without_alg).unwrap().algorithm(), algorithm);
        let for_signatures = with(jwk(algorithm, None), "use", json!("sig"));
        assert!(from_jwk(for_signatures).is_some());
        let for_verifying = with(jwk(algorithm, None), "key_ops", json!(["verify"]));
        assert!(from_jwk(for_verifying).is_some());
    }
}

#[test]
fn jwks_for_other_ends_are_left_out() {
    let rsa = jwk(Algorithm::RS256, None);
    let ed = jwk(Algorithm::EdDSA, None);
    let ec = jwk(Algorithm::ES256, None);
    for other in [
        with(rsa.clone(), "use", json!("enc")),
        with(rsa.clone(), "key_ops", json!(["encrypt"])),
        with(rsa.clone(), "alg", json!("RS512")),
        with(rsa.clone(), "alg", json!("RSA-OAEP")),
        with(rsa, "alg", json!("HS256")),
        with(ed.clone(), "crv", json!("X25519")),
        with(ec.clone(), "crv", json!("P-384")),
        with(ec.clone(), "x", json!(base64url([1; 32]))),
        with(ec, "x", json!("not base64url!")),
        // The library would panic on this one when the first token came.
        with(ed, "x", json!(base64url([1; 31]))),
        json!({"kty": "oct", "k": base64url([1; 64]), "alg": "HS256"}),
        json!({"kty": "new"}),
        json!({}),
    ] {
        assert!(from_jwk(other.clone()).is_none(), "{other}");
    }
}

#[test]
fn debug_shows_no_key() {
    let key = VerificationKey::from_hs256_secret(HS256_SECRET).unwrap();
    assert_eq!(
        format!("{key:?}"),
        "VerificationKey { algorithm: HS256, id: None, .. }"
    );
}
