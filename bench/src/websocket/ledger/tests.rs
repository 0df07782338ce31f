//! Tests of the account: each fault a server can commit shows in its column, and only there.

use super::*;

fn announced(ledger: &mut Ledger, expected: &[usize]) -> Uuid {
    let id = Uuid::new_v4();
    ledger.announce(
        id,
        &Audience::All,
        expected.iter().copied().collect(),
        Instant::now(),
    );
    id
}

fn row(ledger: &Ledger) -> Row {
    let rows = ledger.rows();
    assert_eq!(rows.len(), 1);
    rows[0]
}

fn base(expected: u64) -> Row {
    Row {
        audience: "all",
        sent: 1,
        expected,
        received: expected,
        ..Row::default()
    }
}

#[test]
fn an_exact_delivery_holds() {
    let mut ledger = Ledger::default();
    let id = announced(&mut ledger, &[1, 2, 3]);
    ledger.answer(id, Answer::Accepted(3));
    for connection in [3, 1, 2] {
        assert!(matches!(
            ledger.receive(Some(id), connection),
            Receipt::Expected(_)
        ));
    }
    assert_eq!(row(&ledger), base(3));
    assert!(row(&ledger).holds());
}

#[test]
fn each_fault_has_its_column() {
    type Play = fn(&mut Ledger, Uuid);
    let cases: [(&str, Play, Row); 6] = [
        (
            "lost",
            |ledger, id| {
                ledger.answer(id, Answer::Accepted(2));
                ledger.receive(Some(id), 1);
            },
            Row {
                received: 1,
                lost: 1,
                ..base(2)
            },
        ),
        (
            "duplicated",
            |ledger, id| {
                ledger.answer(id, Answer::Accepted(2));
                for connection in [1, 2, 2, 2] {
                    ledger.receive(Some(id), connection);
                }
            },
            Row {
                duplicated: 2,
                ..base(2)
            },
        ),
        (
            "misrouted",
            |ledger, id| {
                ledger.answer(id, Answer::Accepted(2));
                for connection in [1, 2, 9] {
                    ledger.receive(Some(id), connection);
                }
            },
            Row {
                misrouted: 1,
                ..base(2)
            },
        ),
        (
            "miscounted",
            |ledger, id| {
                ledger.answer(id, Answer::Accepted(3));
                for connection in [1, 2] {
                    ledger.receive(Some(id), connection);
                }
            },
            Row {
                miscounted: 1,
                ..base(2)
            },
        ),
        (
            "refused, and yet delivered to one",
            |ledger, id| {
                ledger.answer(id, Answer::Refused);
                ledger.receive(Some(id), 1);
            },
            Row {
                refused: 1,
                misrouted: 1,
                ..base(0)
            },
        ),
        (
            "unanswered, delivered to one of its audience and one stranger",
            |ledger, id| {
                ledger.receive(Some(id), 1);
                ledger.receive(Some(id), 7);
            },
            Row {
                unanswered: 1,
                misrouted: 1,
                ..base(0)
            },
        ),
    ];
    for (name, play, expected) in cases {
        let mut ledger = Ledger::default();
        let id = announced(&mut ledger, &[1, 2]);
        play(&mut ledger, id);
        assert_eq!(row(&ledger), expected, "{name}");
        assert!(!row(&ledger).holds(), "{name}");
    }
}

#[test]
fn broadcasts_of_others_are_foreign() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.receive(Some(Uuid::new_v4()), 1), Receipt::Foreign);
    assert_eq!(ledger.receive(None, 1), Receipt::Foreign);
    assert_eq!(ledger.foreign(), 2);
    assert_eq!(ledger.rows(), []);
}

#[tokio::test]
async fn completion_is_signalled_once_all_have_it() {
    let mut ledger = Ledger::default();
    let id = Uuid::new_v4();
    let complete = ledger.announce(id, &Audience::All, [1, 2].into(), Instant::now());
    ledger.receive(Some(id), 1);
    ledger.receive(Some(id), 1);
    ledger.receive(Some(id), 9);
    let signalled = tokio::time::timeout(std::time::Duration::ZERO, complete.notified()).await;
    assert!(signalled.is_err());
    ledger.receive(Some(id), 2);
    complete.notified().await;

    let nobody = ledger.announce(Uuid::new_v4(), &Audience::All, [].into(), Instant::now());
    nobody.notified().await;
}

#[test]
fn rows_are_kept_apart_by_audience() {
    let mut ledger = Ledger::default();
    for (audience, expected) in [
        (Audience::Session("s".into()), 1),
        (Audience::Session("t".into()), 2),
        (Audience::Machine("m".into()), 4),
    ] {
        let id = Uuid::new_v4();
        ledger.announce(id, &audience, (0..expected).collect(), Instant::now());
        ledger.answer(id, Answer::Accepted(expected as u64));
    }
    let rows = ledger.rows();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.audience, row.sent, row.lost))
        .collect();
    assert_eq!(seen, [("session", 2, 3), ("machine", 1, 4)]);
}
