use std::sync::LazyLock;

use jsonwebtoken::Algorithm;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::auth::issuers::IssuerKeys;
use crate::auth::revocation::RevocationList;
use crate::auth::testing::{
    NOW, NOW_S, base64url, foreign_claims, issuer, jwk, other_secret, request, secret, sign, with,
};
use crate::auth::ticket::{TicketSettings, Tickets};

struct Fixture {
    verifier: Verifier,
    revoked: Arc<RevocationList>,
}

impl Fixture {
    fn new(settings: VerifierSettings) -> Self {
        let revoked = Arc::new(RevocationList::new());
        let verifier = Verifier::new(
            &secret(),
            settings,
            Arc::<RevocationList>::clone(&revoked),
            NOW,
        )
        .unwrap();
        Self { verifier, revoked }
    }

    fn user_token(&self) -> String {
        self.verifier
            .mint(&request("alice"), NOW)
            .unwrap()
            .into_string()
    }

    fn admin_token(&self) -> String {
        let admin = MintRequest {
            admin: true,
            ..request("root")
        };
        self.verifier.mint(&admin, NOW).unwrap().into_string()
    }
}

fn default() -> Fixture {
    Fixture::new(VerifierSettings::default())
}

fn with_issuer(algorithm: Algorithm) -> Fixture {
    let issuers = vec![issuer(algorithm)];
    Fixture::new(VerifierSettings {
        issuers,
        ..VerifierSettings::default()
    })
}

#[test]
fn it_is_shared_between_threads() {
    fn is_shared<T: Send + Sync + Clone + 'static>() {}
    is_shared::<Verifier>();
}

#[test]
fn own_and_foreign_tokens_are_accepted() {
    let fixture = with_issuer(Algorithm::EdDSA);
    let own = fixture
        .verifier
        .verify_user(&fixture.user_token(), NOW)
        .unwrap();
    assert_eq!(&*own.user, "alice");
    let foreign = sign(Algorithm::EdDSA, None, &foreign_claims());
    assert_eq!(
        &*fixture.verifier.verify_user(&foreign, NOW).unwrap().user,
        "alice"
    );
    assert_eq!(
        default().verifier.verify_user(&foreign, NOW),
        Err(TokenError::WrongIssuer)
    );
}

#[test]
fn a_foreign_key_cannot_sign_for_the_own_issuer() {
    let any = crate::auth::IssuerSettings {
        issuer: None,
        ..issuer(Algorithm::EdDSA)
    };
    let settings = VerifierSettings {
        issuers: vec![any],
        ..VerifierSettings::default()
    };
    let fixture = Fixture::new(settings);
    let posing = with(foreign_claims(), "iss", json!("dormouse"));
    let posing = with(posing, "scope", json!("admin"));
    let token = sign(Algorithm::EdDSA, None, &posing);
    assert_eq!(
        fixture.verifier.verify_user(&token, NOW),
        Err(TokenError::BadSignature)
    );
    assert_eq!(
        fixture.verifier.verify_admin(&token, NOW),
        Err(TokenError::BadSignature)
    );
}

#[test]
fn admin_and_user_tokens_are_different_things() {
    let fixture = default();
    let (user, admin) = (fixture.user_token(), fixture.admin_token());
    let verifier = &fixture.verifier;
    assert!(verifier.verify_user(&user, NOW).is_ok());
    assert!(verifier.verify_admin(&admin, NOW).unwrap().admin);
    assert_eq!(verifier.verify_admin(&user, NOW), Err(TokenError::NotAdmin));
    assert_eq!(
        verifier.verify_user(&admin, NOW),
        Err(TokenError::AdminToken)
    );
    assert_eq!(
        verifier.verify_for_refresh(&admin, NOW),
        Err(TokenError::AdminToken)
    );
    let mut cache = TokenCache::new(10);
    let cached = verifier.verify_user_cached(&mut cache, &admin, NOW);
    assert_eq!(cached, Err(TokenError::AdminToken));
    assert!(cache.is_empty());
}

#[test]
fn other_issuers_make_no_admins_and_their_tokens_are_not_refreshed() {
    let fixture = with_issuer(Algorithm::EdDSA);
    let claims = with(foreign_claims(), "scope", json!("admin"));
    let token = sign(Algorithm::EdDSA, None, &claims);
    let verifier = &fixture.verifier;
    assert!(!verifier.verify_user(&token, NOW).unwrap().admin);
    assert_eq!(
        verifier.verify_admin(&token, NOW),
        Err(TokenError::WrongIssuer)
    );
    let refusal = verifier.verify_for_refresh(&token, NOW).unwrap_err();
    assert_eq!(refusal, TokenError::WrongIssuer);
    assert_eq!(refusal.refresh_code(), "TOKEN_INVALID");
}

