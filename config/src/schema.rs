//! The shape of the settings: tables of keys, each with its doc, type, default and rule.
//!
//! [`settings!`] declares a table once; from that declaration come the Rust struct and its docs,
//! the reading of values, `default.toml` and the reference page, so that they cannot disagree.

use std::collections::BTreeMap;

use crate::reader::Reader;
use crate::value::{Raw, Value};

/// What is known of one key before any value is read.
#[derive(Debug)]
pub(crate) struct KeySpec {
    /// The key within its table.
    pub(crate) name: &'static str,
    /// The lines of its doc.
    pub(crate) doc: Vec<&'static str>,
    /// The default in TOML; `None`: absent, or required where the type is not optional.
    pub(crate) default: Option<&'static str>,
    /// The type and the allowed values.
    pub(crate) kind: String,
    /// Whether the value must never be printed.
    pub(crate) is_secret: bool,
}

/// What is known of one table.
#[derive(Debug)]
pub(crate) struct TableSpec {
    /// The path: empty for the top, `shard`, `tiers.<name>`, or `auth.issuers[]`.
    pub(crate) path: String,
    /// The lines of its doc.
    pub(crate) doc: Vec<&'static str>,
    /// The keys directly in it.
    pub(crate) keys: Vec<KeySpec>,
}

/// Stands in a path for the names that users choose.
pub(crate) const NAME: &str = "<name>";

/// Settings that fill a table, or a collection of tables.
pub(crate) trait Table: Sized {
    /// The table at `path` and those within it, in the order of their declaration.
    fn tables(path: &str) -> Vec<TableSpec>;

    /// Reads the table at `path`; faults are left with the reader.
    fn read(reader: &mut Reader<'_>, path: &str) -> Self;
}

/// Tables with names that users choose: `[tiers.<name>]`.
impl<T: Table> Table for BTreeMap<String, T> {
    fn tables(path: &str) -> Vec<TableSpec> {
        T::tables(&join(path, NAME))
    }

    fn read(reader: &mut Reader<'_>, path: &str) -> Self {
        let names = reader.names(path);
        names
            .into_iter()
            .map(|name| {
                let table = T::read(reader, &join(path, &name));
                (name, table)
            })
            .collect()
    }
}

/// An array of tables: `[[auth.issuers]]`.
impl<T: Table> Table for Vec<T> {
    fn tables(path: &str) -> Vec<TableSpec> {
        T::tables(&format!("{path}[]"))
    }

    fn read(reader: &mut Reader<'_>, path: &str) -> Self {
        let length = reader.length(path);
        (0..length)
            .map(|index| T::read(reader, &format!("{path}[{index}]")))
            .collect()
    }
}

/// Joins a table's path and a key.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Which values of a type a key takes; may also bring a value to its one form.
pub(crate) struct Rule<T> {
    /// The allowed values in words; empty where every value of the type is.
    text: String,
    /// Whether the words are a range, which helps with a value of the wrong form too.
    is_range: bool,
    check: Check<T>,
}

type Check<T> = Box<dyn Fn(T) -> Result<T, String>>;

impl<T: Value + 'static> Rule<T> {
    /// A rule with its words for the reference, and its check.
    pub(crate) fn new(
        text: impl Into<String>,
        check: impl Fn(T) -> Result<T, String> + 'static,
    ) -> Self {
        Self {
            text: text.into(),
            is_range: false,
            check: Box::new(check),
        }
    }

    /// The same rule, with words that are a range.
    pub(crate) fn of_range(self) -> Self {
        Self {
            is_range: true,
            ..self
        }
    }

    /// Every value of the type.
    pub(crate) fn any() -> Self {
        Self::new("", Ok)
    }

    /// Reads a value and brings it to its one form, or says why it is refused and what is taken.
    pub(crate) fn read(&self, raw: &Raw) -> Result<T, String> {
        match T::read(raw) {
            Ok(value) => (self.check)(value),
            Err(message) if self.is_range => Err(format!("{message} (use {})", self.text)),
            Err(message) => Err(message),
        }
    }

    /// The type and the allowed values, for the reference.
    pub(crate) fn kind(&self) -> String {
        if self.text.is_empty() {
            T::kind()
        } else {
            format!("{}, {}", T::kind(), self.text)
        }
    }
}

/// Declares a struct of settings: its keys, and after them the tables within it.
///
/// Defaults are TOML literals. A key without one is absent by default if its type is an `Option`,
/// and must be given otherwise.
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $type:ty $(= $default:tt)? $(, $rule:expr)?;
            )*
        }
        $( tables { $( $table:ident: $table_type:ty, )* } )?
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $key: $type, )*
            $($(
                #[doc = concat!("The table `", stringify!($table), "`.")]
                pub $table: $table_type,
            )*)?
        }

        impl $crate::schema::Table for $name {
            fn tables(path: &str) -> Vec<$crate::schema::TableSpec> {
                let keys = vec![$(
                    $crate::schema::KeySpec {
                        name: stringify!($key),
                        doc: vec![$( $doc ),*],
                        default: settings!(@default $($default)?),
                        kind: {
                            let rule: $crate::schema::Rule<$type> = settings!(@rule $($rule)?);
                            rule.kind()
                        },
                        is_secret: <$type as $crate::value::Value>::SECRET,
                    },
                )*];
                let own = $crate::schema::TableSpec {
                    path: path.to_owned(),
                    doc: vec![$( $about ),*],
                    keys,
                };
                let within: Vec<Vec<$crate::schema::TableSpec>> = vec![$($(
                    <$table_type as $crate::schema::Table>::tables(
                        &$crate::schema::join(path, stringify!($table)),
                    ),
                )*)?];
                std::iter::once(own).chain(within.into_iter().flatten()).collect()
            }

            fn read(reader: &mut $crate::reader::Reader<'_>, path: &str) -> Self {
                Self {
                    $(
                        $key: reader.key(
                            path,
                            stringify!($key),
                            settings!(@default $($default)?),
                            &settings!(@rule $($rule)?),
                        ),
                    )*
                    $($(
                        $table: $crate::schema::Table::read(
                            reader,
                            &$crate::schema::join(path, stringify!($table)),
                        ),
                    )*)?
                }
            }
        }
    };
    (@default) => { None };
    (@default $default:tt) => { Some(stringify!($default)) };
    (@rule) => { $crate::schema::Rule::any() };
    (@rule $rule:expr) => { $rule };
}
pub(crate) use settings;
