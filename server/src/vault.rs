//! Encryption of what the database keeps of third parties' secrets.
//!
//! Owns one key, derived from the server secret, and the form of what is encrypted with it. Each
//! text is bound to its place (account, vendor): moved to another row, it cannot be opened.

use std::fmt;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::auth::{Purpose, ServerSecret};

/// The first byte of every sealed text.
const FORM: u8 = 1;
/// Bytes of a nonce. Random ones may serve 2^32 texts (NIST SP 800-38D, section 8.3), and there are
/// a few for each account.
const NONCE: usize = 12;

/// Seals and opens.
#[derive(Clone)]
pub struct Vault(Aes256Gcm);

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(hidden)")
    }
}

/// Nothing was encrypted: the system gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NotSealed;

impl Vault {
    /// The vault of a server.
    #[must_use]
    pub fn new(secret: &ServerSecret) -> Self {
        let key = secret.derive(Purpose::Vault);
        Self(Aes256Gcm::new((&*key).into()))
    }

    /// Encrypts a text for a place.
    ///
    /// # Errors
    /// [`NotSealed`].
    pub fn seal(&self, text: &str, place: &[&str]) -> Result<Vec<u8>, NotSealed> {
        let mut nonce = [0; NONCE];
        SysRng.try_fill_bytes(&mut nonce).map_err(|_| NotSealed)?;
        let payload = Payload {
            msg: text.as_bytes(),
            aad: &bound_to(place),
        };
        let sealed = self.0.encrypt(&nonce.into(), payload);
        let sealed = sealed.map_err(|_| NotSealed)?;
        Ok([&[FORM][..], &nonce, &sealed].concat())
    }

    /// Decrypts what was sealed for this place; `None` for anything else, and for what was sealed
    /// with another server secret.
    #[must_use]
    pub fn open(&self, sealed: &[u8], place: &[&str]) -> Option<String> {
        let (form, rest) = sealed.split_first()?;
        let (nonce, msg) = rest.split_first_chunk::<NONCE>()?;
        if *form != FORM {
            return None;
        }
        let aad = &bound_to(place);
        let text = self.0.decrypt(&(*nonce).into(), Payload { msg, aad });
        String::from_utf8(text.ok()?).ok()
    }
}

/// The parts of a place with their lengths, so that no two places look alike.
fn bound_to(place: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in place {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(byte: u8) -> Vault {
        Vault::new(&ServerSecret::from_bytes(&[byte; 32]).unwrap())
    }

    #[test]
    fn what_is_sealed_is_opened_in_its_place_only() {
        let place = ["token", "alice", "openai"];
        let sealed = vault(1).seal("secret", &place).unwrap();
        assert!(!sealed.windows(6).any(|bytes| bytes == b"secret"));
        assert_eq!(vault(1).open(&sealed, &place).as_deref(), Some("secret"));
        assert_eq!(
            vault(2).open(&sealed, &place),
            None,
            "another server secret"
        );
        assert_eq!(vault(1).open(&sealed, &["token", "bob", "openai"]), None);
        assert_eq!(vault(1).open(&sealed, &["token", "aliceo", "penai"]), None);
        assert_ne!(
            vault(1).seal("secret", &place).unwrap(),
            sealed,
            "a nonce of its own"
        );
    }

    #[test]
    fn what_was_changed_is_not_opened() {
        let sealed = vault(1).seal("secret", &["x"]).unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(vault(1).open(&changed, &["x"]), None, "{index}");
            assert_eq!(vault(1).open(&sealed[..index], &["x"]), None, "{index}");
        }
    }
}
