//! Stores that fail, and what a real one keeps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_shard::name::ShardName;
use dormouse_shard::store::{SledBackend, Store};
use serde_json::json;

use crate::support::client::frame;
use crate::support::clock::{settle, until};
use crate::support::server::{Builder, Server, Who, tier};
use crate::support::{Client, Seen};

async fn answers(client: &mut Client) {
    client.send(r#"{"event":"ping","ackId":"alive"}"#).await;
    assert_eq!(client.json().await["ackId"], "alive");
}

#[actix_rt::test]
async fn a_store_that_cannot_write_keeps_shards_awake() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::machine("alice", "m")).await;
    server.store.refuses_writes.store(true, Ordering::SeqCst);
    server.clock.advance(server.hibernate_after * 2).await;
    until("it has failed", || async {
        server.report().await.counters.sleep_failures > 0
    })
    .await;
    assert!(server.workers.store().fault().is_some());
    let report = server.report().await;
    assert_eq!((report.awake, report.counters.sleeps), (1, 0));
    answers(&mut client).await;
    // It tries again by itself, and sleeps once the store works, which is not asked again for a
    // second of real time.
    server.store.refuses_writes.store(false, Ordering::SeqCst);
    until("it sleeps", async || {
        client.write(&frame(0x8a, b"")).await;
        server.clock.advance(Duration::from_secs(11)).await;
        client.drain();
        server.is_asleep("alice").await
    })
    .await;
    assert!(server.workers.store().fault().is_none());
    assert_eq!(server.store.len(), 1);
    answers(&mut client).await;
    assert_eq!(server.report().await.counters.wake_failures, 0);
}

#[actix_rt::test]
async fn what_happens_while_attachments_are_stored_keeps_a_shard_awake() {
    let server = Server::start();
    let (mut client, _) = server.connect(Who::user("alice")).await;
    let store = server.store.clone();
    let held = store.hold();
    server.clock.advance(server.hibernate_after * 2).await;
    answers(&mut client).await;
    let report = server.report().await;
    assert_eq!((report.awake, report.counters.sleeps), (1, 0));
    drop(held);
    until("the outcome is known", || async {
        server.store.writes() == 1
    })
    .await;
    settle().await;
    let report = server.report().await;
    assert_eq!(
        (report.awake, report.counters.sleeps),
        (1, 0),
        "it was talked to meanwhile"
    );
    server.put_to_sleep().await;
    assert_eq!(server.store.writes(), 2, "what changed is stored again");
}

#[actix_rt::test]
async fn one_that_ends_while_it_is_stored_leaves_neither_record_nor_shard() {
    let server = Server::start();
    let (client, _) = server.connect(Who::user("alice")).await;
    let store = server.store.clone();
    let held = store.hold();
    server.clock.advance(server.hibernate_after * 2).await;
    drop(client);
    until("it is gone", || async {
        server.report().await.connections == 0
    })
    .await;
    // The next user does not get the outcome of what alice stored.
    let (mut bob, _) = server.connect(Who::user("bob")).await;
    server.clock.advance(server.hibernate_after * 2).await;
    drop(held);
    until("alice's records are gone", || async {
        server.shards("alice").await.is_empty() && server.store.len() <= 1
    })
    .await;
    until("bob sleeps", || async { server.is_asleep("bob").await }).await;
    bob.drain();
    answers(&mut bob).await;
    assert_eq!(server.report().await.counters.wake_failures, 0);
    assert_eq!(server.store.len(), 1);
}

