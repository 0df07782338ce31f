//! Hubs over several shards, each on a worker of its own.

use std::time::Duration;

use dormouse_protocol::Filter;
use dormouse_shard::frame::Frame;
use serde_json::{Value, json};

use crate::support::clock::{settle, until};
use crate::support::server::{Builder, Server, Who, spread_user, tier};
use crate::support::{Client, Seen};

/// Three workers and tiers of one connection per shard.
fn thin() -> Server {
    Builder {
        workers: 3,
        tiers: vec![tier("thin", 1, 3), tier("two", 2, 3)],
        ..Builder::default()
    }
    .start()
}

async fn say(client: &mut Client, message: Value) {
    client.send(&message.to_string()).await;
}

#[actix_rt::test]
async fn a_broadcast_reaches_all_shards_and_counts_them() {
    let server = thin();
    let user = spread_user();
    let who = || Who::user(&user).of_tier("two");
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(server.connect(who()).await.0);
    }
    let workers: std::collections::BTreeSet<_> = server
        .shards(&user)
        .await
        .iter()
        .map(|shard| shard.worker)
        .collect();
    assert_eq!(workers.len(), 3);
    for sender in 0..clients.len() {
        say(
            &mut clients[sender],
            json!({"event":"broadcast","data":sender,"ackId":"b"}),
        )
        .await;
        for (index, client) in clients.iter_mut().enumerate() {
            let expected = if index == sender {
                json!({"event":"ack","ackId":"b","ack":{"success":true,"delivered":5}})
            } else {
                json!({"event":"broadcast","data":sender})
            };
            assert_eq!(client.json().await, expected);
        }
    }
}

#[actix_rt::test]
async fn forwards_reach_labels_in_every_shard() {
    let server = thin();
    let user = spread_user();
    let (mut app, _) = server.connect(Who::user(&user)).await;
    let (mut viewer, _) = server.connect(Who::session(&user, "s")).await;
    let (mut other, _) = server.connect(Who::session(&user, "t")).await;
    say(
        &mut app,
        json!({"event":"note","data":{"sid":"s"},"ackId":1}),
    )
    .await;
    assert_eq!(app.json().await["ack"]["ok"], true);
    assert_eq!(
        viewer.json().await,
        json!({"event":"note","data":{"sid":"s"},"ackId":1})
    );
    say(&mut viewer, json!({"event":"reply"})).await;
    assert_eq!(app.json().await, json!({"event":"reply"}));
    settle().await;
    assert_eq!(other.drain(), []);
}

#[actix_rt::test]
async fn a_call_finds_its_target_in_another_shard_and_the_answer_its_caller() {
    let server = thin();
    let user = spread_user();
    let (mut app, _) = server.connect(Who::user(&user)).await;
    let (mut daemon, _) = server.connect(Who::machine(&user, "m")).await;
    let (mut agent, _) = server.connect(Who::session(&user, "s")).await;
    app.drain();

    // By its label.
    let call = json!({"event":"rpc-call","data":{"method":"m:run"},"ackId":"c1"});
    say(&mut app, call.clone()).await;
    let request = loop {
        let frame = daemon.json().await;
        if frame["event"] == "rpc-request" {
            break frame;
        }
    };
    let answer = json!({"event":"rpc-response","ackId":request["ackId"],"ack":"done"});
    say(&mut daemon, answer.clone()).await;
    let ack = loop {
        let frame = app.json().await;
        if frame["event"] == "ack" {
            break frame;
        }
    };
    let expected = json!({"ok":true,"result":"done","requestId":request["ackId"]});
    assert_eq!((&ack["ackId"], &ack["ack"]), (&json!("c1"), &expected));
    // The answer counts once.
    say(&mut daemon, answer).await;

    // A registration, in a third shard, is better than the label.
    let register = json!({"event":"rpc-register","data":{"method":"m:run"},"ackId":"r"});
    say(&mut agent, register).await;
    assert_eq!(agent.event().await.0, "rpc-registered");
    assert_eq!(agent.json().await["ack"]["ok"], true);
    say(&mut app, call.clone()).await;
    let request = agent.json().await;
    assert_eq!(request["event"], "rpc-request");
    let cancel = json!({"event":"rpc-cancel","data":{"requestId":request["ackId"]}});
    say(&mut app, cancel).await;
    let cancelled = json!({"requestId":request["ackId"],"method":"m:run"});
    assert_eq!(agent.event().await, ("rpc-cancel".to_owned(), cancelled));
    assert_eq!(app.json().await["ack"]["cancelled"], true);

    // A caller that goes cancels; a target that goes fails the call.
    say(&mut app, call.clone()).await;
    assert_eq!(agent.event().await.0, "rpc-request");
    drop(agent);
    assert_eq!(app.json().await["ack"]["ok"], false);
    say(&mut app, call).await;
    assert_eq!(daemon.event().await.0, "rpc-request");
    drop(app);
    assert_eq!(daemon.event().await.0, "rpc-cancel");
}

