//! The types a setting may have: how each is read from a layer and written as TOML.
//!
//! [`crate::reader::Reader`] calls these for every key. Reading is strict: a file must use TOML's
//! own types, while text (environment, flags) is parsed. A failed read says what was expected and
//! what was found; it must never quote a secret.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use crate::faults::quote;
use crate::secret::{HIDDEN, Secret};

/// A value as a layer gives it, before it has a type. Has no `Debug`: it may be a secret.
pub(crate) enum Raw {
    /// Text of the environment or of a flag, whose type the key decides.
    Text(String),
    /// A TOML string.
    String(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML float.
    Float(f64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    List(Vec<Raw>),
    /// What no key takes, by its name: a table, a date, an integer past 64 bits.
    Other(&'static str),
}

impl Raw {
    /// The text, if this is text of either sort.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Names the type alone: all that may be said of a secret.
    fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Other(name) => name,
        }
    }

    /// The message for a value of the wrong type or form.
    pub(crate) fn mismatch(&self, expected: &str) -> String {
        let found = match self {
            Self::Text(text) => quote(text),
            Self::String(text) => format!("the string {}", quote(text)),
            Self::Integer(number) => format!("the integer {number}"),
            Self::Float(number) => format!("the float {number}"),
            Self::Boolean(truth) => format!("the boolean {truth}"),
            Self::List(_) | Self::Other(_) => self.type_name().to_owned(),
        };
        format!("expected {expected}, found {found}")
    }
}

/// A type that a key of the configuration may have.
///
/// `Default` only fills the place of a value that was refused, in settings that are then thrown
/// away: it lets the reading go on, so that all faults are found at once.
pub(crate) trait Value: Sized + Default {
    /// Whether the key may be left out everywhere.
    const OPTIONAL: bool = false;
    /// Whether the value must never be printed.
    const SECRET: bool = false;

    /// Names the type in the reference.
    fn kind() -> String;

    /// Reads a value, or says what was expected and what was found.
    fn read(raw: &Raw) -> Result<Self, String>;