#[test]
fn revoked_tokens_are_refused_everywhere() {
    let fixture = with_issuer(Algorithm::RS256);
    let Fixture { verifier, revoked } = &fixture;
    let mut cache = TokenCache::new(10);
    let (user, admin) = (fixture.user_token(), fixture.admin_token());
    let foreign = sign(Algorithm::RS256, None, &foreign_claims());
    for token in [&user, &foreign] {
        let identity = verifier.verify_user_cached(&mut cache, token, NOW).unwrap();
        revoked.revoke(identity.token_hash, u64::MAX);
        let refused = Err(TokenError::Revoked);
        assert_eq!(verifier.verify_user_cached(&mut cache, token, NOW), refused);
        assert_eq!(verifier.verify_user(token, NOW), refused);
    }
    let refusal = verifier.verify_for_refresh(&user, NOW).unwrap_err();
    assert_eq!(refusal.refresh_code(), "TOKEN_REVOKED");
    revoked.revoke(
        verifier.verify_admin(&admin, NOW).unwrap().token_hash,
        u64::MAX,
    );
    assert_eq!(verifier.verify_admin(&admin, NOW), Err(TokenError::Revoked));
    assert!(
        verifier.verify_user(&fixture.user_token(), NOW).is_ok(),
        "other tokens stay valid"
    );
}

/// The other valid ES256 signature of the same content: s becomes n - s.
fn with_other_signature(token: &str) -> String {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    // The order of P-256 (FIPS 186-5, SP 800-186 section 3.2.1.3).
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
        0x25, 0x51,
    ];
    let (content, signature) = token.rsplit_once('.').unwrap();
    let mut signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = false;
    for (digit, order) in signature[32..].iter_mut().rev().zip(ORDER.iter().rev()) {
        let (difference, first) = order.overflowing_sub(*digit);
        let (difference, second) = difference.overflowing_sub(u8::from(borrow));
        (*digit, borrow) = (difference, first || second);
    }
    format!("{content}.{}", base64url(signature))
}

#[test]
fn a_revoked_es256_token_does_not_return_with_its_other_signature() {
    let Fixture { verifier, revoked } = with_issuer(Algorithm::ES256);
    let token = sign(Algorithm::ES256, None, &foreign_claims());
    let other = with_other_signature(&token);
    assert_ne!(token, other);
    let identity = verifier.verify_user(&other, NOW).unwrap();
    assert_eq!(identity, verifier.verify_user(&token, NOW).unwrap());
    revoked.revoke(identity.token_hash, u64::MAX);
    assert_eq!(verifier.verify_user(&token, NOW), Err(TokenError::Revoked));
    assert_eq!(verifier.verify_user(&other, NOW), Err(TokenError::Revoked));
}

#[test]
fn a_cached_token_still_expires() {
    let fixture = default();
    let mut cache = TokenCache::new(10);
    let asked = MintRequest {
        ttl: Some(std::time::Duration::from_secs(60)),
        ..request("alice")
    };
    let token = fixture.verifier.mint(&asked, NOW).unwrap();
    let mut at = |now_ms| {
        fixture
            .verifier
            .verify_user_cached(&mut cache, token.as_str(), now_ms)
            .map(|_| ())
    };
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(token.expires_at_ms() - 1), Ok(()));
    assert_eq!(at(token.expires_at_ms()), Err(TokenError::Expired));
}

#[test]
fn refused_tokens_are_not_cached() {
    let fixture = default();
    let mut cache = TokenCache::new(10);
    let other = Verifier::new(
        &other_secret(),
        VerifierSettings::default(),
        Arc::new(RevocationList::new()),
        NOW,
    );
    let token = other.unwrap().mint(&request("alice"), NOW).unwrap();
    for _ in 0..2 {
        let refused = fixture
            .verifier
            .verify_user_cached(&mut cache, token.as_str(), NOW);
        assert_eq!(refused, Err(TokenError::BadSignature));
    }
    assert!(cache.is_empty());
}

