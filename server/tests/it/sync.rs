//! The sync API over real sockets: order over shards, and what is left after the process was
//! killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::process::{Dormouse, token};
use crate::support::{Builder, Client, Handshake, http};

/// Makes a session; returns its id.
async fn session(address: std::net::SocketAddr, token: &str, tag: &str) -> String {
    let body = json!({ "tag": tag, "metadata": "m" });
    let answer = http::post(address, "/v1/sessions", token, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["session"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_connection_sees_rising_numbers_whoever_writes_wherever() {
    const WRITES: u64 = 40;
    let server = Builder::default().tier("spread", 1, 8).start();
    let token = server.token_of_tier("alice", "spread");
    let mut sessions = Vec::new();
    for tag in ["a", "b", "c"] {
        sessions.push(session(server.address, &token, tag).await);
    }
    // One connection to a shard, and shards on both workers.
    let mut receivers = Vec::new();
    for _ in 0..3 {
        receivers.push(server.connect_with(&token, &[]).await);
    }
    let mut writers = Vec::new();
    for id in &sessions {
        let query = [("clientType", "session-scoped"), ("sessionId", id.as_str())];
        writers.push((server.connect_with(&token, &query).await, id));
    }
    let stats = server.stats("alice").await;
    assert_eq!(stats.shards.len(), 6);
    assert!(
        stats
            .shards
            .iter()
            .any(|shard| shard.worker != stats.shards[0].worker)
    );

    let writing = writers.iter_mut().map(|(client, id)| async move {
        let mut updates = Vec::new();
        for version in 1..=WRITES {
            let data = json!({ "sid": id, "metadata": "x", "expectedVersion": version });
            client.ask("update-metadata", &data, &json!(version)).await;
            // The ack comes before the update that the write has caused.
            let ack = client.json().await;
            assert_eq!(ack["event"], "ack", "{ack}");
            assert_eq!(ack["ack"]["result"], "success", "{ack}");
            let update = client.expect("update").await;
            assert_eq!(update["body"]["metadata"]["version"], version + 1);
            updates.push(update["seq"].as_u64().unwrap());
        }
        assert!(updates.is_sorted(), "{updates:?}");
    });
    let reading = receivers.iter_mut().map(|client| async move {
        let mut seen = Vec::new();
        for _ in 0..WRITES * 3 {
            seen.push(client.expect("update").await["seq"].as_u64().unwrap());
        }
        // The three sessions were numbers 1 to 3; nothing is lost, doubled or out of order.
        assert_eq!(seen, (4..4 + WRITES * 3).collect::<Vec<_>>());
    });
    tokio::join!(join_all(writing), join_all(reading));
    for client in &mut receivers {
        client.quiet().await;
    }
}

#[tokio::test]
async fn a_sender_does_not_get_its_own_message_but_its_other_devices_do() {
    let server = Builder::default().start();
    let token = server.token("alice");
    let id = session(server.address, &token, "t").await;
    let mut agent = server.connect_session("alice", &id).await;
    let mut twin = server.connect_session("alice", &id).await;
    let mut app = server.connect("alice").await;
    let mut stranger = server.connect("bob").await;
    let mut elsewhere = server.connect_session("alice", "other").await;
    let data = json!({ "sid": id, "message": "c", "localId": "l" });
    let ack = agent.acked("message", &data).await;
    assert_eq!((&ack["ok"], &ack["seq"]), (&json!(true), &json!(1)));
    for client in [&mut twin, &mut app] {
        let update = client.expect("update").await;
        assert_eq!(update["body"]["message"]["id"], ack["id"]);
    }
    for client in [&mut agent, &mut stranger, &mut elsewhere] {
        client.quiet().await;
    }
}

/// What one client was told is stored: local ids and their numbers.
type Acked = BTreeMap<String, u64>;

/// Sends messages one after the other until the server is gone.
async fn write_until_killed(mut client: Client, sid: String, acks: Arc<AtomicUsize>) -> Acked {
    let mut acked = Acked::new();
    for number in 0_u64.. {
        let local_id = format!("{sid}-{number}");
        let data = json!({ "sid": sid, "message": "ciphertext", "localId": local_id });
        let request = json!({ "event": "message", "ackId": "1", "data": data });
        if !client.offer(&request).await {
            break;
        }
        let Some(answer) = client.text_or_end().await else {
            break;
        };
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["ack"]["ok"], true, "{answer}");
        acked.insert(local_id, answer["ack"]["seq"].as_u64().unwrap());
        acks.fetch_add(1, Ordering::Relaxed);
    }
    acked
}

#[tokio::test]
async fn every_acknowledged_message_survives_a_kill_in_the_middle_of_writing() {
    const CLIENTS: usize = 8;
    const KILL_AFTER: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let mut process = Dormouse::serve(folder.path(), &[]).await;
    let token = token(folder.path(), &["--user", "alice"]).await;
    let acks = Arc::new(AtomicUsize::new(0));
    let mut writing = Vec::new();
    for number in 0..CLIENTS {
        let sid = session(process.address(), &token, &number.to_string()).await;
        let handshake = Handshake::updates()
            .query("token", &token)
            .query("clientType", "session-scoped")
            .query("sessionId", &sid);
        let mut client = Client::open(process.address(), handshake).await;
        client.greeted().await;
        let writer = write_until_killed(client, sid.clone(), acks.clone());
        writing.push(tokio::spawn(async move { (sid, writer.await) }));
    }
    let counted = acks.clone();
    crate::support::eventually("enough is acknowledged", || async {
        (counted.load(Ordering::Relaxed) >= KILL_AFTER).then_some(())
    })
    .await;
    process.kill().await;
    let mut acked = Vec::new();
    for writer in writing {
        acked.push(writer.await.unwrap());
    }

    let mut process = Dormouse::serve(folder.path(), &[]).await;
    let (mut stored_in_all, mut acked_in_all) = (0, 0);
    for (sid, acked) in acked {
        let mut stored = BTreeMap::new();
        let mut last = 0;
        loop {
            let path = format!("/v1/sessions/{sid}/messages?sinceSeq={last}");
            let page = http::get(process.address(), &path, Some(&token))
                .await
                .json();
            let messages = page["messages"].as_array().unwrap();
            for message in messages {
                let seq = message["seq"].as_u64().unwrap();
                assert_eq!(seq, last + 1, "no number is missing or doubled");
                last = seq;
                stored.insert(message["localId"].as_str().unwrap().to_owned(), seq);
            }
            if messages.is_empty() {
                break;
            }
        }
        for (local_id, seq) in &acked {
            assert_eq!(
                stored.get(local_id),
                Some(seq),
                "{local_id} was acknowledged"
            );
        }
        // One more may be stored without its acknowledgement having been seen.
        assert!(stored.len() - acked.len() <= 1);
        let path = format!("/v1/sessions/{sid}");
        let session = http::get(process.address(), &path, Some(&token))
            .await
            .json();
        assert_eq!(session["session"]["seq"], last);
        stored_in_all += stored.len();
        acked_in_all += acked.len();
    }
    assert!(acked_in_all >= KILL_AFTER);
    println!("{acked_in_all} messages were acknowledged before the kill, {stored_in_all} stored");
    assert!(process.stop().await.success());
}
