//! The WebSocket scenario against a faultless server and against one fault at a time.

use std::time::Duration;

use dormouse_bench::failure::Failure;
use dormouse_bench::mode::{Mode, Overrides};
use dormouse_bench::stop::Stop;
use dormouse_bench::target::Target;
use dormouse_bench::token::Token;
use dormouse_bench::websocket::{self, Metrics, Outcome};

use crate::fake_server::{FakeServer, Faults, TOKEN};

/// The smoke mode made quick. The limits are wide: a test must not judge the machine.
pub const QUICK: &str = include_str!("quick.toml");

fn quick(patience: Duration) -> Mode {
    let patience = format!("delivery-timeout = \"{}ms\"", patience.as_millis());
    let text = QUICK.replace("delivery-timeout = \"20s\"", &patience);
    assert!(text.contains(&patience));
    Mode::parse(
        "quick",
        &text,
        Overrides::default(),
        &Metrics::default().snapshot(),
    )
    .unwrap()
}

async fn play(faults: Faults, patience: Duration) -> Result<Outcome, Failure> {
    let server = FakeServer::start(faults).await;
    let (_keep, stop) = Stop::channel();
    let target = Target::parse(&server.url()).unwrap();
    websocket::run(&quick(patience), target, Token::new(TOKEN).unwrap(), stop).await
}

/// For faults after which something is waited for in vain.
const SHORT: Duration = Duration::from_millis(1500);
/// For those after which everything comes: only a machine that stalls gets near it.
const LONG: Duration = Duration::from_secs(300);

