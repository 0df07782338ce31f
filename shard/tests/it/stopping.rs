//! Draining and stopping.

use std::time::Duration;

use dormouse_shard::arrival::Refusal;

use crate::support::clock::{settle, until};
use crate::support::server::{Builder, Server, Who, tier};
use crate::support::{Client, Seen};

fn several() -> Server {
    Builder {
        workers: 3,
        tiers: vec![tier("thin", 1, 3)],
        ..Builder::default()
    }
    .start()
}

#[actix_rt::test]
async fn stopping_says_goodbye_and_waits_until_all_are_gone() {
    let server = several();
    let mut clients = Vec::new();
    for user in 0..20 {
        clients.push(
            server
                .connect(Who::machine(&format!("user-{user}"), "m"))
                .await
                .0,
        );
    }
    // Some shards sleep, some do not.
    server.put_to_sleep().await;
    for client in &mut clients[..7] {
        client.send(r#"{"event":"ping","ackId":1}"#).await;
        client.json().await;
    }
    let (mut guest, permit) = server.newcomer(&[]);
    guest.accepted().await;
    let workers = server.workers.clone();
    let stopping = actix_rt::spawn(async move { workers.stop(Duration::from_secs(5)).await });
    for client in clients.iter_mut().chain([&mut guest]) {
        let reason = loop {
            match client.next().await {
                Seen::Close(Some(1001), reason) => break reason,
                Seen::Text(_) | Seen::Ping => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(!reason.is_empty());
        assert!(!stopping.is_finished());
        client.close(1001).await;
    }
    assert!(server.workers.is_draining());
    assert!(permit.await.is_err());
    // It looks every 10 ms whether all are gone.
    until("it is over", || async {
        tokio::time::advance(Duration::from_millis(10)).await;
        stopping.is_finished()
    })
    .await;
    let report = server.report().await;
    assert_eq!((report.connections, report.pending), (0, 0));
    let offline = server.application.take_presence();
    assert_eq!(
        offline.iter().filter(|heard| !heard.2).count(),
        20,
        "all machines are offline"
    );
}

#[actix_rt::test]
async fn stopping_does_not_wait_for_who_does_not_answer() {
    let server = several();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    let workers = server.workers.clone();
    let stopping = actix_rt::spawn(async move { workers.stop(Duration::from_secs(2)).await });
    assert!(matches!(client.next().await, Seen::Close(Some(1001), _)));
    server.clock.advance(Duration::from_millis(1_900)).await;
    assert!(!stopping.is_finished());
    server.clock.advance(Duration::from_millis(200)).await;
    settle().await;
    assert!(stopping.is_finished());
    assert!(client.is_cut());
}

#[actix_rt::test]
async fn nobody_is_taken_in_while_draining() {
    let server = Server::start();
    let (_first, _) = server.connect(Who::user("alice")).await;
    server.door.hold();
    let (mut guest, _permit) = server.newcomer(&[]);
    guest.accepted().await;
    guest
        .send(r#"{"event":"auth","data":{"token":"user:bob"}}"#)
        .await;
    until("it is asked", || async { server.door.waiting() == 1 }).await;
    server.workers.drain(Duration::from_secs(3_600));
    let (mut refused, _) = server.arrive(Who::user("carol"), &[]);
    assert!(refused.rest().await.starts_with(b"HTTP/1.1 429"));
    assert_eq!(*server.refusals.lock().unwrap(), [Refusal::Draining]);
    // One without a token, and one whose token turns out good.
    let (mut late, permit) = server.newcomer(&[]);
    late.accepted().await;
    late.closed(1001).await;
    assert!(permit.await.is_err());
    server.door.open();
    assert_eq!(guest.event().await.0, "auth-error");
    guest.closed(1001).await;
    let report = server.report().await;
    let key = (String::new(), "draining");
    assert_eq!(report.counters.rejected.get(&key), Some(&2));
    assert_eq!(
        report.shards, 0,
        "the first was closed at once, the rest over an hour"
    );
}

#[actix_rt::test]
async fn one_on_its_way_to_a_further_shard_is_refused_when_draining_begins() {
    let server = several();
    let user = (0..)
        .map(|number| format!("user-{number}"))
        .find(|user| {
            let worker = |number| dormouse_shard::name::ShardName::worker_of(user, number, 3);
            worker(1) > worker(0)
        })
        .unwrap();
    let (mut first, _) = server.connect(Who::user(&user)).await;
    // Placed by the home worker, while the other is already told to drain.
    let (mut second, _) = server.arrive(Who::machine(&user, "m"), &[]);
    server.workers.drain(Duration::from_secs(3_600));
    let answer = second.rest().await;
    assert!(
        answer.starts_with(b"HTTP/1.1"),
        "answered one way or the other"
    );
    settle().await;
    let stats = server.stats(&user).await;
    let is_in = answer.starts_with(b"HTTP/1.1 101");
    assert_eq!(stats.total_connections, u64::from(is_in) + open(&mut first));
    assert_eq!(stats.active_machines, u64::from(is_in));
}

fn open(client: &mut Client) -> u64 {
    u64::from(
        !client
            .drain()
            .iter()
            .any(|seen| matches!(seen, Seen::Close(..))),
    )
}

#[actix_rt::test]
async fn draining_closes_all_over_its_time() {
    let server = Server::start();
    let mut clients = Vec::new();
    for user in 0..300 {
        clients.push(server.connect(Who::user(&format!("user-{user}"))).await.0);
    }
    server.workers.drain(Duration::from_secs(10));
    let mut closed_at = Vec::new();
    for second in 1..=11 {
        for _ in 0..100 {
            server.clock.advance(Duration::from_millis(10)).await;
        }
        let closed = clients.iter_mut().filter_map(|client| {
            let said_goodbye = |seen: &Seen| matches!(seen, Seen::Close(Some(1001), _));
            client.drain().iter().any(said_goodbye).then_some(second)
        });
        let closed: Vec<_> = closed.collect();
        closed_at.push(closed.len());
    }
    assert_eq!(closed_at.iter().sum::<usize>(), 300, "{closed_at:?}");
    assert!(closed_at.iter().all(|count| *count < 100), "{closed_at:?}");
    server.emptied().await;
}
