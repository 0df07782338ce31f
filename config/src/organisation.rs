//! Organisations of the dashboard, and who may look at them.

use crate::faults::quote;
use crate::value::Element;

/// Longest name of an organisation, bytes.
const MAX_SLUG: usize = 64;

/// The name of an organisation as it stands in addresses: letters, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Organisation(String);

impl Organisation {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this can be the name of an organisation.
    #[must_use]
    pub fn is_slug(text: &str) -> bool {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        (1..=MAX_SLUG).contains(&text.len()) && text.bytes().all(is_allowed)
    }
}

impl Element for Organisation {
    const KIND: &'static str = "organisations";

    fn parse(text: &str) -> Result<Self, String> {
        if Self::is_slug(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "{} is no organisation: use 1 to {MAX_SLUG} letters, digits, _ and -",
                quote(text)
            ))
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// That a user may look at an organisation: `organisation:user`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    /// The organisation.
    pub organisation: String,
    /// The user's id.
    pub user: String,
}

impl Element for Membership {
    const KIND: &'static str = "memberships";

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((organisation, user))
                if Organisation::is_slug(organisation) && !user.is_empty() =>
            {
                Ok(Self {
                    organisation: organisation.to_owned(),
                    user: user.to_owned(),
                })
            }
            _ => Err(format!(
                "{} is no membership: write an organisation, a colon and a user, such as \
                 \"acme:alice\"",
                quote(text)
            )),
        }
    }

    fn text(&self) -> String {
        format!("{}:{}", self.organisation, self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_name_an_organisation_and_a_user() {
        let good = Membership::parse("acme:alice:x").unwrap();
        assert_eq!((&*good.organisation, &*good.user), ("acme", "alice:x"));
        assert_eq!(good.text(), "acme:alice:x");
        for bad in ["acme", "acme:", ":alice", "a b:alice"] {
            assert!(Membership::parse(bad).is_err(), "{bad}");
        }
        assert!(Organisation::parse("ac-me_1").is_ok());
        for bad in ["", "a:b", "a b", &"x".repeat(65)] {
            assert!(Organisation::parse(bad).is_err(), "{bad}");
        }
    }
}
