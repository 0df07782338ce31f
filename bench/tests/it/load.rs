//! Load and leak over both transports: the built program against a fake server that keeps the
//! contract or breaks it.

use serde_json::Value;

use crate::fake_server::{FakeServer, Faults, TOKEN};
use crate::program::{read, refusal, run};

async fn result(faults: Faults, transport: &str) -> (Value, String) {
    let server = FakeServer::start(faults).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let url = server.url();
    let output = run(&[
        "load",
        &url,
        "4",
        "40",
        "1",
        "0.2",
        "--transport",
        transport,
        "--token",
        TOKEN,
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
async fn broadcasts_reach_everyone_else_once() {
    for transport in ["websocket", "socketio-sync"] {
        everyone_else_once(transport).await;
    }
}

async fn everyone_else_once(transport: &str) {
    let (result, report) = result(Faults::default(), transport).await;
    let sent = account(&result, 0, "sent");
    assert!(
        sent > 0 && account(&result, 0, "received") == sent,
        "{report}"
    );
    assert_eq!(account(&result, 1, "expected"), sent * 3, "{report}");
    for column in ["lost", "duplicated", "wrong"] {
        assert_eq!(account(&result, 1, column), 0, "{report}");
    }
    assert_eq!(result["scenario"], format!("load-{transport}-4x40"));
    assert_eq!(result["metrics"]["connection_success_rate"]["rate"], 1.0);
    assert_eq!(result["metrics"]["disconnection_rate"]["rate"], 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_heard_of_by_everyone_once() {
    let (result, report) = result(Faults::default(), "socketio").await;
    let sent = account(&result, 0, "sent");
    assert!(
        sent > 0 && account(&result, 0, "received") == sent,
        "{report}"
    );
    // Two events of each task, at four sockets.
    assert_eq!(account(&result, 1, "expected"), sent * 8, "{report}");
    for column in ["lost", "duplicated", "wrong"] {
        assert_eq!(account(&result, 1, column), 0, "{report}");
    }
    assert!(
        result["metrics"]["event_latency"]["count"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert_eq!(result["metrics"]["event_delivery_time"]["count"], sent);
}

/// Loss and doubling over one transport. A loss is waited for in vain, so each has a test.
async fn loss_and_doubling_are_noticed(transport: &str) {
    let faults = Faults {
        lose_every: Some(2),
        ..Faults::default()
    };
    let (bad, report) = result(faults, transport).await;
    assert!(
        account(&bad, 1, "lost") > 0 && bad["passed"] == false,
        "{report}"
    );
    assert!(report.contains("✗ Event loss 0%"), "{report}");

    let faults = Faults {
        duplicate_every: Some(2),
        ..Faults::default()
    };
    let (bad, report) = result(faults, transport).await;
    assert!(
        account(&bad, 1, "duplicated") > 0 && bad["passed"] == false,
        "{report}"
    );
    assert_eq!(account(&bad, 1, "lost"), 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_and_doubling_of_broadcasts_are_noticed() {
    loss_and_doubling_are_noticed("websocket").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_and_doubling_of_broadcasts_in_packets_are_noticed() {
    loss_and_doubling_are_noticed("socketio-sync").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_and_doubling_of_tasks_are_noticed() {
    loss_and_doubling_are_noticed("socketio").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_and_silent_tasks_are_noticed() {
    let faults = Faults {
        refuse_events: Some(2),
        ..Faults::default()
    };
    let (bad, report) = result(faults, "socketio").await;
    assert!(
        account(&bad, 0, "refused") > 0 && bad["passed"] == false,
        "{report}"
    );
    assert_eq!(account(&bad, 1, "lost"), 0, "{report}");

    let (bad, report) = result(
        Faults {
            silent_tasks: true,
            ..Faults::default()
        },
        "socketio",
    )
    .await;
    let sent = account(&bad, 0, "sent");
    assert_eq!(account(&bad, 1, "lost"), sent * 4, "{report}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leak_run_fits_a_line_to_the_servers_memory() {
    let server = FakeServer::start(Faults::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let url = server.url();
    let pid = std::process::id().to_string();
    for transport in ["websocket", "socketio-sync", "socketio"] {
        let out = folder.path().join("result.json");
        let output = run(&[
            "leak",
            &url,
            "0.02",
            "0.05",
            "600",
            "--transport",
            transport,
            "--token",
            TOKEN,
            "--pid",
            &pid,
            "--out",
            out.to_str().unwrap(),
        ])
        .await;
        let report = String::from_utf8(output.stdout).unwrap();
        let result = read(&out);
        // Whether this test's own memory grows is not judged.
        assert!(
            report.contains("Leak Detected") && report.contains("Timeline"),
            "{report}"
        );
        assert!(
            result["metrics"]["memory_samples"]["value"]
                .as_f64()
                .unwrap()
                >= 2.0
        );
        assert!(
            result["metrics"]["actions"]["count"].as_u64().unwrap() >= 2,
            "{report}"
        );
        assert_eq!(result["metrics"]["reconnections"]["count"], 0, "{report}");
    }
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
    let plain = ["--transport", "websocket"];
    let cases: [(Vec<&str>, i32, &str); 10] = [
        (vec!["load", &bare], 5, "has no GET /socket.io/"),
        (vec!["load", &url, "1"], 2, "connections must be at least 2"),
        (
            vec!["load", &url, "10", "0"],
            2,
            "event_rate must be a number from",
        ),
        (
            vec!["load", &url, "10", "-1"],
            2,
            "event_rate must be a number from",
        ),
        (
            vec!["load", &url, "ten"],
            2,
            "invalid value 'ten' for '[CONNECTIONS]': invalid digit found in string; see --help",
        ),
        (
            vec!["load", &url, "10", "10", "NaN"],
            2,
            "duration must be a number from",
        ),
        (
            [&["load", &url][..], &plain].concat(),
            2,
            "no token; give one",
        ),
        (
            [&["load", &url, "--token", "bad.token"][..], &plain].concat(),
            4,
            "refused GET /v1/updates with 401",
        ),
        (
            vec!["leak", &url, "5", "0"],
            2,
            "sampling_seconds must be a number from",
        ),
        (
            vec!["leak", &url],
            2,
            "the server's memory cannot be seen: give its process id",
        ),
    ];
    for (args, code, text) in cases {
        let (status, line) = refusal(&args).await;
        assert_eq!(status, code, "{line}");
        assert!(line.contains(text) && !line.contains("bad.token"), "{line}");
    }
}
