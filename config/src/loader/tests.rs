use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::reference::reference;
use crate::testing::{SECRET, assert_fault, faults, from_all, from_env, from_file};

const KEY: &str = "shard.ping_interval";

/// Gives one key in the chosen layers, each with a value of its own, and returns what won.
fn winner(file: bool, variable: bool, flag: bool) -> (u64, String) {
    let file = file.then_some(b"shard.ping_interval = '21s'".as_slice());
    let variables = [("SHARD__PING_INTERVAL", "22s")];
    let flags = [(KEY, "23s")];
    let loaded = from_all(file, &variables[..variable.into()], &flags[..flag.into()]).unwrap();
    let source = loaded.origins[KEY].to_string();
    (loaded.settings.shard.ping_interval.as_secs(), source)
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let file = (21, "file test.toml (line 1)".to_owned());
    let variable = (22, "environment DORMOUSE_SHARD__PING_INTERVAL".to_owned());
    let flag = (23, "flag --set shard.ping_interval".to_owned());
    assert_eq!(winner(false, false, false), (30, "default".to_owned()));
    assert_eq!(winner(true, false, false), file);
    assert_eq!(winner(false, true, false), variable);
    assert_eq!(winner(false, false, true), flag);
    assert_eq!(winner(true, true, false), variable);
    assert_eq!(winner(true, false, true), flag);
    assert_eq!(winner(false, true, true), flag);
    assert_eq!(winner(true, true, true), flag);
}

#[test]
fn the_last_of_two_equal_flags_wins() {
    let loaded = from_all(None, &[], &[("workers", "1"), ("workers", "2")]).unwrap();
    assert_eq!(loaded.settings.workers, 2);
}

#[test]
fn lists_replace_and_are_not_joined() {
    let file = b"listen = ['127.0.0.1:1', '127.0.0.1:2']".as_slice();
    let loaded = from_all(Some(file), &[("LISTEN", "localhost:3 , [::1]:4")], &[]).unwrap();
    let ports: Vec<u16> = loaded
        .settings
        .listen
        .iter()
        .map(|address| address.port())
        .collect();
    assert_eq!(ports, [3, 4]);
}

#[test]
fn a_bad_value_is_a_fault_even_where_a_higher_layer_replaces_it() {
    let loaded = from_all(Some(b"workers = 999"), &[("WORKERS", "1")], &[]);
    assert_fault(
        loaded,
        &["file test.toml (line 1): workers: 999 is out of range: use 0 to 256"],
    );
}

#[test]
fn all_faults_are_reported_at_once() {
    let file = b"workers = 'many'\nlistn = []\nlisten = ['0.0.0.0:80']\n\
                 [shard]\nping_interval = '10m'\nidle_timeout = '1m'\n\
                 [tiers.gold]\nmax_shards = 0\n[http]\nbody = \n";
    // The file without its broken last line, then with it.
    let whole = file.strip_suffix(b"[http]\nbody = \n").unwrap();
    let variables = [
        ("LIMITS__OUTBOX", "1 KiB"),
        ("LOG_LEVEL", "info"),
        ("AUTH__ISSUER", ""),
    ];
    let flags = [("data_dir", ""), ("debug.ecko", "true")];
    let expected = [
        "file test.toml (line 1): workers: expected an integer",
        "file test.toml (line 2): listn: unknown key: did you mean listen?",
        "file test.toml (line 3): listen: other machines can reach 0.0.0.0:80",
        "file test.toml (line 6): shard.idle_timeout: idle_timeout (1m) must be longer",
        "file test.toml (line 7): tiers.gold.connections_per_shard: is missing",
        "file test.toml (line 7): tiers.gold.latency_p95: is missing",
        "file test.toml (line 7): tiers.gold.availability: is missing",
        "file test.toml (line 8): tiers.gold.max_shards: 0 is out of range: use 1 to 256",
        "environment DORMOUSE_AUTH__ISSUER: auth.issuer: is empty",
        "environment DORMOUSE_LIMITS__OUTBOX: limits.outbox: outbox (1 KiB) must be at",
        "environment DORMOUSE_LOG_LEVEL: unknown variable: did you mean DORMOUSE_LOG__LEVEL?",
        "flag --data-dir: data_dir: expected a path",
        "flag --set debug.ecko: debug.ecko: unknown key: did you mean debug.echo?",
    ];
    let lines = faults(from_all(Some(whole), &variables, &flags));
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "expected {start}\nfound    {line}");
    }

    let broken = faults(from_all(Some(file), &variables, &flags));
    assert!(
        broken
            .iter()
            .any(|line| line.contains("(line 10): not TOML")),
        "{broken:#?}"
    );
    for part in [
        "workers:",
        "listn:",
        "max_shards:",
        "auth.issuer:",
        "data_dir:",
        "debug.ecko:",
    ] {
        assert!(
            broken.iter().any(|line| line.contains(part)),
            "{part} is not in {broken:#?}"
        );
    }
}

