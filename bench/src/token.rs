//! Bearer tokens, kept out of everything that is printed.

use std::fmt;

/// A token of a user or of an admin. Its `Debug` form hides it, it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a text cannot be a token. Does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing there.
    #[error("the token is empty")]
    Empty,
    /// Cannot stand in a header.
    #[error("the token contains spaces or other characters that no token has")]
    Characters,
}

impl Token {
    /// Takes a token; white space around it is dropped.
    ///
    /// # Errors
    /// Empty, or characters that cannot stand in an `Authorization` header.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        match text {
            "" => Err(TokenError::Empty),
            text if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(text.to_owned())),
            _ => Err(TokenError::Characters),
        }
    }

    /// The token itself, for a header or a query.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A text with every occurrence of this token replaced, for words that came from elsewhere.
    pub fn hide_in(&self, text: &str) -> String {
        text.replace(&self.0, "***")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_trimmed_and_checked_and_never_shown() {
        let token = Token::new(" abc.def\n").unwrap();
        assert_eq!(token.expose(), "abc.def");
        assert_eq!(format!("{token:?}"), "Token(***)");
        assert_eq!(token.hide_in("bad token abc.def!"), "bad token ***!");
        assert_eq!(Token::new("  "), Err(TokenError::Empty));
        for text in ["a b", "a\u{7f}b", "ä", "a\r\nX: y"] {
            assert_eq!(Token::new(text), Err(TokenError::Characters), "{text:?}");
        }
    }
}
