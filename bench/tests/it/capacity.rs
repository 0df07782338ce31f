//! The capacity scenario against a fake server that refuses past a number of connections.

use crate::fake_server::{FakeServer, Faults, SECOND_TOKEN, TOKEN};
use crate::program::{read, refusal, run};

/// The free tier's without its latency: a test must not judge the machine.
const PROMISE: &str = "ws_connection_success_rate rate >= 99.5%";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_knee_is_where_the_promise_breaks() {
    // Upgrades are counted over all steps: 4 and 8 fit, of the 16 only 8 do.
    let server = FakeServer::start(Faults {
        refuse_upgrades: Some((20, 429)),
        ..Faults::default()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let url = server.url();
    let output = run(&[
        "capacity",
        "--url",
        &url,
        "--token",
        TOKEN,
        "--tier",
        "free",
        "--promise",
        PROMISE,
        "--patience",
        "20s",
        "--levels",
        "16,4,8",
        "--time-scale",
        "0.05",
        "--out",
        out.to_str().unwrap(),
    ])
    .await;
    let report = String::from_utf8(output.stdout).unwrap();
    let result = read(&out);
    assert_eq!(result["scenario"], "capacity-connections-free", "{report}");
    assert_eq!(result["metrics"]["capacity_knee"]["value"], 8.0, "{report}");
    assert_eq!(result["metrics"]["capacity_highest_level"]["value"], 16.0);
    assert_eq!(
        result["metrics"]["capacity_rejection_percent"]["value"], 50.0,
        "{report}"
    );
    for part in [
        "Degradation Points",
        "connections are rejected: 50%",
        "Recommendations",
        "Adjust the limit to 6 connections (8 held)",
        "Raise the tier's connections_per_shard",
    ] {
        assert!(report.contains(part), "{part} in {report}");
    }
    // The tier's own limit of 20 was not reached, and neither was the highest step.
    assert_eq!(output.status.code(), Some(1), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_can_be_raised_and_nonsense_is_named() {
    let server = FakeServer::start(Faults::default()).await;
    let url = server.url();
    let output = run(&[
        "capacity",
        "--url",
        &url,
        "--token",
        TOKEN,
        "--tier",
        "free",
        "--promise",
        PROMISE,
        "--patience",
        "20s",
        "--raise",
        "messages",
        "--levels",
        "20,40",
        "--connections",
        "3",
        "--time-scale",
        "0.05",
    ])
    .await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("40 messages/s: p95"), "{report}");
    let cases: [(&[&str], &str); 6] = [
        (
            &["capacity", "--workers", "2"],
            "--workers needs an account for each",
        ),
        (
            &["capacity", "--workers", "0", "--token-command", "echo x"],
            "--workers must be at least 1",
        ),
        (&["capacity", "--up-to", "0"], "--up-to must be at least 1"),
        (
            &["capacity", "--tier", "gold"],
            "unknown tier \"gold\"; use enterprise, free, pro",
        ),
        (
            &["capacity", "--levels", "0"],
            "--levels must be at least 1",
        ),
        (&["capacity", "--url", &url], "no token"),
    ];
    for (args, text) in cases {
        let (code, line) = refusal(args).await;
        assert_eq!(code, 2, "{line}");
        assert!(line.contains(text), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_share_the_connections_of_a_step() {
    let server = FakeServer::start(Faults::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, format!("{TOKEN}\n{SECOND_TOKEN}\n")).unwrap();
    let url = server.url();
    let capacity = |levels: &'static str| {
        let mut args = vec!["capacity", "--url", &url, "--workers", "2", "--tokens"];
        args.extend([tokens.to_str().unwrap(), "--tier", "free"]);
        args.extend(["--promise", PROMISE, "--patience", "20s"]);
        args.extend(["--time-scale", "0.05", "--levels", levels]);
        args.extend(["--out", out.to_str().unwrap()]);
        args
    };
    let output = run(&capacity("5,8")).await;
    let report = String::from_utf8(output.stdout).unwrap();
    let metrics = &read(&out)["metrics"];
    assert_eq!(metrics["capacity_knee"]["value"], 8.0, "{report}");
    assert_eq!(metrics["capacity_peak_connections"]["value"], 8.0);

    let (code, line) = refusal(&capacity("1")).await;
    assert_eq!(code, 2, "{line}");
    assert!(
        line.contains("2 workers cannot share 1 connections"),
        "{line}"
    );
}
