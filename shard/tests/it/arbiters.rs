//! Workers on threads of their own, in real time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_rt::Arbiter;
use dormouse_protocol::Filter;
use dormouse_shard::Workers;
use dormouse_shard::frame::Frame;
use dormouse_shard::settings::ShardSettings;
use serde_json::json;

use crate::support::clock::until;
use crate::support::server::{Builder, Who, arrival, prepare, spread_user, tier};
use crate::support::{Client, Door, MemoryBackend, Recorder};

struct Threads {
    workers: Workers,
    arbiters: Vec<Arbiter>,
    application: Arc<Recorder>,
    store: Arc<MemoryBackend>,
}

fn start(builder: Builder) -> Threads {
    let (store, door) = (Arc::<MemoryBackend>::default(), Arc::<Door>::default());
    let application = Arc::<Recorder>::default();
    let (workers, seats) = prepare(builder, &store, &door, &application);
    let seated = seats.into_iter().map(|seat| {
        let arbiter = Arbiter::new();
        assert!(arbiter.spawn(async move { seat.take().unwrap() }));
        arbiter
    });
    let arbiters = seated.collect();
    Threads {
        workers,
        arbiters,
        application,
        store,
    }
}

impl Threads {
    async fn connect(&self, who: Who) -> Client {
        let (mut client, socket) = Client::pair();
        self.workers
            .admit(arrival(who, socket, &[], Arc::default()));
        client.accepted().await;
        assert_eq!(client.event().await.0, "connected");
        client
    }

    async fn connections(&self) -> u64 {
        let reports = self.workers.report(0).await;
        reports.iter().map(|report| report.connections).sum()
    }

    async fn sleeps(&self) -> u64 {
        let reports = self.workers.report(0).await;
        reports.iter().map(|report| report.counters.sleeps).sum()
    }

    /// Stops all and waits for their threads.
    async fn end(self) {
        self.workers.stop(Duration::from_secs(5)).await;
        for arbiter in self.arbiters {
            arbiter.stop();
            arbiter.join().unwrap();
        }
    }
}

#[actix_rt::test]
async fn a_hub_works_over_several_threads() {
    let server = start(Builder {
        workers: 4,
        tiers: vec![tier("thin", 1, 8)],
        ..Builder::default()
    });
    let mut clients = Vec::new();
    for _ in 0..7 {
        clients.push(server.connect(Who::user("alice")).await);
    }
    let mut daemon = server.connect(Who::machine("alice", "m")).await;
    for client in &mut clients {
        assert_eq!(client.event().await.1["online"], true);
        assert_eq!(client.event().await.1["active"], true);
    }
    for round in 0..20 {
        let sender = round % clients.len();
        let text = json!({"event":"broadcast","data":round,"ackId":round}).to_string();
        clients[sender].send(&text).await;
        let ack = json!({"success":true,"delivered":7});
        assert_eq!(clients[sender].json().await["ack"], ack);
        for (index, client) in clients.iter_mut().enumerate() {
            if index != sender {
                assert_eq!(client.json().await["data"], round);
            }
        }
        assert_eq!(daemon.json().await["data"], round);
    }
    for round in 0..20 {
        let call = json!({"event":"rpc-call","data":{"method":"m:run"},"ackId":round});
        clients[round % 7].send(&call.to_string()).await;
        let request = daemon.json().await;
        let answer = json!({"event":"rpc-response","ackId":request["ackId"],"ack":round});
        daemon.send(&answer.to_string()).await;
        assert_eq!(clients[round % 7].json().await["ack"]["result"], round);
    }
    let delivered = server
        .workers
        .deliver("alice", Filter::UserScopedOnly, Frame::text("{}"))
        .await;
    assert_eq!(
        delivered.iter().map(|there| there.delivered).sum::<u64>(),
        7
    );
    drop(daemon);
    let mut offline = false;
    while !offline {
        offline = clients[0].json().await["data"]["online"] == false;
    }
    drop(clients);
    until("all are gone", || async { server.connections().await == 0 }).await;
    assert_eq!(server.application.take_presence().len(), 2);
    server.end().await;
}

