//! A TOML text: its values without a type, its lines, and where its syntax is bad.
//!
//! The layers walk the tables of a file with these. Nothing here knows which keys exist.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use crate::faults::Source;
use crate::value::Raw;

/// Parses the TOML literal of a default.
pub(crate) fn parse_literal(text: &str) -> Option<Raw> {
    DeValue::parse(text)
        .ok()
        .map(|value| raw_of(value.get_ref()))
}

/// The value of a key, without a type yet.
pub(crate) fn raw_of(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("an integer past 64 bits"), Raw::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or(Raw::Other("a float"), Raw::Float),
        DeValue::Boolean(truth) => Raw::Boolean(*truth),
        DeValue::Array(items) => {
            Raw::List(items.iter().map(|item| raw_of(item.get_ref())).collect())
        }
        DeValue::Datetime(_) | DeValue::Table(_) => Raw::Other(type_of(value)),
    }
}

/// Names the type of a value.
pub(crate) fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A TOML text while its tables are walked.
pub(crate) struct Document<'a> {
    /// The place of an offset.
    pub(crate) source: &'a dyn Fn(usize) -> Source,
    /// The lines with bad syntax, and where in them.
    pub(crate) broken: BTreeMap<Source, usize>,
}

impl Document<'_> {
    /// Whether a value is what the parser made of bad syntax: not worth a second fault.
    pub(crate) fn is_guess(&self, at: &Source, value: &Spanned<DeValue<'_>>) -> bool {
        self.broken.contains_key(at)
            || self
                .broken
                .values()
                .any(|offset| value.span().contains(offset))
    }
}

/// Where the lines of a file begin, so that each value's line is found in logarithmic time.
pub(crate) struct LineStarts(Vec<usize>);

impl LineStarts {
    /// Finds the lines.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let breaks = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Self(
            std::iter::once(0)
                .chain(breaks.map(|(index, _)| index + 1))
                .collect(),
        )
    }

    /// The line of an offset, counted from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}
