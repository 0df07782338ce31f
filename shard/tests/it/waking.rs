//! Many who wake at once: in which order, and beside those who are awake.

use serde_json::json;

use crate::support::client::frame;
use crate::support::clock::{breathe, until};
use crate::support::server::{Server, Who};
use crate::support::{Client, Seen};

/// More than a worker wakes in a turn, and than it takes from the kernel at once.
const CROWD: usize = 300;

/// Users with a connection each.
async fn crowd(server: &Server) -> Vec<Client> {
    let mut crowd = Vec::with_capacity(CROWD);
    for number in 0..CROWD {
        let who = Who::user(&format!("sleeper-{number}"));
        crowd.push(server.connect(who).await.0);
    }
    crowd
}

fn message(ack: &str) -> Vec<u8> {
    let text = format!(r#"{{"event":"ping","ackId":"{ack}"}}"#);
    frame(0x81, text.as_bytes())
}

fn broadcast(data: &str) -> Vec<u8> {
    let text = format!(r#"{{"event":"broadcast","data":"{data}"}}"#);
    frame(0x81, text.as_bytes())
}

#[actix_rt::test]
async fn who_is_awake_does_not_wait_until_all_others_are() {
    let server = Server::start();
    let mut crowd = crowd(&server).await;
    let (mut alice, _) = server.connect(Who::user("alice")).await;
    server.put_to_sleep().await;
    alice.send(r#"{"event":"ping","ackId":"awake"}"#).await;
    assert_eq!(alice.json().await["ackId"], "awake");
    for client in &mut crowd {
        client.write_now(&message("woken"));
    }
    alice.write_now(&message("in between"));
    assert_eq!(alice.json().await["ackId"], "in between");
    let wakes = server.report().await.counters.wakes as usize;
    assert!(wakes < CROWD / 2, "{wakes} woke before her turn");
    for client in &mut crowd {
        assert_eq!(client.json().await["ackId"], "woken");
    }
    let counters = server.report().await.counters;
    assert_eq!(
        (counters.wakes as usize, counters.wake_failures),
        (CROWD + 1, 0)
    );
}

#[actix_rt::test]
async fn what_comes_later_stays_behind_what_waits_for_the_shard_to_wake() {
    let server = Server::start();
    let mut crowd = crowd(&server).await;
    let (mut alice, _) = server.connect(Who::user("alice")).await;
    let (mut phone, _) = server.connect(Who::user("alice")).await;
    server.put_to_sleep().await;
    for client in &mut crowd {
        client.write_now(&message("woken"));
    }
    alice.write_now(&broadcast("first"));
    // All of it is read, and a third of the crowd is awake.
    breathe(3).await;
    // Her shard wakes for another connection of hers, while her message still waits.
    let (mut tablet, _) = server.arrive(Who::user("alice"), &[]);
    alice.write_now(&broadcast("second"));
    tablet.accepted().await;
    assert_eq!(tablet.event().await.0, "connected");
    for expected in ["first", "second"] {
        assert_eq!(phone.event().await, ("broadcast".into(), json!(expected)));
    }
    // The first was said before it came.
    assert_eq!(tablet.event().await, ("broadcast".into(), json!("second")));
    assert_eq!(server.report().await.counters.wake_failures, 0);
}

#[actix_rt::test]
async fn the_message_of_one_who_leaves_before_the_shard_wakes_is_delivered() {
    let server = Server::start();
    let mut crowd = crowd(&server).await;
    let (mut alice, _) = server.connect(Who::user("alice")).await;
    let (mut phone, id) = server.connect(Who::user("alice")).await;
    server.put_to_sleep().await;
    for client in &mut crowd {
        client.write_now(&message("woken"));
    }
    alice.write_now(&broadcast("goodbye"));
    drop(alice);
    assert_eq!(phone.event().await, ("broadcast".into(), json!("goodbye")));
    until("her end is noticed", || async {
        server.stats("alice").await.total_connections == 1
    })
    .await;
    assert_eq!(server.report().await.counters.wake_failures, 0);
    let left = server.workers.user("alice").await.unwrap().connections;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].connection_id, id);
}

#[actix_rt::test]
async fn more_than_may_wait_is_left_to_the_kernel_and_not_lost() {
    let server = Server::start();
    let padding = "x".repeat(64 << 10);
    let mut crowd = crowd(&server).await;
    crowd.truncate(CROWD / 2);
    server.put_to_sleep().await;
    // Some 10 MB in all.
    for client in &mut crowd {
        let text = format!(r#"{{"event":"ping","ackId":"large","data":"{padding}"}}"#);
        let bytes = frame(0x81, text.as_bytes());
        assert_eq!(client.write_much(&bytes), bytes.len());
    }
    for client in &mut crowd {
        assert_eq!(client.json().await["ackId"], "large");
    }
    for client in &mut crowd {
        assert_eq!(client.drain(), Vec::<Seen>::new(), "one answer each");
    }
}
