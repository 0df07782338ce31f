//! Scripted HTTP load: the built program against the fake server.

use serde_json::Value;

use crate::fake_server::{FakeServer, Faults, TOKEN};
use crate::program::{read, refusal, run};

async fn result(faults: Faults, args: &[&str]) -> (i32, Value, String) {
    let server = FakeServer::start(faults).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("result.json");
    let url = server.url();
    let mut all = args.to_vec();
    let page = folder.path().join("result.html");
    all.extend(["--url", &url, "--out", out.to_str().unwrap()]);
    all.extend(["--out-html", page.to_str().unwrap()]);
    let output = run(&all).await;
    let report = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(out.exists(), "{report}{complaints}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Results by Endpoint"), "{page}");
    (output.status.code().unwrap(), read(&out), report)
}

/// Criteria that judge the machine are not asserted here; the account and the shares are.
fn count(result: &Value, metric: &str) -> u64 {
    result["metrics"][metric]["count"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_are_counted_endpoint_by_endpoint() {
    let args = [
        "http",
        "--scenario",
        "health-check",
        "--vus",
        "3",
        "--duration",
        "700ms",
    ];
    let (_, result, report) = result(Faults::default(), &args).await;
    assert_eq!(result["scenario"], "http-health-check-custom");
    assert_eq!(
        result["timeScale"], 1.0,
        "its own length is its full length"
    );
    let requests = count(&result, "http_reqs");
    assert!(requests >= 9, "{report}");
    assert_eq!(result["metrics"]["http_req_failed"]["hits"], 0, "{report}");
    assert_eq!(result["metrics"]["checks"]["rate"], 1.0, "{report}");
    let each: u64 = ["health", "ready", "root"]
        .map(|name| count(&result, &format!("http_req_duration:{name}")))
        .iter()
        .sum();
    assert_eq!(each, requests);
    assert_eq!(result["metrics"]["vus_max"]["value"], 3.0);
    assert!(report.contains("Results by Endpoint"), "{report}");
    assert!(
        report.contains("=== HAP-19 Acceptance Criteria ==="),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_through_their_states_and_one_that_does_not_is_noticed() {
    let args = ["calls", "--vus", "4", "--duration", "1500ms"];
    let (_, good, report) = result(Faults::default(), &args).await;
    assert!(!report.contains("Throughput 500"), "{report}");
    assert_eq!(
        good["metrics"]["call_state_success_rate"]["rate"], 1.0,
        "{report}"
    );
    assert!(count(&good, "call_state_update_latency") >= 4, "{report}");
    assert_eq!(good["accounts"][0]["wrong"], 0);

    let faults = Faults {
        stuck_calls: true,
        ..Faults::default()
    };
    let (code, bad, report) = result(faults, &args).await;
    assert_eq!(code, 1);
    assert!(
        bad["accounts"][0]["wrong"].as_u64().unwrap() > 0,
        "{report}"
    );
    assert!(report.contains("not what was asked for"), "{report}");
    assert!(
        report.contains("FAILED: what was sent is not what arrived"),
        "{report}"
    );

    // The fifth is the first after the rehearsal.
    let faults = Faults {
        refuse_events: Some(5),
        ..Faults::default()
    };
    let (code, bad, report) = result(faults, &args).await;
    assert_eq!(code, 1);
    assert!(
        bad["accounts"][0]["refused"].as_u64().unwrap() > 0,
        "{report}"
    );
    assert!(report.contains("was answered 503"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_must_hold_metrics() {
    let args = ["reporting", "--vus", "2", "--duration", "900ms"];
    let (_, good, report) = result(Faults::default(), &args).await;
    assert_eq!(good["metrics"]["checks"]["rate"], 1.0, "{report}");
    let faults = Faults {
        empty_reports: true,
        ..Faults::default()
    };
    let (code, bad, _) = result(faults, &args).await;
    assert_eq!(
        (code, &bad["metrics"]["reporting_success_rate"]["rate"]),
        (1, &0.0.into())
    );
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
    let cases: [(&[&str], i32, &str); 10] = [
        (
            &["http", "--scenario", "x"],
            2,
            "unknown scenario \"x\"; use health-check",
        ),
        (&["http", "--scenario", "calls"], 2, "dormouse-bench calls"),
        (
            &["http", "--profile", "x"],
            2,
            "unknown profile \"x\"; use average",
        ),
        (&["http", "--vus", "0"], 2, "--vus must be at least 1"),
        (
            &["http", "--time-scale", "0"],
            2,
            "--time-scale must be a number above 0",
        ),
        (
            &["http", "--scenario", "full-api", "--url", &url],
            2,
            "no token; give one",
        ),
        (
            &[
                "http",
                "--scenario",
                "full-api",
                "--url",
                &url,
                "--token",
                TOKEN,
            ],
            5,
            "has no GET /v1/sessions (it answered 404)",
        ),
        (
            &["calls", "--url", &url, "--api-key", "wrong"],
            4,
            "give a valid key with --api-key or API_KEY",
        ),
        (
            &["reporting", "--url", &bare],
            5,
            "has no GET /api/v1/reporting/metrics",
        ),
        (
            &["http", "--url", "http://127.0.0.1:9"],
            3,
            "cannot reach http://127.0.0.1:9",
        ),
    ];
    for (args, code, text) in cases {
        let (status, line) = refusal(args).await;
        assert_eq!(status, code, "{line}");
        assert!(line.contains(text) && !line.contains("wrong"), "{line}");
    }
}