    /// The value in TOML; `None` where it is absent.
    fn to_toml(&self) -> Option<String>;
}

/// Writes a string as TOML on one line.
pub(crate) fn toml_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other if other.is_control() => {
                quoted.push_str(&format!("\\U{:08X}", u32::from(other)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

macro_rules! integer_value {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn kind() -> String {
                "integer".into()
            }

            fn read(raw: &Raw) -> Result<Self, String> {
                match raw {
                    Raw::Integer(number) => Self::try_from(*number).ok(),
                    Raw::Text(text) => text.trim().parse().ok(),
                    _ => None,
                }
                .ok_or_else(|| raw.mismatch("an integer"))
            }

            fn to_toml(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}
integer_value!(u16, u32, usize);

impl Value for f64 {
    fn kind() -> String {
        "number".into()
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Float(number) => Some(*number),
            // Integers in a file are small enough to be exact, or out of any key's range.
            Raw::Integer(number) => i32::try_from(*number).ok().map(Self::from),
            Raw::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number| number.is_finite())
        .ok_or_else(|| raw.mismatch("a number"))
    }

    fn to_toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for bool {
    fn kind() -> String {
        "boolean".into()
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Boolean(truth) => Some(*truth),
            Raw::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
        .ok_or_else(|| raw.mismatch("true or false"))
    }

    fn to_toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    fn kind() -> String {
        "string".into()
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        raw.text()
            .map(Self::from)
            .ok_or_else(|| raw.mismatch("a string"))
    }

    fn to_toml(&self) -> Option<String> {
        Some(toml_string(self))
    }
}

impl Value for PathBuf {
    fn kind() -> String {
        "path".into()
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        raw.text()
            .filter(|text| !text.is_empty() && !text.contains('\0'))
            .map(Self::from)
            .ok_or_else(|| raw.mismatch("a path"))
    }

    fn to_toml(&self) -> Option<String> {
        Some(toml_string(&self.to_string_lossy()))
    }
}

impl Value for Secret {
    const SECRET: bool = true;

    fn kind() -> String {
        "secret".into()
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        raw.text()
            .map(Self::new)
            .ok_or_else(|| format!("expected a string, found {}", raw.type_name()))
    }

    fn to_toml(&self) -> Option<String> {
        Some(toml_string(HIDDEN))
    }
}

impl Value for Duration {
    fn kind() -> String {
        "duration".into()
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        raw.text()
            .and_then(|text| humantime::parse_duration(text).ok())
            .ok_or_else(|| raw.mismatch(r#"a duration with its unit, such as "500ms" or "5m""#))
    }

    fn to_toml(&self) -> Option<String> {
        Some(toml_string(&humantime::format_duration(*self).to_string()))
    }
}

impl Value for ByteSize {
    fn kind() -> String {
        "size".into()
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Integer(bytes) => u64::try_from(*bytes).ok().map(Self::b),
            _ => raw.text().and_then(|text| text.trim().parse().ok()),
        }
        .ok_or_else(|| raw.mismatch(r#"a size, such as "4 MiB" or "512 KiB""#))
    }

    /// The largest unit that keeps the value whole: `ByteSize`'s own text is rounded.
    fn to_toml(&self) -> Option<String> {
        const UNITS: [(u64, &str); 4] = [
            (1 << 40, "TiB"),
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
        ];
        let bytes = self.as_u64();
        let text = UNITS
            .iter()
            .find(|(unit, _)| bytes != 0 && bytes.is_multiple_of(*unit))
            .map_or_else(
                || format!("{bytes} B"),
                |(unit, name)| format!("{} {name}", bytes / unit),
            );
        Some(toml_string(&text))
    }
}

impl<T: Value> Value for Option<T> {
    const OPTIONAL: bool = true;
    const SECRET: bool = T::SECRET;

    fn kind() -> String {
        T::kind()
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        T::read(raw).map(Some)
    }

    fn to_toml(&self) -> Option<String> {
        self.as_ref().and_then(T::to_toml)
    }
}

impl<T: Element> Value for Vec<T> {
    fn kind() -> String {
        format!("list of {}", T::KIND)
    }

    fn read(raw: &Raw) -> Result<Self, String> {
        let parse = |item: &Raw| match item.text() {
            Some(text) => T::parse(text.trim()),
            None => Err(item.mismatch("a list of strings")),
        };
        let read: Vec<Result<T, String>> = match raw {
            Raw::Text(text) if text.trim().is_empty() => Vec::new(),
            Raw::Text(text) => text.split(',').map(|item| T::parse(item.trim())).collect(),
            Raw::List(items) => items.iter().map(parse).collect(),
            _ => return Err(raw.mismatch(&format!("a list of {}", T::KIND))),
        };
        let (good, bad): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
        if bad.is_empty() {
            return Ok(good.into_iter().flatten().collect());
        }
        let messages: Vec<String> = bad.into_iter().filter_map(Result::err).collect();
        Err(messages.join("; "))
    }

    fn to_toml(&self) -> Option<String> {
        let items: Vec<String> = self.iter().map(|item| toml_string(&item.text())).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

/// A type that a list holds, written as a string.
pub(crate) trait Element: Sized {
    /// Names the type in the reference, after "list of".
    const KIND: &'static str;

    /// Reads one element, or says what is wrong with it and how to write it.
    fn parse(text: &str) -> Result<Self, String>;

    /// The element as it is written in a file.
    fn text(&self) -> String;
}

/// Declares an enum whose variants are words of the configuration; one is marked `#[default]`.
macro_rules! choice {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $( $(#[$doc:meta])* $variant:ident = $word:literal, )*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$doc])* $variant, )*
        }

        impl $name {
            const ALL: &'static [(&'static str, Self)] = &[$( ($word, Self::$variant) ),*];

            /// The word of the configuration file.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }

        impl $crate::value::Value for $name {
            fn kind() -> String {
                [$( concat!("\"", $word, "\"") ),*].join(" or ")
            }

            fn read(raw: &$crate::value::Raw) -> Result<Self, String> {
                let given = <String as $crate::value::Value>::read(raw).ok();
                Self::ALL
                    .iter()
                    .find(|(word, _)| given.as_deref() == Some(word))
                    .map(|(_, choice)| *choice)
                    .ok_or_else(|| {
                        raw.mismatch(&[$( concat!("\"", $word, "\"") ),*].join(" or "))
                    })
            }

            fn to_toml(&self) -> Option<String> {
                Some($crate::value::toml_string(self.as_str()))
            }
        }
    };
}
pub(crate) use choice;
