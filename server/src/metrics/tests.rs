//! Scrapes of real servers, and the page that says what is in them.

mod exposition;
mod running_server;

use std::collections::{BTreeMap, BTreeSet};

use exposition::{Exposition, Family};
use running_server::{Subject, get};

use super::labels::{LABELS, Values};
use super::page::{QUERIES, page};
use super::{catalogue, process};

/// Names that dashboards and alert rules of the performance documents use.
const SEEDED: [&str; 24] = [
    "ws_connection_time",
    "ws_connections_active",
    "ws_connection_errors",
    "ws_connection_success",
    "ws_messages_received",
    "ws_messages_sent",
    "ws_message_latency",
    "ws_broadcast_delivery_time",
    "ws_broadcast_success",
    "do_connections_total",
    "do_connections_rejected",
    "do_connection_rejection_rate",
    "do_response_time",
    "do_memory_usage_bytes",
    "do_oldest_connection_ms",
    "do_hibernation_events",
    "do_wakeup_time",
    "do_broadcast_failures",
    "do_message_queue_depth",
    "http_requests_total",
    "http_request_duration_seconds",
    "http_request_errors_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
];

fn docs() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    std::fs::read_to_string(path).unwrap()
}

fn value(scrape: &Exposition, name: &str, labels: &[(&str, &str)]) -> f64 {
    let found = scrape.get(name).and_then(|family| family.value("", labels));
    found.unwrap_or_else(|| panic!("{name} {labels:?} in {:?}", scrape.get(name)))
}

fn count(scrape: &Exposition, name: &str, labels: &[(&str, &str)]) -> f64 {
    scrape[name].value("_count", labels).unwrap()
}

fn sum(family: &Family) -> f64 {
    family.samples.iter().map(|sample| sample.value).sum()
}

#[test]
fn the_page_is_generated() {
    assert!(
        docs() == page(),
        "docs/metrics.md is old; run `cargo run -p dormouse-server --example metrics_page > \
         docs/metrics.md`"
    );
}

#[test]
fn names_are_unique_well_formed_and_those_of_the_documents() {
    let names: BTreeSet<&str> = catalogue::ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), catalogue::ALL.len());
    for name in SEEDED {
        assert!(names.contains(name), "{name}");
    }
    for metric in catalogue::ALL {
        assert!(
            !metric.help.is_empty() && !metric.help.contains('|'),
            "{metric:?}"
        );
        if metric.name.starts_with("dormouse_") {
            let is_counter = metric.kind == super::definition::Kind::Counter;
            assert_eq!(metric.name.ends_with("_total"), is_counter, "{metric:?}");
        }
    }
}

#[test]
fn queries_name_only_metrics_that_exist() {
    let mut series = BTreeSet::new();
    for metric in catalogue::ALL {
        let suffixes = match metric.kind {
            super::definition::Kind::Histogram => &["_bucket", "_sum", "_count"][..],
            _ => &[""],
        };
        series.extend(
            suffixes
                .iter()
                .map(|suffix| format!("{}{suffix}", metric.name)),
        );
    }
    let labels: BTreeSet<&str> = LABELS.iter().map(|(label, _)| *label).collect();
    let functions = [
        "sum",
        "rate",
        "histogram_quantile",
        "by",
        "le",
        "max",
        "avg",
        "m",
    ];
    let queries = QUERIES.iter().flat_map(|(_, queries)| *queries);
    let mut seen = 0;
    for (_, query) in queries {
        // Every second piece is the text of a label's value.
        for code in query.split('"').step_by(2) {
            let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
            let words = code.split(|char: char| !is_word(char));
            let words = words.filter(|word| word.starts_with(|first: char| first.is_alphabetic()));
            for word in words {
                seen += usize::from(series.contains(word));
                let is_known =
                    series.contains(word) || labels.contains(word) || functions.contains(&word);
                assert!(is_known, "{word} in {query}");
            }
        }
    }
    assert!(seen >= queries_count(), "each query reads a metric");
}

