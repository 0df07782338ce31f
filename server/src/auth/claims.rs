//! Reading claims: types, times, audience, user and tier.
//!
//! Owned here so that own and foreign tokens are held to one reading. Called by the token and
//! issuer code with claims whose signature has been checked. It reads no clock.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::TokenError;
use super::identity::{check_user_id, is_tier_name};

/// The claims of a token: a JSON object.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    /// A claim by name; null counts as absent.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A claim of text.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, TokenError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenError::BadClaim(name)),
        }
    }

    /// A claim by path: the claim of exactly that name if there is one (namespaced claims such as
    /// `https://example.com/tier` have dots of their own), else the dots lead into objects.
    pub fn at_path(&self, path: &str) -> Option<&Value> {
        self.get(path).or_else(|| {
            let mut steps = path.split('.');
            let first = self.get(steps.next()?)?;
            steps
                .try_fold(first, |value, step| value.get(step))
                .filter(|value| !value.is_null())
        })
    }

    /// Takes a claim out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// Checks `nbf` and `exp` (RFC 7519 sections 4.1.4 and 4.1.5) and gives `exp` in Unix
    /// milliseconds. `exp` must be there. The token is valid while `nbf - leeway <= now` and
    /// `now < exp + grace`; `grace` is the leeway, or longer where expired tokens are renewed.
    pub fn check_times(
        &self,
        now_ms: u64,
        leeway_ms: u64,
        grace_ms: u64,
    ) -> Result<u64, TokenError> {
        let expires_at_ms = self
            .time_ms("exp")?
            .ok_or(TokenError::MissingClaim("exp"))?;
        if self
            .time_ms("nbf")?
            .is_some_and(|nbf| nbf > now_ms.saturating_add(leeway_ms))
        {
            return Err(TokenError::NotYetValid);
        }
        if now_ms >= expires_at_ms.saturating_add(grace_ms) {
            return Err(TokenError::Expired);
        }
        Ok(expires_at_ms)
    }

    /// A NumericDate (RFC 7519 section 2: seconds, fractions allowed) in milliseconds.
    fn time_ms(&self, name: &'static str) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        if let Some(seconds) = value.as_u64() {
            return Ok(Some(seconds.saturating_mul(1000)));
        }
        match value.as_f64() {
            // The cast saturates.
            Some(seconds) if seconds >= 0.0 => Ok(Some((seconds * 1000.0) as u64)),
            _ => Err(TokenError::BadClaim(name)),
        }
    }

    /// Checks `aud` (RFC 7519 section 4.1.3): it must name `expected`, and must be absent when
    /// nothing is expected.
    pub fn check_audience(&self, expected: Option<&str>) -> Result<(), TokenError> {
        let meets = match (self.get("aud"), expected) {
            (None, None) => true,
            (Some(Value::String(one)), Some(expected)) => one == expected,
            (Some(Value::Array(several)), Some(expected)) => {
                several.iter().any(|one| one.as_str() == Some(expected))
            }
            _ => false,
        };
        if meets {
            Ok(())
        } else {
            Err(TokenError::WrongAudience)
        }
    }
}

/// A claimed user id, checked.
pub(crate) fn user(id: &str) -> Result<Arc<str>, TokenError> {
    check_user_id(id).map_err(|_| TokenError::BadUserId)?;
    Ok(Arc::from(id))
}

/// A claimed tier, checked; absent is no tier.
pub(crate) fn tier(claim: Option<&Value>) -> Result<Option<Arc<str>>, TokenError> {
    match claim {
        None => Ok(None),
        Some(Value::String(name)) if is_tier_name(name) => Ok(Some(Arc::from(name.as_str()))),
        Some(_) => Err(TokenError::BadClaim("tier")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn times_hold_to_the_millisecond() {
        let token = claims(json!({"nbf": 100, "exp": 200}));
        assert_eq!(
            token.check_times(99_999, 0, 0),
            Err(TokenError::NotYetValid)
        );
        assert_eq!(token.check_times(100_000, 0, 0), Ok(200_000));
        assert_eq!(token.check_times(199_999, 0, 0), Ok(200_000));
        assert_eq!(token.check_times(200_000, 0, 0), Err(TokenError::Expired));
        assert_eq!(token.check_times(40_000, 60_000, 60_000), Ok(200_000));
        assert_eq!(
            token.check_times(39_999, 60_000, 60_000),
            Err(TokenError::NotYetValid)
        );
        assert_eq!(token.check_times(259_999, 60_000, 60_000), Ok(200_000));
        assert_eq!(
            token.check_times(260_000, 60_000, 60_000),
            Err(TokenError::Expired)
        );
    }

    #[test]
    fn times_may_have_fractions_and_be_far_away() {
        assert_eq!(
            claims(json!({"exp": 1.5})).check_times(1499, 0, 0),
            Ok(1500)
        );
        assert_eq!(
            claims(json!({"exp": u64::MAX})).check_times(1, 60, 60),
            Ok(u64::MAX)
        );
        assert_eq!(
            claims(json!({"exp": 1e300})).check_times(1, 60, 60),
            Ok(u64::MAX)
        );
    }

    #[test]
    fn times_must_be_times() {
        let exp = |value: Value| claims(json!({"exp": value})).check_times(0, 0, 0);
        assert_eq!(exp(Value::Null), Err(TokenError::MissingClaim("exp")));
        for bad in [json!("200"), json!(-1), json!(true), json!([200])] {
            assert_eq!(exp(bad), Err(TokenError::BadClaim("exp")));
        }
        let nbf = claims(json!({"exp": 1, "nbf": "0"}));
        assert_eq!(nbf.check_times(0, 0, 0), Err(TokenError::BadClaim("nbf")));
    }

    #[test]
    fn the_audience_must_be_the_expected_one() {
        let check = |aud: Value, expected| claims(json!({"aud": aud})).check_audience(expected);
        assert_eq!(check(Value::Null, None), Ok(()));
        assert_eq!(check(json!("here"), Some("here")), Ok(()));
        assert_eq!(check(json!(["there", "here"]), Some("here")), Ok(()));
        for (aud, expected) in [
            (Value::Null, Some("here")),
            (json!("there"), Some("here")),
            (json!("here"), None),
            (json!([]), Some("here")),
            (json!([]), None),
            (json!([1, ["here"]]), Some("here")),
            (json!({"here": 1}), Some("here")),
        ] {
            assert_eq!(check(aud, expected), Err(TokenError::WrongAudience));
        }
    }

    #[test]
    fn paths_lead_into_objects() {
        let token = claims(json!({
            "a": {"b": {"c": 1}, "null": null},
            "https://example.com/tier": "pro",
            "a.b": "exact",
        }));
        assert_eq!(token.at_path("a.b.c"), Some(&json!(1)));
        assert_eq!(token.at_path("a.b"), Some(&json!("exact")));
        assert_eq!(
            token.at_path("https://example.com/tier"),
            Some(&json!("pro"))
        );
        for absent in ["", ".", "a.", "a.x", "a.b.c.d", "a.null", "x"] {
            assert_eq!(token.at_path(absent), None, "{absent}");
        }
    }
}