#[actix_rt::test]
async fn a_store_that_cannot_be_read_on_waking_closes_with_1011() {
    let server = Builder {
        workers: 3,
        tiers: vec![tier("thin", 1, 3)],
        ..Builder::default()
    }
    .start();
    let (mut app, _) = server.connect(Who::user("alice")).await;
    let (mut daemon, _) = server.connect(Who::machine("alice", "m")).await;
    let (mut viewer, _) = server.connect(Who::session("alice", "s")).await;
    settle().await;
    app.drain();
    server.put_to_sleep().await;
    server.store.refuses_reads.store(true, Ordering::SeqCst);
    // What wakes alice-1 is lost with it; the others go on sleeping.
    daemon
        .send(r#"{"event":"broadcast","data":1,"ackId":1}"#)
        .await;
    daemon.closed(1011).await;
    until("it is counted", || async {
        server.stats("alice").await.total_connections == 2
    })
    .await;
    let stats = server.stats("alice").await;
    assert_eq!((stats.active_sessions, stats.active_machines), (1, 0));
    assert_eq!(stats.by_type.machine_scoped, 0);
    let report = server.report().await;
    assert_eq!(
        (report.counters.wake_failures, report.counters.wakes),
        (1, 1)
    );
    assert_eq!(report.io.closes["internal_error"], 1);
    // Its client comes back, and its machine is online again.
    server.store.refuses_reads.store(false, Ordering::SeqCst);
    server.application.take_presence();
    let (daemon, _) = server.connect(Who::machine("alice", "m")).await;
    assert_eq!(app.event().await.1["online"], true);
    assert_eq!(server.stats("alice").await.active_machines, 1);
    drop(daemon);
    app.event().await;
    assert_eq!(app.event().await.1["online"], false);
    answers_among(&mut viewer).await;
    // The cap is whole again.
    until("there is room", || async {
        server.stats("alice").await.total_connections == 2
    })
    .await;
    let (_third, _) = server.connect(Who::user("alice")).await;
    let (mut fourth, _) = server.arrive(Who::user("alice"), &[]);
    assert!(fourth.rest().await.starts_with(b"HTTP/1.1 429"));
}

async fn answers_among(client: &mut Client) {
    settle().await;
    client.drain();
    answers(client).await;
}

#[actix_rt::test]
async fn records_that_cannot_be_read_close_with_1011_and_leave_no_trace() {
    let server = Server::start();
    let mut clients = Vec::new();
    for n in 0..3 {
        clients.push(
            server
                .connect(Who::machine("alice", &format!("m{n}")))
                .await
                .0,
        );
    }
    server.put_to_sleep().await;
    server.store.spoil();
    let (mut newcomer, _) = server.connect(Who::user("alice")).await;
    for client in &mut clients {
        client.closed(1011).await;
    }
    answers(&mut newcomer).await;
    let stats = server.stats("alice").await;
    assert_eq!((stats.total_connections, stats.active_machines), (1, 0));
    drop(newcomer);
    server.emptied().await;
    until("no record is left", || async { server.store.len() == 0 }).await;
}

#[actix_rt::test]
async fn a_departure_that_wakes_a_shard_without_records_empties_it() {
    let server = Server::start();
    let (first, _) = server.connect(Who::machine("alice", "m")).await;
    let (mut second, _) = server.connect(Who::machine("alice", "m")).await;
    server.put_to_sleep().await;
    server.store.spoil();
    drop(first);
    second.closed(1011).await;
    server.emptied().await;
    assert_eq!(server.report().await.counters.wake_failures, 1);
}

#[actix_rt::test]
async fn sled_keeps_what_a_sleeping_shard_needs() {
    let folder = tempfile::tempdir().unwrap();
    let server = Builder {
        backend: Some(Arc::new(SledBackend::open(folder.path(), 1 << 20).unwrap())),
        workers: 2,
        tiers: vec![tier("small", 150, 2)],
        ..Builder::default()
    }
    .start();
    let mut clients = Vec::new();
    for n in 0..200 {
        let who = match n % 3 {
            0 => Who::user("alice"),
            1 => Who::session("alice", &format!("s{n}")),
            _ => Who::machine("alice", &format!("m{n}")),
        };
        clients.push(server.connect(who.at(n)).await);
    }
    let before = server.workers.user("alice").await.unwrap();
    assert_eq!(before.connections.len(), 200);
    for round in 1..=3 {
        server.put_to_sleep().await;
        let after = server.workers.user("alice").await.unwrap();
        let key = |found: &dormouse_protocol::Attachment| {
            (
                found.connection_id,
                found.labels.clone(),
                found.connected_at,
            )
        };
        let keys =
            |found: &[dormouse_protocol::Attachment]| found.iter().map(key).collect::<Vec<_>>();
        assert_eq!(keys(&after.connections), keys(&before.connections));
        let report = server.report().await;
        assert_eq!(
            (report.counters.sleeps, report.counters.wakes),
            (2 * round, 2 * round)
        );
        assert_eq!(report.counters.wake_failures, 0);
    }
    // Half go while it sleeps; the rest are all reached.
    server.put_to_sleep().await;
    let rest = clients.split_off(100);
    drop(clients);
    until("half are gone", || async {
        server.stats("alice").await.total_connections == 100
    })
    .await;
    server.put_to_sleep().await;
    let mut rest: Vec<_> = rest.into_iter().map(|(client, _)| client).collect();
    for client in &mut rest {
        client.drain();
    }
    rest[0]
        .send(r#"{"event":"broadcast","data":"all","ackId":1}"#)
        .await;
    assert_eq!(rest[0].json().await["ack"]["delivered"], 99);
    for client in &mut rest[1..] {
        assert_eq!(
            client.json().await,
            json!({"event":"broadcast","data":"all"})
        );
    }
}

#[test]
fn what_a_dead_process_left_is_told_and_its_overrides_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    actix_rt::System::new().block_on(async move {
        let server = Builder {
            backend: Some(Arc::new(SledBackend::open(&path, 1 << 20).unwrap())),
            ..Builder::default()
        }
        .start();
        let (_app, _) = server.connect(Who::user("alice")).await;
        let (_daemon, _) = server.connect(Who::machine("alice", "m")).await;
        let pro = server.workers.tiers().find("pro");
        server.workers.set_tier("alice", pro).await.unwrap();
        server.put_to_sleep().await;
        // It ends here, without a word to anybody.
    });
    let (store, leftovers) = Store::open(folder.path(), 1 << 20).unwrap();
    assert_eq!(leftovers.connections, 2);
    assert_eq!(leftovers.machines, [("alice".to_owned(), "m".to_owned())]);
    assert!(
        store
            .load(&ShardName::first("alice".into()))
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.tiers().unwrap()["alice"], "pro");
    drop(store);
    let path = folder.path().to_owned();
    actix_rt::System::new().block_on(async move {
        let server = Builder {
            backend: Some(Arc::new(SledBackend::open(&path, 1 << 20).unwrap())),
            ..Builder::default()
        }
        .start();
        let (mut client, _) = server.connect(Who::user("alice")).await;
        let found = server.workers.user("alice").await.unwrap();
        assert_eq!(
            (found.tier.as_str(), found.tier_source.as_str()),
            ("pro", "override")
        );
        server.put_to_sleep().await;
        answers(&mut client).await;
        assert!(!client.drain().contains(&Seen::End));
    });
}

#[actix_rt::test]
async fn a_first_shard_that_is_stored_while_its_last_sibling_goes_is_forgotten() {
    let server = Builder {
        tiers: vec![tier("thin", 1, 2)],
        ..Builder::default()
    }
    .start();
    let (first, _) = server.connect(Who::user("alice")).await;
    let (second, _) = server.connect(Who::user("alice")).await;
    server.put_to_sleep().await;
    drop(first);
    until("the first is gone", || async {
        server.report().await.connections == 1
    })
    .await;
    let store = server.store.clone();
    let held = store.hold();
    server.clock.advance(server.hibernate_after * 2).await;
    drop(second);
    until("the second is gone", || async {
        server.report().await.connections == 0
    })
    .await;
    settle().await;
    drop(held);
    server.emptied().await;
}