#[test]
fn rules_read_only_metrics_that_exist() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/rules");
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        // Our metrics by their prefixes; recorded names have colons.
        let is_part = |char: char| char.is_ascii_alphanumeric() || "_:".contains(char);
        let words = text.split(|char: char| !is_part(char));
        let prefixes = ["http_", "ws_", "db_", "event_", "calls_", "dormouse_"];
        for word in words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))) {
            let known = catalogue::ALL.iter().any(|metric| {
                let rest = word.strip_prefix(metric.name);
                rest.is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
            });
            assert!(known, "{word} in {}", path.display());
            read += 1;
        }
    }
    assert!(read > 0, "no rule was read");
}

fn queries_count() -> usize {
    QUERIES.iter().map(|(_, queries)| queries.len()).sum()
}

#[actix_web::test]
async fn a_scrape_and_the_page_list_the_same_names_and_types() {
    let subject = Subject::start(&[]);
    // The first request is one that the second scrape tells of.
    subject.scrape().await;
    let scrape = subject.scrape().await;
    let exported: BTreeMap<&str, &str> = scrape
        .iter()
        .map(|(name, family)| (name.as_str(), family.kind.as_str()))
        .collect();
    let docs = docs();
    let mut documented = BTreeMap::new();
    for line in docs.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        // Tables of metrics have five columns, and a bar at each end.
        if let ["", name, kind, _, _, _, ""] = cells[..] {
            documented.insert(name.trim_matches('`'), kind);
        }
    }
    if process::resident_bytes().is_some() {
        assert_eq!(exported, documented);
    } else {
        // Not Linux: what the system does not tell is left out.
        assert!(
            exported
                .iter()
                .all(|pair| documented.get(pair.0) == Some(pair.1))
        );
    }
    for metric in catalogue::ALL {
        if let Some(family) = scrape.get(metric.name) {
            assert_eq!(family.help, metric.help, "{}", metric.name);
        }
    }
    subject.stop().await;
}

#[actix_web::test]
async fn five_hundred_users_are_a_bounded_number_of_series() {
    let mut subject = Subject::start(&[
        ("metrics.busiest_users", "7"),
        ("auth.default_tier", "free"),
        ("tiers.free.connections_per_shard", "3"),
        ("tiers.free.max_shards", "4"),
    ]);
    for user in 0..500 {
        subject.connect(&format!("user-{user}"), 1);
    }
    // Users of several shards on both workers, one of them by a name that is taken.
    for busy in ["a", "b", "c", "other", r#"quo"te\"#] {
        subject.connect(busy, 11);
    }
    subject.connections(555).await;
    let scrape = subject.scrape().await;
    let users = &scrape["do_connections_total"];
    assert_eq!(users.samples.len(), 7 + 1);
    assert_eq!(sum(users), 555.0);
    assert_eq!(sum(users), value(&scrape, "ws_connections_active", &[]));
    for busy in ["a", "b", "c", r#"quo"te\"#] {
        let connections = value(&scrape, "do_connections_total", &[("user_id", busy)]);
        assert_eq!(connections, 11.0, "{busy}");
    }
    assert_eq!(
        value(&scrape, "do_connections_total", &[("user_id", "other")]),
        555.0 - 4.0 * 11.0 - 3.0
    );
    assert_eq!(sum(&scrape["dormouse_worker_connections"]), 555.0);
    assert_eq!(sum(&scrape["dormouse_connections"]), 555.0);
    assert_eq!(value(&scrape, "dormouse_users", &[]), 505.0);
    assert_eq!(
        value(&scrape, "dormouse_tier_connections", &[("tier", "free")]),
        555.0
    );
    assert_eq!(
        value(
            &scrape,
            "dormouse_tier_connection_limit",
            &[("tier", "free")]
        ),
        12.0
    );
    assert_eq!(sum(&scrape["dormouse_shards"]), 500.0 + 5.0 * 4.0);
    subject.stop().await;
}

