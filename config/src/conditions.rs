//! Which values a key takes, beyond its type.
//!
//! `settings.rs` names one of these behind a key. A message says what is allowed; those for
//! secrets and keys must never quote the value.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use tracing_subscriber::EnvFilter;

use crate::address::CorsOrigin;
use crate::faults::quote;
use crate::schema::Rule;
use crate::secret::Secret;
use crate::value::{Element as _, Value};

/// The fewest bytes of a signing secret: the output of HMAC-SHA-256, as RFC 7518 section 3.2 asks.
pub(crate) const SECRET_BYTES: usize = 32;

pub(crate) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) const fn minutes(count: u64) -> Duration {
    seconds(60 * count)
}

pub(crate) const fn hours(count: u64) -> Duration {
    minutes(60 * count)
}

/// Years as humantime counts them: 365.25 days.
pub(crate) const fn years(count: u64) -> Duration {
    seconds(31_557_600 * count)
}

pub(crate) const fn kib(count: u64) -> ByteSize {
    ByteSize::kib(count)
}

pub(crate) const fn mib(count: u64) -> ByteSize {
    ByteSize::mib(count)
}

/// Takes the values of a range, both ends included.
pub(crate) fn within<T: Value + PartialOrd + 'static>(range: RangeInclusive<T>) -> Rule<T> {
    let text = format!("{} to {}", plain(range.start()), plain(range.end()));
    let rule = Rule::new(text.clone(), move |value: T| {
        if range.contains(&value) {
            Ok(value)
        } else {
            Err(format!("{} is out of range: use {text}", plain(&value)))
        }
    });
    rule.of_range()
}

/// A value as it stands in a sentence: TOML without the quotation marks.
pub(crate) fn plain<T: Value>(value: &T) -> String {
    value
        .to_toml()
        .unwrap_or_default()
        .trim_matches('"')
        .to_owned()
}

/// Takes a list with at least one element.
pub(crate) fn is_set<T>() -> Rule<Vec<T>>
where
    Vec<T>: Value + 'static,
{
    Rule::new("at least one", |list: Vec<T>| {
        if list.is_empty() {
            Err("is empty: name at least one".to_owned())
        } else {
            Ok(list)
        }
    })
}

/// Takes a text that is not empty, or none at all.
pub(crate) fn not_empty<T: Value + 'static>() -> Rule<T> {
    let remedy = if T::OPTIONAL {
        "leave the key out, or give it a text"
    } else {
        "give it a text"
    };
    Rule::new("not empty", move |value: T| {
        let is_empty = value.to_toml().is_some_and(|text| text == r#""""#);
        if is_empty {
            Err(format!("is empty: {remedy}"))
        } else {
            Ok(value)
        }
    })
}

/// Takes a secret of at least [`SECRET_BYTES`], or none.
pub(crate) fn strong() -> Rule<Option<Secret>> {
    Rule::new(
        format!("at least {SECRET_BYTES} bytes"),
        |secret: Option<Secret>| {
            let length = secret
                .as_ref()
                .map_or(SECRET_BYTES, |secret| secret.expose().len());
            if length >= SECRET_BYTES {
                return Ok(secret);
            }
            let size = if length == 0 {
                "is empty"
            } else {
                "is too short"
            };
            Err(format!(
                "{size}: use at least {SECRET_BYTES} bytes, such as the output of \
             `openssl rand -hex 32`, or leave it out"
            ))
        },
    )
}

/// Takes the URL of a database, or none. Says nothing of the text: it may hold a password.
pub(crate) fn database_url() -> Rule<Option<Secret>> {
    const KINDS: [&str; 3] = ["postgres://", "postgresql://", "sqlite:"];
    let text = "beginning with postgres:// or sqlite:";
    Rule::new(text, move |url: Option<Secret>| {
        let is_known = url.as_ref().is_none_or(|url| {
            let url = url.expose();
            KINDS
                .iter()
                .any(|kind| url.len() > kind.len() && url.starts_with(kind))
        });
        if is_known {
            Ok(url)
        } else {
            Err(format!(
                "is no URL of a database: use one {text}, or leave it out"
            ))
        }
    })
}

/// Makes an empty secret none.
pub(crate) fn none_if_empty() -> Rule<Option<Secret>> {
    Rule::new("", |secret: Option<Secret>| {
        Ok(secret.filter(|secret| !secret.expose().is_empty()))
    })
}