#[actix_rt::test]
async fn registrations_survive_the_sleep_of_their_shard() {
    let server = thin();
    let user = spread_user();
    let (mut app, _) = server.connect(Who::user(&user)).await;
    let (mut agent, _) = server.connect(Who::session(&user, "s")).await;
    say(
        &mut agent,
        json!({"event":"rpc-register","data":{"method":"x:y"},"ackId":1}),
    )
    .await;
    agent.json().await;
    agent.json().await;
    server.put_to_sleep().await;
    say(
        &mut app,
        json!({"event":"rpc-call","data":{"method":"x:y"},"ackId":"c"}),
    )
    .await;
    let request = agent.json().await;
    assert_eq!(request["event"], "rpc-request");
    say(
        &mut agent,
        json!({"event":"rpc-response","ackId":request["ackId"],"ack":1}),
    )
    .await;
    assert_eq!(app.json().await["ack"]["result"], 1);
    assert_eq!(server.report().await.counters.wakes, 2);
}

#[actix_rt::test]
async fn a_call_that_crosses_its_targets_departure_fails_at_once() {
    let server = thin();
    let user = spread_user();
    let (mut app, _) = server.connect(Who::user(&user)).await;
    for turns in 0..60 {
        let (mut daemon, _) = server.connect(Who::machine(&user, "m")).await;
        settle().await;
        app.drain();
        daemon.drain();
        let call = json!({"event":"rpc-call","data":{"method":"m:run"},"ackId":turns});
        say(&mut app, call).await;
        for _ in 0..turns / 3 {
            tokio::task::yield_now().await;
        }
        drop(daemon);
        // No time passes, so that only the departure can end the call.
        let ack = loop {
            let frame = app.json().await;
            if frame["event"] == "ack" {
                break frame;
            }
        };
        assert_eq!(
            (&ack["ackId"], &ack["ack"]["ok"]),
            (&json!(turns), &json!(false))
        );
        until("it is gone", || async {
            server.stats(&user).await.total_connections == 1
        })
        .await;
    }
}

