//! The layers of a configuration, lowest first, as untyped values by key.
//!
//! [`crate::loader::Loader`] adds the embedded defaults, the file, the environment and the flags;
//! the reader takes the values out. Each layer is checked here for syntax and for keys that do not
//! exist. Types and rules are the reader's. Nothing here may quote a value: it may be a secret.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::conditions::{is_name, name_fault};
use crate::document::{Document, LineStarts, raw_of, type_of};
use crate::faults::{Fault, Source};
use crate::keys::{ENVIRONMENT_PREFIX, Keys, Place, environment_name, flag_name};
use crate::schema::join;
use crate::value::Raw;

/// A value and the layer that gave it.
pub(crate) struct Given {
    pub(crate) source: Source,
    pub(crate) raw: Raw,
}

impl Given {
    pub(crate) fn by_default(raw: Raw) -> Self {
        Self {
            source: Source::Default,
            raw,
        }
    }
}

/// What all layers gave, and what is wrong with their form.
pub(crate) struct Layers {
    keys: Keys,
    values: BTreeMap<String, Vec<Given>>,
    /// The tables of users' own (`tiers.pro`, `auth.issuers[0]`), with the layer that named them.
    tables: BTreeMap<String, Source>,
    /// Unknown keys, bad syntax and the like.
    pub(crate) faults: Vec<Fault>,
    /// Whether a file could not be parsed in full: what seems to be missing may stand in it.
    pub(crate) incomplete: bool,
}

