//! Reports and health over HTTP (contract events.md sections 9 and 11).

use dormouse_protocol::timestamp::parse_iso;
use dormouse_server::clock::unix_ms;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::events::{KEY, get, post};
use crate::support::http;

async fn publish_calls(server: &Server) {
    let event = |name: &str, call: &str, mut data: Value| {
        data["callId"] = json!(call);
        json!({"event": name, "data": data})
    };
    let body = json!({"events": [
        event("call.completed", "a", json!({"duration": 90, "rate": 0.6, "campaignId": "x"})),
        event("call.completed", "b", json!({"duration": 45, "cost": 1.25, "buyerId": "b1"})),
        event("call.failed", "c", json!({"status": "BUSY", "campaignId": "x"})),
        event("call.failed", "d", json!({})),
        event("call.started", "e", json!({})),
    ]});
    let answer = post(server.address, "/api/v1/events", KEY, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn metrics_are_those_of_the_calls() {
    let server = Server::start();
    let empty = get(server.address, "/api/v1/reporting/metrics", KEY)
        .await
        .json();
    assert_eq!(empty["metrics"]["totalCalls"], 0);
    assert_eq!(empty["metrics"]["asr"], 0.0);
    assert_eq!(empty["breakdown"], json!([]));
    publish_calls(&server).await;
    let report = get(server.address, "/api/v1/reporting/metrics", KEY)
        .await
        .json();
    assert_eq!(
        report["metrics"],
        json!({
            "totalCalls": 4, "answeredCalls": 2, "completedCalls": 2, "failedCalls": 2,
            "totalDuration": 135, "totalBillableMinutes": 2, "totalCost": 2.15,
            "averageDuration": 33.75, "asr": 0.5, "aht": 67,
        })
    );
    let breakdown = report["breakdown"].as_array().unwrap();
    let calls: i64 = breakdown
        .iter()
        .map(|bucket| bucket["totalCalls"].as_i64().unwrap())
        .sum();
    assert_eq!(calls, 4);
    let timestamp = breakdown[0]["timestamp"].as_str().unwrap();
    assert!(
        timestamp.ends_with(":00:00") && timestamp.len() == 19,
        "{timestamp}"
    );
    let path = "/api/v1/reporting/metrics?granularity=day&campaignId=x";
    let report = get(server.address, path, KEY).await.json();
    assert_eq!(report["metrics"]["totalCalls"], 2);
    assert!(
        report["breakdown"][0]["timestamp"]
            .as_str()
            .unwrap()
            .ends_with(" 00:00:00")
    );
    let report = get(server.address, "/api/v1/reporting/metrics?buyerId=b1", KEY)
        .await
        .json();
    assert_eq!(report["metrics"]["totalCost"], 1.25);
    let path = "/api/v1/reporting/metrics?publisherId=none";
    let report = get(server.address, path, KEY).await.json();
    assert_eq!(report["metrics"]["totalCalls"], 0);
    // The dates count.
    let path = "/api/v1/reporting/calls?startDate=2020-01-01&endDate=2020-01-02T00:00:00Z";
    let report = get(server.address, path, KEY).await.json();
    assert_eq!(report["metrics"]["totalCalls"], 0);
    assert_eq!(
        report["period"],
        json!({"start": "2020-01-01T00:00:00.000Z", "end": "2020-01-02T00:00:00.000Z"})
    );
}

#[tokio::test]
async fn calls_are_grouped_by_what_is_asked_for() {
    let server = Server::start();
    publish_calls(&server).await;
    let grouped = async |by: &str| {
        let path = format!("/api/v1/reporting/calls?groupBy={by}");
        let report = get(server.address, &path, KEY).await.json();
        assert_eq!(report["metrics"]["totalCalls"], 4, "{by}");
        let items = report["breakdown"].as_array().unwrap().clone();
        let read = |item: &Value| {
            assert_eq!(item["dimension"], by);
            (
                item["value"].clone(),
                item["metrics"]["totalCalls"].as_i64().unwrap(),
            )
        };
        items.iter().map(read).collect::<Vec<_>>()
    };
    assert_eq!(
        grouped("status").await,
        [
            (json!("BUSY"), 1),
            (json!("COMPLETED"), 2),
            (json!("FAILED"), 1)
        ]
    );
    assert_eq!(
        grouped("campaign").await,
        [(json!(null), 2), (json!("x"), 2)]
    );
    for by in ["day", "week", "month"] {
        assert_eq!(
            grouped(by)
                .await
                .iter()
                .map(|(_, calls)| calls)
                .sum::<i64>(),
            4,
            "{by}"
        );
    }
    let plain = get(server.address, "/api/v1/reporting/calls", KEY)
        .await
        .json();
    assert_eq!(plain["breakdown"], json!([]));
    let campaign = get(server.address, "/api/v1/reporting/campaigns/x", KEY)
        .await
        .json();
    assert_eq!(
        (&campaign["campaignId"], &campaign["metrics"]["totalCalls"]),
        (&json!("x"), &json!(2))
    );
}

#[tokio::test]
async fn without_dates_a_report_is_of_the_last_day_or_week() {
    let server = Server::start();
    for (report, days) in [("metrics", 1), ("calls", 1), ("campaigns/x", 7)] {
        let path = format!("/api/v1/reporting/{report}");
        let period = get(server.address, &path, KEY).await.json()["period"].take();
        let at = |end: &str| parse_iso(period[end].as_str().unwrap()).unwrap();
        assert_eq!(at("end") - at("start"), days * 86_400_000, "{report}");
        assert!(at("end").abs_diff(unix_ms()) < 60_000, "{report}");
    }
}

#[tokio::test]
async fn queries_that_cannot_be_used_are_refused() {
    let server = Server::start();
    for query in [
        "metrics?startDate=yesterday",
        "metrics?startDate=2025-02-30T00:00:00Z",
        "metrics?startDate=2025-02-02&endDate=2025-02-01",
        "metrics?granularity=minute",
        "metrics?granularity=hour&granularity=day",
        "calls?groupBy=buyer",
        "calls?endDate=1e9",
    ] {
        let answer = get(server.address, &format!("/api/v1/reporting/{query}"), KEY).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["error"]["code"], "BAD_REQUEST", "{query}");
    }
    let long = format!("/api/v1/reporting/campaigns/{}", "x".repeat(129));
    assert_eq!(get(server.address, &long, KEY).await.status, 400);
}

#[tokio::test]
async fn health_is_told_in_both_forms() {
    let server = Server::start();
    let health = http::get(server.address, "/health", None).await.json();
    assert_eq!(
        (&health["status"], &health["service"]),
        (&json!("healthy"), &json!("dormouse"))
    );
    assert!(health["uptime"].is_u64());
    let live = http::get(server.address, "/health/live", None).await;
    assert_eq!(live.json(), json!({"status": "ok", "service": "dormouse"}));
    let ready = http::get(server.address, "/health/ready", None).await;
    assert_eq!(ready.status, 200);
    let ready = ready.json();
    assert_eq!(ready["status"], "healthy");
    assert_eq!(ready["checks"]["database"]["status"], "ok");
    assert!(ready["checks"]["database"]["latency"].is_f64());
    assert_eq!(ready["checks"]["redis"], json!({"status": "disabled"}));
}

#[tokio::test]
async fn the_metrics_of_the_events_are_exported() {
    let server = Server::start();
    publish_calls(&server).await;
    let page = http::get(server.address, "/metrics", None).await.body;
    for line in [
        "calls_total{status=\"completed\"} 2",
        "calls_total{status=\"failed\"} 2",
        "calls_active 1",
        "dormouse_events_published_total 5",
        "ws_connections 0",
        "ws_events_delivered_total 0",
        "ws_events_dropped_total 0",
        "event_publish_seconds_count 1",
        "event_delivery_seconds_count 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    for family in [
        "http_requests_total",
        "http_request_duration_seconds",
        "http_request_errors_total",
        "db_query_duration_seconds",
        "db_connections_active",
    ] {
        let head = format!("# TYPE {family} ");
        assert!(page.lines().any(|line| line.starts_with(&head)), "{family}");
    }
    // Objectives are judged at these.
    for le in ["0.1", "0.15", "0.2", "0.3", "0.5"] {
        let bucket = format!("status_code=\"200\",le=\"{le}\"}}");
        let is_it = |line: &str| {
            line.starts_with("http_request_duration_seconds_bucket") && line.contains(&bucket)
        };
        assert!(page.lines().any(is_it), "{le}\n{page}");
    }
}

#[tokio::test]
async fn calls_are_active_until_they_are_over() {
    let server = Server::start();
    let active = async || {
        let page = http::get(server.address, "/metrics", None).await.body;
        let mut lines = page.lines();
        let line = lines.find_map(|line| line.strip_prefix("calls_active "));
        line.unwrap().to_owned()
    };
    for (call, event, expected) in [
        ("a", "call.started", "1"),
        ("a", "call.started", "1"),
        ("b", "call.queue.join", "2"),
        ("a", "call.answered", "2"),
        ("a", "call.completed", "1"),
        ("a", "call.completed", "1"),
        ("a", "call.answered", "1"),
        ("b", "call.failed", "0"),
        ("c", "call.failed", "0"),
    ] {
        crate::support::events::call(server.address, KEY, call, event).await;
        assert_eq!(active().await, expected, "{call} {event}");
    }
}
