//! Tests of the scenarios and profiles that come with the program, and of what is refused.

use super::*;
use serde_json::json;

#[test]
fn everything_that_comes_with_the_program_can_be_run() {
    for (name, _) in BUILT_IN {
        let scenario = Scenario::named(name).unwrap();
        assert_eq!(scenario.name, name);
        assert!(!scenario.thresholds.is_empty(), "{name}");
        let own = scenario.stages.peak() > 0;
        assert_eq!(own, ["calls", "reporting"].contains(&name), "{name}");
    }
    assert_eq!(names().count(), 4);
    let minutes = |minutes: f64| Duration::from_secs_f64(minutes * 60.0);
    let cases = [
        ("smoke", 1, minutes(0.5)),
        ("average", 100, minutes(2.0)),
        ("stress", 200, minutes(6.0)),
        ("spike", 200, minutes(1.0)),
        ("endurance", 50, minutes(12.0)),
    ];
    for (name, users, duration) in cases {
        let profile = Profile::named(name).unwrap();
        assert_eq!(
            (profile.stages.peak(), profile.stages.duration()),
            (users, duration)
        );
        for scenario in names() {
            let scenario = Scenario::named(scenario).unwrap().with(&profile);
            assert!(scenario.name.ends_with(&format!("-{name}")));
            assert!(scenario.judged_by(users).is_ok());
        }
    }
    assert_eq!(profile_names().len(), cases.len());
}

#[test]
fn the_stages_of_calls_and_reporting_are_the_documents() {
    let stages = |name| Scenario::named(name).unwrap().stages;
    let minutes = |minutes: f64| Duration::from_secs_f64(minutes * 60.0);
    assert_eq!(
        (stages("calls").peak(), stages("calls").duration()),
        (500, minutes(7.5))
    );
    let reporting = stages("reporting");
    assert_eq!(
        (reporting.peak(), reporting.duration()),
        (100, minutes(9.5))
    );
}

#[test]
fn throughput_is_asked_of_the_full_number_of_users_alone() {
    for name in ["calls", "reporting"] {
        let scenario = Scenario::named(name).unwrap();
        let all = scenario.criteria.len();
        assert_eq!(scenario.for_other_users().criteria.len(), all - 1, "{name}");
    }
}

#[test]
fn weights_are_shares() {
    let scenario = Scenario::named("full-api").unwrap();
    let weights: Vec<u32> = scenario.groups.iter().map(|group| group.weight).collect();
    assert_eq!(weights, [30, 20, 15, 10, 10, 7, 4, 4]);
    let turns = |count: u64| {
        let mut turns = [0_u32; 8];
        for turn in 0..count {
            let group = scenario.group(turn).unwrap() as *const Group;
            let place = scenario.groups.iter().position(|g| std::ptr::eq(g, group));
            turns[place.unwrap()] += 1;
        }
        turns
    };
    assert_eq!(turns(300), [90, 60, 45, 30, 30, 21, 12, 12]);
    assert_eq!(turns(1)[0], 1, "the heaviest comes first");
    // The smoke profile's single user has some 30 turns.
    assert!(turns(25).iter().all(|count| *count > 0), "{:?}", turns(25));
}

#[test]
fn checks_look_at_a_place_in_the_answer() {
    let check = |at: &str, equals: Option<&str>, contains: Option<&str>| Check {
        at: at.to_owned(),
        equals: equals.map(str::to_owned),
        contains: contains.map(str::to_owned),
    };
    let body = json!({"a": {"b": "ringing"}, "n": 1});
    assert!(check("/a/b", None, None).holds(&body));
    assert!(check("/a/b", Some("ringing"), Some("ring")).holds(&body));
    assert!(!check("/a/b", Some("ring"), None).holds(&body));
    assert!(!check("/a/c", None, None).holds(&body));
    assert!(!check("/n", None, Some("1")).holds(&body));
}

#[test]
fn faults_name_their_place() {
    let text = BUILT_IN[1].1;
    let cases = [
        (text.replace("weight =", "wait ="), "wait"),
        (
            text.replace("{session}", "{sitting}"),
            "nothing is known as {sitting}",
        ),
        (
            text.replace("http_req_failed rate", "http_req_faild rate"),
            "http_req_faild",
        ),
        (
            text.replace("method = \"DELETE\"", "method = \"DE LETE\""),
            "no such method",
        ),
    ];
    for (changed, expected) in cases {
        let err = Scenario::parse("x", &changed).unwrap_err().to_string();
        assert!(
            err.starts_with("scenario ") && err.contains(expected),
            "{err}"
        );
    }
    assert!(
        Scenario::named("none")
            .unwrap_err()
            .to_string()
            .contains("use health-check")
    );
    assert!(
        Profile::named("none")
            .unwrap_err()
            .to_string()
            .contains("use average")
    );
}