#[test]
fn a_key_that_leaves_the_jwks_file_takes_its_cached_tokens_along() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let write = |algorithm| {
        let new = dir.path().join("new");
        std::fs::write(&new, json!({"keys": [jwk(algorithm, None)]}).to_string()).unwrap();
        std::fs::rename(new, &path).unwrap();
    };
    write(Algorithm::EdDSA);
    let keys = IssuerKeys::JwksFile(path.clone());
    let issuers = vec![crate::auth::IssuerSettings {
        keys,
        ..issuer(Algorithm::EdDSA)
    }];
    let fixture = Fixture::new(VerifierSettings {
        issuers,
        ..VerifierSettings::default()
    });
    let mut cache = TokenCache::new(10);
    let mut at = |algorithm, now_ms| {
        let token = sign(algorithm, None, &foreign_claims());
        fixture
            .verifier
            .verify_user_cached(&mut cache, &token, now_ms)
            .map(|_| ())
    };
    assert_eq!(at(Algorithm::EdDSA, NOW), Ok(()));
    write(Algorithm::RS256);
    assert_eq!(at(Algorithm::EdDSA, NOW + 9_999), Ok(()));
    assert_eq!(
        at(Algorithm::EdDSA, NOW + 10_000),
        Err(TokenError::WrongAlgorithm)
    );
    assert_eq!(at(Algorithm::RS256, NOW + 10_000), Ok(()));
}

#[test]
fn refreshing_carries_over_what_the_token_says() {
    let fixture = default();
    let extras = json!({"session": "s1"});
    let asked = MintRequest {
        tier: Some("pro"),
        extras: extras.as_object(),
        ttl: Some(std::time::Duration::from_secs(1)),
        ..request("alice")
    };
    let old = fixture.verifier.mint(&asked, NOW).unwrap();
    let later = NOW + 24 * 60 * 60 * 1000;
    assert_eq!(
        fixture.verifier.verify_user(old.as_str(), later),
        Err(TokenError::Expired)
    );
    let identity = fixture
        .verifier
        .verify_for_refresh(old.as_str(), later)
        .unwrap();
    let new = fixture
        .verifier
        .mint(&MintRequest::renewing(&identity), later)
        .unwrap();
    let renewed = fixture.verifier.verify_user(new.as_str(), later).unwrap();
    assert_eq!(
        (renewed.user, renewed.tier, renewed.extras),
        (identity.user, identity.tier, identity.extras)
    );
    assert_eq!(renewed.expires_at_ms / 1000, NOW_S + 31 * 24 * 60 * 60);
    let refusal = fixture
        .verifier
        .verify_for_refresh(old.as_str(), later * 2)
        .unwrap_err();
    assert_eq!(refusal.refresh_code(), "TOKEN_EXPIRED");
}

#[test]
fn the_test_token_is_for_development_only() {
    let settings = |token: &str, development| VerifierSettings {
        insecure_test_token: Some(token.to_owned()),
        development,
        ..VerifierSettings::default()
    };
    let new = |settings| {
        Verifier::new(&secret(), settings, Arc::new(RevocationList::new()), NOW).map(|_| ())
    };
    let refused = new(settings("test-auth-token", false));
    assert!(matches!(
        refused,
        Err(VerifierError::TestTokenOutsideDevelopment)
    ));
    assert!(matches!(
        new(settings("", true)),
        Err(VerifierError::EmptyTestToken)
    ));

    let Fixture { verifier, revoked } = Fixture::new(settings("test-auth-token", true));
    let mut cache = TokenCache::new(10);
    for _ in 0..2 {
        let identity = verifier
            .verify_user_cached(&mut cache, "test-auth-token", NOW)
            .unwrap();
        assert_eq!((&*identity.user, identity.admin), ("test-user", false));
    }
    for near in ["test-auth-toke", "test-auth-token ", "Test-auth-token", ""] {
        assert_eq!(
            verifier.verify_user(near, NOW),
            Err(TokenError::Malformed),
            "{near}"
        );
    }
    assert_eq!(
        verifier.verify_admin("test-auth-token", NOW),
        Err(TokenError::Malformed)
    );
    assert_eq!(
        verifier.verify_for_refresh("test-auth-token", NOW),
        Err(TokenError::Malformed)
    );
    let identity = verifier.verify_user("test-auth-token", NOW).unwrap();
    revoked.revoke(identity.token_hash, u64::MAX);
    assert_eq!(
        verifier.verify_user("test-auth-token", NOW),
        Err(TokenError::Revoked)
    );

    let without = default().verifier;
    assert_eq!(
        without.verify_user("test-auth-token", NOW),
        Err(TokenError::Malformed)
    );
}

