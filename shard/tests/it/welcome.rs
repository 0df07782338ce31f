//! What applications do with connections: what they are told first, rooms, questions, and keeping
//! them apart from each other.

use std::time::Duration;

use dormouse_protocol::Filter;
use dormouse_shard::frame::Frame;
use serde_json::json;

use crate::support::server::{Builder, Server, Who, spread_user, tier};

#[actix_rt::test]
async fn newcomers_are_welcomed_before_anything_else_and_are_in_their_rooms() {
    let server = Server::start();
    let (mut guest, _) = server.connect(Who::user("welcomed")).await;
    assert_eq!(guest.event().await, ("init".to_owned(), json!(1)));
    let (mut other, _) = server.connect(Who::user("welcomed")).await;
    other.event().await;
    let room = || Filter::Room("lobby".into());
    let delivered = async |filter| -> u64 {
        let frame = Frame::text(r#"{"event":"x"}"#);
        let shards = server.workers.deliver("welcomed", filter, frame).await;
        shards.iter().map(|shard| shard.delivered).sum()
    };
    assert_eq!(delivered(room()).await, 2);
    guest.json().await;
    other.json().await;
    // Rooms are part of what is stored.
    server.put_to_sleep().await;
    assert_eq!(delivered(room()).await, 2);
    guest.json().await;
    let report = server.workers.user("welcomed").await.unwrap();
    let mut rooms = report.connections.iter().flat_map(|it| it.rooms.iter());
    assert!(rooms.all(|room| room == "lobby"));
    // An event of the application may change them.
    guest.send(r#"{"event":"app-leave","ackId":1}"#).await;
    assert_eq!(guest.json().await["event"], "ack");
    assert_eq!(delivered(room()).await, 1);
    server.put_to_sleep().await;
    assert_eq!(delivered(room()).await, 1);
}

#[actix_rt::test]
async fn enclosed_connections_have_the_applications_events_only() {
    let server = Server::start();
    let (mut one, _) = server.connect(Who::user("enclosed")).await;
    let (mut two, _) = server.connect(Who::user("enclosed")).await;
    for text in [
        r#"{"event":"broadcast","data":1,"ackId":1}"#,
        r#"{"event":"rpc-register","data":{"method":"m:x"},"ackId":2}"#,
        r#"{"event":"rpc-call","data":{"method":"m:x"},"ackId":3}"#,
        r#"{"event":"note","data":{"sid":"s"},"ackId":4}"#,
        r#"{"event":"ping","ackId":5}"#,
    ] {
        one.send(text).await;
    }
    assert_eq!(one.json().await["ackId"], 5);
    two.send(r#"{"event":"app-now","ackId":6}"#).await;
    assert_eq!(two.json().await["ack"], json!({ "done": true }));
    assert_eq!(two.json().await["event"], "update");
}

#[actix_rt::test]
async fn a_question_finds_its_connection_in_any_shard() {
    let user = spread_user();
    let server = Builder {
        workers: 3,
        tiers: vec![tier("thin", 1, 3)],
        ..Builder::default()
    }
    .start();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.connect(Who::user(&user)).await);
    }
    let data = serde_json::value::to_raw_value(&json!({ "n": 1 })).unwrap();
    for (client, id) in &mut clients {
        let workers = server.workers.clone();
        let (user, id, data) = (user.clone(), *id, data.clone());
        let asked = actix_rt::spawn(async move {
            let within = Duration::from_secs(60);
            workers
                .ask(&user, id, "question", Some(&data), within)
                .await
        });
        let question = client.json().await;
        assert_eq!(question["event"], "question");
        assert_eq!(question["data"], json!({ "n": 1 }));
        let answer = json!({
            "event": "rpc-response", "ackId": question["ackId"], "ack": { "yes": true },
        });
        client.send(&answer.to_string()).await;
        let answer = asked.await.unwrap().unwrap();
        assert_eq!(answer.get(), r#"{"yes":true}"#);
    }
    let nobody = dormouse_protocol::ConnectionId::random();
    let within = Duration::from_secs(60);
    let answer = server.workers.ask(&user, nobody, "x", None, within).await;
    assert!(answer.is_none());
    // One that is not answered ends with its time.
    let (client, id) = &mut clients[1];
    let workers = server.workers.clone();
    let (user, id) = (user.clone(), *id);
    let asked = actix_rt::spawn(async move { workers.ask(&user, id, "x", None, within).await });
    client.json().await;
    server.clock.advance(within + Duration::from_secs(1)).await;
    assert!(asked.await.unwrap().is_none());
}
