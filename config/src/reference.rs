//! The reference of all keys: as data, as a page, and as the commented `default.toml`.
//!
//! Everything here is generated from the declarations in `settings.rs`. The examples of this
//! crate write the two files of the repository, and a test fails when either is out of date.

use crate::keys::{environment_name, flag_name, is_file_only};
use crate::schema::{KeySpec, NAME, Table, TableSpec, join};
use crate::settings::{DEFAULT_TIERS, Settings};

/// What a user of a key wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDoc {
    /// The key, such as `shard.ping_interval` or `tiers.<name>.max_shards`.
    pub key: String,
    /// Its environment variable; `None` for keys that only a file can set.
    pub env: Option<String>,
    /// Its flag, for the command line to be built from; `None` as for `env`, and for secrets,
    /// which a command line would show to every user of the machine.
    pub flag: Option<String>,
    /// Its type and the allowed values.
    pub kind: String,
    /// Its default in TOML; `None` where there is none.
    pub default: Option<String>,
    /// What it means, in lines of at most 100 columns.
    pub doc: String,
}

/// The embedded defaults: a commented file that also serves as the start of one's own.
#[must_use]
pub fn default_toml() -> &'static str {
    include_str!("../default.toml")
}

/// All keys, in the order of `default.toml`.
#[must_use]
pub fn reference() -> Vec<KeyDoc> {
    Settings::tables("").iter().flat_map(docs_of).collect()
}

fn docs_of(table: &TableSpec) -> Vec<KeyDoc> {
    let docs = table.keys.iter().enumerate().map(|(index, key)| {
        let path = join(&table.path, key.name);
        let default = match key.default {
            None if table.path.contains(NAME) => Some(tier_defaults(index)),
            default => default.map(Into::into),
        };
        let by_text = !is_file_only(&path);
        KeyDoc {
            env: by_text.then(|| environment_name(&path)),
            flag: (by_text && !key.is_secret).then(|| flag_name(&path)),
            kind: key.kind.clone(),
            default,
            doc: lines(&key.doc).join("\n"),
            key: path,
        }
    });
    docs.collect()
}

/// The values of one key of the default tiers, as words.
fn tier_defaults(index: usize) -> String {
    let values: Vec<String> = DEFAULT_TIERS
        .iter()
        .map(|(name, values)| format!("{name}: {}", values.get(index).unwrap_or(&"")))
        .collect();
    values.join(", ")
}

/// Doc lines without the blank that follows the slashes.
fn lines<'a>(doc: &[&'a str]) -> Vec<&'a str> {
    doc.iter()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect()
}

/// The reference as a page in Markdown.
#[must_use]
pub fn reference_markdown() -> String {
    let mut page = String::from(PAGE_INTRODUCTION);
    for table in Settings::tables("") {
        let title = match table.path.as_str() {
            "" => "Top level".to_owned(),
            path => match path.strip_suffix("[]") {
                Some(list) => format!("`[[{list}]]`"),
                None => format!("`[{path}]`"),
            },
        };
        page.push_str(&format!(
            "\n## {title}\n\n{}\n\n",
            lines(&table.doc).join("\n")
        ));
        page.push_str("| Key, variable | Type | Default | Meaning |\n| --- | --- | --- | --- |\n");
        for key in docs_of(&table) {
            let variable = key
                .env
                .map_or(String::new(), |name| format!("<br>`{name}`"));
            let default = key
                .default
                .map_or("none".to_owned(), |text| format!("`{text}`"));
            let doc = key.doc.replace('\n', " ");
            let row = [format!("`{}`{variable}", key.key), key.kind, default, doc];
            page.push_str(&format!(
                "| {} |\n",
                row.map(|cell| cell.replace('|', "\\|")).join(" | ")
            ));
        }
    }
    page
}

const PAGE_INTRODUCTION: &str = "\
# Configuration

<!-- Generated: cargo run -p dormouse-config --example configuration_page > docs/configuration.md -->

Dormouse starts with no configuration at all, for development on one machine. Settings come in
layers, the first of these that names a key winning:

1. flags (`dormouse --help`);
2. environment variables: `DORMOUSE_`, then the key in upper case with `__` for each dot, so that
   `shard.ping_interval` is `DORMOUSE_SHARD__PING_INTERVAL`;
3. the TOML file that `--config` or else `DORMOUSE_CONFIG` names;
4. the defaults, which stand in [`config/default.toml`](../config/default.toml).

A mistake stops the start, even in a value that a higher layer replaces: unknown keys and unknown
`DORMOUSE_` variables, wrong types, values out of range, and keys that contradict each other are
reported all at once, each with its place and its remedy. (Variables such as `DORMOUSE_SERVICE_HOST`
and `DORMOUSE_PORT=tcp://…`, which Kubernetes sets for a service named `dormouse`, are passed over.)

Durations are written with their units (`500ms`, `5s`, `1h 30m`, `30d`), sizes with theirs (`64 KiB`,
`4 MiB`; `KB` and `MB` are powers of 1000). In variables and flags, lists are separated by commas.
";

/// The text of `default.toml`, generated from the declarations of the settings.
#[must_use]
pub fn generate_default_toml() -> String {
    let mut file = String::from(FILE_INTRODUCTION);
    for table in Settings::tables("") {
        if !table.path.is_empty() {
            file.push('\n');
            comment(&mut file, &lines(&table.doc));
        }
        if let Some(parent) = table.path.strip_suffix(NAME) {
            add_default_tiers(&mut file, parent, &table);
            continue;
        }
        let list = table.path.strip_suffix("[]");
        match list {
            Some(list) => file.push_str(&format!("#[[{list}]]\n")),
            None if table.path.is_empty() => {}
            None => file.push_str(&format!("[{}]\n", table.path)),
        }
        for key in &table.keys {
            describe(&mut file, key);
            let off = if list.is_some() || key.default.is_none() {
                "#"
            } else {
                ""
            };
            file.push_str(&format!(
                "{off}{} = {}\n",
                key.name,
                key.default.unwrap_or("\"\"")
            ));
        }
    }
    file
}

/// Adds the tables of the default tiers, the keys of the first with their docs.
fn add_default_tiers(file: &mut String, parent: &str, table: &TableSpec) {
    for (index, (name, values)) in DEFAULT_TIERS.iter().enumerate() {
        if index > 0 {
            file.push('\n');
        }
        file.push_str(&format!("[{parent}{name}]\n"));
        for (key, value) in table.keys.iter().zip(values) {
            if index == 0 {
                describe(file, key);
            }
            file.push_str(&format!("{} = {value}\n", key.name));
        }
    }
}

fn describe(file: &mut String, key: &KeySpec) {
    file.push('\n');
    comment(file, &lines(&key.doc));
    comment(file, &[&format!("Type: {}.", key.kind)]);
}

const FILE_INTRODUCTION: &str = "\
# The settings of Dormouse, each with its meaning, its type and its default.
# Copy what you change into a file of your own, and name that with --config or DORMOUSE_CONFIG.
# Keys that have no default stand behind a # without a blank.
#
# Generated: cargo run -p dormouse-config --example default_file > config/default.toml
";

fn comment(file: &mut String, lines: &[&str]) {
    for line in lines {
        file.push_str(&format!("# {line}\n"));
    }
}

#[cfg(test)]
mod tests;
