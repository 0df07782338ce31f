use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::loader::Loader;
use crate::testing::{SECRET, assert_fault, fault, faults, from_all, from_env, from_file};

#[test]
fn unknown_keys_are_faults_with_the_nearest_key() {
    let cases = [
        ("lisen = []", "lisen: unknown key: did you mean listen?"),
        (
            "[shard]\nping_intervall = 1",
            "did you mean shard.ping_interval?",
        ),
        (
            "[shard]\nhibernate-after = 1",
            "did you mean shard.hibernate_after?",
        ),
        ("[shrad]\nping_interval = 1", "shrad: unknown key"),
        ("hibernate_after = 1", "did you mean shard.hibernate_after?"),
        ("secret = 1", "did you mean auth.secret?"),
        ("[limits]\nkeep_alive = 1", "did you mean http.keep_alive?"),
        (
            "[tiers.pro]\nmax_shard = 1",
            "did you mean tiers.pro.max_shards?",
        ),
        (
            "[[auth.issuers]]\nname = 'a'\njwks_file = 'j'\naudence = 1",
            "auth.issuers[].audience?",
        ),
        ("\"shard.ping_interval\" = 1", "unknown key"),
        ("\"\" = 1", "unknown key"),
        (
            "favourite_colour = 1",
            "favourite_colour: unknown key: remove it",
        ),
    ];
    for (text, part) in cases {
        assert_fault(from_file(text), &["file test.toml (line ", part]);
    }
}

#[test]
fn odd_keys_stay_on_one_short_line() {
    let text = format!("\"{}\\n{}\" = 1", "a", "k".repeat(10_000));
    let line = fault(from_file(&text));
    assert!(line.len() < 300 && line.contains("a\\nkkk"), "{line}");
}

#[test]
fn tables_and_keys_are_not_mixed_up() {
    let cases = [
        (
            "shard = 1",
            "shard: expected a table, found an integer: write [shard]",
        ),
        ("tiers = []", "tiers: expected a table, found a list"),
        (
            "tiers.pro = 1",
            "tiers.pro: expected a table, found an integer: write [tiers.pro]",
        ),
        (
            "auth.issuers = 1",
            "expected a list of tables, found an integer: write [[auth.issuers]]",
        ),
        (
            "[auth.issuers]\nname = 'a'",
            "expected a list of tables, found a table",
        ),
        (
            "auth.issuers = ['a']",
            "auth.issuers[0]: expected a table, found a string",
        ),
    ];
    for (text, part) in cases {
        assert_fault(from_file(text), &["file test.toml (line 1): ", part]);
    }
    assert!(from_file("auth.issuers = []").is_ok());
}

#[test]
fn tier_names_are_checked_in_every_layer() {
    let long = "a".repeat(33);
    for name in ["Gold", "1st", "-a", "a b", "a.b", "é", &long, ""] {
        let text = format!("[tiers.\"{name}\"]\nmax_shards = 1");
        assert_fault(
            from_file(&text),
            &["is not allowed: use 1 to 32 of a-z, 0-9, _ and -"],
        );
    }
    assert_fault(
        from_env(&[("TIERS__1ST__MAX_SHARDS", "1")]),
        &["tiers.1st", "is not allowed"],
    );
    assert_fault(
        from_all(None, &[], &[("tiers.X.max_shards", "1")]),
        &["\"X\" is not allowed"],
    );
    let longest = format!("tiers.{}.max_shards = 1", "a".repeat(32));
    assert_eq!(
        faults(from_file(&longest)).len(),
        3,
        "the other three fields are missing"
    );
}

#[test]
fn unknown_variables_are_faults_with_the_nearest_name() {
    let cases = [
        ("LISTN", "did you mean DORMOUSE_LISTEN?"),
        (
            "SHARD_PING_INTERVAL",
            "did you mean DORMOUSE_SHARD__PING_INTERVAL?",
        ),
        ("AUTH_SECRET", "did you mean DORMOUSE_AUTH__SECRET?"),
        ("SECRET", "did you mean DORMOUSE_AUTH__SECRET?"),
        ("listen", "did you mean DORMOUSE_LISTEN?"),
        (
            "TIERS__PRO__MAX_SHARD",
            "did you mean DORMOUSE_TIERS__PRO__MAX_SHARDS?",
        ),
        ("TIERS____MAX_SHARDS", "unknown variable"),
        ("AUTH__ISSUERS", "is a table of keys"),
        ("AUTH__ISSUERS[0]__NAME", "unknown variable"),
        ("SHARD", "is a table of keys"),
        ("PORT", "unknown variable: remove it"),
        ("", "unknown variable"),
    ];
    for (name, part) in cases {
        let start = format!("environment DORMOUSE_{name}: ");
        assert_fault(from_env(&[(name, "9000")]), &[&start, part]);
    }
}

