use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;
use crate::auth::identity::hash_token;
use crate::auth::mint::{MintArguments, mint_token};
use crate::auth::testing::{
    EDDSA_PUBLIC, NOW, NOW_S, base64url, encoding_key, other_secret, request, secret, sign_raw,
    with,
};

fn own() -> &'static OwnTokens {
    static OWN: LazyLock<OwnTokens> =
        LazyLock::new(|| OwnTokens::new(&secret(), &TokenSettings::default()).unwrap());
    &OWN
}

fn verify_at(own: &OwnTokens, token: &str, now_ms: u64) -> Result<Identity, TokenError> {
    own.verify(UnverifiedToken::parse(token)?, hash_token(token), now_ms)
}

fn verify(token: &str) -> Result<Identity, TokenError> {
    verify_at(own(), token, NOW)
}

/// A token of the own key with these claims.
fn signed(claims: &Value) -> String {
    let key = signing_key(&secret(), "dormouse");
    sign_raw(
        br#"{"alg":"EdDSA"}"#,
        claims.to_string().as_bytes(),
        &key,
        Algorithm::EdDSA,
    )
}

fn claims() -> Value {
    json!({"iss": "dormouse", "sub": "alice", "user": "alice", "iat": NOW_S, "exp": NOW_S + 60})
}

