//! Which text may name a user or a tier.
//!
//! Owned here because every way of naming a user (own token, foreign token, ticket, test token)
//! must hold the same rule. Names reach logs, admin pages and storage keys, so nothing may hide in
//! them. It never changes text: a name is taken as it is or refused.

/// Whether `text` has 1 to `max_chars` characters, all of them visible: no white space, no control
/// characters, no format characters (zero-width, direction overrides, tags), which would let two
/// different names look the same.
pub(crate) fn is_visible(text: &str, max_chars: usize) -> bool {
    !text.is_empty()
        && text.chars().nth(max_chars).is_none()
        && text.chars().all(|character| {
            !character.is_control() && !character.is_whitespace() && !is_format(character)
        })
}

/// Characters of Unicode's general category Cf that do not show, with the line and paragraph
/// separators and fillers that render as nothing.
const fn is_format(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_visible() {
        for name in [
            "a",
            "cm3q7account",
            "auth0|5f7c",
            "user@example.com",
            "ålice",
            "用户",
            "🐭",
        ] {
            assert!(is_visible(name, 128), "{name}");
        }
    }

    #[test]
    fn the_length_counts_characters() {
        assert!(!is_visible("", 3));
        assert!(is_visible("用户名", 3));
        assert!(!is_visible("用户名字", 3));
    }

    #[test]
    fn hidden_characters_are_refused() {
        for hidden in [
            '\0',
            '\n',
            '\t',
            ' ',
            '\u{7f}',
            '\u{a0}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2028}',
            '\u{2066}',
            '\u{3000}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert!(!is_visible(&format!("al{hidden}ice"), 128), "{hidden:?}");
        }
    }
}