#[actix_rt::test]
async fn a_machine_is_online_from_its_first_connection_anywhere_to_its_last() {
    let server = thin();
    let user = spread_user();
    let (mut app, _) = server.connect(Who::user(&user)).await;
    let (first, _) = server.connect(Who::machine(&user, "m")).await;
    let status = |online: bool, status: &(String, Value)| {
        assert_eq!(status.0, "ephemeral");
        assert_eq!(
            (&status.1["type"], &status.1["machineId"]),
            (&json!("machine-status"), &json!("m"))
        );
        assert_eq!(status.1["online"], online);
    };
    let activity = |active: bool, activity: &(String, Value)| {
        assert_eq!(activity.1["type"], "machine-activity");
        assert_eq!(activity.1["active"], active);
        assert!(activity.1["activeAt"].is_u64());
    };
    status(true, &app.event().await);
    activity(true, &app.event().await);
    // It reconnects before its old socket is known to be gone.
    let (second, _) = server.connect(Who::machine(&user, "m")).await;
    drop(first);
    until("the first is gone", || async {
        server.stats(&user).await.total_connections == 2
    })
    .await;
    settle().await;
    assert_eq!(app.drain(), [], "it was online all the time");
    assert_eq!(server.stats(&user).await.active_machines, 1);
    drop(second);
    status(false, &app.event().await);
    activity(false, &app.event().await);
    settle().await;
    assert_eq!(app.drain(), []);
    let heard = server.application.take_presence();
    let m = |online| (user.clone(), "m".to_owned(), online);
    assert_eq!(heard, [m(true), m(false)]);
}

#[actix_rt::test]
async fn presence_comes_after_the_machines_own_greeting() {
    let server = thin();
    let user = spread_user();
    let labels = dormouse_protocol::Labels::new(Some("machine-scoped"), None, Some("m")).unwrap();
    let (mut daemon, _) = server.connect(Who::labelled(&user, labels)).await;
    settle().await;
    assert_eq!(daemon.drain(), [], "only users hear of machines");
    let viewer = Who::labelled(
        &user,
        dormouse_protocol::Labels::new(None, None, Some("m")).unwrap(),
    );
    let (mut app, _) = server.connect(viewer).await;
    settle().await;
    assert_eq!(app.drain(), [], "a label is no presence");
    assert_eq!(server.application.take_presence().len(), 1);
}

#[actix_rt::test]
async fn a_departure_wakes_its_own_shard_only() {
    let server = thin();
    let user = spread_user();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.connect(Who::user(&user)).await.0);
    }
    server.put_to_sleep().await;
    clients.pop();
    until("it is counted", || async {
        server.stats(&user).await.total_connections == 2
    })
    .await;
    settle().await;
    let report = server.report().await;
    assert_eq!((report.counters.wakes, report.awake), (1, 0));
    // A broadcast reaches those that sleep, and they are counted.
    say(&mut clients[0], json!({"event":"broadcast","ackId":1})).await;
    assert_eq!(clients[0].json().await["ack"]["delivered"], 1);
    assert_eq!(
        clients[1].next().await,
        Seen::Text(r#"{"event":"broadcast"}"#.to_owned())
    );
    assert_eq!(server.report().await.counters.wakes, 3);
}

#[actix_rt::test]
async fn statistics_add_up_all_shards() {
    let server = thin();
    let user = spread_user();
    let (_a, _) = server.connect(Who::session(&user, "s").at(30)).await;
    let (_b, _) = server.connect(Who::session(&user, "s").at(20)).await;
    let (_c, _) = server.connect(Who::machine(&user, "m").at(40)).await;
    for asleep in [false, true] {
        let stats = server.stats(&user).await;
        assert_eq!(stats.total_connections, 3);
        assert_eq!(
            (stats.by_type.session_scoped, stats.by_type.machine_scoped),
            (2, 1)
        );
        assert_eq!(
            (stats.active_sessions, stats.active_machines),
            (1, 1),
            "distinct labels"
        );
        assert_eq!(stats.oldest_connection, Some(20));
        let names: Vec<_> = stats
            .shards
            .iter()
            .map(|shard| shard.shard.clone())
            .collect();
        assert_eq!(
            names,
            [user.clone(), format!("{user}-1"), format!("{user}-2")]
        );
        assert_eq!(server.report().await.users, 1);
        if !asleep {
            server.put_to_sleep().await;
        }
    }
    assert_eq!(server.report().await.counters.wakes, 0);
}

