//! Tests of the modes that come with the program and of what is refused.

use super::*;
use crate::websocket::Metrics;

fn metrics() -> Snapshot {
    Metrics::default().snapshot()
}

fn parse(text: &str) -> Result<Mode, ModeError> {
    Mode::parse("test", text, Overrides::default(), &metrics())
}

fn smoke_with(from: &str, to: &str) -> String {
    let text = BUILT_IN[0].1;
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

#[test]
fn every_built_in_mode_can_be_run_and_bears_its_own_name() {
    for (name, _) in BUILT_IN {
        let mode = Mode::named(name, Overrides::default(), &metrics()).unwrap();
        assert_eq!(mode.name, name);
        assert!(!mode.thresholds.is_empty() && !mode.criteria.is_empty());
    }
}

#[test]
fn smoke_is_ten_connections_for_thirty_seconds() {
    let mode = Mode::named("smoke", Overrides::default(), &metrics()).unwrap();
    assert_eq!(mode.stages.peak(), 10);
    assert_eq!(mode.stages.duration(), Duration::from_secs(30));
    assert_eq!(mode.criteria[0].name, "10 concurrent connections");
}

#[test]
fn overrides_change_size_length_and_the_criterion_that_names_the_size() {
    let over = Overrides {
        connections: Some(25),
        duration: Some(Duration::from_secs(3)),
        ..Overrides::default()
    };
    let mode = Mode::named("smoke", over, &metrics()).unwrap();
    assert_eq!(mode.stages.peak(), 25);
    assert_eq!(mode.stages.duration(), Duration::from_secs(3));
    assert_eq!(mode.criteria[0].name, "25 concurrent connections");
    assert_eq!(
        mode.criteria[0].all[0].to_string(),
        "ws_connections_active max >= 25"
    );
}

#[test]
fn the_modes_are_as_long_and_as_large_as_the_documents_say() {
    let minutes = |minutes: f64| Duration::from_secs_f64(minutes * 60.0);
    let cases = [
        ("smoke", 10, minutes(0.5)),
        ("scale", 120, minutes(3.0)),
        ("sustained", 100, minutes(7.0)),
        ("stress", 200, minutes(4.0)),
        ("extreme", 750, minutes(10.0)),
        ("spikeExtreme", 600, minutes(5.0)),
        ("reconnect", 50, minutes(2.5)),
    ];
    for (name, peak, duration) in cases {
        let mode = Mode::named(name, Overrides::default(), &metrics()).unwrap();
        assert_eq!(
            (mode.stages.peak(), mode.stages.duration()),
            (peak, duration),
            "{name}"
        );
    }
}

#[test]
fn a_time_scale_shortens_every_stage_and_must_make_sense() {
    let scaled = |factor| {
        let over = Overrides {
            time_scale: Some(factor),
            ..Overrides::default()
        };
        Mode::named("scale", over, &metrics())
    };
    let mode = scaled(0.1).unwrap();
    assert_eq!(mode.stages.duration(), Duration::from_secs(18));
    assert_eq!((mode.stages.peak(), mode.time_scale), (120, 0.1));
    let over = Overrides {
        duration: Some(Duration::from_secs(90)),
        ..Overrides::default()
    };
    let mode = Mode::named("scale", over, &metrics()).unwrap();
    assert_eq!(mode.time_scale, 0.5, "another length is another scale");
    for factor in [0.0, -1.0, f64::NAN] {
        let err = scaled(factor).unwrap_err().to_string();
        assert!(
            err.contains("--time-scale must be a number above 0"),
            "{err}"
        );
    }
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let refuse = |over| {
        let mode = Mode::named("scale", over, &metrics());
        mode.unwrap_err().to_string()
    };
    let connections = |connections| Overrides {
        connections: Some(connections),
        ..Overrides::default()
    };
    assert!(refuse(connections(0)).contains("at least one connection"));
    assert!(refuse(connections(usize::MAX)).contains("that many connections"));
    let forever = Overrides {
        duration: Some(Duration::from_secs(8 * 86_400)),
        ..Overrides::default()
    };
    assert!(refuse(forever).contains("a week at most"));
}

#[test]
fn an_unknown_mode_names_the_known_ones() {
    let err = Mode::named("smok", Overrides::default(), &metrics()).unwrap_err();
    assert!(
        err.to_string()
            .starts_with("unknown mode \"smok\"; use smoke"),
        "{err}"
    );
}

#[test]
fn a_fault_in_a_mode_names_its_place_in_one_line() {
    let cases = [
        (smoke_with("hold = \"30s\"", "hold = \"fast\""), "invalid"),
        (smoke_with("hold =", "holdd ="), "holdd"),
        (
            smoke_with("connections = 10", "connections = 0"),
            "at least one connection",
        ),
        (
            smoke_with("hold = \"30s\"", "hold = \"0s\""),
            "duration must be longer",
        ),
        (
            smoke_with("ping-interval = \"1s\"", "ping-interval = \"0s\""),
            "intervals must be",
        ),
        (
            smoke_with("reconnect-percent = 10", "reconnect-percent = 101"),
            "between 0 and 100",
        ),
        (
            smoke_with("http_req_failed rate < 5%", "http_req_faild rate < 5%"),
            "threshold \"http_req_faild rate < 5%\": this scenario has no metric",
        ),
        (
            smoke_with(
                "ws_message_latency p95 < 100ms",
                "ws_message_latency p95 < 100",
            ),
            "written with us, ms or s",
        ),
    ];
    for (text, expected) in cases {
        let err = parse(&text).unwrap_err().to_string();
        assert!(err.starts_with("mode test: "), "{err}");
        assert!(err.contains(expected), "{err}");
        assert!(!err.contains('\n'), "{err}");
    }
}

#[test]
fn a_mode_file_that_is_not_there_is_named() {
    let err = Mode::from_file(
        Path::new("/nowhere/m.toml"),
        Overrides::default(),
        &metrics(),
    );
    let text = err.unwrap_err().to_string();
    assert!(
        text.starts_with("cannot read the mode file /nowhere/m.toml: "),
        "{text}"
    );
}
