//! The keys that exist, their other spellings, and the nearest to a wrong one.
//!
//! Used by the layers to tell known keys from unknown ones, and by the reference. The spellings of
//! a key in the environment and as a flag follow from it by rule; no list of them is kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::faults::Source;
use crate::schema::{NAME, Table, TableSpec, join};
use crate::settings::Settings;

/// What the names of all environment variables begin with.
pub(crate) const ENVIRONMENT_PREFIX: &str = "DORMOUSE_";

/// The variable of a key: `shard.ping_interval` is `DORMOUSE_SHARD__PING_INTERVAL`.
pub(crate) fn environment_name(key: &str) -> String {
    format!(
        "{ENVIRONMENT_PREFIX}{}",
        key.replace('.', "__").to_uppercase()
    )
}

/// The flag of a key: two have one of their own, the others are set as in
/// `--set shard.ping_interval=20s`.
pub(crate) fn flag_name(key: &str) -> String {
    match key {
        "listen" | "data_dir" => format!("--{}", key.replace('_', "-")),
        _ => format!("--set {key}"),
    }
}

/// Whether a key can be set only in a file, because it lies in a list of tables.
pub(crate) fn is_file_only(pattern: &str) -> bool {
    pattern.contains("[]")
}

/// What a name in a table of a file is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Key,
    /// A table, with its pattern.
    Table(String),
    /// An array of tables, with the pattern of its items.
    List(String),
    Unknown,
}

/// All keys, as patterns such as `shard.ping_interval` and `tiers.<name>.max_shards`.
#[derive(Debug)]
pub(crate) struct Keys {
    patterns: BTreeSet<String>,
    tables: BTreeSet<String>,
}

impl Keys {
    /// The keys of [`Settings`].
    pub(crate) fn of_settings() -> Self {
        let tables = Settings::tables("");
        let in_table = |table: &TableSpec| -> Vec<String> {
            table
                .keys
                .iter()
                .map(|key| join(&table.path, key.name))
                .collect()
        };
        Self {
            patterns: tables.iter().flat_map(in_table).collect(),
            tables: tables.into_iter().map(|table| table.path).collect(),
        }
    }

    /// What `name` is in the table of this pattern.
    pub(crate) fn place(&self, table: &str, name: &str) -> Place {
        let named = join(table, NAME);
        if self.tables.contains(&named) {
            return Place::Table(named);
        }
        // A quoted key may hold dots, brackets and the rest: it must not pass for a path.
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        {
            return Place::Unknown;
        }
        let key = join(table, name);
        let list = format!("{key}[]");
        if self.patterns.contains(&key) {
            Place::Key
        } else if self.tables.contains(&list) {
            Place::List(list)
        } else if self.tables.contains(&key) || self.tables.contains(&join(&key, NAME)) {
            Place::Table(key)
        } else {
            Place::Unknown
        }
    }

    /// The key of a variable, given without the prefix.
    pub(crate) fn key_of_environment(&self, rest: &str) -> Option<String> {
        if rest.contains(|letter: char| letter.is_lowercase()) {
            return None;
        }
        let rest = rest.to_lowercase();
        self.settable().find_map(|pattern| {
            let name = match_pattern(&pattern.replace('.', "__"), &rest)?;
            Some(pattern.replace(NAME, name))
        })
    }

    /// Whether a key exists that the environment and flags may set.
    pub(crate) fn is_settable(&self, key: &str) -> bool {
        self.settable()
            .any(|pattern| match_pattern(pattern, key).is_some())
    }

    /// The path and pattern of the table with a name of the user's own that holds a key.
    pub(crate) fn named_table_of(&self, key: &str) -> Option<(String, String)> {
        self.settable()
            .filter(|pattern| pattern.contains(NAME))
            .find_map(|pattern| {
                let name = match_pattern(pattern, key)?;
                let (table, _) = pattern.rsplit_once('.')?;
                Some((table.replace(NAME, name), table.to_owned()))
            })
    }

    fn settable(&self) -> impl Iterator<Item = &String> {
        self.patterns
            .iter()
            .filter(|pattern| !is_file_only(pattern))
    }

    /// Whether this is a table, or a list of them, instead of a key.
    pub(crate) fn is_table(&self, key: &str) -> bool {
        [key.to_owned(), join(key, NAME), format!("{key}[]")]
            .iter()
            .any(|table| !key.is_empty() && self.tables.contains(table))
    }

    /// The known key nearest to a wrong one, if one is near: of like spelling, or of the same name
    /// in another table. `named` are the tables with names of users' own; keys that only a file can
    /// set are found `in_file` alone.
    pub(crate) fn nearest(
        &self,
        wrong: &str,
        named: &BTreeMap<String, Source>,
        in_file: bool,
    ) -> Option<String> {
        // Comparing takes time in the product of both lengths, and no key is this long.
        if wrong.len() > 100 {
            return None;
        }
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let wrong_name = last(wrong);
        self.patterns
            .iter()
            .filter(|pattern| in_file || !is_file_only(pattern))
            .flat_map(|pattern| instances(pattern, named))
            .filter_map(|key| {
                let whole = strsim::damerau_levenshtein(wrong, &key);
                let name = strsim::damerau_levenshtein(&wrong_name, &last(&key));
                let far_whole = whole > 1 + wrong.len() / 4;
                let far_name = name > wrong_name.len() / 5;
                match (far_whole, far_name) {
                    (true, true) => None,
                    (false, _) => Some((whole, key)),
                    // Right name, wrong table: behind every key that is alike as a whole.
                    (true, false) => Some((100 + 10 * name + whole, key)),
                }
            })
            .min()
            .map(|(_, key)| key)
    }
}

/// The keys that a pattern stands for, given the tables that exist.
fn instances(pattern: &str, named: &BTreeMap<String, Source>) -> Vec<String> {
    let Some((before, after)) = pattern.split_once(NAME) else {
        return vec![pattern.to_owned()];
    };
    named
        .keys()
        .filter(|table| table.starts_with(before))
        .map(|table| format!("{table}{after}"))
        .collect()
}

/// Matches a key with a pattern: the part in the place of [`NAME`], or nothing where it has none.
fn match_pattern<'a>(pattern: &str, key: &'a str) -> Option<&'a str> {
    match pattern.split_once(NAME) {
        None => (pattern == key).then_some(""),
        Some((before, after)) => key
            .strip_prefix(before)?
            .strip_suffix(after)
            .filter(|name| !name.is_empty() && !name.contains('.')),
    }
}
