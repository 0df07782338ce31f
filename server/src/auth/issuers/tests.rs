use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::*;
use crate::auth::testing::{
    HS256_SECRET, NOW, NOW_S, RS256_PUBLIC, encoding_key, foreign_claims, issuer, jwk, sign,
    sign_raw, with,
};

const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::HS256,
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

fn issuers(settings: Vec<IssuerSettings>) -> Issuers {
    Issuers::new(settings, |issuer| issuer == "dormouse", NOW).unwrap()
}

fn verify_with(issuers: &Issuers, token: &str) -> Result<Identity, TokenError> {
    issuers.verify(&UnverifiedToken::parse(token)?, NOW)
}

fn verify(settings: IssuerSettings, token: &str) -> Result<Identity, TokenError> {
    verify_with(&issuers(vec![settings]), token)
}

/// A token of the EdDSA issuer with one claim set.
fn token_with(name: &str, value: Value) -> String {
    sign(Algorithm::EdDSA, None, &with(foreign_claims(), name, value))
}

#[test]
fn each_algorithm_verifies_with_its_own_key_only() {
    for configured in ALGORITHMS {
        for signed in ALGORITHMS {
            let token = sign(signed, None, &foreign_claims());
            let result = verify(issuer(configured), &token);
            if configured == signed {
                let identity = result.unwrap();
                assert_eq!(&*identity.user, "alice");
                assert_eq!(identity.expires_at_ms, (NOW_S + 600) * 1000);
                assert_eq!(
                    (identity.tier, identity.extras, identity.admin),
                    (None, None, false)
                );
            } else {
                assert_eq!(result, Err(TokenError::WrongAlgorithm));
            }
        }
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let token = sign_raw(
        br#"{"alg":"HS256"}"#,
        foreign_claims().to_string().as_bytes(),
        &EncodingKey::from_secret(RS256_PUBLIC.as_bytes()),
        Algorithm::HS256,
    );
    assert_eq!(
        verify(issuer(Algorithm::RS256), &token),
        Err(TokenError::WrongAlgorithm)
    );
    let relabelled = sign_raw(
        br#"{"alg":"RS256"}"#,
        foreign_claims().to_string().as_bytes(),
        &EncodingKey::from_secret(RS256_PUBLIC.as_bytes()),
        Algorithm::HS256,
    );
    assert_eq!(
        verify(issuer(Algorithm::RS256), &relabelled),
        Err(TokenError::BadSignature)
    );
}

#[test]
fn signatures_of_other_keys_are_refused() {
    let token = sign_raw(
        br#"{"alg":"HS256"}"#,
        foreign_claims().to_string().as_bytes(),
        &EncodingKey::from_secret(b"another secret of 32 bytes or so"),
        Algorithm::HS256,
    );
    assert_eq!(
        verify(issuer(Algorithm::HS256), &token),
        Err(TokenError::BadSignature)
    );
    for algorithm in ALGORITHMS {
        let token = sign(algorithm, None, &foreign_claims());
        let other = sign(
            algorithm,
            None,
            &with(foreign_claims(), "sub", json!("bob")),
        );
        let (content, _) = token.rsplit_once('.').unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        for signature in [signature, "", "AAAA", "not base64url!"] {
            let token = format!("{content}.{signature}");
            assert_eq!(
                verify(issuer(algorithm), &token),
                Err(TokenError::BadSignature)
            );
        }
    }
}

#[test]
fn the_issuer_must_be_the_expected_one() {
    for iss in [
        Value::Null,
        json!("https://evil.example"),
        json!(["https://id.example"]),
    ] {
        let token = token_with("iss", iss);
        assert_eq!(
            verify(issuer(Algorithm::EdDSA), &token),
            Err(TokenError::WrongIssuer)
        );
        let any = IssuerSettings {
            issuer: None,
            ..issuer(Algorithm::EdDSA)
        };
        assert!(verify(any, &token).is_ok());
    }
    assert_eq!(
        verify_with(&issuers(Vec::new()), &token_with("x", json!(1))),
        Err(TokenError::WrongIssuer)
    );
}

#[test]
fn the_audience_must_be_the_expected_one() {
    let expecting = || IssuerSettings {
        audience: Some("dormouse".to_owned()),
        ..issuer(Algorithm::EdDSA)
    };
    for good in [json!("dormouse"), json!(["other", "dormouse"])] {
        assert!(verify(expecting(), &token_with("aud", good)).is_ok());
    }
    for bad in [Value::Null, json!("other"), json!([])] {
        assert_eq!(
            verify(expecting(), &token_with("aud", bad)),
            Err(TokenError::WrongAudience)
        );
    }
    let unexpected = token_with("aud", json!("somebody"));
    assert_eq!(
        verify(issuer(Algorithm::EdDSA), &unexpected),
        Err(TokenError::WrongAudience)
    );
}

#[test]
fn times_have_a_minute_of_leeway() {
    let refusal = |name, value| verify(issuer(Algorithm::EdDSA), &token_with(name, value)).err();
    assert_eq!(refusal("exp", json!(NOW_S - 59)), None);
    assert_eq!(refusal("exp", json!(NOW_S - 60)), Some(TokenError::Expired));
    assert_eq!(refusal("nbf", json!(NOW_S + 60)), None);
    assert_eq!(
        refusal("nbf", json!(NOW_S + 61)),
        Some(TokenError::NotYetValid)
    );
    assert_eq!(
        refusal("exp", Value::Null),
        Some(TokenError::MissingClaim("exp"))
    );
    let strict = IssuerSettings {
        leeway: Duration::ZERO,
        ..issuer(Algorithm::EdDSA)
    };
    let token = token_with("exp", json!(NOW_S));
    assert_eq!(verify(strict, &token), Err(TokenError::Expired));
}

#[test]
fn user_and_tier_come_from_the_configured_claims() {
    let settings = IssuerSettings {
        user_claim: "account.id".to_owned(),
        tier_claim: Some("https://id.example/plan".to_owned()),
        ..issuer(Algorithm::EdDSA)
    };
    let claims = with(foreign_claims(), "account", json!({"id": 42}));
    let claims = with(claims, "https://id.example/plan", json!("pro"));
    let token = sign(Algorithm::EdDSA, None, &claims);
    let identity = verify(settings.clone(), &token).unwrap();
    assert_eq!(
        (&*identity.user, identity.tier.as_deref()),
        ("42", Some("pro"))
    );
    assert_eq!(
        &*verify(issuer(Algorithm::EdDSA), &token).unwrap().user,
        "alice"
    );

    for (name, value, refusal) in [
        ("account", Value::Null, TokenError::MissingClaim("user")),
        ("account", json!("42"), TokenError::MissingClaim("user")),
        (
            "account",
            json!({"id": null}),
            TokenError::MissingClaim("user"),
        ),
        ("account", json!({"id": 4.2}), TokenError::BadClaim("user")),
        (
            "account",
            json!({"id": ["42"]}),
            TokenError::BadClaim("user"),
        ),
        ("account", json!({"id": ""}), TokenError::BadUserId),
        ("account", json!({"id": "a\tb"}), TokenError::BadUserId),
        (
            "https://id.example/plan",
            json!(3),
            TokenError::BadClaim("tier"),
        ),
        (
            "https://id.example/plan",
            json!("two words"),
            TokenError::BadClaim("tier"),
        ),
    ] {
        let token = sign(
            Algorithm::EdDSA,
            None,
            &with(claims.clone(), name, value.clone()),
        );
        assert_eq!(
            verify(settings.clone(), &token),
            Err(refusal),
            "{name} = {value}"
        );
    }
    let without_tier = with(claims, "https://id.example/plan", Value::Null);
    let token = sign(Algorithm::EdDSA, None, &without_tier);
    assert_eq!(verify(settings, &token).unwrap().tier, None);
}

#[test]
fn no_claim_makes_an_admin_or_extras() {
    let claims = with(foreign_claims(), "scope", json!("openid admin"));
    let claims = with(claims, "extras", json!({"session": "s"}));
    let claims = with(claims, "tier", json!("enterprise"));
    let identity = verify(
        issuer(Algorithm::EdDSA),
        &sign(Algorithm::EdDSA, None, &claims),
    )
    .unwrap();
    assert!(!identity.admin);
    assert_eq!((identity.extras, identity.tier), (None, None));
}

#[test]
fn of_several_issuers_the_one_of_the_token_is_asked() {
    let other = IssuerSettings {
        issuer: Some("https://other.example".to_owned()),
        user_claim: "email".to_owned(),
        ..issuer(Algorithm::ES256)
    };
    let any = IssuerSettings {
        issuer: None,
        user_claim: "uid".to_owned(),
        ..issuer(Algorithm::HS256)
    };
    let all = issuers(vec![any, issuer(Algorithm::EdDSA), other]);
    let verify = |algorithm, claims| verify_with(&all, &sign(algorithm, None, &claims));

    assert_eq!(
        &*verify(Algorithm::EdDSA, foreign_claims()).unwrap().user,
        "alice"
    );
    let others = with(foreign_claims(), "iss", json!("https://other.example"));
    let others = with(others, "email", json!("bob@other.example"));
    assert_eq!(
        &*verify(Algorithm::ES256, others.clone()).unwrap().user,
        "bob@other.example"
    );
    assert_eq!(
        verify(Algorithm::EdDSA, others),
        Err(TokenError::WrongAlgorithm)
    );
    let strangers = with(foreign_claims(), "iss", json!("https://stranger.example"));
    let strangers = with(strangers, "uid", json!("carol"));
    assert_eq!(&*verify(Algorithm::HS256, strangers).unwrap().user, "carol");
    let posing = with(foreign_claims(), "uid", json!("mallory"));
    assert_eq!(
        verify(Algorithm::HS256, posing),
        Err(TokenError::WrongAlgorithm),
        "the issuer for any `iss` must not vouch for one that has its own keys"
    );
}

#[test]
fn two_keys_of_one_issuer_both_count() {
    let old = issuer(Algorithm::RS256);
    let new = issuer(Algorithm::EdDSA);
    for settings in [vec![old.clone(), new.clone()], vec![new, old]] {
        let both = issuers(settings);
        for algorithm in [Algorithm::RS256, Algorithm::EdDSA] {
            assert!(verify_with(&both, &sign(algorithm, None, &foreign_claims())).is_ok());
            let late = with(foreign_claims(), "exp", json!(1));
            let refusal = verify_with(&both, &sign(algorithm, None, &late));
            assert_eq!(
                refusal,
                Err(TokenError::Expired),
                "the refusal that says most"
            );
        }
    }
}

#[test]
fn jwks_keys_are_chosen_by_id() {
    let other_ed = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "ed-2",
        // Ed25519's base point, an honest key of nobody here (RFC 8032 section 5.1).
        "x": "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY",
    });
    let with_keys = |keys: Value| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwks.json");
        std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
        let settings = IssuerSettings {
            keys: IssuerKeys::JwksFile(path),
            ..issuer(Algorithm::EdDSA)
        };
        issuers(vec![settings])
    };
    let ed = jwk(Algorithm::EdDSA, Some("ed-1"));
    let rsa = jwk(Algorithm::RS256, Some("rsa"));
    let several = with_keys(json!([ed, rsa, other_ed]));
    let refusal = |issuers: &Issuers, algorithm, id| {
        verify_with(issuers, &sign(algorithm, id, &foreign_claims())).err()
    };
    assert_eq!(refusal(&several, Algorithm::EdDSA, Some("ed-1")), None);
    assert_eq!(refusal(&several, Algorithm::RS256, Some("rsa")), None);
    assert_eq!(
        refusal(&several, Algorithm::RS256, None),
        None,
        "the only RSA key"
    );
    assert_eq!(
        refusal(&several, Algorithm::EdDSA, Some("ed-2")),
        Some(TokenError::BadSignature)
    );
    assert_eq!(
        refusal(&several, Algorithm::EdDSA, Some("gone")),
        Some(TokenError::UnknownKey)
    );
    assert_eq!(
        refusal(&several, Algorithm::EdDSA, Some("rsa")),
        Some(TokenError::UnknownKey)
    );
    assert_eq!(
        refusal(&several, Algorithm::EdDSA, None),
        Some(TokenError::UnknownKey)
    );
    assert_eq!(
        refusal(&several, Algorithm::ES256, Some("ed-1")),
        Some(TokenError::WrongAlgorithm)
    );
    assert_eq!(
        refusal(&several, Algorithm::HS256, Some("ed-1")),
        Some(TokenError::WrongAlgorithm)
    );

    let nameless = with_keys(json!([jwk(Algorithm::EdDSA, None), other_ed]));
    assert_eq!(
        refusal(&nameless, Algorithm::EdDSA, Some("any")),
        None,
        "it has no other id"
    );
}

