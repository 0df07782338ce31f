//! Tests of the notation and of the judgement.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::stats::{Counter, Rate, Trend};

/// Ninety-nine times 10 ms and once 80 ms; three of four; seven; nothing measured.
fn snapshot() -> Snapshot {
    let mut trend = Trend::new();
    for _ in 0..99 {
        trend.record(Duration::from_millis(10));
    }
    trend.record(Duration::from_millis(80));
    let mut rate = Rate::default();
    for hit in [true, true, false, true] {
        rate.add(hit);
    }
    let mut counter = Counter::default();
    counter.add(7);

    let mut snapshot = Snapshot::default();
    snapshot.push("latency", trend.summary());
    snapshot.push("success", rate.summary());
    snapshot.push("errors", counter.summary());
    snapshot.push("silent", Trend::new().summary());
    snapshot
}

#[test]
fn limits_are_kept_or_broken_exactly_at_their_edge() {
    let cases = [
        ("latency p95 < 100ms", true),
        ("latency p95 < 0.0101s", true),
        ("latency p95 < 9999us", false),
        ("latency max <= 80ms", false), // 80.0 ms lies in a bucket that ends above it
        ("latency max < 81ms", true),
        ("latency count == 100", true),
        ("success rate > 74%", true),
        ("success rate >= 75%", true),
        ("success rate > 75%", false),
        ("errors count < 7", false),
        ("errors count <= 7", true),
        ("errors count < 8", true),
        ("errors count == 7", true),
        ("errors count == 6", false),
        ("silent p95 < 1000s", false),
        ("silent p95 > 0s", false),
        ("absent p95 < 1000s", false),
    ];
    for (text, passes) in cases {
        let judgement = Threshold::parse(text).unwrap().judge(&snapshot());
        assert_eq!(judgement.passed, passes, "{text}: {judgement:?}");
        assert_eq!(judgement.threshold, text);
    }
}

#[test]
fn a_judgement_shows_what_was_measured() {
    let shown = |text| Threshold::parse(text).unwrap().judge(&snapshot()).shown;
    assert_eq!(shown("latency p50 < 1s"), "10.01ms"); // the end of its bucket
    assert_eq!(shown("success rate > 95%"), "75%");
    assert_eq!(shown("errors count < 10"), "7");
    assert_eq!(shown("silent p99 < 1s"), "not measured");
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason() {
    let cases = [
        ("", ThresholdError::Shape),
        ("latency p95 < 1 ms", ThresholdError::Shape),
        ("latency p98 < 1ms", ThresholdError::Statistic("p98".into())),
        (
            "latency p95 != 1ms",
            ThresholdError::Comparison("!=".into()),
        ),
        ("latency p95 < ms", ThresholdError::Limit("ms".into())),
        ("latency p95 < -1ms", ThresholdError::Limit("-1ms".into())),
        ("latency p95 < 1min", ThresholdError::Limit("1min".into())),
        ("latency p95 < NaN", ThresholdError::Limit("NaN".into())),
        ("latency p95 < inf", ThresholdError::Limit("inf".into())),
    ];
    for (text, expected) in cases {
        assert_eq!(Threshold::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn a_threshold_that_its_scenario_cannot_meet_is_refused() {
    let refused = |text| {
        let err = Threshold::parse(text)
            .unwrap()
            .check_metric(&snapshot())
            .unwrap_err();
        err.to_string()
    };
    assert_eq!(
        refused("latnecy p95 < 1ms"),
        "this scenario has no metric \"latnecy\""
    );
    assert_eq!(
        refused("errors p95 < 1ms"),
        "a counter has no \"p95\"; use count"
    );
    assert_eq!(
        refused("latency p95 < 100"),
        "a limit of \"latency p95\" is written with us, ms or s"
    );
    assert_eq!(
        refused("success rate > 0.95"),
        "a limit of \"success rate\" is written with %"
    );
    assert_eq!(
        refused("latency count > 3ms"),
        "a limit of \"latency count\" is written without a unit"
    );
    for text in [
        "latency p95 < 1ms",
        "silent p95 < 1ms",
        "success rate > 95%",
        "errors count < 1",
    ] {
        assert_eq!(
            Threshold::parse(text).unwrap().check_metric(&snapshot()),
            Ok(()),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}") {
        if let Ok(threshold) = Threshold::parse(&text) {
            prop_assert_eq!(Threshold::parse(&threshold.to_string()), Ok(threshold));
        }
    }

    #[test]
    fn what_is_written_is_what_is_judged(limit in 0_u32..2_000_000, observed in 0_u32..2_000) {
        let mut trend = Trend::new();
        trend.record(Duration::from_micros(observed.into()));
        let mut snapshot = Snapshot::default();
        snapshot.push("latency", trend.summary());
        let threshold = Threshold::parse(&format!("latency p50 < {limit}us")).unwrap();
        prop_assert_eq!(threshold.judge(&snapshot).passed, observed < limit);
    }
}
