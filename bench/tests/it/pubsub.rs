//! Publishing and subscribing: the built program against a fake server that keeps the contract or
//! breaks it.

use serde_json::Value;

use crate::fake_server::{FakeServer, Faults};
use crate::program::{finish, program, read, refusal, run};

async fn result(faults: Faults) -> (Value, String) {
    let server = FakeServer::start(faults).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let url = server.url();
    let output = run(&[
        "pubsub",
        "--url",
        &url,
        "--subscribers",
        "5",
        "--publishers",
        "2",
        "--messages-per-second",
        "60",
        "--duration",
        "1500ms",
        "--out",
        out.to_str().unwrap(),
    ])
    .await;
    let report = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(out.exists(), "{report}{complaints}");
    (read(&out), report)
}

fn account(result: &Value, place: usize, column: &str) -> u64 {
    result["accounts"][place][column].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_reaches_every_subscriber_once() {
    let (result, report) = result(Faults::default()).await;
    assert_eq!(
        result["metrics"]["pubsub_delivery_rate"]["rate"], 1.0,
        "{report}"
    );
    assert_eq!(result["metrics"]["subscribers_max"]["value"], 5.0);
    let published = account(&result, 0, "sent");
    assert!(published > 0, "{report}");
    assert!(account(&result, 1, "expected") > 0, "{report}");
    for column in ["lost", "duplicated", "wrong"] {
        assert_eq!(account(&result, 1, column), 0, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_doubled_and_refused_events_are_noticed() {
    let (bad, report) = result(Faults {
        lose_every: Some(2),
        ..Faults::default()
    })
    .await;
    assert!(
        account(&bad, 1, "lost") > 0 && bad["passed"] == false,
        "{report}"
    );
    assert_eq!(account(&bad, 1, "duplicated"), 0);

    let (bad, report) = result(Faults {
        duplicate_every: Some(2),
        ..Faults::default()
    })
    .await;
    assert!(
        account(&bad, 1, "duplicated") > 0 && bad["passed"] == false,
        "{report}"
    );
    assert_eq!(account(&bad, 1, "lost"), 0, "{report}");

    // The second, so that the rehearsal passes.
    let (bad, report) = result(Faults {
        refuse_events: Some(2),
        ..Faults::default()
    })
    .await;
    assert!(
        account(&bad, 0, "refused") > 0 && bad["passed"] == false,
        "{report}"
    );
    assert_eq!(account(&bad, 1, "lost"), 0, "{report}");
    assert!(report.contains("was answered 503"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_run_is_named() {
    let server = FakeServer::start(Faults::default()).await;
    let bare = FakeServer::start(Faults {
        without_events: true,
        ..Faults::default()
    })
    .await;
    let (url, bare) = (server.url(), bare.url());
    let cases: [(&[&str], i32, &str); 5] = [
        (
            &["pubsub", "--url", &bare],
            5,
            "has no POST /api/v1/demo/events/call",
        ),
        (
            &["pubsub", "--url", &url, "--api-key", "wrong"],
            4,
            "give a valid key",
        ),
        (
            &["pubsub", "--url", &url, "--ws-url", &bare],
            5,
            "has no GET /ws/events",
        ),
        (
            &["pubsub", "--publishers", "0"],
            2,
            "--publishers must be at least 1",
        ),
        (
            &["pubsub", "--messages-per-second", "0"],
            2,
            "--messages-per-second must be",
        ),
    ];
    for (args, code, text) in cases {
        let (status, line) = refusal(args).await;
        assert_eq!(status, code, "{line}");
        assert!(line.contains(text), "{line}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_settles_and_leaves_a_result() {
    let server = FakeServer::start(Faults::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let url = server.url();
    let args = [
        "pubsub",
        "--url",
        &url,
        "--subscribers",
        "3",
        "--publishers",
        "1",
        "--messages-per-second",
        "50",
        "--duration",
        "1h",
        "--out",
        out.to_str().unwrap(),
    ];
    let child = program(&args).spawn().unwrap();
    server.event_seen().await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = finish(child).await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{report}");
    assert!(report.ends_with("INTERRUPTED: the numbers cover what was measured until then\n"));
    let result = read(&out);
    assert_eq!(result["interrupted"], true);
    for column in ["lost", "duplicated", "wrong"] {
        assert_eq!(account(&result, 1, column), 0, "{report}");
    }
}