#[actix_rt::test]
async fn an_event_of_the_application_keeps_its_order_and_its_shard_awake() {
    let server = thin();
    let user = spread_user();
    let (mut app, _) = server.connect(Who::user(&user)).await;
    let (mut other, _) = server.connect(Who::user(&user)).await;
    say(&mut app, json!({"event":"app-now","ackId":1})).await;
    assert_eq!(
        app.json().await,
        json!({"event":"ack","ackId":1,"ack":{"done":true}})
    );
    assert_eq!(app.event().await.0, "update");
    assert_eq!(other.event().await.0, "update");
    say(&mut app, json!({"event":"app-later","ackId":2})).await;
    until("it is heard", || async {
        server.application.later.lock().unwrap().len() == 1
    })
    .await;
    server.clock.advance(server.hibernate_after * 3).await;
    let sibling = format!("{user}-1");
    until("the other shard sleeps", || server.is_asleep(&sibling)).await;
    assert!(!server.is_asleep(&user).await, "its work is not done");
    server.application.later.lock().unwrap().clear();
    assert_eq!(app.json().await["ackId"], 2);
    assert_eq!(app.event().await.0, "update");
    assert_eq!(other.event().await.0, "update");
    server.put_to_sleep().await;
    // A connection that goes before the outcome costs nothing.
    say(&mut app, json!({"event":"app-later","ackId":3})).await;
    until("it is heard", || async {
        server.application.later.lock().unwrap().len() == 1
    })
    .await;
    drop(app);
    settle().await;
    server.application.later.lock().unwrap().clear();
    assert_eq!(other.event().await.0, "update");
    drop(other);
    until("nobody is left", || async {
        server.report().await.connections == 0
    })
    .await;
    server.clock.advance(server.hibernate_after * 2).await;
    server.emptied().await;
}

#[actix_rt::test]
async fn a_fan_out_larger_than_a_turn_reaches_all_in_order() {
    let server = Builder {
        tiers: vec![tier("large", 1_000, 1)],
        ..Builder::default()
    }
    .start();
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(server.connect(Who::user("alice")).await.0);
    }
    // Several at once: each socket gets them joined. A message of one of them comes between.
    let delivered: Vec<_> = (0..5)
        .map(|number| {
            let frame = Frame::text(&json!({"event":"b","data":number}).to_string());
            server.workers.deliver("alice", Filter::All, frame)
        })
        .collect();
    clients[299].write_now(&crate::support::client::frame(0x81, br#"{"event":"ping"}"#));
    for delivered in futures_util::future::join_all(delivered).await {
        assert_eq!(delivered[0].delivered, 300);
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let mut numbers = Vec::new();
        while numbers.len() < 5 {
            let (event, data) = client.event().await;
            if event == "b" {
                numbers.push(data.as_u64().unwrap());
            } else {
                assert_eq!((index, event.as_str()), (299, "pong"));
            }
        }
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }
}

#[actix_rt::test]
async fn an_open_call_keeps_its_shard_awake_until_its_time_is_over() {
    let server = thin();
    let user = spread_user();
    let (mut app, _) = server.connect(Who::user(&user)).await;
    let (mut daemon, _) = server.connect(Who::machine(&user, "m")).await;
    say(
        &mut app,
        json!({"event":"rpc-call","data":{"method":"m:run"},"ackId":"c"}),
    )
    .await;
    assert_eq!(daemon.event().await.0, "rpc-request");
    let pong = crate::support::client::frame(0x8a, b"");
    for _ in 0..29 {
        server.clock.advance(Duration::from_secs(10)).await;
        app.write_now(&pong);
        daemon.write_now(&pong);
    }
    assert!(!server.is_asleep(&user).await);
    assert!(
        server.is_asleep(&format!("{user}-1")).await,
        "the target may sleep"
    );
    app.drain();
    server.clock.advance(Duration::from_secs(11)).await;
    assert_eq!(app.json().await["ack"]["cancelled"], true);
    assert_eq!(daemon.event().await.0, "rpc-cancel");
    server.put_to_sleep().await;
}
