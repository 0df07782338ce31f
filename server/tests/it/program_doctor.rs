//! `dormouse doctor`: what it says of a machine.

use std::path::Path;

use crate::support::process::{Dormouse, Ended, run_dormouse};

/// All that it said; where something is bad, that is on standard error.
async fn doctor(folder: &Path, arguments: &[&str]) -> (Ended, String) {
    let arguments: Vec<&str> = ["doctor"].iter().chain(arguments).copied().collect();
    let ended = run_dormouse(folder, &arguments).await;
    let said = format!("{}{}", ended.stdout, ended.stderr);
    (ended, said)
}

#[tokio::test]
async fn it_looks_at_everything_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_, said) = doctor(folder.path(), &["--listen", "127.0.0.1:0"]).await;
    for check in [
        "configuration",
        "secret",
        "open files",
        "net.core.somaxconn",
        "data folder",
        "disk",
        "database",
        "clock",
        "port",
        "proxy headers",
    ] {
        assert!(said.contains(&format!("  {check}: ")), "{check}: {said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_running_server_is_known_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let process = Dormouse::serve(folder.path(), &[]).await;
    let address = process.address().to_string();
    let (_, said) = doctor(folder.path(), &["--listen", &address]).await;
    for part in [
        "served by a running dormouse",
        "dormouse.db is whole",
        "can be written to",
        "development: kept in",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn what_is_bad_is_told_with_status_1_and_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("dormouse.db"), vec![7; 8192]).unwrap();
    let secret = "my-very-long-password-for-production";
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--set",
        &format!("auth.secret={secret}"),
        "--set",
        "http.trusted_proxies=0.0.0.0/0",
    ];
    let (ended, said) = doctor(folder.path(), &arguments).await;
    assert_eq!(ended.status, Some(1), "{said}");
    for part in [
        "BAD      database: ",
        "BAD      secret: ",
        "openssl rand -hex 32",
        "BAD      proxy headers: ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains(secret), "{said}");
    let (ended, said) = doctor(folder.path(), &["--set", "no.such=1"]).await;
    assert_eq!(ended.status, Some(64), "{said}");
}