async fn faulty(faults: Faults, patience: Duration) -> (Outcome, String) {
    let outcome = play(faults, patience).await.unwrap();
    let report = outcome.report();
    assert!(!outcome.passed, "{report}");
    assert!(report.contains("FAILED"), "{report}");
    (outcome, report)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faultless_server_passes_with_everything_accounted_for() {
    let outcome = play(Faults::default(), LONG).await.unwrap();
    let report = outcome.report();
    assert!(outcome.passed, "{report}");
    assert!(report.ends_with("PASSED\n"), "{report}");
    for line in [
        "=== HAP-263 Acceptance Criteria ===",
        "✓ 10 concurrent connections",
        "✓ Filtered broadcasts route correctly",
        "✓ No connection drops",
    ] {
        assert!(report.contains(line), "{line} in {report}");
    }
    let rows = &outcome.reconciliation.broadcasts;
    let names: Vec<_> = rows.iter().map(|row| row.audience).collect();
    assert_eq!(names, ["all", "user-scoped-only", "session", "machine"]);
    for row in rows {
        assert!(row.holds() && row.expected > 0 && row.sent > 0, "{row:?}");
    }
    assert_eq!(rows[0].expected, rows[0].sent * 10);
    assert_eq!(rows[1].expected, rows[1].sent * 7);
    let pings = outcome.reconciliation.pings;
    assert!(
        pings.sent >= 11 && pings.received == pings.sent,
        "{pings:?}"
    );

    let metrics = serde_json::to_value(&outcome.metrics).unwrap();
    assert_eq!(metrics["ws_connection_success"]["count"], 11);
    assert_eq!(metrics["ws_reconnections"]["count"], 1);
    assert_eq!(metrics["ws_reconnection_time"]["count"], 1);
    assert_eq!(metrics["ws_connections_active"]["max"], 10.0);
    assert_eq!(metrics["ws_connections_active"]["last"], 0.0);
    assert_eq!(metrics["ws_messages_sent"]["count"], pings.sent);
    // The last ping of each connection settles its account and is not timed.
    let timed = metrics["ws_message_latency"]["count"].as_u64().unwrap();
    assert!(timed > 0 && timed <= pings.received - 10, "{timed}");
    assert_eq!(metrics["do_memory_usage_bytes"]["max"], 12_345_678.0);
    let deliveries: u64 = rows.iter().map(|row| row.received).sum();
    assert_eq!(metrics["ws_broadcast_delivery_time"]["count"], deliveries);
    // Greetings, pongs and broadcasts: nothing else came.
    assert_eq!(
        metrics["ws_messages_received"]["count"],
        11 + pings.received + deliveries
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_deliveries_are_noticed() {
    let (outcome, report) = faulty(
        Faults {
            lose_every: Some(3),
            ..Faults::default()
        },
        SHORT,
    )
    .await;
    let lost: u64 = outcome
        .reconciliation
        .broadcasts
        .iter()
        .map(|row| row.lost)
        .sum();
    assert!(lost > 0 && !outcome.reconciliation.holds(), "{report}");
    assert!(
        report.contains("FAILED: what was sent is not what arrived"),
        "{report}"
    );
    assert!(
        report.contains(&format!("[ws_broadcast_lost count == 0: {lost}]")),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicated_deliveries_are_noticed() {
    let faults = Faults {
        duplicate_every: Some(3),
        ..Faults::default()
    };
    let (outcome, report) = faulty(faults, LONG).await;
    let rows = &outcome.reconciliation.broadcasts;
    assert!(rows.iter().any(|row| row.duplicated > 0), "{report}");
    assert!(
        rows.iter().all(|row| row.lost + row.misrouted == 0),
        "{report}"
    );
    assert!(
        report.contains("[ws_broadcast_duplicated count == 0: "),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ignored_filters_are_noticed_and_the_unfiltered_ones_hold() {
    let (outcome, report) = faulty(
        Faults {
            ignore_filters: true,
            ..Faults::default()
        },
        LONG,
    )
    .await;
    let rows = &outcome.reconciliation.broadcasts;
    assert!(rows[0].holds(), "{report}");
    for row in &rows[1..] {
        assert!(row.misrouted > 0 && row.miscounted == row.sent, "{row:?}");
    }
    assert!(
        report.contains("✗ Filtered broadcasts route correctly"),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrue_delivered_is_noticed() {
    let (outcome, report) = faulty(
        Faults {
            overstate_delivered: true,
            ..Faults::default()
        },
        LONG,
    )
    .await;
    for row in &outcome.reconciliation.broadcasts {
        assert!(
            row.miscounted == row.sent && row.lost + row.misrouted == 0,
            "{row:?}"
        );
    }
    assert!(
        report.contains("[ws_broadcast_miscounted count == 0: "),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_deliveries_break_the_threshold_but_not_the_account() {
    let faults = Faults {
        delay_broadcasts: Duration::from_millis(40),
        ..Faults::default()
    };
    let text = QUICK
        .replace(
            "ws_broadcast_delivery_time p95 < 20s",
            "ws_broadcast_delivery_time p95 < 30ms",
        )
        .replace(
            "broadcast-success-within = \"20s\"",
            "broadcast-success-within = \"30ms\"",
        );
    let mode = Mode::parse(
        "q",
        &text,
        Overrides::default(),
        &Metrics::default().snapshot(),
    );
    let server = FakeServer::start(faults).await;
    let (_keep, stop) = Stop::channel();
    let target = Target::parse(&server.url()).unwrap();
    let outcome = websocket::run(&mode.unwrap(), target, Token::new(TOKEN).unwrap(), stop)
        .await
        .unwrap();
    let report = outcome.report();
    assert!(
        !outcome.passed && outcome.reconciliation.holds(),
        "{report}"
    );
    assert!(
        report.contains("✗ ws_broadcast_delivery_time p95 < 30ms"),
        "{report}"
    );
    assert!(
        report.contains("✗ ws_broadcast_success rate > 95%"),
        "{report}"
    );
    assert!(report.contains("FAILED: a limit was broken"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_pongs_are_timed_from_the_moment_their_ping_was_due() {
    // Each pong takes longer than the time between two pings, so the backlog grows; a meter that
    // waited for each pong before the next ping would see 50 ms every time.
    let faults = Faults {
        delay_pongs: Duration::from_millis(50),
        ..Faults::default()
    };
    let outcome = play(faults, LONG).await.unwrap();
    let metrics = serde_json::to_value(&outcome.metrics).unwrap();
    let p95 = metrics["ws_message_latency"]["p95_us"].as_u64().unwrap();
    assert!(p95 > 100_000, "{p95}");
    assert_eq!(outcome.reconciliation.pings.lost, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_doubled_and_timeless_pongs_are_noticed() {
    let (outcome, report) = faulty(
        Faults {
            lose_pong_every: Some(5),
            ..Faults::default()
        },
        SHORT,
    )
    .await;
    assert!(outcome.reconciliation.pings.lost > 0, "{report}");
    assert!(report.contains("✗ pings: sent="), "{report}");

    let (outcome, report) = faulty(
        Faults {
            double_pongs: true,
            ..Faults::default()
        },
        LONG,
    )
    .await;
    assert!(outcome.reconciliation.pings.duplicated > 0, "{report}");

    let (outcome, report) = faulty(
        Faults {
            timeless_pongs: true,
            ..Faults::default()
        },
        LONG,
    )
    .await;
    assert!(outcome.reconciliation.holds(), "{report}");
    assert!(
        report.contains("✗ ws_messages_faulty count == 0"),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn untrue_statistics_are_noticed() {
    let (outcome, report) = faulty(
        Faults {
            overstate_stats: true,
            ..Faults::default()
        },
        LONG,
    )
    .await;
    assert!(outcome.reconciliation.census_mismatches > 0, "{report}");
    assert!(report.contains("✗ statistics: checked="), "{report}");
    assert!(
        report.contains("the statistics say Census { total: 11"),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_connections_and_broadcasts_are_counted() {
    let (outcome, report) = faulty(
        Faults {
            refuse_upgrades: Some((6, 429)),
            ..Faults::default()
        },
        LONG,
    )
    .await;
    let metrics = serde_json::to_value(&outcome.metrics).unwrap();
    // The one that was to reconnect is refused too.
    assert_eq!(metrics["do_connections_rejected"]["count"], 5, "{report}");
    assert_eq!(metrics["ws_connection_errors"]["count"], 0, "{report}");
    assert!(
        report.contains("✗ 10 concurrent connections [ws_connections_active"),
        "{report}"
    );
    assert!(
        report.contains("the upgrade was refused with 429 (refused to order)"),
        "{report}"
    );

    let (outcome, report) = faulty(
        Faults {
            refuse_broadcasts: Some(503),
            ..Faults::default()
        },
        LONG,
    )
    .await;
    for row in &outcome.reconciliation.broadcasts {
        assert!(row.refused == row.sent && row.expected == 0, "{row:?}");
    }
    assert!(report.contains("✗ http_req_failed rate < 5%"), "{report}");
    assert!(
        report.contains("POST /v1/websocket/broadcast was answered 503"),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_connections_are_noticed() {
    let (_, report) = faulty(
        Faults {
            cut_at_ping: Some(3),
            ..Faults::default()
        },
        SHORT,
    )
    .await;
    assert!(
        report.contains("✗ No connection drops [ws_connections_dropped"),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasts_that_are_not_ours_are_noticed() {
    let (outcome, report) = faulty(
        Faults {
            stray_broadcasts: true,
            ..Faults::default()
        },
        LONG,
    )
    .await;
    assert_eq!(outcome.reconciliation.foreign_deliveries, 11, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_greeting_is_no_connection() {
    let failure = play(
        Faults {
            wrong_greeting: true,
            ..Faults::default()
        },
        LONG,
    )
    .await
    .unwrap_err();
    assert_eq!(failure.exit_code(), 3);
    assert!(
        failure
            .to_string()
            .contains("the first frame was not the expected"),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_in_use_is_refused() {
    let server = FakeServer::start(Faults::default()).await;
    let url = format!(
        "ws://{}/v1/updates?token={TOKEN}&clientType=user-scoped",
        server.address
    );
    let (_other, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let (_keep, stop) = Stop::channel();
    let target = Target::parse(&server.url()).unwrap();
    let run = websocket::run(&quick(LONG), target, Token::new(TOKEN).unwrap(), stop).await;
    let failure = run.unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(
        failure
            .to_string()
            .starts_with("the account has 1 open connections"),
        "{failure}"
    );
}
