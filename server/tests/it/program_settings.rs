//! Where the program's settings come from, and what it says of those it cannot use.

use std::path::Path;

use crate::support::process::{Ended, dormouse, run, run_dormouse};

async fn run_with(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let mut command = dormouse(folder, arguments);
    command.envs(variables.iter().copied());
    run(command).await
}

fn folder_with(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dormouse.toml"), file).unwrap();
    folder
}

/// The line of one key in what `config show` printed.
fn shown<'a>(ended: &'a Ended, key: &str) -> &'a str {
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let mut lines = ended.stdout.lines();
    lines
        .find(|line| line.starts_with(&format!("{key} = ")))
        .unwrap_or_else(|| panic!("no {key} in {ended:?}"))
}

#[tokio::test]
async fn without_any_settings_it_has_good_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run_dormouse(folder.path(), &["config", "show"]).await;
    assert_eq!(
        shown(&ended, "listen"),
        r#"listen = ["127.0.0.1:8787"] # default"#
    );
    assert_eq!(
        shown(&ended, "data_dir"),
        r#"data_dir = "./data" # default"#
    );
    let ended = run_dormouse(folder.path(), &["config", "check"]).await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    // Looking makes nothing.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_default_file_is_a_file_to_start_from() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run_dormouse(folder.path(), &["config", "default"]).await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, dormouse_config::default_toml());
    std::fs::write(folder.path().join("mine.toml"), &ended.stdout).unwrap();
    let ended = run_dormouse(folder.path(), &["config", "check", "--config", "mine.toml"]).await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[tokio::test]
