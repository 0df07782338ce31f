//! Publications over several shards: one order for every connection, asleep ones included.

use std::sync::Arc;

use dormouse_protocol::Filter;
use dormouse_shard::application::Delivery;
use dormouse_shard::publication::{Ack, Publication, ReplyTo};
use serde_json::{Value, json};

use crate::support::Client;
use crate::support::clock::{settle, until};
use crate::support::server::{Builder, Server, Who, spread_user, tier};

fn update(seq: u64) -> Delivery {
    Delivery {
        filter: Filter::All,
        except: None,
        json: json!({"event":"update","data":{"seq":seq}}).to_string(),
        is_ephemeral: false,
    }
}

fn thin() -> Server {
    Builder {
        workers: 3,
        tiers: vec![tier("thin", 1, 3)],
        ..Builder::default()
    }
    .start()
}

/// Sends an event whose outcome the test publishes.
async fn ask(server: &Server, client: &mut Client, id: u64) -> ReplyTo {
    let text = json!({"event":"app-published","ackId":id}).to_string();
    client.send(&text).await;
    until("the application hears it", || async {
        !server.application.asked.lock().unwrap().is_empty()
    })
    .await;
    let request = server.application.asked.lock().unwrap().remove(0);
    request.reply_to.unwrap()
}

fn publish(server: &Server, user: &str, ack: Option<ReplyTo>, deliveries: Vec<Delivery>) {
    let ack = ack.map(|to| Ack {
        to,
        value: r#"{"done":true}"#.into(),
    });
    let user: Arc<str> = user.into();
    server
        .workers
        .publish(&user, Publication { ack, deliveries });
}

fn seq_of(frame: &Value) -> u64 {
    frame["data"]["seq"].as_u64().unwrap()
}

#[actix_rt::test]
async fn every_connection_sees_one_order_and_the_sender_its_ack_first() {
    let server = thin();
    let user = spread_user();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.connect(Who::user(&user)).await.0);
    }
    let mut seq = 0;
    for round in 0..30 {
        let sender = round % 3;
        let to = ask(&server, &mut clients[sender], round as u64).await;
        // Others' changes around it, one after the other.
        publish(&server, &user, None, vec![update(seq + 1)]);
        publish(
            &server,
            &user,
            Some(to),
            vec![update(seq + 2), update(seq + 3)],
        );
        publish(&server, &user, None, vec![update(seq + 4)]);
        for (index, client) in clients.iter_mut().enumerate() {
            assert_eq!(seq_of(&client.json().await), seq + 1);
            if index == sender {
                let ack = json!({"event":"ack","ackId":round,"ack":{"done":true}});
                assert_eq!(client.json().await, ack);
            }
            for next in seq + 2..=seq + 4 {
                assert_eq!(seq_of(&client.json().await), next);
            }
        }
        seq += 4;
    }
}

#[actix_rt::test]
async fn sleeping_shards_wake_and_an_ack_alone_wakes_only_its_own() {
    let server = thin();
    let user = spread_user();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.connect(Who::user(&user)).await.0);
    }
    let to = ask(&server, &mut clients[2], 1).await;
    server.put_to_sleep().await;
    publish(&server, &user, Some(to.clone()), Vec::new());
    assert_eq!(clients[2].json().await["ackId"], 1);
    settle().await;
    assert_eq!(server.report().await.counters.wakes, 1);
    server.put_to_sleep().await;
    for seq in 1..=5 {
        publish(&server, &user, None, vec![update(seq)]);
    }
    for client in &mut clients {
        for seq in 1..=5 {
            assert_eq!(seq_of(&client.json().await), seq);
        }
    }
    assert_eq!(server.report().await.counters.wakes, 4);
    // Who asked is gone: the others hear of it all the same.
    drop(clients.pop());
    until("it is gone", || async {
        server.stats(&user).await.total_connections == 2
    })
    .await;
    publish(&server, &user, Some(to), vec![update(6)]);
    for client in &mut clients {
        assert_eq!(seq_of(&client.json().await), 6);
    }
    // Nobody is connected: nothing is left of it.
    publish(&server, "nobody", None, vec![update(1)]);
    drop(clients);
    until("nobody is left", || async {
        server.report().await.connections == 0
    })
    .await;
    server.clock.advance(server.hibernate_after * 2).await;
    server.emptied().await;
}
