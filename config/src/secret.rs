//! Values that must never be printed.
//!
//! Held by the settings that carry keys and tokens. The only way to the text is [`Secret::expose`],
//! so a search for that word finds every place where a secret leaves its wrapper. Nothing here may
//! implement `Display`, and `Debug` must never show the text or its length.

use std::fmt;

/// A key or token of the configuration; `Debug` prints `(hidden)` in its place.
#[derive(Clone, Default)]
pub struct Secret(String);

/// What is printed where a secret would stand.
pub const HIDDEN: &str = "(hidden)";

impl Secret {
    /// Wraps a secret text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret text, for the code that signs or compares with it. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}