#[test]
fn suggestions_for_variables_and_flags_can_be_set_there() {
    for name in [
        "AUTH__ISSUERS__NAME",
        "JWKS_FILE",
        "PUBLIC_KEY_FILE",
        "USER_CLAIM",
    ] {
        let line = fault(from_env(&[(name, "x")]));
        assert!(!line.contains('['), "{line}");
    }
}

#[test]
fn unknown_flags_are_faults_with_the_nearest_key() {
    assert_fault(
        from_all(None, &[], &[("shard.idle_timout", "1s")]),
        &[
            "flag --set shard.idle_timout: ",
            "did you mean shard.idle_timeout?",
        ],
    );
    assert_fault(
        from_all(None, &[], &[("auth.issuers[0].name", "a")]),
        &["unknown key"],
    );
}

#[test]
fn variables_of_other_programs_and_of_kubernetes_are_passed_over() {
    let loaded = Loader::new()
        .environment([
            ("PATH", "/bin"),
            ("dormouse_listen", "nonsense"),
            ("DORMOUSE_SERVICE_HOST", "10.96.0.7"),
            ("DORMOUSE_SERVICE_PORT", "8787"),
            ("DORMOUSE_SERVICE_PORT_HTTP", "8787"),
            ("DORMOUSE_PORT", "tcp://10.96.0.7:8787"),
            ("DORMOUSE_PORT_8787_TCP", "tcp://10.96.0.7:8787"),
            ("DORMOUSE_PORT_8787_TCP_PROTO", "tcp"),
            ("DORMOUSE_PORT_8787_TCP_PORT", "8787"),
            ("DORMOUSE_PORT_8787_TCP_ADDR", "10.96.0.7"),
            ("DORMOUSE_ADMIN_SERVICE_HOST", "10.96.0.8"),
            ("DORMOUSE_ADMIN_PORT", "udp://10.96.0.8:1"),
        ])
        .load();
    assert!(loaded.is_ok(), "{loaded:?}");
}

#[test]
fn variables_that_are_not_utf_8_are_faults() {
    let odd = || OsString::from_vec(vec![b'a', 0xff]);
    let load = |name: OsString, value: OsString| Loader::new().environment([(name, value)]).load();
    assert_fault(
        load("DORMOUSE_AUTH__ISSUER".into(), odd()),
        &["environment DORMOUSE_AUTH__ISSUER: auth.issuer: is not UTF-8"],
    );
    let name = OsString::from_vec([b"DORMOUSE_LISTEN".as_slice(), &[0xff]].concat());
    assert_fault(load(name, "x".into()), &["did you mean DORMOUSE_LISTEN?"]);
}

#[test]
fn bad_syntax_is_reported_with_every_line() {
    let lines = faults(from_file(
        "workers = \n[shard]\nping_interval = \"2s\nlisten == 1\n",
    ));
    assert!(
        lines[0].starts_with("file test.toml (line 1): not TOML: "),
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(|line| line.contains("(line 3): not TOML")),
        "{lines:#?}"
    );
    assert!(faults(from_file("workers = 1\nworkers = 2"))[0].contains("(line 2): not TOML: dupl"));
}

#[test]
fn bad_syntax_does_not_hide_the_faults_of_other_lines() {
    let text =
        "workers = 999\nlog.level = \n[shard]\nping = 1\nidle_timeout = \"\nstore_cache = 1\n";
    let lines = faults(from_file(text));
    let parts = [
        "workers: 999",
        "not TOML",
        "unknown key",
        "not TOML",
        "shard.store_cache",
    ];
    assert_eq!(lines.len(), parts.len(), "{lines:#?}");
    for (line, part) in lines.iter().zip(parts) {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn bad_syntax_in_a_list_of_several_lines_is_one_fault() {
    let line = fault(from_file(
        "listen = [\n  \"127.0.0.1:1\",\n  :2,\n]\nworkers = 1\n",
    ));
    assert!(line.contains("(line 3): not TOML"), "{line}");
}

#[test]
fn bad_syntax_shows_nothing_of_the_line() {
    for text in [
        format!("[auth]\nsecret = \"{SECRET}"),
        format!("[auth]\nsecret = {SECRET}\n"),
        format!("[auth]\nsecret \"{SECRET}\"\n"),
        format!("[auth]\nsecret = [\"{SECRET}\n"),
        format!("[auth]\nsecret = \"{SECRET}\" {SECRET}\n"),
    ] {
        for line in faults(from_file(&text)) {
            assert!(!line.contains(SECRET) && !line.contains("01234"), "{line}");
        }
    }
}

#[test]
fn files_are_utf_8_with_or_without_a_mark() {
    assert_fault(
        from_all(Some(b"workers = 1\nlisten = \"\xff\""), &[], &[]),
        &["file test.toml (line 2): is not UTF-8 from here on"],
    );
    let loaded = from_file("\u{feff}workers = 3\r\n").unwrap();
    assert_eq!(loaded.settings.workers, 3);
    assert!(from_file("").is_ok());
}
