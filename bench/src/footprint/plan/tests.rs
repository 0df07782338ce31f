//! Tests of plans.

use super::*;

fn plan() -> Plan {
    Plan {
        target: Target::parse("http://127.0.0.1:1").unwrap(),
        pid: 1,
        tokens: Tokens::One(Token::new("t").unwrap()),
        admin: None,
        connections: 15_000,
        sleep_timeout: Duration::from_secs(60),
        settle: Duration::from_secs(1),
        sections: vec![
            Section::Memory,
            Section::FanOut,
            Section::Echo,
            Section::Connect,
        ],
        rounds: 5,
        floor: true,
        program: PathBuf::from("x"),
        fan_out: vec![10, 1_000, 10_000],
        in_flight: vec![1, 8],
        deliveries: 50_000,
        echo: vec![10],
        pings: 1_000,
        connects: 2_000,
        idle: Duration::from_secs(60),
        wake_connections: 500,
        wake_users: 10_000,
        wake_window: Duration::from_secs(2),
        growth: vec![1_000, 5_000, 15_000],
        speech: Speech::Plain,
        step_timeout: Duration::from_secs(30),
    }
}

#[test]
fn a_round_has_enough_broadcasts_and_not_too_many() {
    let works = plan().works();
    let broadcasts: Vec<_> = works
        .iter()
        .filter_map(|work| match work {
            Work::FanOut {
                connections,
                in_flight,
                broadcasts,
            } => Some((*connections, *in_flight, *broadcasts)),
            _ => None,
        })
        .collect();
    assert_eq!(
        broadcasts,
        [
            (10, 1, 2_000),
            (1_000, 1, 50),
            (10_000, 1, 8),
            (10, 8, 2_000),
            (1_000, 8, 50),
            (10_000, 8, 32),
        ]
    );
    let names: Vec<_> = works.into_iter().map(Work::name).collect();
    assert_eq!(names[1], "fan_out_1000");
    assert_eq!(names[4], "fan_out_1000_in_flight_8");
    assert_eq!(names[6..], ["echo_10", "connect"]);
}

#[test]
fn only_what_is_asked_for_counts() {
    let mut plan = plan();
    assert_eq!(plan.most_connections(), 15_000);
    plan.sections = vec![Section::Echo, Section::Connect];
    assert_eq!(plan.most_connections(), 2_000);
    plan.sections = vec![Section::Memory];
    assert!(!plan.compares());
    assert!(plan.check().is_ok());
    plan.in_flight = vec![1, 0];
    assert_eq!(
        plan.check().unwrap_err().to_string(),
        "--in-flight must be at least 1"
    );
}
