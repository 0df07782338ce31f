//! How long fields may be (contract realtime.md section 13, rest.md sections 4 to 12), and what
//! texts may not hold.

use super::error::SyncError;

/// Characters of ids and of `localId`.
pub const ID: usize = 128;
/// Characters of a session's tag.
pub const TAG: usize = 256;
/// Characters of metadata, agent state and daemon state.
pub const STATE: usize = 500_000;
/// Characters of a message and of what relays carry; bytes of a message's JSON over HTTP.
pub const MESSAGE: usize = 1_000_000;
/// Characters of a message of Socket.IO clients, which may be longer than their transport tells
/// them (contract socketio.md section 1); bounded by `socket_io.message` as well.
pub const SOCKET_IO_MESSAGE: usize = 10 << 20;
/// Messages of one batch (contract happy-client.md section 6).
pub const BATCH: usize = 100;
/// Characters of the key of a usage report.
pub const USAGE_KEY: usize = 64;
/// Characters of an encoded data encryption key.
pub const DATA_KEY: usize = 256;

/// Requires a text of at most this many characters. Without U+0000, which not every database can
/// keep.
///
/// # Errors
/// [`SyncError::Invalid`] naming the field.
pub fn text<'a>(name: &str, text: &'a str, most: usize) -> Result<&'a str, SyncError> {
    // Never fewer bytes than characters.
    if text.len() > most && text.chars().nth(most).is_some() {
        return Err(SyncError::Invalid(format!(
            "{name} must have at most {most} characters"
        )));
    }
    if text.contains('\0') {
        return Err(SyncError::Invalid(format!(
            "{name} must not contain the character U+0000"
        )));
    }
    Ok(text)
}

/// As [`text`], not empty.
///
/// # Errors
/// As [`text`].
pub fn filled<'a>(name: &str, value: &'a str, most: usize) -> Result<&'a str, SyncError> {
    if value.is_empty() {
        return Err(SyncError::Invalid(format!("{name} must not be empty")));
    }
    text(name, value, most)
}

/// The id of an artifact, which clients make: 1 to 128 letters, digits and `_ . : -`.
///
/// # Errors
/// [`SyncError::Invalid`].
pub fn artifact_id(id: &str) -> Result<&str, SyncError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if !id.is_empty() && id.len() <= ID && id.bytes().all(is_allowed) {
        Ok(id)
    } else {
        let text = "id must be 1 to 128 letters, digits and the characters _ . : -";
        Err(SyncError::Invalid(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_in_characters() {
        assert!(text("x", &"é".repeat(5), 5).is_ok());
        assert!(text("x", &"é".repeat(6), 5).is_err());
        assert!(text("x", "", 5).is_ok() && filled("x", "", 5).is_err());
        let err = text("metadata", "a\0", 5).unwrap_err().to_string();
        assert!(err.contains("metadata") && err.contains("U+0000"), "{err}");
    }

    #[test]
    fn artifact_ids_have_their_characters() {
        for good in ["a", "A-1_b.c:d", &"x".repeat(128)] {
            assert!(artifact_id(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "é", "a/b", &"x".repeat(129)] {
            assert!(artifact_id(bad).is_err(), "{bad}");
        }
    }
}
