//! Tests of plans and of where tokens come from.

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

#[test]
fn tokens_come_from_a_file_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Tokens::File(path.clone()).read()
    };
    let tokens = read("one\n\n two \n").unwrap();
    let texts: Vec<&str> = tokens.iter().map(Token::expose).collect();
    assert_eq!(texts, ["one", "two"]);
    let err = read("good\nbad secret\n").unwrap_err().to_string();
    assert!(err.contains("line 2: ") && !err.contains("secret"), "{err}");
    assert!(read("\n").unwrap_err().to_string().contains("has no token"));
    let missing = Tokens::File(folder.path().join("none")).read().unwrap_err();
    assert_eq!(missing.exit_code(), 2);
}

#[test]
fn tokens_come_from_a_command_run_for_each_account() {
    let command = |template: &str, users| {
        Tokens::Command {
            template: template.to_owned(),
            users,
        }
        .read()
    };
    let tokens = command("printf 'token-of-%s\\nmore\\n' {user}", 2).unwrap();
    let texts: Vec<&str> = tokens.iter().map(Token::expose).collect();
    assert_eq!(texts, ["token-of-bench-0", "token-of-bench-1"]);
    assert_eq!(command("echo same", 1).unwrap().len(), 1);
    for (template, users, expected) in [
        ("echo same", 2, "must contain {user}"),
        ("exit 3", 1, "ended with exit status: 3"),
        ("true", 1, "printed no token: the token is empty"),
        ("echo a secret", 1, "printed no token"),
    ] {
        let err = command(template, users).unwrap_err().to_string();
        assert!(err.contains(expected) && !err.contains("a secret"), "{err}");
    }
}
