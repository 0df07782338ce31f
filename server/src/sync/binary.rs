//! Bytes as clients write them, with errors that name the field.

use super::error::SyncError;
use crate::base64_text;
pub use crate::base64_text::encode;

/// The bytes of a field's base64 of either alphabet, padded or not.
///
/// # Errors
/// [`SyncError::Invalid`] naming the field.
pub fn decode(name: &str, text: &str) -> Result<Vec<u8>, SyncError> {
    base64_text::decode(text)
        .map_err(|err| SyncError::Invalid(format!("{name} cannot be used: {err}")))
}
