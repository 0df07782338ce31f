//! The built program: exit codes, one-line errors, result files, signals.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::fake_server::{FakeServer, Faults, TOKEN};

pub fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse-bench"));
    for name in [
        "BASE_URL",
        "AUTH_TOKEN",
        "TEST_MODE",
        "API_URL",
        "WS_URL",
        "API_KEY",
        "TENANT_ID",
        "PUBLISHER_VUS",
        "MESSAGES_PER_SECOND",
        "ADMIN_TOKEN",
        "http_proxy",
        "HTTP_PROXY",
    ] {
        command.env_remove(name);
    }
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub async fn finish(child: Child) -> Output {
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap())
        .await
        .unwrap()
}

pub async fn run(args: &[&str]) -> Output {
    finish(program(args).spawn().unwrap()).await
}

/// The exit code and the one line on standard error.
pub async fn refusal(args: &[&str]) -> (i32, String) {
    let output = run(args).await;
    let text = String::from_utf8(output.stderr).unwrap();
    let line = text.trim_end().to_owned();
    assert!(
        !line.contains('\n') && line.starts_with("dormouse-bench: "),
        "{line}"
    );
    (output.status.code().unwrap(), line)
}

pub fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A mode file with the quick mode, and the folder it lives in.
fn quick_mode() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quick.toml");
    std::fs::write(&path, crate::smoke::QUICK).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passed_run_exits_with_zero_and_leaves_a_result() {
    let server = FakeServer::start(Faults::default()).await;
    let (folder, mode) = quick_mode();
    let out = folder.path().join("result.json");
    let page = folder.path().join("result.html");
    let output = run(&[
        "ws",
        "--mode-file",
        &mode,
        "--url",
        &server.url(),
        "--token",
        TOKEN,
        "--connections",
        "20",
        "--out",
        out.to_str().unwrap(),
        "--out-html",
        page.to_str().unwrap(),
        "--time-scale",
        "2",
    ])
    .await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.starts_with("dormouse-bench quick: 20 connections, 800ms against http://"));
    assert!(report.contains("✓ 20 concurrent connections"), "{report}");
    let result = read(&out);
    assert_eq!(result["schema"], 1);
    assert_eq!(result["scenario"], "quick");
    assert_eq!(result["passed"], true);
    assert_eq!(result["interrupted"], false);
    assert_eq!(result["metrics"]["ws_connections_active"]["max"], 20.0);
    assert_eq!(result["mode"]["stages"][0]["connections"], 20);
    assert_eq!(result["reconciliation"]["broadcasts"][0]["audience"], "all");
    assert_eq!(result["timeScale"], 2.0);
    assert_eq!(result["workers"], 1);
    assert!(result["generator"]["cpuSeconds"].as_f64().unwrap() > 0.0);
    let samples = result["series"]["samples"].as_array().unwrap();
    assert!(!samples.is_empty(), "{samples:?}");
    assert!(result["histograms"]["ws_message_latency"].is_array());
    assert!(!std::fs::read_to_string(&out).unwrap().contains(TOKEN));
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("✓ 20 concurrent connections"), "{page}");
    assert!(page.contains("ws_message_latency: distribution") && !page.contains(TOKEN));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_workers_add_up_to_one_result() {
    let server = FakeServer::start(Faults::default()).await;
    let (folder, mode) = quick_mode();
    let out = folder.path().join("result.json");
    // The fake server knows one account and one hub for each token of its list.
    let tokens = folder.path().join("tokens");
    std::fs::write(
        &tokens,
        format!("{TOKEN}\n{}\n", crate::fake_server::SECOND_TOKEN),
    )
    .unwrap();
    let with = |workers: &'static str| {
        let mut args = vec!["ws", "--mode-file", &mode, "--connections", "9"];
        args.extend(["--workers", workers, "--tokens", tokens.to_str().unwrap()]);
        args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>()
    };
    let mut args = with("2");
    args.extend(["--url".to_owned(), server.url()]);
    args.extend(["--out".to_owned(), out.to_str().unwrap().to_owned()]);
    let output = run(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let report = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}{complaints}");
    let result = read(&out);
    assert_eq!(result["workers"], 2);
    assert_eq!(result["metrics"]["ws_connections_active"]["max"], 9.0);
    // Nine and the one of each worker that came back.
    assert_eq!(result["metrics"]["ws_connection_success"]["count"], 11);
    let all = &result["reconciliation"]["broadcasts"][0];
    assert_eq!(all["expected"], all["received"]);

    for (workers, expected) in [
        ("3", "3 workers need as many tokens, and there are 2"),
        ("0", "--workers must be at least 1"),
    ] {
        let args = with(workers);
        let (code, line) = refusal(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!(code, 2);
        assert!(line.contains(expected), "{line}");
    }
    std::fs::write(&tokens, format!("{TOKEN}\nbad.token\n")).unwrap();
    let mut args = with("2");
    args.extend(["--url".to_owned(), server.url()]);
    let (code, line) = refusal(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(code, 4, "{line}");
    assert!(
        line.contains("worker 1: ") && line.contains("401"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_limit_exits_with_one_and_still_leaves_a_result() {
    let server = FakeServer::start(Faults {
        duplicate_every: Some(2),
        ..Faults::default()
    })
    .await;
    let (folder, mode) = quick_mode();
    let out = folder.path().join("result.json");
    let output = run(&[
        "ws",
        "--mode-file",
        &mode,
        "--url",
        &server.url(),
        "--token",
        TOKEN,
        "--out",
        out.to_str().unwrap(),
    ])
    .await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(read(&out)["passed"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smoke_and_the_environment_are_the_same_as_flags() {
    let server = FakeServer::start(Faults::default()).await;
    let child = program(&["smoke", "--connections", "4", "--duration", "600ms"])
        .env("BASE_URL", server.url())
        .env("AUTH_TOKEN", TOKEN)
        .spawn()
        .unwrap();
    let output = finish(child).await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(
        report.starts_with("dormouse-bench smoke: 4 connections, 600ms against"),
        "{report}"
    );
    assert!(
        report.contains("=== HAP-263 Acceptance Criteria ==="),
        "{report}"
    );

    let child = program(&["ws", "--url", &server.url()])
        .env("TEST_MODE", "no-such")
        .spawn();
    let output = finish(child.unwrap()).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("unknown mode \"no-such\"")
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_settles_and_leaves_a_result() {
    let server = FakeServer::start(Faults::default()).await;
    let (folder, mode) = quick_mode();
    let out = folder.path().join("result.json");
    let child = program(&[
        "ws",
        "--mode-file",
        &mode,
        "--url",
        &server.url(),
        "--token",
        TOKEN,
        "--duration",
        "1h",
        "--out",
        out.to_str().unwrap(),
    ])
    .spawn()
    .unwrap();
    server.broadcast_seen().await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = finish(child).await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{report}");
    assert!(report.ends_with("INTERRUPTED: the numbers cover what was measured until then\n"));
    let result = read(&out);
    assert_eq!(result["interrupted"], true);
    assert_eq!(result["reconciliation"]["pings"]["lost"], 0);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_of_an_interrupted_trial_ends_with_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let made = Command::new("mkfifo").arg(&told).status().unwrap();
    assert!(made.success());
    let server = folder.path().join("server");
    let script = format!("#!/bin/sh\necho $$ >'{}'\nexec sleep 600\n", told.display());
    std::fs::write(&server, script).unwrap();
    std::fs::set_permissions(&server, std::fs::Permissions::from_mode(0o755)).unwrap();

    let child = program(&["soak", "--server", server.to_str().unwrap()])
        .spawn()
        .unwrap();
    // Comes when the server has started.
    let id = tokio::task::spawn_blocking(|| std::fs::read_to_string(told).unwrap());
    let id = id.await.unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = finish(child).await;
    let report = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{report}");
    assert!(report.contains("there is no result"), "{report}");
    let server = rustix::process::Pid::from_raw(id).unwrap();
    let there = rustix::process::test_kill_process(server);
    assert_eq!(there, Err(rustix::io::Errno::SRCH));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reason_not_to_run_has_its_own_exit_code() {
    let server = FakeServer::start(Faults::default()).await;
    let url = server.url();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let good = ["smoke", "--url", &url, "--token", TOKEN];
    let with = |name: &'static str, value: &'static str| [&good[..], &[name, value]].concat();
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["smoke", "--url", &url], 2, "no token; give one"),
        (
            with("--duration", "0s"),
            2,
            "the duration must be longer than zero",
        ),
        (
            vec!["ws", "--mode", "x", "--url", &url, "--token", TOKEN],
            2,
            "unknown mode \"x\"",
        ),
        (
            vec!["smoke", "--url", &closed, "--token", TOKEN],
            3,
            "Connection refused (os error 111); start the server",
        ),
        (
            vec!["smoke", "--url", &url, "--token", "bad.token"],
            4,
            "refused GET /v1/websocket/stats with 401 ({\"error\":\"bad token\"}); give a valid",
        ),
        (
            with("--connections", "4000000000"),
            6,
            "file descriptors and may open",
        ),
        (
            with("--out", "/nowhere/result.json"),
            7,
            "cannot write the result to",
        ),
    ];
    for (args, code, text) in cases {
        let (status, line) = refusal(&args).await;
        assert_eq!(status, code, "{args:?}: {line}");
        assert!(line.contains(text), "{line}");
        assert!(
            !line.contains("bad.token") && !line.contains(TOKEN),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_or_lacks_something_is_named() {
    let cases = [
        (
            Faults {
                http_status: Some(404),
                ..Faults::default()
            },
            5,
            "has no GET /v1/websocket/st",
        ),
        (
            Faults {
                http_status: Some(500),
                ..Faults::default()
            },
            3,
            "was answered 500",
        ),
        (
            Faults {
                refuse_upgrades: Some((0, 404)),
                ..Faults::default()
            },
            5,
            "has no GET /v1/updates (it answered 404)",
        ),
        (
            Faults {
                refuse_upgrades: Some((0, 403)),
                ..Faults::default()
            },
            4,
            "refused GET /v1/updates with 403 (refused to order)",
        ),
        (
            Faults {
                refuse_upgrades: Some((0, 429)),
                ..Faults::default()
            },
            4,
            "use fewer connections, or an account whose tier allows more",
        ),
    ];
    for (faults, code, text) in cases {
        let server = FakeServer::start(faults).await;
        let (status, line) = refusal(&["smoke", "--url", &server.url(), "--token", TOKEN]).await;
        assert_eq!(status, code, "{line}");
        assert!(line.contains(text), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_flags_are_usage_errors_that_repeat_no_secret() {
    let cases: [(&[&str], &str); 7] = [
        (
            &["smoke", "--url", "https://example.org", "--token", "t"],
            "--url: this tool speaks",
        ),
        (
            &["smoke", "--url", "http://u:secret@h", "--token", "t"],
            "--url: the URL must be a bare",
        ),
        (
            &["smoke", "--token", "a secret"],
            "--token: the token contains spaces",
        ),
        (&["smoke", "--token", ""], "--token: the token is empty"),
        (
            &["smoke", "--duration", "soon"],
            "invalid value 'soon' for '--duration",
        ),
        (
            &["ws", "--mode-file", "/nowhere/m.toml"],
            "cannot read the mode file /nowhere/m.toml",
        ),
        (&[], "Usage: dormouse-bench"),
    ];
    for (args, expected) in cases {
        let output = run(args).await;
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            text.contains(expected) && !text.contains("secret"),
            "{text}"
        );
    }
}