/// Whether a text may name a tier or an issuer: `^[a-z][a-z0-9_-]{0,31}$`. Names are values of
/// metric labels and parts of keys.
pub(crate) fn is_name(text: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    text.len() <= 32
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(is_allowed)
}

/// What to do about a text that is no name.
pub(crate) fn name_fault(text: &str) -> String {
    format!(
        "the name {} is not allowed: use 1 to 32 of a-z, 0-9, _ and -, beginning with a letter",
        quote(text)
    )
}

/// Takes a name.
pub(crate) fn name() -> Rule<String> {
    Rule::new("1 to 32 of a-z, 0-9, _ and -", |text: String| {
        if is_name(&text) {
            Ok(text)
        } else {
            Err(name_fault(&text))
        }
    })
}

/// Takes a version (semver.org).
pub(crate) fn version() -> Rule<String> {
    Rule::new(
        "a version such as 1.4.1",
        |text: String| match semver::Version::parse(&text) {
            Ok(_) => Ok(text),
            Err(err) => Err(format!(
                "{} is no version ({err}): write it as 1.4.1",
                quote(&text)
            )),
        },
    )
}

/// Takes the id of a user: 1 to 128 characters that can be seen.
pub(crate) fn visible() -> Rule<String> {
    Rule::new("1 to 128 visible characters", |id: String| {
        let is_hidden = |character: char| character.is_control() || character.is_whitespace();
        if (1..=128).contains(&id.chars().count()) && !id.contains(is_hidden) {
            Ok(id)
        } else {
            Err(format!(
                "{} is no user's id: use 1 to 128 characters without spaces",
                quote(&id)
            ))
        }
    })
}

/// Takes the id of a tenant.
pub(crate) fn tenant() -> Rule<String> {
    Rule::new("1 to 64 of a-z, A-Z, 0-9, _ and -", |id: String| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if (1..=64).contains(&id.len()) && id.bytes().all(is_allowed) {
            Ok(id)
        } else {
            Err(format!(
                "{} is no tenant's id: use 1 to 64 letters, digits, _ and -, such as a UUID",
                quote(&id)
            ))
        }
    })
}

/// Takes the origin of a web address, in http or https, or none at all.
pub(crate) fn web_origin() -> Rule<Option<String>> {
    Rule::new("web origin", |origin: Option<String>| {
        let Some(text) = &origin else {
            return Ok(origin);
        };
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Err(format!(
                "{} begins with neither https:// nor http://",
                quote(text)
            ));
        }
        CorsOrigin::parse(text)?;
        Ok(origin)
    })
}

/// Takes a public key in PEM, by its first line: whether it parses is for the code that uses it.
pub(crate) fn public_key() -> Rule<Option<String>> {
    Rule::new("PEM", |key: Option<String>| {
        let Some(text) = &key else { return Ok(key) };
        if text.contains("PRIVATE KEY") {
            return Err(
                "is a private key: give the public one, and keep the private one with \
                        the issuer"
                    .to_owned(),
            );
        }
        let text = text.trim_start();
        let starts = [
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN RSA PUBLIC KEY-----",
        ];
        if starts.iter().any(|start| text.starts_with(start)) {
            return Ok(key);
        }
        Err(
            "is not a public key in PEM: it must begin with \"-----BEGIN PUBLIC KEY-----\""
                .to_owned(),
        )
    })
}

/// Takes the directives of a log filter, and drops the blanks around their commas: `EnvFilter`
/// would count them into the name of the module, and panics where other than ASCII follows.
///
/// A lone word that is no level is refused, although the filter would take it as a module whose
/// lines are all logged: it is nearly always a misspelled level, and would silence the rest.
pub(crate) fn directives() -> Rule<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    Rule::new("", |text: String| {
        let directives: Vec<&str> = text.split(',').map(str::trim).collect();
        let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
        let has_spans = text.contains('[');
        let stray = directives
            .iter()
            .find(|directive| !has_spans && !directive.contains('=') && !is_level(directive));
        if let Some(word) = stray {
            return Err(format!(
                "{} is not a level: use off, error, warn, info, debug or trace, or module=level",
                quote(word)
            ));
        }
        let filter = directives.join(",");
        if filter.is_ascii() && EnvFilter::builder().parse(&filter).is_ok() {
            return Ok(filter);
        }
        Err(format!(
            "{} is not a log filter: write it as in \"info,dormouse_shard=debug\"",
            quote(&text)
        ))
    })
}