#[test]
fn the_file_is_named_by_flag_or_variable() {
    let file = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    };
    let (one, two) = (file("workers = 1"), file("workers = 2"));
    let by_variable = || Loader::new().environment([(FILE_VARIABLE, one.path())]);
    let loaded = by_variable().load().unwrap();
    assert_eq!(loaded.settings.workers, 1);
    let source = Source::File {
        path: one.path().to_owned(),
        line: Some(1),
    };
    assert_eq!(loaded.origins["workers"], source);
    let loaded = by_variable().file(two.path().to_owned()).load().unwrap();
    assert_eq!(loaded.settings.workers, 2);
    assert_eq!(by_variable().file(None).load().unwrap().settings.workers, 1);
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    assert_fault(
        Loader::new().file(missing.clone()).load(),
        &[
            "flag --config: cannot read ",
            "none.toml",
            "name a file that can be read",
        ],
    );
    assert_fault(
        Loader::new()
            .environment([(FILE_VARIABLE, &missing)])
            .load(),
        &["environment DORMOUSE_CONFIG: cannot read "],
    );
    assert_fault(
        Loader::new().environment([(FILE_VARIABLE, "")]).load(),
        &["environment DORMOUSE_CONFIG: cannot read \"\""],
    );
    assert_fault(
        Loader::new().file(folder.path().to_owned()).load(),
        &["cannot read"],
    );
    let long = folder.path().join("long.toml");
    std::fs::write(&long, vec![b'\n'; (1 << 20) + 1]).unwrap();
    assert_fault(
        Loader::new().file(long.clone()).load(),
        &["longer than 1048576 bytes"],
    );
    std::fs::write(&long, vec![b'\n'; 1 << 20]).unwrap();
    assert!(Loader::new().file(long).load().is_ok());
}

const ISSUER: &str = "\
[[auth.issuers]]
name = 'partner'
algorithm = 'HS256'
secret = 'ssssssssssssssssssssssssssssssss'
[[auth.issuers]]
name = 'other'
jwks_file = 'keys.json'
";

#[test]
fn shown_defaults_are_a_configuration_of_the_same_settings() {
    let shown = Loader::new().load().unwrap().show();
    let again = from_file(&shown).unwrap();
    assert_eq!(
        format!("{:?}", again.settings),
        format!("{:?}", Settings::default())
    );
    assert!(shown.contains("listen = [\"127.0.0.1:8787\"] # default\n"));
    assert!(shown.contains("#auth.secret is not set # default\n"));
}

#[test]
fn shown_settings_are_toml_with_their_layers() {
    let variables = [
        ("SHARD__PING_INTERVAL", "1500ms"),
        ("LIMITS__MESSAGE", "1025 B"),
        ("AUTH__ISSUER", "a\"\\\n\u{7f}é"),
        ("HTTP__TRUSTED_PROXIES", "10.0.0.7,10.0.0.0/8"),
    ];
    let file = ISSUER.replace(
        "secret = 'ssssssssssssssssssssssssssssssss'",
        "public_key_file = 'k'",
    );
    let file = file.replace("HS256", "RS256");
    let loaded = from_all(Some(file.as_bytes()), &variables, &[]).unwrap();
    let shown = loaded.show();
    let again = from_file(&shown).unwrap();
    assert_eq!(
        format!("{:?}", again.settings),
        format!("{:?}", loaded.settings)
    );
    assert!(
        shown.contains("shard.ping_interval = \"1s 500ms\" # environment DORMOUSE_SHARD__PING_")
    );
    assert!(shown.contains("http.trusted_proxies = [\"10.0.0.7\", \"10.0.0.0/8\"] # env"));
    assert!(shown.contains("\n[[auth.issuers]]\nname = \"other\" # file test.toml (line 6)\n"));
}

