//! Takes typed values out of the layers, and remembers where each came from.
//!
//! [`crate::schema::Table::read`] calls it for every key. A refused value becomes a fault and the
//! reading goes on with a stand-in, so the settings it yields are good only if there are no faults.

use std::collections::BTreeMap;

use crate::document::parse_literal;
use crate::faults::{Fault, Source};
use crate::layers::{Given, Layers};
use crate::schema::{Rule, join};
use crate::secret::HIDDEN;
use crate::value::{Value, toml_string};

/// Reads settings out of layers.
pub(crate) struct Reader<'a> {
    layers: &'a Layers,
    /// What was refused so far.
    pub(crate) faults: Vec<Fault>,
    /// Every key read, in order, with its value as TOML (secrets hidden; `None`: absent).
    pub(crate) values: Vec<(String, Option<String>)>,
    /// The layer that gave each key.
    pub(crate) origins: BTreeMap<String, Source>,
}

impl<'a> Reader<'a> {
    /// A reader that has read nothing; `faults` are those of the layers.
    pub(crate) fn new(layers: &'a Layers, faults: Vec<Fault>) -> Self {
        Self {
            layers,
            faults,
            values: Vec::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Reads one key: the highest layer wins, but a bad value in any layer is a fault.
    pub(crate) fn key<T: Value + 'static>(
        &mut self,
        path: &str,
        name: &str,
        default: Option<&str>,
        rule: &Rule<T>,
    ) -> T {
        let key = join(path, name);
        let mut source = Source::Default;
        let mut value = None;
        // Keys in lists are not in the default layer, which has no list element to hold them.
        let literal = default.and_then(parse_literal).map(Given::by_default);
        let given = self.layers.values(&key);
        for layer in literal.iter().filter(|_| given.is_empty()).chain(given) {
            match rule.read(&layer.raw) {
                Ok(good) => (value, source) = (Some(good), layer.source.clone()),
                Err(message) => self.fault(layer.source.clone(), &key, message),
            }
        }
        let is_missing = value.is_none() && !T::OPTIONAL && self.is_sound(&[&key]);
        if is_missing && !self.layers.incomplete {
            self.fault(
                self.table_source(path),
                &key,
                "is missing: give it a value".to_owned(),
            );
        }
        let value = value.unwrap_or_default();
        let shown = value.to_toml();
        let shown = if T::SECRET {
            shown.map(|_| toml_string(HIDDEN))
        } else {
            shown
        };
        self.values.push((key.clone(), shown));
        self.origins.insert(key, source);
        value
    }

    /// The names of the tables that users named under `path`.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        self.layers.names(path)
    }

    /// The length of the array of tables at `path`.
    pub(crate) fn length(&self, path: &str) -> usize {
        self.layers.length(path)
    }

    /// The layer that first named a table.
    fn table_source(&self, path: &str) -> Source {
        self.layers.table_source(path)
    }

    /// Whether all these keys were read without a fault, so that a rule may compare them.
    pub(crate) fn is_sound(&self, keys: &[&str]) -> bool {
        self.faults
            .iter()
            .all(|fault| !keys.contains(&fault.key.as_str()))
    }

    /// The layer that gave a key or named a table.
    pub(crate) fn source(&self, key: &str) -> Source {
        self.origins
            .get(key)
            .cloned()
            .unwrap_or_else(|| self.table_source(key))
    }

    /// Records a fault.
    pub(crate) fn fault(&mut self, source: Source, key: &str, message: String) {
        self.faults.push(Fault {
            source,
            key: key.to_owned(),
            message,
        });
    }
}