#[test]
fn a_ticket_never_passes_as_a_token_or_the_reverse() {
    let fixture = default();
    let tickets = Tickets::new(&secret(), &TicketSettings::default());
    let ticket = tickets.issue("alice", None, None, NOW).unwrap();
    let malformed = Err(TokenError::Malformed);
    assert_eq!(
        fixture.verifier.verify_user(ticket.as_str(), NOW),
        malformed
    );
    assert_eq!(
        fixture.verifier.verify_admin(ticket.as_str(), NOW),
        malformed
    );
    let token = fixture.user_token();
    assert!(tickets.redeem(&token, NOW).is_err());
    // Nor does any part of one in the form of the other.
    let parts: Vec<&str> = token.split('.').collect();
    for left in &parts {
        for right in &parts {
            assert!(tickets.redeem(&format!("{left}.{right}"), NOW).is_err());
        }
    }
    let header = base64url(r#"{"alg":"EdDSA"}"#);
    let lengthened = format!("{header}.{}", ticket.as_str());
    assert_eq!(
        fixture.verifier.verify_user(&lengthened, NOW),
        Err(TokenError::WrongIssuer)
    );
}

#[test]
fn a_text_too_long_is_refused_before_anything_is_computed() {
    let fixture = default();
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    let mut cache = TokenCache::new(10);
    let refused = Err(TokenError::TooLong);
    assert_eq!(fixture.verifier.verify_user(&long, NOW), refused);
    assert_eq!(
        fixture.verifier.verify_user_cached(&mut cache, &long, NOW),
        refused
    );
    assert_eq!(fixture.verifier.verify_admin(&long, NOW), refused);
    assert_eq!(fixture.verifier.verify_for_refresh(&long, NOW), refused);
    let longest = "a".repeat(MAX_TOKEN_BYTES);
    assert_eq!(
        fixture.verifier.verify_user(&longest, NOW),
        Err(TokenError::Malformed)
    );
}

#[test]
fn faulty_settings_make_no_verifier() {
    let new = |settings| {
        Verifier::new(&secret(), settings, Arc::new(RevocationList::new()), NOW).map(|_| ())
    };
    let mut faulty = VerifierSettings::default();
    faulty.tokens.issuer.clear();
    assert!(matches!(new(faulty), Err(VerifierError::Tokens(_))));
    let mut posing = VerifierSettings {
        issuers: vec![issuer(Algorithm::EdDSA)],
        ..VerifierSettings::default()
    };
    posing
        .tokens
        .previous_issuers
        .push("https://id.example".to_owned());
    assert!(matches!(new(posing), Err(VerifierError::Issuer(_))));
}

#[test]
fn debug_hides_the_test_token() {
    let settings = VerifierSettings {
        insecure_test_token: Some("test-auth-token".to_owned()),
        development: true,
        ..VerifierSettings::default()
    };
    let shown = format!("{settings:?} {:?}", Fixture::new(settings.clone()).verifier);
    assert!(!shown.contains("test-auth-token"), "{shown}");
}

#[test]
fn every_refusal_has_its_own_label() {
    use TokenError::*;
    let all = [
        TooLong,
        Malformed,
        UnsupportedAlgorithm,
        UnsupportedExtension,
        WrongAlgorithm,
        UnknownKey,
        BadSignature,
        Expired,
        NotYetValid,
        WrongIssuer,
        WrongAudience,
        MissingClaim("exp"),
        BadClaim("exp"),
        TwoUsers,
        BadUserId,
        Revoked,
        AdminToken,
        NotAdmin,
    ];
    let labels: std::collections::HashSet<_> = all.iter().map(|err| err.label()).collect();
    assert_eq!(labels.len(), all.len());
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_in_every_way(text in "\\PC*") {
        static SHARED: LazyLock<Fixture> = LazyLock::new(|| with_issuer(Algorithm::EdDSA));
        let fixture = &*SHARED;
        let mut cache = TokenCache::new(10);
        prop_assert!(fixture.verifier.verify_user(&text, NOW).is_err());
        prop_assert!(fixture.verifier.verify_user_cached(&mut cache, &text, NOW).is_err());
        prop_assert!(fixture.verifier.verify_admin(&text, NOW).is_err());
        prop_assert!(fixture.verifier.verify_for_refresh(&text, NOW).is_err());
    }
}