#[test]
fn the_hash_of_revocation_is_over_what_is_signed() {
    let token = sign(Algorithm::ES256, None, &foreign_claims());
    let again = sign_raw(
        br#"{"typ":"JWT","alg":"ES256"}"#,
        foreign_claims().to_string().as_bytes(),
        &encoding_key(Algorithm::ES256),
        Algorithm::ES256,
    );
    let hash = |token: &str| verify(issuer(Algorithm::ES256), token).unwrap().token_hash;
    assert_eq!(hash(&token), hash_token(token.rsplit_once('.').unwrap().0));
    assert_eq!(hash(&again), hash_token(again.rsplit_once('.').unwrap().0));
}

#[test]
fn faulty_settings_are_refused_with_the_issuers_name() {
    let new = |settings| Issuers::new(settings, |issuer| issuer == "dormouse", NOW).unwrap_err();
    let base = || issuer(Algorithm::EdDSA);
    let own = IssuerSettings {
        issuer: Some("dormouse".to_owned()),
        ..base()
    };
    assert!(matches!(new(vec![own]), IssuerError::OwnIssuer { .. }));
    assert!(matches!(
        new(vec![base(), base()]),
        IssuerError::DuplicateName(_)
    ));
    for empty in [
        IssuerSettings {
            issuer: Some(String::new()),
            ..base()
        },
        IssuerSettings {
            audience: Some(String::new()),
            ..base()
        },
        IssuerSettings {
            user_claim: String::new(),
            ..base()
        },
        IssuerSettings {
            tier_claim: Some(String::new()),
            ..base()
        },
    ] {
        assert!(matches!(new(vec![empty]), IssuerError::Empty { .. }));
    }
    let short = IssuerSettings::new("partner", IssuerKeys::Hs256Secret(b"short".to_vec()));
    let err = new(vec![short]);
    assert!(matches!(err, IssuerError::Key { .. }));
    assert!(
        err.to_string()
            .starts_with("issuer \"partner\": an HS256 secret needs at least 32")
    );
}

#[test]
fn debug_hides_the_shared_secret() {
    let settings = issuer(Algorithm::HS256);
    let shown = format!("{settings:?} {:?}", issuers(vec![settings.clone()]));
    assert!(!shown.contains(std::str::from_utf8(HS256_SECRET).unwrap()));
    assert!(!shown.contains(&format!("{HS256_SECRET:?}")));
}
