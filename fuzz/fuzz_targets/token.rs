//! Tokens. Nothing but what the server signed may pass.
#![no_main]

use std::sync::{Arc, LazyLock};

use dormouse_server::auth::{RevokedTokens, ServerSecret, Verifier, VerifierSettings};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_700_000_000_000;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let secret = ServerSecret::from_bytes(b"a secret that no input can know, 32 bytes").unwrap();
    let revoked = Arc::new(RevokedTokens::new());
    Verifier::new(&secret, VerifierSettings::default(), revoked, NOW).unwrap()
});

fuzz_target!(|text: &str| {
    assert!(VERIFIER.verify_user(text, NOW).is_err());
    assert!(VERIFIER.verify_admin(text, NOW).is_err());
    assert!(VERIFIER.verify_for_refresh(text, NOW).is_err());
});