#[actix_web::test]
async fn labels_keep_to_their_sets() {
    let mut subject = Subject::start(&[
        ("auth.default_tier", "free"),
        ("tiers.free.connections_per_shard", "2"),
    ]);
    subject.connect("a", 3);
    subject.connections(2).await;
    for path in ["/health", "/a/b/c", "/x?token=y", "/v1/updates", "/metrics"] {
        get(subject.main, path, None).await;
    }
    let scrape = subject.scrape().await;
    let closed: BTreeMap<&str, BTreeSet<&str>> = LABELS
        .iter()
        .filter_map(|(label, values)| match values {
            Values::Closed(sets) => Some((
                *label,
                sets.iter().flat_map(|set| set.iter().copied()).collect(),
            )),
            Values::Bounded(_) => None,
        })
        .collect();
    let mut seen = BTreeSet::new();
    for metric in catalogue::ALL {
        let Some(family) = scrape.get(metric.name) else {
            continue;
        };
        for sample in &family.samples {
            let mut labels = sample.labels.clone();
            labels.remove("le");
            let names: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
            assert_eq!(names, metric.labels.iter().copied().collect(), "{sample:?}");
            for (label, value) in &labels {
                if let Some(closed) = closed.get(label.as_str()) {
                    assert!(closed.contains(value.as_str()), "{sample:?}");
                    seen.insert(label.clone());
                }
            }
        }
    }
    assert_eq!(seen.len(), closed.len(), "every closed set was looked at");
    let routes = scrape["http_requests_total"].samples.iter();
    let routes: BTreeSet<&str> = routes.map(|sample| &*sample.labels["route"]).collect();
    assert_eq!(
        routes,
        BTreeSet::from(["/health", "/metrics", "/v1/updates", "unmatched"])
    );
    subject.stop().await;
}

#[actix_web::test]
async fn refusals_are_counted_by_their_reason() {
    let mut subject = Subject::start(&[
        ("auth.default_tier", "free"),
        ("tiers.free.connections_per_shard", "3"),
    ]);
    subject.connect("a", 4);
    subject.connections(3).await;
    subject
        .until("a refusal", |reports| {
            reports
                .iter()
                .any(|report| !report.counters.rejected.is_empty())
        })
        .await;
    get(subject.main, "/v1/updates", None).await;
    let scrape = subject.scrape().await;
    let number = |name: &str, labels: &[(&str, &str)]| value(&scrape, name, labels);
    assert_eq!(number("ws_connection_success", &[]), 3.0);
    assert_eq!(number("do_connections_rejected", &[]), 1.0);
    assert_eq!(number("do_connection_rejection_rate", &[]), 0.25);
    let labels = [("tier", "free"), ("reason", "connection_limit")];
    assert_eq!(number("dormouse_connections_rejected_total", &labels), 1.0);
    let labels = [("tier", "pro"), ("reason", "connection_limit")];
    assert_eq!(number("dormouse_connections_rejected_total", &labels), 0.0);
    let labels = [("reason", "not_upgrade")];
    assert_eq!(number("dormouse_handshakes_refused_total", &labels), 1.0);
    assert_eq!(number("ws_connection_errors", &[]), 2.0);
    assert_eq!(count(&scrape, "ws_connection_time", &[]), 3.0);
    subject.stop().await;
}

#[actix_web::test]
async fn a_scrape_wakes_nobody() {
    let mut subject = Subject::start(&[("shard.hibernate_after", "100ms")]);
    for user in ["a", "b", "c"] {
        subject.connect(user, 2);
    }
    subject.connections(6).await;
    subject
        .until("asleep", |reports| {
            reports.iter().all(|report| report.awake == 0)
        })
        .await;
    let first = subject.scrape().await;
    let scrape = subject.scrape().await;
    assert_eq!(value(&scrape, "ws_connections_active", &[]), 6.0);
    assert!(value(&first, "do_hibernation_events", &[]) >= 3.0);
    for unchanged in ["do_hibernation_events", "dormouse_shard_wakes_total"] {
        assert_eq!(
            value(&first, unchanged, &[]),
            value(&scrape, unchanged, &[]),
            "{unchanged}"
        );
    }
    let asleep = scrape["dormouse_shards"].samples.iter();
    let asleep = asleep.filter(|sample| sample.labels["state"] == "asleep");
    assert_eq!(asleep.map(|sample| sample.value).sum::<f64>(), 3.0);
    subject.stop().await;
}

