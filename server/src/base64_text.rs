//! Base64 in requests and answers (REST contract, section 1.1): the standard alphabet with padding
//! goes out; the URL-safe alphabet and missing padding are taken as well.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A text that is no base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not base64")]
pub struct NotBase64;

/// The bytes of a text.
///
/// # Errors
/// [`NotBase64`].
pub fn decode(text: &str) -> Result<Vec<u8>, NotBase64> {
    let decoded = if text.contains(['-', '_']) {
        TOLERANT.decode(text.replace('-', "+").replace('_', "/"))
    } else {
        TOLERANT.decode(text)
    };
    decoded.map_err(|_| NotBase64)
}

/// The text of some bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    TOLERANT.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_are_taken_with_padding_and_without() {
        let bytes = [0xfb, 0xef, 0xff, 0xfe];
        assert_eq!(encode(&bytes), "++///g==");
        for text in ["++///g==", "++///g", "--___g==", "--___g", "+-/_/g"] {
            assert_eq!(decode(text), Ok(bytes.to_vec()), "{text}");
        }
        for text in ["a", "a b=", "é", "====", "YQ==YQ=="] {
            assert_eq!(decode(text), Err(NotBase64), "{text}");
        }
        assert_eq!(decode(""), Ok(Vec::new()));
    }

    proptest::proptest! {
        #[test]
        fn bytes_round_trip(bytes: Vec<u8>, text in "\\PC*") {
            proptest::prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes));
            let _ = decode(&text);
        }
    }
}