#[test]
fn secrets_are_never_shown() {
    let variables = [
        ("AUTH__SECRET", SECRET),
        ("AUTH__INSECURE_TEST_TOKEN", "let-me-in"),
        ("ENVIRONMENT", "development"),
    ];
    let loaded = from_all(Some(ISSUER.as_bytes()), &variables, &[]).unwrap();
    let shown = loaded.show();
    assert!(shown.contains("auth.secret = \"(hidden)\" # environment DORMOUSE_AUTH__SECRET\n"));
    assert!(shown.contains("\nsecret = \"(hidden)\" # file test.toml (line 4)\n"));
    for text in [
        shown,
        format!("{loaded:?}"),
        format!("{:#?}", loaded.settings),
    ] {
        for secret in [SECRET, "let-me-in", "ssss"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

#[test]
fn faults_show_no_secrets() {
    let file = ISSUER.replace("ssssssssssssssssssssssssssssssss", "sssss");
    let file = format!("{file}public_key = 'sssss'\n");
    let variables = [("AUTH__SECRET", "hunter2"), ("AUTH__SECRETS", "hunter2")];
    let loaded = from_all(
        Some(file.as_bytes()),
        &variables,
        &[("auth.secrt", "hunter2")],
    );
    let lines = faults(loaded);
    assert!(lines.len() >= 5, "{lines:#?}");
    assert!(
        lines
            .iter()
            .all(|line| !line.contains("hunter2") && !line.contains("sssss"))
    );
    assert_fault(
        from_file("[auth]\nsecret = 987654321"),
        &["expected a string, found an integer"],
    );
}

/// Every outcome of outside data: settings, or faults of one line each.
fn check_outcome(outcome: Result<Loaded, ConfigError>) {
    match outcome {
        Ok(loaded) => assert!(loaded.show().starts_with("listen = [")),
        Err(err) => {
            assert!(!err.faults.is_empty());
            assert_eq!(err.to_string().lines().count(), err.faults.len(), "{err}");
        }
    }
}

fn any_key() -> impl Strategy<Value = String> {
    let keys: Vec<String> = reference()
        .into_iter()
        .map(|key| key.key.replace("<name>", "pro").replace("[]", "[0]"))
        .collect();
    prop_oneof![4 => prop::sample::select(keys), 1 => ".{0,20}"]
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "[0-9.eE+-]{0,30}( ?[a-zA-Zµ]{0,6})?",
        "[a-z:/.\\[\\]0-9,*@-]{0,40}",
        "([a-z_]{0,5}[=,\\[\\]{}\"/]{0,3}){0,6}",
    ]
}

proptest! {
    #[test]
    fn no_bytes_of_a_file_are_taken_badly(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_outcome(from_all(Some(&bytes), &[], &[]));
    }

    #[test]
    fn no_toml_is_taken_badly(text in "([a-z_.\\[\\]\"'={}, \n0-9#-]|\\[\\[|auth|tiers){0,60}") {
        check_outcome(from_file(&text));
    }

    #[test]
    fn no_value_of_a_key_is_taken_badly(
        lines in prop::collection::vec((any_key(), any_value(), any::<bool>()), 0..6)
    ) {
        let text: String = lines
            .iter()
            .map(|(key, value, is_quoted)| match is_quoted {
                true => format!("{key} = {}\n", crate::value::toml_string(value)),
                false => format!("{key} = {value}\n"),
            })
            .collect();
        check_outcome(from_file(&text));
    }

    #[test]
    fn no_variable_or_flag_is_taken_badly(
        pairs in prop::collection::vec((any_key(), any_value()), 0..6)
    ) {
        let names: Vec<String> =
            pairs.iter().map(|(key, _)| key.replace('.', "__").to_uppercase()).collect();
        let values = pairs.iter().map(|(_, value)| value.as_str());
        let variables: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(values.clone()).collect();
        let flags: Vec<(&str, &str)> =
            pairs.iter().map(|(key, _)| key.as_str()).zip(values).collect();
        check_outcome(from_all(None, &variables, &[]));
        check_outcome(from_all(None, &[], &flags));
    }

    /// Whatever else is wrong, a secret stays out of faults, settings and their display.
    #[test]
    fn no_secret_is_ever_printed(
        secret in "[!-~]{8,60}",
        rest in any_value(),
        (key, value) in (any_key(), any_value()),
    ) {
        prop_assume!(!rest.contains(&secret) && !value.contains(&secret));
        let quoted = crate::value::toml_string(&secret);
        let file = format!("[auth]\nsecret = {quoted}{rest}\n");
        let outcome = from_all(
            Some(file.as_bytes()),
            &[("AUTH__SECRET", &secret), ("AUTH__INSECURE_TEST_TOKEN", &secret)],
            &[(key.as_str(), value.as_str())],
        );
        let text = match outcome {
            Ok(loaded) => format!("{}{loaded:?}", loaded.show()),
            Err(err) => format!("{err}{err:?}"),
        };
        prop_assert!(!text.contains(&secret), "{text}");
    }

    #[test]
    fn shown_settings_load_again(
        ping in 1_u64..3600, extra in 0_u32..1_000_000_000, bytes in 1024_u64..1_048_576,
        issuer in "[^\0]{1,30}", availability in 1.0_f64..100.0,
    ) {
        let ping = std::time::Duration::new(ping, extra).min(std::time::Duration::from_secs(3600));
        let variables = [
            ("SHARD__PING_INTERVAL", humantime::format_duration(ping).to_string()),
            ("SHARD__IDLE_TIMEOUT", "2h".to_owned()),
            ("LIMITS__MESSAGE", bytes.to_string()),
            ("AUTH__ISSUER", issuer),
            ("TIERS__PRO__AVAILABILITY", availability.to_string()),
        ];
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let loaded = from_env(&variables).unwrap();
        prop_assert_eq!(loaded.settings.shard.ping_interval, ping);
        let again = from_file(&loaded.show()).unwrap();
        prop_assert_eq!(format!("{:?}", again.settings), format!("{:?}", loaded.settings));
    }
}
