//! The `Authorization` header of bearer tokens (REST contract section 1.2, RFC 6750 section 2.1).
//!
//! Owns the parsing of that one header value. Called by the upgrade service and the HTTP handlers
//! before verification. It gives out the token's text and judges nothing but its form.

/// Why an `Authorization` value holds no bearer token. All of them are answered with 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// Another scheme, such as `Basic`.
    #[error("the authorization scheme is not Bearer")]
    OtherScheme,
    /// Not exactly the scheme and one token of RFC 6750's characters.
    #[error("the authorization header is not of the form `Bearer <token>`")]
    Malformed,
}

/// The token in an `Authorization` header value: exactly two parts, the first of them `Bearer` in
/// any case.
///
/// # Errors
/// [`BearerError`] for any other value.
pub fn parse(value: &[u8]) -> Result<&str, BearerError> {
    let mut parts = value
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|part| !part.is_empty());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(scheme), _, _) if !scheme.eq_ignore_ascii_case(b"Bearer") => {
            Err(BearerError::OtherScheme)
        }
        (Some(_), Some(token), None) if token.iter().all(|byte| is_token_byte(*byte)) => {
            std::str::from_utf8(token).map_err(|_| BearerError::Malformed)
        }
        _ => Err(BearerError::Malformed),
    }
}

/// The characters of RFC 6750's b64token.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_scheme_is_case_insensitive() {
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            assert_eq!(parse(format!("{scheme} a.b-c_d").as_bytes()), Ok("a.b-c_d"));
        }
        assert_eq!(parse(b"  Bearer \t abc== "), Ok("abc=="));
    }

    #[test]
    fn anything_but_two_parts_is_refused() {
        for value in [
            "",
            " ",
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer a, b",
            "Bearer \"a\"",
        ] {
            assert_eq!(
                parse(value.as_bytes()),
                Err(BearerError::Malformed),
                "{value:?}"
            );
        }
        for value in ["Basic YTpi", "Bearera", "token", "a.b.c", "Bearer\u{a0}abc"] {
            assert_eq!(
                parse(value.as_bytes()),
                Err(BearerError::OtherScheme),
                "{value:?}"
            );
        }
        assert_eq!(parse(b"Bearer \xff\xfe"), Err(BearerError::Malformed));
        assert_eq!(
            parse("Bearer töken".as_bytes()),
            Err(BearerError::Malformed)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_values_are_refused(value in "\\PC*") {
            let two = value.split([' ', '\t']).filter(|part| !part.is_empty()).count() == 2;
            let bearer = value.trim_matches([' ', '\t']).get(..6)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
            prop_assert!(parse(value.as_bytes()).is_err() || (two && bearer));
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut value: Vec<u8>, prefixed: bool) {
            if prefixed {
                value.splice(..0, *b"Bearer ");
            }
            if let Ok(token) = parse(&value) {
                prop_assert!(token.bytes().all(is_token_byte));
            }
        }

        #[test]
        fn tokens_come_out_as_they_went_in(token in "[A-Za-z0-9._~+/=-]{1,400}") {
            let value = format!("Bearer {token}");
            prop_assert_eq!(parse(value.as_bytes()), Ok(token.as_str()));
        }
    }
}
