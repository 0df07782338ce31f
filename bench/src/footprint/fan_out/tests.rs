//! Tests of the account of deliveries.

use super::*;
use crate::target::Target;

fn dialect() -> Dialect {
    Dialect::new(&Target::parse("http://127.0.0.1:1").unwrap())
}

fn frame(sequence: u64) -> Vec<u8> {
    format!(r#"{{"event":"broadcast","data":{{"seq":{sequence}}}}}"#).into_bytes()
}

fn hear(account: &mut Account, connections: &[usize], sequence: u64) {
    for connection in connections {
        let reply = account.heard(*connection, &frame(sequence), Instant::now());
        assert_eq!(reply, Reply::Nothing);
    }
}

fn answer(account: &mut Account, lane: usize, delivered: u64) {
    let body = format!(r#"{{"success":true,"delivered":{delivered}}}"#);
    account.answered(lane, 200, body.as_bytes(), Instant::now());
}

#[test]
fn a_broadcast_ends_with_its_last_delivery_and_its_answer() {
    let mut account = Account::new(70, 1, 2);
    assert_eq!(account.start(5, 0), Some(0));
    assert_eq!(account.start(6, 0), Some(1));
    assert_eq!(account.start(7, 0), None);
    let all: Vec<usize> = (0..70).collect();
    hear(&mut account, &all, 6);
    account.check(&dialect()).unwrap();
    assert_eq!(account.flights.len(), 2);
    answer(&mut account, 1, 70);
    hear(&mut account, &all[..69], 5);
    answer(&mut account, 0, 70);
    account.check(&dialect()).unwrap();
    assert_eq!(account.flights.len(), 1);
    assert_eq!(
        account.missing(),
        "1 deliveries of 1 broadcasts are missing, and 0 answers"
    );
    hear(&mut account, &[69], 5);
    account.check(&dialect()).unwrap();
    assert!(account.flights.is_empty());
    assert_eq!((account.count, account.latency.count()), (140, 140));
    assert_eq!(account.free_lanes.len(), 2);
}

#[test]
fn with_several_accounts_only_the_accounts_own_connections_count() {
    let mut account = Account::new(7, 3, 1);
    account.start(0, 0);
    assert_eq!(account.flights[0].expected, 3);
    hear(&mut account, &[0, 3, 6], 0);
    answer(&mut account, 0, 3);
    account.check(&dialect()).unwrap();
    account.start(2, 2);
    assert_eq!(account.flights[0].expected, 2);
    hear(&mut account, &[2, 4], 2);
    let err = account.check(&dialect()).unwrap_err().to_string();
    assert!(
        err.starts_with("1 deliveries came twice or to the wrong"),
        "{err}"
    );
}

#[test]
fn faults_end_the_measurement() {
    type Play = fn(&mut Account);
    let cases: [(Play, &str); 6] = [
        (
            |account| hear(account, &[1, 1], 0),
            "1 deliveries came twice",
        ),
        (|account| hear(account, &[1], 9), "1 deliveries came twice"),
        (|account| hear(account, &[64], 0), "1 deliveries came twice"),
        (
            |account| {
                account.heard(0, br#"{"event":"error"}"#, Instant::now());
            },
            "and 1 frames were no broadcast",
        ),
        (
            |account| answer(account, 0, 3),
            "claims Some(3) deliveries where 2 are right",
        ),
        (
            |account| account.answered(0, 503, b"busy", Instant::now()),
            "POST /v1/websocket/broadcast was answered 503 (busy)",
        ),
    ];
    for (play, expected) in cases {
        let mut account = Account::new(2, 1, 1);
        account.start(0, 0);
        play(&mut account);
        let err = account.check(&dialect()).unwrap_err().to_string();
        assert!(err.contains(expected), "{err}");
    }
}
