//! From a handshake to a place in a shard, or a refusal.

use dormouse_protocol::{CloseCode, Filter, Labels};
use dormouse_shard::arrival::Refusal;
use dormouse_shard::frame::Frame;
use serde_json::json;

use crate::support::client::{ACCEPT, frame};
use crate::support::clock::{settle, until};
use crate::support::server::{Builder, Server, Who, tier};
use crate::support::{Client, Seen};

#[actix_rt::test]
async fn the_first_frame_is_connected_right_behind_the_accepting_bytes() {
    let server = Server::start();
    let labels = Labels::new(Some("machine-scoped"), Some("s1"), Some("m1")).unwrap();
    let (mut client, id) = server.arrive(Who::labelled("alice", labels), &[]);
    client.accepted().await;
    let frame = client.json().await;
    let timestamp = frame["data"]["timestamp"].as_u64().unwrap();
    assert!(timestamp > 1_600_000_000_000, "{frame}");
    let data = json!({
        "connectionId": id.to_string(), "userId": "alice", "clientType": "machine-scoped",
        "sessionId": "s1", "machineId": "m1", "timestamp": timestamp,
    });
    assert_eq!(frame, json!({ "event": "connected", "data": data }));
}

#[actix_rt::test]
async fn what_came_behind_the_handshake_is_handled() {
    let server = Server::start();
    // A whole message, and the beginning of another.
    let whole = frame(0x81, br#"{"event":"ping","ackId":"early"}"#);
    let half = frame(0x81, br#"{"event":"ping","ackId":"late"}"#);
    let early = [&whole[..], &half[..9]].concat();
    let (mut client, _) = server.arrive(Who::user("alice"), &early);
    client.accepted().await;
    assert_eq!(client.event().await.0, "connected");
    assert_eq!(client.json().await["ackId"], "early");
    client.write(&half[9..]).await;
    assert_eq!(client.json().await["ackId"], "late");
}

#[actix_rt::test]
async fn a_user_past_one_shard_goes_on_in_the_next_and_is_refused_at_the_cap() {
    let server = Builder {
        tiers: vec![tier("small", 2, 2)],
        workers: 3,
        ..Builder::default()
    }
    .start();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.connect(Who::user("alice")).await);
    }
    let shards = server.shards("alice").await;
    let seen: Vec<_> = shards
        .iter()
        .map(|shard| (shard.shard.as_str(), shard.connections))
        .collect();
    assert_eq!(seen, [("alice", 2), ("alice-1", 2)]);

    let (mut refused, _) = server.arrive(Who::user("alice"), &[]);
    let answer = String::from_utf8(refused.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    let refusal = Refusal::Limit {
        tier: "small".into(),
        limit: 4,
        connections: 4,
    };
    assert_eq!(*server.refusals.lock().unwrap(), [refusal]);
    let report = server.report().await;
    let key = ("small".to_owned(), "connection_limit");
    assert_eq!(report.counters.rejected.get(&key), Some(&1));
    assert_eq!(server.shards("alice").await[0].rejected, 1);
    assert_eq!(report.connections, 4);

    // Whoever leaves makes room, in a further shard too.
    let (mut last, _) = clients.pop().unwrap();
    last.close(1000).await;
    assert_eq!(last.next().await, Seen::Close(Some(1000), String::new()));
    until("the shard has room", || async {
        server.stats("alice").await.total_connections == 3
    })
    .await;
    settle().await;
    server.connect(Who::user("alice")).await;
}

#[actix_rt::test]
async fn a_tier_that_takes_nobody_refuses_and_leaves_no_record() {
    let server = Builder {
        tiers: vec![tier("none", 0, 1)],
        ..Builder::default()
    }
    .start();
    let (mut refused, _) = server.arrive(Who::user("alice"), &[]);
    assert!(refused.rest().await.starts_with(b"HTTP/1.1 429"));
    let report = server.report().await;
    assert_eq!((report.shards, report.users), (0, 0));
}

#[actix_rt::test]
async fn a_refused_peer_that_keeps_its_socket_open_is_dropped_in_time() {
    let server = Builder {
        tiers: vec![tier("none", 0, 1)],
        ..Builder::default()
    }
    .start();
    let (mut refused, _) = server.arrive(Who::user("alice"), b"early bytes are not read");
    assert!(refused.rest().await.starts_with(b"HTTP/1.1 429"));
    // It goes on to talk to a server that does not listen any more.
    refused.send(r#"{"event":"ping"}"#).await;
    settle().await;
    let report = server.report().await;
    assert_eq!((report.io.pings, report.io.protocol_faults), (0, 0));
    server
        .clock
        .advance(std::time::Duration::from_secs(6))
        .await;
    assert_eq!(refused.next().await, Seen::End);
}

#[actix_rt::test]
async fn the_tier_is_the_admins_word_then_the_tokens_then_the_default() {
    let server = Server::start();
    let tier_of = async |user: &str| {
        let found = server.workers.user(user).await.unwrap();
        (found.tier, found.tier_source.as_str(), found.limit)
    };
    let (_a, _) = server.connect(Who::user("a")).await;
    assert_eq!(tier_of("a").await, ("free".to_owned(), "default", 20));
    let (_b, _) = server.connect(Who::user("b").of_tier("pro")).await;
    assert_eq!(tier_of("b").await, ("pro".to_owned(), "token", 6));
    let (_c, _) = server.connect(Who::user("c").of_tier("unheard-of")).await;
    assert_eq!(tier_of("c").await, ("free".to_owned(), "default", 20));

    let pro = server.workers.tiers().find("pro");
    server.workers.set_tier("a", pro).await.unwrap();
    assert_eq!(tier_of("a").await, ("pro".to_owned(), "override", 6));
    let free = server.workers.tiers().find("free");
    server.workers.set_tier("b", free).await.unwrap();
    assert_eq!(tier_of("b").await, ("free".to_owned(), "override", 20));
    assert_eq!(server.workers.tier_override("b"), free);

    // Taken back, the token's word counts again.
    server.workers.set_tier("b", None).await.unwrap();
    assert_eq!(tier_of("b").await, ("pro".to_owned(), "token", 6));
}

#[actix_rt::test]
async fn a_newer_token_changes_the_tier_of_all_shards_at_once() {
    let server = Builder {
        tiers: vec![tier("small", 2, 3), tier("large", 2, 9)],
        workers: 3,
        ..Builder::default()
    }
    .start();
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(server.connect(Who::user("alice").of_tier("small")).await);
    }
    let tiers = async || {
        let shards = server.shards("alice").await;
        let tiers = shards.into_iter().map(|shard| shard.tier);
        tiers.collect::<Vec<String>>()
    };
    assert_eq!(tiers().await, ["small"; 3]);
    // It goes to a fourth shard; those that it does not touch change with it.
    clients.push(server.connect(Who::user("alice").of_tier("large")).await);
    assert_eq!(tiers().await, ["large"; 4]);
    // One that is refused counts as well: its tier caps the user from here on.
    let (mut refused, _) = server.arrive(Who::user("alice").of_tier("small"), &[]);
    assert!(refused.rest().await.starts_with(b"HTTP/1.1 429"));
    assert_eq!(tiers().await, ["small"; 4]);
}

#[actix_rt::test]
async fn an_override_that_cannot_be_stored_changes_nothing() {
    let server = Server::start();
    let (_client, _) = server.connect(Who::user("a")).await;
    server
        .store
        .refuses_writes
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let pro = server.workers.tiers().find("pro");
    assert!(server.workers.set_tier("a", pro).await.is_err());
    assert_eq!(server.workers.tier_override("a"), None);
    assert_eq!(server.workers.user("a").await.unwrap().tier, "free");
}

#[actix_rt::test]
async fn a_peer_that_is_gone_before_it_is_greeted_leaves_nothing_behind() {
    let server = Server::start();
    let (client, _) = server.arrive(Who::machine("alice", "m1"), &[]);
    drop(client);
    server.emptied().await;
    let heard = server.application.take_presence();
    let m1 = |online| ("alice".to_owned(), "m1".to_owned(), online);
    assert_eq!(heard, [m1(true), m1(false)]);
}

#[actix_rt::test]
async fn statistics_count_types_labels_and_the_oldest() {
    let server = Server::start();
    let (_user, _) = server.connect(Who::user("alice").at(50)).await;
    let (mut session, _) = server.connect(Who::session("alice", "s1").at(40)).await;
    let (_other, _) = server.connect(Who::session("alice", "s2").at(60)).await;
    let (_machine, _) = server.connect(Who::machine("alice", "m1").at(70)).await;
    let (_stranger, _) = server.connect(Who::machine("bob", "m1").at(10)).await;
    let stats = server.stats("alice").await;
    assert_eq!(stats.total_connections, 4);
    let by_type = stats.by_type;
    let counts = (
        by_type.user_scoped,
        by_type.session_scoped,
        by_type.machine_scoped,
    );
    assert_eq!(counts, (1, 2, 1));
    assert_eq!((stats.active_sessions, stats.active_machines), (2, 1));
    assert_eq!(stats.oldest_connection, Some(40));
    assert_eq!(server.stats("nobody").await.total_connections, 0);

    session.close(1000).await;
    until("the session is gone", || async {
        server.stats("alice").await.total_connections == 3
    })
    .await;
    let stats = server.stats("alice").await;
    assert_eq!(
        (stats.active_sessions, stats.oldest_connection),
        (1, Some(50))
    );
    assert_eq!(server.report().await.oldest, Some(10));
}

#[actix_rt::test]
async fn the_oldest_is_known_while_one_goes_and_another_comes() {
    let server = Server::start();
    let (first, _) = server.connect(Who::user("alice").at(10)).await;
    // Its end is read in the turn in which the other arrives.
    drop(first);
    let (_second, _) = server.connect(Who::user("alice").at(20)).await;
    until("the first is gone", || async {
        server.stats("alice").await.total_connections == 1
    })
    .await;
    settle().await;
    assert_eq!(server.stats("alice").await.oldest_connection, Some(20));
}

#[actix_rt::test]
async fn deliveries_say_how_many_each_shard_took() {
    let server = Builder {
        tiers: vec![tier("small", 2, 2)],
        workers: 2,
        ..Builder::default()
    }
    .start();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.connect(Who::user("alice")).await.0);
    }
    let text = r#"{"event":"broadcast","data":1,"timestamp":5}"#;
    let frame = Frame::text(text);
    let mut delivered = server.workers.deliver("alice", Filter::All, frame).await;
    delivered.sort_by_key(|there| there.shard.number);
    let counts: Vec<_> = delivered
        .iter()
        .map(|there| (there.shard.to_string(), there.delivered))
        .collect();
    assert_eq!(counts, [("alice".to_owned(), 2), ("alice-1".to_owned(), 1)]);
    for client in &mut clients {
        assert_eq!(client.next().await, Seen::Text(text.to_owned()));
    }
    let nobody = server
        .workers
        .deliver("nobody", Filter::All, Frame::text("{}"))
        .await;
    assert_eq!(nobody, []);
}