async fn flags_win_over_variables_over_the_file_over_defaults() {
    let file =
        "shutdown_timeout = \"1s\"\n[shard]\nhibernate_after = \"2s\"\nping_interval = \"3s\"\n";
    let folder = folder_with(file);
    let variables = [
        ("DORMOUSE_CONFIG", "dormouse.toml"),
        ("DORMOUSE_SHARD__HIBERNATE_AFTER", "20s"),
        ("DORMOUSE_SHARD__PING_INTERVAL", "30s"),
        ("DORMOUSE_LISTEN", "127.0.0.1:1,127.0.0.1:2"),
    ];
    let arguments = [
        "config",
        "show",
        "--set",
        "shard.ping_interval=40s",
        "--listen",
        "127.0.0.1:3",
        "--listen",
        "127.0.0.1:4",
        "--data-dir",
        "elsewhere",
    ];
    let ended = run_with(folder.path(), &variables, &arguments).await;
    for (key, value, source) in [
        ("workers", "0", "default"),
        ("shutdown_timeout", r#""1s""#, "file dormouse.toml (line 1)"),
        (
            "shard.hibernate_after",
            r#""20s""#,
            "environment DORMOUSE_SHARD__HIBERNATE_AFTER",
        ),
        (
            "shard.ping_interval",
            r#""40s""#,
            "flag --set shard.ping_interval",
        ),
        (
            "listen",
            r#"["127.0.0.1:3", "127.0.0.1:4"]"#,
            "flag --listen",
        ),
        ("data_dir", r#""elsewhere""#, "flag --data-dir"),
    ] {
        assert_eq!(shown(&ended, key), format!("{key} = {value} # {source}"));
    }
}

#[tokio::test]
async fn secrets_are_not_shown() {
    const SECRETS: [&str; 3] = [
        "the secret of the server, 32 bytes or more",
        "the secret of an issuer, 32 bytes or more",
        "the-token-of-tests",
    ];
    let folder = folder_with(&format!(
        "[[auth.issuers]]\nname = \"partner\"\nalgorithm = \"HS256\"\nsecret = \"{}\"\n",
        SECRETS[1]
    ));
    let variables = [
        ("DORMOUSE_AUTH__SECRET", SECRETS[0]),
        ("DORMOUSE_AUTH__INSECURE_TEST_TOKEN", SECRETS[2]),
        ("DORMOUSE_ENVIRONMENT", "development"),
    ];
    let arguments = ["config", "show", "--config", "dormouse.toml"];
    let ended = run_with(folder.path(), &variables, &arguments).await;
    assert!(
        shown(&ended, "auth.secret").contains("(hidden)"),
        "{ended:?}"
    );
    // With faults beside them, and as faults themselves.
    let bad = [
        ("DORMOUSE_AUTH__SECRET", "short-secret"),
        ("DORMOUSE_AUTH__INSECURE_TEST_TOKEN", SECRETS[2]),
        ("DORMOUSE_ENVIRONMENT", "production"),
        ("DORMOUSE_WORKERS", "many"),
    ];
    let faulty = run_with(folder.path(), &bad, &arguments).await;
    assert_eq!(faulty.status, Some(64), "{faulty:?}");
    for text in [&ended.stdout, &ended.stderr, &faulty.stdout, &faulty.stderr] {
        for secret in SECRETS.iter().chain(&["short-secret"]) {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let folder = folder_with("lissten = [\"127.0.0.1:1\"]\n[shard]\nhibernate_after = \"soon\"\n");
    let variables = [
        ("DORMOUSE_LISTN", "127.0.0.1:1"),
        ("DORMOUSE_WORKERS", "many"),
        ("DORMOUSE_ENVIRONMENT", "prod"),
    ];
    let arguments = [
        "--config",
        "dormouse.toml",
        "--set",
        "limits.backlog=0",
        "--set",
        "limits.mesage=1",
        "--listen",
        "not an address",
    ];
    let expected = [
        (
            "file dormouse.toml (line 1): lissten",
            "did you mean listen?",
        ),
        (
            "file dormouse.toml (line 3): shard.hibernate_after",
            "100ms to 1h",
        ),
        (
            "environment DORMOUSE_LISTN",
            "did you mean DORMOUSE_LISTEN?",
        ),
        ("environment DORMOUSE_WORKERS: workers", "0 to 256"),
        (
            "environment DORMOUSE_ENVIRONMENT: environment",
            "production",
        ),
        ("flag --set limits.backlog: limits.backlog", "1 to 65535"),
        (
            "flag --set limits.mesage: limits.mesage",
            "did you mean limits.message?",
        ),
        ("flag --listen: listen", "not an address"),
    ];
    // Whatever the command, it is the same settings that it cannot use.
    for command in [
        &[][..],
        &["serve"],
        &["config", "check"],
        &["config", "show"],
        &["health"],
    ] {
        let all = [command, &arguments].concat();
        let ended = run_with(folder.path(), &variables, &all).await;
        assert_eq!(ended.status, Some(64), "{command:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{command:?}");
        let told: Vec<&str> = ended.stderr.trim_end().lines().collect();
        assert_eq!(told.len(), expected.len(), "one line each: {ended:?}");
        for (place, remedy) in expected {
            let is_told = |line: &str| line.contains(place) && line.contains(remedy);
            assert!(told.iter().any(|line| is_told(line)), "{place}: {ended:?}");
        }
    }
    assert!(!folder.path().join("data").exists(), "nothing half-done");
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8787"] {
        let ended = run_dormouse(folder.path(), &["--listen", address]).await;
        assert_eq!(ended.status, Some(64), "{ended:?}");
        for needed in [
            address,
            "DORMOUSE_AUTH__SECRET",
            "openssl rand -hex 32",
            "127.0.0.1",
        ] {
            assert!(ended.stderr.contains(needed), "{needed}: {ended:?}");
        }
    }
    assert!(!folder.path().join("data").exists(), "nothing half-done");
    let secret = [(
        "DORMOUSE_AUTH__SECRET",
        "a secret of the operator, 32 bytes or more",
    )];
    let arguments = ["config", "check", "--listen", "0.0.0.0:8787"];
    let ended = run_with(folder.path(), &secret, &arguments).await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let production = ["--listen", "127.0.0.1:0", "--set", "environment=production"];
    let ended = run_dormouse(folder.path(), &production).await;
    assert_eq!(ended.status, Some(64), "{ended:?}");
    assert!(ended.stderr.contains("DORMOUSE_AUTH__SECRET"), "{ended:?}");
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_is_refused_with_usage() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["nonsense"][..],
        &["--nonsense"],
        &["config"],
        &["config", "nonsense"],
        &["token"],
        &["--set"],
    ] {
        let ended = run_dormouse(folder.path(), arguments).await;
        assert_eq!(ended.status, Some(64), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("--help"), "{ended:?}");
    }
    let ended = run_dormouse(folder.path(), &["--set", "workers"]).await;
    assert_eq!(ended.status, Some(64), "{ended:?}");
    assert!(ended.stderr.contains("KEY=VALUE"), "{ended:?}");
    for arguments in [&["--help"][..], &["token", "--help"], &["--version"]] {
        let ended = run_dormouse(folder.path(), arguments).await;
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(
            ended.stdout.contains("dormouse") || ended.stdout.contains("Usage"),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn a_settings_file_that_cannot_be_read_is_named() {
    let folder = folder_with("this is = = no toml");
    for (path, status) in [("nowhere.toml", 64), (".", 64), ("dormouse.toml", 64)] {
        let ended = run_dormouse(folder.path(), &["config", "check", "--config", path]).await;
        assert_eq!(ended.status, Some(status), "{ended:?}");
        assert!(ended.stderr.contains(path), "{ended:?}");
    }
}