impl Layers {
    /// No layers yet, over the keys that exist.
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            keys,
            values: BTreeMap::new(),
            tables: BTreeMap::new(),
            faults: Vec::new(),
            incomplete: false,
        }
    }

    /// Adds the embedded defaults.
    pub(crate) fn add_defaults(&mut self, text: &str) {
        self.add_toml(text, |_| Source::Default);
    }

    /// Adds the bytes of a configuration file.
    pub(crate) fn add_file(&mut self, path: &Path, bytes: &[u8]) {
        let lines = LineStarts::new(bytes);
        let source = |offset| Source::File {
            path: path.to_owned(),
            line: Some(lines.line_of(offset)),
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => self.add_toml(text, source),
            Err(err) => {
                self.incomplete = true;
                self.fault(
                    source(err.valid_up_to()),
                    "",
                    "is not UTF-8 from here on: save it as UTF-8".to_owned(),
                );
            }
        }
    }

    /// Adds environment variables; those without the prefix are other programs'.
    pub(crate) fn add_environment(&mut self, variables: &[(OsString, OsString)]) {
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else {
                continue;
            };
            if rest == "CONFIG" || is_service_link(rest, value) {
                continue;
            }
            let source = Source::Environment {
                name: name.to_string(),
            };
            let Some(key) = self.keys.key_of_environment(rest) else {
                let wrong = rest.to_lowercase().replace("__", ".");
                let message = self.unknown("variable", &wrong, false, environment_name);
                self.fault(source, "", message);
                continue;
            };
            match value.to_str() {
                Some(text) => self.give(&key, source, Raw::Text(text.to_owned())),
                None => self.fault(
                    source,
                    &key,
                    "is not UTF-8: set it to plain text".to_owned(),
                ),
            }
        }
    }

    /// Adds flags, as keys and values.
    pub(crate) fn add_flags(&mut self, flags: &[(String, String)]) {
        for (key, value) in flags {
            let source = Source::Flag {
                name: flag_name(key),
            };
            if self.keys.is_settable(key) {
                self.give(key, source, Raw::Text(value.clone()));
            } else {
                let message = self.unknown("key", key, false, str::to_owned);
                self.fault(source, key, message);
            }
        }
    }

    /// What the layers gave for a key, lowest first.
    pub(crate) fn values(&self, key: &str) -> &[Given] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// The names of the tables that users named under `path`.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let prefix = join(path, "");
        self.tables
            .keys()
            .filter_map(|table| table.strip_prefix(&prefix))
            .map(Into::into)
            .collect()
    }

    /// The length of the array of tables at `path`.
    pub(crate) fn length(&self, path: &str) -> usize {
        let prefix = format!("{path}[");
        self.tables
            .keys()
            .filter(|table| table.starts_with(&prefix))
            .count()
    }

    /// The layer that first named a table.
    pub(crate) fn table_source(&self, path: &str) -> Source {
        self.tables.get(path).cloned().unwrap_or(Source::Default)
    }

    fn add_toml(&mut self, text: &str, source: impl Fn(usize) -> Source) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document = Document {
            source: &source,
            broken: BTreeMap::new(),
        };
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            let source = source(offset);
            // The first fault of a line often leads to the others.
            if document.broken.insert(source.clone(), offset).is_none() {
                self.fault(
                    source,
                    "",
                    format!("not TOML: {}", one_line(error.message())),
                );
            }
        }
        self.incomplete |= !document.broken.is_empty();
        self.walk(table.get_ref(), "", "", &document);
    }

    /// Files the values of a table under their keys.
    ///
    /// `path` is the table's own path, `pattern` the same with [`crate::schema::NAME`] and `[]` in
    /// place of names and indices.
    fn walk(&mut self, table: &DeTable<'_>, path: &str, pattern: &str, document: &Document<'_>) {
        for (name, value) in table {
            let at = (document.source)(name.span().start);
            if document.is_guess(&at, value) {
                continue;
            }
            let name = name.get_ref().as_ref();
            let key = join(path, name);
            match self.keys.place(pattern, name) {
                Place::Key => {
                    let raw = raw_of(value.get_ref());
                    self.values
                        .entry(key)
                        .or_default()
                        .push(Given { source: at, raw });
                }
                Place::Table(pattern) => match value.get_ref() {
                    DeValue::Table(table) => {
                        if self.enter(&key, &pattern, &at) {
                            self.walk(table, &key, &pattern, document);
                        }
                    }
                    other => {
                        let message = format!(
                            "expected a table, found {}: write [{key}] and its keys below",
                            type_of(other)
                        );
                        self.fault(at, &key, message);
                    }
                },
                Place::List(pattern) => self.walk_list(value, &key, &pattern, document),
                Place::Unknown => {
                    let message = self.unknown("key", &key, true, str::to_owned);
                    self.fault(at, &key, message);
                }
            }
        }
    }

    fn walk_list(
        &mut self,
        list: &Spanned<DeValue<'_>>,
        key: &str,
        pattern: &str,
        document: &Document<'_>,
    ) {
        let at = (document.source)(list.span().start);
        let DeValue::Array(items) = list.get_ref() else {
            let message = format!(
                "expected a list of tables, found {}: write [[{key}]] and its keys below",
                type_of(list.get_ref())
            );
            return self.fault(at, key, message);
        };
        for (index, item) in items.iter().enumerate() {
            let key = format!("{key}[{index}]");
            let at = (document.source)(item.span().start);
            match item.get_ref() {
                DeValue::Table(table) => {
                    self.tables.insert(key.clone(), at);
                    self.walk(table, &key, pattern, document);
                }
                other => {
                    let message = format!("expected a table, found {}", type_of(other));
                    self.fault(at, &key, message);
                }
            }
        }
    }

    /// Adds a value of the environment or of a flag.
    fn give(&mut self, key: &str, source: Source, raw: Raw) {
        if let Some((table, pattern)) = self.keys.named_table_of(key)
            && !self.enter(&table, &pattern, &source)
        {
            return;
        }
        self.values
            .entry(key.to_owned())
            .or_default()
            .push(Given { source, raw });
    }

    /// Notes a table that a layer names; false, with a fault, if its name is not allowed.
    fn enter(&mut self, path: &str, pattern: &str, source: &Source) -> bool {
        let Some(parent) = pattern.strip_suffix(crate::schema::NAME) else {
            return true;
        };
        let name = path.get(parent.len()..).unwrap_or_default();
        if is_name(name) {
            self.tables
                .entry(path.to_owned())
                .or_insert_with(|| source.clone());
            return true;
        }
        self.fault(source.clone(), path, name_fault(name));
        false
    }

    /// What to do about a name that is no key's; `spell` writes a key as this layer does.
    fn unknown(
        &self,
        sort: &str,
        key: &str,
        in_file: bool,
        spell: impl Fn(&str) -> String,
    ) -> String {
        if self.keys.is_table(key) {
            return "is a table of keys: set them one by one, or write the table in a file".into();
        }
        match self.keys.nearest(key, &self.tables, in_file) {
            Some(nearest) => format!("unknown {sort}: did you mean {}?", spell(&nearest)),
            None => format!("unknown {sort}: remove it, or see the list in docs/configuration.md"),
        }
    }

    fn fault(&mut self, source: Source, key: &str, message: String) {
        // Keys and messages hold outside text, and a fault is one line.
        let key = shorten(key);
        self.faults.push(Fault {
            source,
            key: key.escape_debug().to_string(),
            message,
        });
    }
}

/// Whether a variable describes a service called `dormouse`, which Kubernetes puts into the
/// environment of every container beside it: `DORMOUSE_SERVICE_HOST`, `DORMOUSE_PORT=tcp://…`,
/// `DORMOUSE_PORT_8787_TCP_ADDR`. They are not settings.
fn is_service_link(rest: &str, value: &OsStr) -> bool {
    let named = format!("_{rest}");
    let value = value.to_string_lossy();
    let is_url = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let is_of_port = named.rsplit_once("_PORT_").is_some_and(|(_, part)| {
        let protocol = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        protocol != part
            && ["_TCP", "_UDP", "_SCTP"]
                .iter()
                .any(|start| protocol.starts_with(start))
    });
    named.ends_with("_SERVICE_HOST")
        || named.ends_with("_SERVICE_PORT")
        || named.contains("_SERVICE_PORT_")
        || (named.ends_with("_PORT") && is_url)
        || is_of_port
}

fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains('\n') {
        Cow::Owned(text.replace('\n', ", "))
    } else {
        Cow::Borrowed(text)
    }
}

fn shorten(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests;