fn payload(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_minted_token_says_what_was_asked() {
    let extras = json!({"session": "abc"});
    let asked = MintRequest {
        user: "alice",
        tier: Some("pro"),
        extras: extras.as_object(),
        ..MintRequest::default()
    };
    let token = own().mint(&asked, NOW).unwrap();
    let identity = verify(token.as_str()).unwrap();
    assert_eq!(&*identity.user, "alice");
    assert_eq!(identity.tier.as_deref(), Some("pro"));
    assert!(!identity.admin);
    assert_eq!(identity.extras.as_deref(), extras.as_object());
    assert_eq!(identity.expires_at_ms, (NOW_S + 30 * 24 * 60 * 60) * 1000);
    assert_eq!(identity.expires_at_ms, token.expires_at_ms());
    assert_eq!(
        identity.token_hash.as_slice(),
        Sha256::digest(token.as_str()).as_slice()
    );
}

#[test]
fn the_claims_are_those_of_the_contract() {
    let token = own().mint(&request("alice"), NOW).unwrap();
    let mut claims = payload(token.as_str());
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    claims.as_object_mut().unwrap().remove("jti");
    assert_eq!(
        claims,
        json!({
            "iss": "dormouse", "sub": "alice", "user": "alice",
            "iat": NOW_S, "exp": NOW_S + 2_592_000,
        })
    );
    let admin = MintRequest {
        admin: true,
        ..request("root")
    };
    let token = own().mint(&admin, NOW).unwrap();
    assert_eq!(payload(token.as_str())["scope"], "admin");
    assert!(verify(token.as_str()).unwrap().admin);
}

#[test]
fn two_tokens_of_one_second_differ() {
    let mint = || own().mint(&request("alice"), NOW).unwrap().into_string();
    assert_ne!(mint(), mint());
}

#[test]
fn a_token_lives_for_its_lifetime() {
    let asked = MintRequest {
        ttl: Some(Duration::from_secs(1)),
        ..request("alice")
    };
    let token = own().mint(&asked, NOW).unwrap();
    let end_ms = (NOW_S + 1) * 1000;
    assert!(verify_at(own(), token.as_str(), end_ms - 1).is_ok());
    assert_eq!(
        verify_at(own(), token.as_str(), end_ms),
        Err(TokenError::Expired)
    );
    let lenient = TokenSettings {
        leeway: Duration::from_secs(5),
        ..TokenSettings::default()
    };
    let lenient = OwnTokens::new(&secret(), &lenient).unwrap();
    assert!(verify_at(&lenient, token.as_str(), end_ms + 4_999).is_ok());
    assert_eq!(
        verify_at(&lenient, token.as_str(), end_ms + 5_000),
        Err(TokenError::Expired)
    );
}

#[test]
fn the_leeway_is_for_nbf_too() {
    let token = signed(&with(claims(), "nbf", json!(NOW_S + 5)));
    assert_eq!(verify(&token), Err(TokenError::NotYetValid));
    let lenient = TokenSettings {
        leeway: Duration::from_secs(5),
        ..TokenSettings::default()
    };
    let lenient = OwnTokens::new(&secret(), &lenient).unwrap();
    assert!(verify_at(&lenient, &token, NOW).is_ok());
}

#[test]
fn refreshing_has_a_week_of_grace() {
    let asked = MintRequest {
        ttl: Some(Duration::from_secs(1)),
        ..request("alice")
    };
    let token = own().mint(&asked, NOW).unwrap();
    let refresh_at = |now_ms| {
        let parsed = UnverifiedToken::parse(token.as_str()).unwrap();
        own().verify_for_refresh(parsed, hash_token(token.as_str()), now_ms)
    };
    let end_ms = (NOW_S + 1 + 7 * 24 * 60 * 60) * 1000;
    assert_eq!(&*refresh_at(end_ms - 1).unwrap().user, "alice");
    assert_eq!(refresh_at(end_ms), Err(TokenError::Expired));
}

#[test]
fn a_token_of_an_earlier_deployment_stays_valid() {
    // Made apart from this code: HKDF with Python's standard library, signature by OpenSSL.
    const TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.eyJ1c2VyIjoiY20zcTdhY2NvdW50IiwiZXh0cmFzIjp7InNlc3Npb24iOiJzMSJ9LCJpYXQiOjE3MDAwMDAwMDAsInN1YiI6ImNtM3E3YWNjb3VudCIsImlzcyI6ImhhbmR5IiwiZXhwIjoxNzAyNTkyMDAwfQ.IlEvsiLJ9zHfo8WF71A_T25uVUJKTIEhU8cnV_FWzDr4Nka1iaZ3PpgGnhOEQz65-C_TregTSLWipcny1M0CBQ";
    let secret = ServerSecret::from_bytes(b"an-earlier-deployments-secret-0123456789").unwrap();
    let default = OwnTokens::new(&secret, &TokenSettings::default()).unwrap();
    assert_eq!(
        verify_at(&default, TOKEN, NOW),
        Err(TokenError::WrongIssuer)
    );

    let handy = "handy".to_owned();
    for settings in [
        TokenSettings {
            issuer: handy.clone(),
            ..TokenSettings::default()
        },
        TokenSettings {
            previous_issuers: vec![handy],
            ..TokenSettings::default()
        },
    ] {
        let own = OwnTokens::new(&secret, &settings).unwrap();
        let identity = verify_at(&own, TOKEN, NOW).unwrap();
        assert_eq!(&*identity.user, "cm3q7account");
        assert_eq!(identity.expires_at_ms, 1_702_592_000_000);
        assert_eq!(identity.extras.unwrap()["session"], "s1");
    }
}

#[test]
fn either_claim_of_the_user_is_enough() {
    for name in ["sub", "user"] {
        let identity = verify(&signed(&with(claims(), name, Value::Null))).unwrap();
        assert_eq!(&*identity.user, "alice");
    }
    let neither = with(with(claims(), "sub", Value::Null), "user", Value::Null);
    assert_eq!(
        verify(&signed(&neither)),
        Err(TokenError::MissingClaim("sub"))
    );
    let differing = with(claims(), "user", json!("bob"));
    assert_eq!(verify(&signed(&differing)), Err(TokenError::TwoUsers));
}

#[test]
fn claims_of_wrong_type_or_value_are_refused() {
    for (name, value, refusal) in [
        ("sub", json!(7), TokenError::BadClaim("sub")),
        ("user", json!(["alice"]), TokenError::BadClaim("user")),
        ("exp", json!("soon"), TokenError::BadClaim("exp")),
        ("exp", Value::Null, TokenError::MissingClaim("exp")),
        ("exp", json!(NOW_S), TokenError::Expired),
        ("nbf", json!(NOW_S + 1), TokenError::NotYetValid),
        ("nbf", json!(false), TokenError::BadClaim("nbf")),
        ("tier", json!(1), TokenError::BadClaim("tier")),
        ("tier", json!(""), TokenError::BadClaim("tier")),
        ("tier", json!("p".repeat(65)), TokenError::BadClaim("tier")),
        ("scope", json!(["admin"]), TokenError::BadClaim("scope")),
        ("extras", json!("text"), TokenError::BadClaim("extras")),
        ("aud", json!("elsewhere"), TokenError::WrongAudience),
        ("iss", json!("elsewhere"), TokenError::WrongIssuer),
        ("iss", json!(["dormouse"]), TokenError::WrongIssuer),
        ("iss", Value::Null, TokenError::WrongIssuer),
    ] {
        let token = signed(&with(claims(), name, value.clone()));
        assert_eq!(verify(&token), Err(refusal), "{name} = {value}");
    }
    for (name, value) in [
        ("tier", Value::Null),
        ("extras", Value::Null),
        ("scope", Value::Null),
        ("new", json!(1)),
    ] {
        assert!(
            verify(&signed(&with(claims(), name, value))).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn a_bad_user_id_is_refused() {
    for user in ["", " ", "a b", "a\nb", "a\u{202e}b", &"x".repeat(129)] {
        let token = signed(&with(
            with(claims(), "sub", json!(user)),
            "user",
            Value::Null,
        ));
        assert_eq!(verify(&token), Err(TokenError::BadUserId), "{user:?}");
        let err = own().mint(&request(user), NOW).unwrap_err();
        assert!(matches!(err, MintError::UserId(_)), "{user:?}");
        assert!(err.to_string().contains("1 to 128 visible characters"));
    }
    let longest = "å".repeat(128);
    let token = own().mint(&request(&longest), NOW).unwrap();
    assert_eq!(*verify(token.as_str()).unwrap().user, *longest);
}

#[test]
fn the_scope_is_a_list_of_words() {
    for (scope, admin) in [
        ("admin", true),
        ("read admin write", true),
        ("", false),
        ("administrator", false),
        ("read,admin", false),
        ("Admin", false),
    ] {
        let token = signed(&with(claims(), "scope", json!(scope)));
        assert_eq!(verify(&token).unwrap().admin, admin, "{scope:?}");
    }
}

#[test]
fn a_changed_token_is_refused() {
    let token = own().mint(&request("alice"), NOW).unwrap().into_string();
    let parts: Vec<&str> = token.split('.').collect();
    let forged = with(payload(&token), "sub", json!("bob"));
    let forged = base64url(with(forged, "user", json!("bob")).to_string());
    let other = own().mint(&request("bob"), NOW).unwrap().into_string();
    let others_signature = other.rsplit('.').next().unwrap();
    for changed in [
        format!("{}.{forged}.{}", parts[0], parts[2]),
        format!("{}.{}.{others_signature}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], &parts[2][..80]),
        format!("{token}="),
        format!("{token}\n"),
    ] {
        assert_eq!(verify(&changed), Err(TokenError::BadSignature), "{changed}");
    }
}

#[test]
fn another_secret_makes_other_tokens() {
    let other = OwnTokens::new(&other_secret(), &TokenSettings::default()).unwrap();
    let token = other.mint(&request("alice"), NOW).unwrap();
    assert_eq!(verify(token.as_str()), Err(TokenError::BadSignature));
}

#[test]
fn algorithm_none_is_refused_in_any_spelling() {
    let payload = base64url(claims().to_string());
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let header = base64url(json!({"alg": name}).to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(
                verify(&token),
                Err(TokenError::UnsupportedAlgorithm),
                "{name:?}"
            );
        }
    }
    let header = base64url("{}");
    assert_eq!(
        verify(&format!("{header}.{payload}.")),
        Err(TokenError::Malformed)
    );
}

#[test]
fn another_algorithm_is_refused() {
    for algorithm in [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256] {
        let header = json!({"alg": format!("{algorithm:?}")}).to_string();
        let claims = claims().to_string();
        let token = sign_raw(
            header.as_bytes(),
            claims.as_bytes(),
            &encoding_key(algorithm),
            algorithm,
        );
        assert_eq!(verify(&token), Err(TokenError::WrongAlgorithm));
    }
    for name in ["HS512", "RS512", "PS256", "ES384", "eddsa", "EdDSA "] {
        let header = base64url(json!({"alg": name}).to_string());
        let token = format!("{header}.{}.AAAA", base64url(claims().to_string()));
        assert_eq!(
            verify(&token),
            Err(TokenError::UnsupportedAlgorithm),
            "{name}"
        );
    }
}

#[test]
fn the_own_public_key_is_no_shared_secret() {
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(
        &signing_key(&secret(), "dormouse"),
        Algorithm::EdDSA,
    )
    .unwrap();
    let jsonwebtoken::jwk::AlgorithmParameters::OctetKeyPair(public) = jwk.algorithm else {
        panic!("an Ed25519 key");
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(public.x).unwrap();
    for confused in [bytes.as_slice(), EDDSA_PUBLIC.as_bytes()] {
        let token = sign_raw(
            br#"{"alg":"HS256"}"#,
            claims().to_string().as_bytes(),
            &EncodingKey::from_secret(confused),
            Algorithm::HS256,
        );
        assert_eq!(verify(&token), Err(TokenError::WrongAlgorithm));
    }
}

#[test]
fn critical_extensions_and_malformed_headers_are_refused() {
    let key = signing_key(&secret(), "dormouse");
    let claims = claims().to_string();
    let refusal = |header: &str| {
        let token = sign_raw(header.as_bytes(), claims.as_bytes(), &key, Algorithm::EdDSA);
        verify(&token).unwrap_err()
    };
    for crit in [r#"["b64"]"#, "[]", "null", "1"] {
        let header = format!(r#"{{"alg":"EdDSA","crit":{crit}}}"#);
        assert_eq!(
            refusal(&header),
            TokenError::UnsupportedExtension,
            "{header}"
        );
    }
    for header in [
        r#"["EdDSA",null,false]"#,
        r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
        r#"{"alg":["EdDSA"]}"#,
        r#"{"alg":"EdDSA","kid":1}"#,
        r#""EdDSA""#,
        "",
    ] {
        assert_eq!(refusal(header), TokenError::Malformed, "{header}");
    }
}

#[test]
fn malformed_payloads_are_refused() {
    let key = signing_key(&secret(), "dormouse");
    for payload in ["", "null", "[]", "{", "\"text\"", &"[".repeat(5000)] {
        let token = sign_raw(
            br#"{"alg":"EdDSA"}"#,
            payload.as_bytes(),
            &key,
            Algorithm::EdDSA,
        );
        assert_eq!(verify(&token), Err(TokenError::Malformed), "{payload}");
    }
}

#[test]
fn too_long_a_token_is_neither_minted_nor_read() {
    let extras = json!({"text": "x".repeat(MAX_TOKEN_BYTES)});
    let long = MintRequest {
        extras: extras.as_object(),
        ..request("alice")
    };
    assert!(matches!(own().mint(&long, NOW), Err(MintError::TooLong)));
    let token = signed(&with(claims(), "extras", extras));
    assert_eq!(verify(&token), Err(TokenError::TooLong));
}

#[test]
fn impossible_requests_are_refused() {
    let lifetime = |ttl| {
        let asked = MintRequest {
            ttl: Some(ttl),
            ..request("alice")
        };
        own().mint(&asked, NOW)
    };
    for bad in [Duration::ZERO, Duration::from_millis(999), Duration::MAX] {
        assert!(matches!(lifetime(bad), Err(MintError::Lifetime)), "{bad:?}");
    }
    assert!(lifetime(MAX_LIFETIME).is_ok());
    let tier = MintRequest {
        tier: Some("two words"),
        ..request("alice")
    };
    assert!(matches!(own().mint(&tier, NOW), Err(MintError::Tier)));
}

#[test]
fn impossible_settings_are_refused() {
    let new = |settings| OwnTokens::new(&secret(), &settings).unwrap_err();
    for bad in ["", "two words"] {
        let issuer = TokenSettings {
            issuer: bad.to_owned(),
            ..TokenSettings::default()
        };
        assert!(matches!(new(issuer), TokenSettingsError::Issuer(_)));
        let previous = TokenSettings {
            previous_issuers: vec![bad.to_owned()],
            ..TokenSettings::default()
        };
        assert!(matches!(new(previous), TokenSettingsError::Issuer(_)));
    }
    let lifetime = TokenSettings {
        lifetime: Duration::ZERO,
        ..TokenSettings::default()
    };
    assert!(matches!(new(lifetime), TokenSettingsError::Lifetime));
}

#[test]
fn the_command_line_mints_what_the_server_accepts() {
    let arguments = MintArguments {
        user: "load-1".to_owned(),
        tier: Some("enterprise".to_owned()),
        ttl: Some(Duration::from_secs(3600)),
        extras: Some(r#"{"session":"s1"}"#.to_owned()),
        admin: false,
    };
    let token = mint_token(&secret(), &TokenSettings::default(), &arguments, NOW).unwrap();
    let identity = verify(token.as_str()).unwrap();
    assert_eq!(&*identity.user, "load-1");
    assert_eq!(identity.tier.as_deref(), Some("enterprise"));
    assert_eq!(identity.expires_at_ms, (NOW_S + 3600) * 1000);
    assert_eq!(identity.extras.unwrap()["session"], "s1");
    for extras in ["", "[1]", "{", "text"] {
        let bad = MintArguments {
            extras: Some(extras.to_owned()),
            ..arguments.clone()
        };
        let err = mint_token(&secret(), &TokenSettings::default(), &bad, NOW).unwrap_err();
        assert!(matches!(err, MintError::Extras), "{extras:?}");
    }
}

#[test]
fn debug_shows_neither_token_nor_key() {
    let token = own().mint(&request("alice"), NOW).unwrap();
    let shown = format!("{token:?} {:?}", own());
    assert!(!shown.contains(token.as_str()));
    let seed = secret().token_seed("dormouse");
    let bytes = format!("{:?}", &seed[..4]);
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])));
}

proptest! {
    #[test]
    fn arbitrary_text_is_no_token(text in "\\PC*") {
        prop_assert!(verify(&text).is_err());
    }

    #[test]
    fn arbitrary_parts_are_no_token(
        header in prop_oneof![Just(br#"{"alg":"EdDSA"}"#.to_vec()), any::<Vec<u8>>()],
        payload in prop_oneof![Just(claims().to_string().into_bytes()), any::<Vec<u8>>()],
        signature: Vec<u8>,
    ) {
        let parts = [header, payload, signature].map(base64url);
        prop_assert!(verify(&parts.join(".")).is_err());
    }

    #[test]
    fn arbitrary_claims_under_a_good_signature_never_panic(
        name in prop_oneof![
            Just("sub"), Just("user"), Just("exp"), Just("nbf"), Just("aud"), Just("tier"),
            Just("scope"), Just("extras"), Just("iss"),
        ],
        value in prop_oneof![
            any::<f64>().prop_map(|number| json!(number)),
            any::<i64>().prop_map(|number| json!(number)),
            any::<u64>().prop_map(|number| json!(number)),
            any::<String>().prop_map(|text| json!(text)),
            any::<Vec<Option<bool>>>().prop_map(|list| json!(list)),
        ],
    ) {
        if let Ok(identity) = verify(&signed(&with(claims(), name, value))) {
            prop_assert!(check_user_id(&identity.user).is_ok());
            prop_assert!(identity.expires_at_ms > NOW);
        }
    }

    #[test]
    fn flipping_any_bit_of_a_token_ruins_it(byte in 0_usize..1000, bit in 0_u8..7) {
        let token = signed(&claims());
        let mut bytes = token.clone().into_bytes();
        let index = byte % bytes.len();
        bytes[index] ^= 1 << bit;
        let Ok(changed) = String::from_utf8(bytes) else { return Ok(()) };
        prop_assert!(verify(&changed).is_err());
    }

    #[test]
    fn what_is_minted_verifies(
        user in "[!-~]{1,128}",
        tier in prop::option::of("[a-z]{1,64}"),
        ttl_s in 1_u64..1_000_000,
        admin: bool,
    ) {
        let asked = MintRequest {
            user: &user,
            tier: tier.as_deref(),
            admin,
            ttl: Some(Duration::from_secs(ttl_s)),
            extras: None,
        };
        let identity = verify(own().mint(&asked, NOW).unwrap().as_str()).unwrap();
        prop_assert_eq!(&*identity.user, user.as_str());
        prop_assert_eq!(identity.tier.as_deref(), tier.as_deref());
        prop_assert_eq!(identity.admin, admin);
        prop_assert_eq!(identity.expires_at_ms, (NOW_S + ttl_s) * 1000);
    }
}
