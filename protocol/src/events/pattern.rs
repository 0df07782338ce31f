//! What a subscriber names: a channel, or all channels below a prefix.

use std::fmt;

use super::name::{MAX_NAME_BYTES, is_part};

/// One entry of a subscription (contract events.md section 6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// The event of exactly this name.
    Exact(Box<str>),
    /// Every event whose name starts with this and a dot, at any depth.
    Below(Box<str>),
}

/// An entry that can match nothing, or that no rule gives a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Over [`MAX_NAME_BYTES`].
    #[error("a channel is at most {MAX_NAME_BYTES} bytes long")]
    TooLong,
    /// Neither form.
    #[error(
        "a channel is an event's name such as call.started, or a prefix such as call.*; there is \
         no other use of *"
    )]
    Malformed,
}

impl Pattern {
    /// Reads an entry.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_NAME_BYTES {
            return Err(PatternError::TooLong);
        }
        let (name, is_prefix) = match text.strip_suffix(".*") {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if !name.split('.').all(is_part) {
            return Err(PatternError::Malformed);
        }
        Ok(if is_prefix {
            Self::Below(name.into())
        } else {
            Self::Exact(name.into())
        })
    }

    /// Whether an event of this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Below(prefix) => name
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.starts_with('.')),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(prefix) => write!(f, "{prefix}.*"),
        }
    }
}

/// The prefixes of a name, shortest first: what [`Pattern::Below`] has to hold to match it.
pub fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.')
        .filter_map(|(dot, _)| name.get(..dot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_match_what_the_contract_says() {
        let matches = |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().matches(name);
        assert!(matches("call.started", "call.started"));
        assert!(!matches("call.started", "call.started.twice"));
        assert!(matches("call.*", "call.queue.join"));
        assert!(matches("call.queue.*", "call.queue.join"));
        assert!(!matches("call.*", "call"));
        assert!(!matches("call.*", "caller.started"));
        assert!(!matches("call.queue.*", "call.queued.join"));
    }

    #[test]
    fn nothing_else_is_an_entry() {
        for text in [
            "",
            "*",
            ".*",
            "call.",
            "call*",
            "call.*.x",
            "*.started",
            "call.?",
            "Call.*",
            "call..*",
        ] {
            assert_eq!(
                Pattern::parse(text),
                Err(PatternError::Malformed),
                "{text:?}"
            );
        }
        let longest = "x".repeat(MAX_NAME_BYTES);
        assert!(Pattern::parse(&longest).is_ok());
        let longer = format!("{longest}y");
        assert_eq!(Pattern::parse(&longer), Err(PatternError::TooLong));
    }

    proptest::proptest! {
        #[test]
        fn a_prefix_matches_exactly_if_it_is_one_of_the_names_prefixes(
            prefix in "[ab](\\.[ab]){0,3}", name in "[ab](\\.[ab]){0,5}",
        ) {
            let pattern = Pattern::parse(&format!("{prefix}.*")).unwrap();
            let is_prefix = prefixes(&name).any(|of_name| of_name == prefix);
            proptest::prop_assert_eq!(pattern.matches(&name), is_prefix);
        }

        #[test]
        fn any_text_is_an_entry_that_is_shown_as_it_came_or_a_fault(text in "\\PC*") {
            if let Ok(pattern) = Pattern::parse(&text) {
                proptest::prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
