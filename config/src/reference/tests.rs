use std::path::Path;

use super::*;
use crate::loader::Loader;
use crate::testing::from_file;

#[test]
fn the_generated_files_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    assert!(
        page == reference_markdown(),
        "run: cargo run -p dormouse-config --example configuration_page > docs/configuration.md"
    );
    assert!(
        default_toml() == generate_default_toml(),
        "run: cargo run -p dormouse-config --example default_file > config/default.toml"
    );
}

#[test]
fn every_key_is_described() {
    for key in reference() {
        assert!(key.doc.ends_with('.'), "{} has no full sentence", key.key);
        assert!(!key.kind.is_empty());
        assert_eq!(
            key.env.is_none(),
            key.key.starts_with("auth.issuers[]."),
            "{}",
            key.key
        );
    }
}

#[test]
fn keys_are_spelled_by_rule() {
    let find = |name: &str| reference().into_iter().find(|key| key.key == name).unwrap();
    let key = find("shard.hibernate_after");
    assert_eq!(key.env.unwrap(), "DORMOUSE_SHARD__HIBERNATE_AFTER");
    assert_eq!(key.flag.unwrap(), "--set shard.hibernate_after");
    assert_eq!(
        (key.kind.as_str(), key.default.unwrap().as_str()),
        ("duration, 100ms to 1h", "\"10s\"")
    );
    assert_eq!(find("listen").env.unwrap(), "DORMOUSE_LISTEN");
    let tier = find("tiers.<name>.max_shards");
    assert_eq!(tier.env.unwrap(), "DORMOUSE_TIERS__<NAME>__MAX_SHARDS");
    assert_eq!(tier.default.unwrap(), "free: 1, pro: 2, enterprise: 4");
    let secret = find("auth.secret");
    assert_eq!((secret.flag, secret.default), (None, None));
    assert_eq!(secret.env.unwrap(), "DORMOUSE_AUTH__SECRET");
}

#[test]
fn the_keys_of_the_reference_are_those_that_are_read() {
    let loaded = Loader::new().load().unwrap();
    let documented: Vec<String> = reference()
        .into_iter()
        .filter(|key| key.env.is_some())
        .flat_map(|key| {
            let names: &[&str] = if key.key.contains(NAME) {
                &["free", "pro", "enterprise"]
            } else {
                &[""]
            };
            names
                .iter()
                .map(|name| key.key.replace(NAME, name))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(loaded.origins.len(), documented.len());
    assert!(
        documented
            .iter()
            .all(|key| loaded.origins.contains_key(key))
    );
}

#[test]
fn the_default_file_is_a_configuration_file() {
    assert!(from_file(default_toml()).is_ok());
    // Lists of tables have no defaults; their example names the same keys.
    let commented: String = default_toml()
        .lines()
        .skip_while(|line| *line != "#[[auth.issuers]]")
        .take_while(|line| *line != "[database]")
        .filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')))
        .map(|line| format!("{line}\n"))
        .collect();
    let lines = crate::testing::faults(from_file(&commented));
    assert!(
        lines.iter().all(|line| !line.contains("unknown key")),
        "{lines:#?}"
    );
}

#[test]
fn default_tiers_have_a_value_for_every_key() {
    let tables = Settings::tables("");
    let tiers = tables
        .iter()
        .find(|table| table.path == "tiers.<name>")
        .unwrap();
    assert!(
        DEFAULT_TIERS
            .iter()
            .all(|(_, values)| values.len() == tiers.keys.len())
    );
}