#[actix_rt::test]
async fn broadcasts_of_admins_reach_their_audience() {
    use dormouse_shard::command::Audience;
    let server = Builder {
        workers: 3,
        ..Builder::default()
    }
    .start();
    let (mut free, _) = server.connect(Who::user("free-user")).await;
    let (mut paid, _) = server
        .connect(Who::machine("pro-user", "m").of_tier("pro"))
        .await;
    let pro = server.workers.tiers().find("pro").unwrap();
    let cases = [
        (Audience::Everyone, [true, true]),
        (Audience::Tier(pro), [false, true]),
        (
            Audience::ClientType(dormouse_protocol::ClientType::UserScoped),
            [true, false],
        ),
    ];
    for (audience, expected) in cases {
        let filter = match audience {
            Audience::ClientType(_) => Filter::UserScopedOnly,
            _ => Filter::All,
        };
        let frame = Frame::text(r#"{"event":"note"}"#);
        let delivered = server.workers.deliver_to(audience, filter, frame).await;
        let total: u64 = delivered.iter().map(|there| there.delivered).sum();
        assert_eq!(
            total,
            expected.iter().filter(|is| **is).count() as u64,
            "{audience:?}"
        );
        settle().await;
        let got = [&mut free, &mut paid].map(|client: &mut Client| !client.drain().is_empty());
        assert_eq!(got, expected, "{audience:?}");
    }
}

#[actix_rt::test]
async fn admins_close_one_connection_or_all_of_a_user() {
    let server = Builder {
        workers: 2,
        ..Builder::default()
    }
    .start();
    let (mut one, id) = server.connect(Who::user("alice")).await;
    let (mut two, _) = server.connect(Who::user("alice")).await;
    let (mut other, _) = server.connect(Who::user("bob")).await;
    let code = CloseCode::POLICY;
    assert!(server.workers.close_connection(id, code, "enough").await);
    assert_eq!(one.closed(1008).await, "enough");
    assert!(!server.workers.close_connection(id, code, "enough").await);
    assert_eq!(server.workers.disconnect("alice", code, "all").await, 1);
    assert_eq!(two.closed(1008).await, "all");
    until("alice is gone", || async {
        server.stats("alice").await.total_connections == 0
    })
    .await;
    assert!(server.workers.user("alice").await.is_none());
    other.send(r#"{"event":"ping"}"#).await;
    assert_eq!(other.event().await.0, "pong");
}

#[test]
fn the_accepting_bytes_are_no_frame() {
    assert_eq!(ACCEPT[0], b'H');
}