/// A call is placed once every shard has said whom it has. Here one takes its time, and the target
/// that another has named is gone by then.
async fn call_someone_who_goes(stays_behind: bool) {
    let server = start(Builder {
        workers: 3,
        tiers: vec![tier("thin", 1, 3), tier("two", 2, 3)],
        settings: ShardSettings {
            hibernate_after: Duration::from_millis(1),
            ..ShardSettings::default()
        },
        ..Builder::default()
    });
    let user = spread_user();
    let who = |who: Who| {
        if stays_behind {
            who.of_tier("two")
        } else {
            who
        }
    };
    let mut app = server.connect(who(Who::user(&user))).await;
    let mut others = Vec::new();
    if stays_behind {
        others.push(server.connect(who(Who::user(&user))).await);
    }
    let daemon = server.connect(who(Who::machine(&user, "m"))).await;
    let rest = if stays_behind { 3 } else { 1 };
    for _ in 0..rest {
        others.push(server.connect(who(Who::session(&user, "s"))).await);
    }
    until("all sleep", || async {
        let reports = server.workers.report(0).await;
        reports.iter().all(|report| report.awake == 0)
    })
    .await;
    app.drain();
    let held = server.store.hold_reads(2);
    let call = json!({"event":"rpc-call","data":{"method":"m:run"},"ackId":"c"});
    app.send(&call.to_string()).await;
    until("the last shard is asked", || async {
        server.store.waiting_reads.load(Ordering::SeqCst) == 1
    })
    .await;
    drop(daemon);
    until("it is known to be gone", || async {
        server.application.presence.lock().unwrap().len() == 2
    })
    .await;
    drop(held);
    let ack = loop {
        let frame = app.json().await;
        if frame["event"] == "ack" {
            break frame;
        }
    };
    assert_eq!(ack["ack"]["ok"], false, "{ack}");
    server.end().await;
}

#[actix_rt::test]
async fn a_call_to_a_shard_that_is_gone_meanwhile_fails_at_once() {
    call_someone_who_goes(false).await;
}

#[actix_rt::test]
async fn a_call_to_a_connection_that_is_gone_meanwhile_fails_at_once() {
    call_someone_who_goes(true).await;
}

/// Shards that sleep after a millisecond, talked to whenever they do.
#[actix_rt::test]
async fn nothing_is_lost_between_threads_while_shards_sleep_and_wake() {
    let server = start(Builder {
        workers: 3,
        tiers: vec![tier("thin", 1, 3)],
        settings: ShardSettings {
            hibernate_after: Duration::from_millis(1),
            ..ShardSettings::default()
        },
        ..Builder::default()
    });
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.connect(Who::user("alice")).await);
    }
    let mut slept = 0;
    for round in 0..150 {
        if round % 3 == 0 {
            // Wait until something sleeps, so that there is something to wake.
            until("a shard sleeps", || async { server.sleeps().await > slept }).await;
        }
        slept = server.sleeps().await;
        let sender = round % 3;
        let text = json!({"event":"broadcast","data":round,"ackId":round}).to_string();
        clients[sender].send(&text).await;
        let ack = clients[sender].json().await;
        assert_eq!(ack["ackId"], round);
        assert_eq!(ack["ack"]["delivered"], 2);
        for (index, client) in clients.iter_mut().enumerate() {
            if index != sender {
                assert_eq!(client.json().await["data"], round);
            }
        }
    }
    drop(clients);
    until("all are gone", || async { server.connections().await == 0 }).await;
    until("no record is left", || async { server.store.len() == 0 }).await;
    let reports = server.workers.report(0).await;
    assert!(
        reports
            .iter()
            .all(|report| report.counters.wake_failures == 0)
    );
    server.end().await;
}

#[actix_rt::test]
async fn users_come_and_go_on_all_threads_and_leave_nothing() {
    let server = start(Builder {
        workers: 3,
        tiers: vec![tier("small", 3, 2)],
        settings: ShardSettings {
            hibernate_after: Duration::from_millis(1),
            ..ShardSettings::default()
        },
        ..Builder::default()
    });
    let mut clients: Vec<Option<Client>> = (0..40).map(|_| None).collect();
    // Every step is a pure function of its number.
    for step in 0..600_usize {
        let slot = step.wrapping_mul(7_919) % clients.len();
        let user = format!("user-{}", slot % 8);
        match &mut clients[slot] {
            place @ None => {
                let who = match slot % 3 {
                    0 => Who::user(&user),
                    1 => Who::session(&user, "s"),
                    _ => Who::machine(&user, &format!("m{slot}")),
                };
                *place = Some(server.connect(who).await);
            }
            Some(client) if step % 3 == 0 => {
                let id = json!(step);
                let text = json!({"event":"ping","ackId":id}).to_string();
                client.send(&text).await;
                while client.json().await["ackId"] != id {}
            }
            Some(client) if step % 3 == 1 => {
                client.close(1000).await;
                clients[slot] = None;
            }
            place => *place = None,
        }
    }
    drop(clients);
    until("all shards are gone", || async {
        let reports = server.workers.report(0).await;
        reports
            .iter()
            .all(|report| report.shards == 0 && report.connections == 0)
    })
    .await;
    until("no record is left", || async { server.store.len() == 0 }).await;
    let presence = server.application.take_presence();
    let online = presence.iter().filter(|heard| heard.2).count();
    assert_eq!(presence.len(), online * 2, "who came online went offline");
    server.end().await;
}
