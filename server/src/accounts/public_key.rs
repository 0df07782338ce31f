//! Public keys of 32 bytes: Ed25519 for accounts, X25519 for pairing.

use std::fmt::{self, Write as _};

use crate::base64_text;

/// A public key in the form in which it is stored: lowercase hex.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key of these bytes; `None` for any other length than 32.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads what an operator may have at hand: hex or base64.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let hex = |text: &str| -> Option<Vec<u8>> {
            if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            let digits =
                (0..32).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok());
            digits.collect()
        };
        let bytes = hex(text).or_else(|| base64_text::decode(text).ok())?;
        Self::from_bytes(&bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The stored form.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }
}

/// Bytes as lowercase hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_both_forms() {
        let key = PublicKey([0xab; 32]);
        assert_eq!(PublicKey::read(&key.to_hex()), Some(key.clone()));
        assert_eq!(
            PublicKey::read(&key.to_hex().to_uppercase()),
            Some(key.clone())
        );
        let base64 = base64_text::encode(key.as_bytes());
        assert_eq!(PublicKey::read(&base64), Some(key));
        for other in [
            "",
            "ab",
            &"ab".repeat(33),
            &"é".repeat(32),
            &"+a".repeat(32),
        ] {
            assert_eq!(PublicKey::read(other), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*", long in "\\PC{60,70}") {
            let _ = (PublicKey::read(&text), PublicKey::read(&long));
        }
    }
}
