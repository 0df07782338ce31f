//! Tokens. Nothing but what the server signed may pass.
//!
//! Input: the token.

use std::sync::{Arc, LazyLock};

use dormouse_server::auth::{RevocationList, ServerSecret, Verifier, VerifierSettings};

const NOW: u64 = 1_700_000_000_000;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let secret = ServerSecret::from_bytes(b"a secret that no input can know, 32 bytes").unwrap();
    let revoked = Arc::new(RevocationList::default());
    Verifier::new(&secret, VerifierSettings::default(), revoked, NOW).unwrap()
});

/// Checks one input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    assert!(VERIFIER.verify_user(text, NOW).is_err());
    assert!(VERIFIER.verify_admin(text, NOW).is_err());
    assert!(VERIFIER.verify_for_refresh(text, NOW).is_err());
}