#[actix_web::test]
async fn deliveries_are_timed_and_judged() {
    let mut subject = Subject::start(&[]);
    assert_eq!(
        value(&subject.scrape().await, "ws_broadcast_success", &[]),
        1.0
    );
    subject.connect("a", 2);
    subject.connections(2).await;
    let frame = dormouse_shard::frame::Frame::text("{}");
    let filter = dormouse_protocol::Filter::All;
    subject.state.workers.deliver("a", filter, frame).await;
    let scrape = subject.scrape().await;
    assert_eq!(count(&scrape, "ws_broadcast_delivery_time", &[]), 1.0);
    assert_eq!(count(&scrape, "dormouse_broadcast_seconds", &[]), 1.0);
    let millis = &scrape["ws_broadcast_delivery_time"];
    let seconds = &scrape["dormouse_broadcast_seconds"];
    let of = |family: &Family| family.value("_sum", &[]).unwrap();
    assert!((of(millis) - of(seconds) * 1000.0).abs() < 1e-6);
    subject.stop().await;
}

#[actix_web::test]
async fn http_requests_are_counted_under_their_pattern() {
    let subject = Subject::start(&[]);
    let (user, admin) = (subject.token(false), subject.token(true));
    get(subject.main, "/v1/websocket/stats", Some(&user)).await;
    get(subject.main, "/v1/websocket/stats", Some(&user)).await;
    get(subject.main, "/v1/websocket/stats", None).await;
    get(subject.main, "/admin/v1/users/some-user", Some(&admin)).await;
    let scrape = subject.scrape().await;
    let requests = |route, status_code| {
        let labels = [
            ("method", "GET"),
            ("route", route),
            ("status_code", status_code),
        ];
        value(&scrape, "http_requests_total", &labels)
    };
    assert_eq!(requests("/v1/websocket/stats", "200"), 2.0);
    assert_eq!(requests("/v1/websocket/stats", "401"), 1.0);
    assert_eq!(count(&scrape, "do_response_time", &[]), 2.0);
    let routes = scrape["http_requests_total"].samples.iter();
    let routes: Vec<&str> = routes.map(|sample| &*sample.labels["route"]).collect();
    assert!(routes.iter().any(|route| route.contains('{')), "{routes:?}");
    assert!(!routes.iter().any(|route| route.contains("some-user")));
    let errors = |error_type| {
        let labels = [("error_type", error_type)];
        value(&scrape, "http_request_errors_total", &labels)
    };
    assert_eq!(errors("unauthorized"), 1.0);
    let checks = &scrape["dormouse_token_checks_total"];
    // Both threads may have verified the token once, each for itself.
    assert_eq!(sum(checks), 2.0);
    subject.stop().await;
}

#[actix_web::test]
async fn production_asks_for_an_admins_token() {
    let secret = ("auth.secret", "0123456789abcdef0123456789abcdef");
    let subject = Subject::start(&[secret, ("admin.listen", "127.0.0.1:0")]);
    let (user, admin) = (subject.token(false), subject.token(true));
    for (token, status) in [
        (None, 401),
        (Some("nonsense"), 401),
        (Some(&*user), 403),
        (Some(&*admin), 200),
    ] {
        let answer = get(subject.main, "/metrics", token).await;
        assert_eq!(answer.status().as_u16(), status, "{token:?}");
        if status != 200 {
            let body: serde_json::Value = answer.json().await.unwrap();
            assert!(
                body["error"].is_string() && body["requestId"].is_string(),
                "{body}"
            );
        }
    }
    let own = get(subject.admin.unwrap(), "/metrics", None).await;
    assert_eq!(own.status().as_u16(), 200);
    exposition::parse(&own.text().await.unwrap());
    subject.stop().await;
}
