//! Connections end with the token that they were opened with.

use dormouse_protocol::CloseCode;
use dormouse_shard::arrival::Refusal;

use crate::support::clock::{settle, until};
use crate::support::server::{Builder, Who, spread_user, tier};

const LOST: [u8; 32] = [1; 32];
const KEPT: [u8; 32] = [2; 32];

async fn revoke_one_of_two(asleep: bool) {
    let server = Builder {
        workers: 3,
        tiers: vec![tier("two", 2, 3)],
        ..Builder::default()
    }
    .start();
    let user = spread_user();
    let mut lost = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let who = Who::user(&user).with_token(LOST);
        lost.push(server.connect(who).await.0);
        let who = Who::user(&user).with_token(KEPT);
        kept.push(server.connect(who).await.0);
    }
    let (mut other, _) = server.connect(Who::user("other").with_token(LOST)).await;
    if asleep {
        server.put_to_sleep().await;
    }
    assert_eq!(server.workers.revoke(&user, &LOST).await, 3);
    for client in &mut lost {
        assert_eq!(client.closed(4001).await, "the token was revoked");
    }
    until("they are off the counts", || async {
        server.stats(&user).await.total_connections == 3
    })
    .await;
    assert_eq!(server.workers.revoke(&user, &LOST).await, 0);
    settle().await;
    for client in kept.iter_mut().chain([&mut other]) {
        assert_eq!(client.drain(), [], "another token, or another user's");
    }
    assert_eq!(
        server
            .workers
            .disconnect(&user, CloseCode::AUTH_FAILED, "blocked")
            .await,
        3
    );
    for client in &mut kept {
        assert_eq!(client.closed(4001).await, "blocked");
    }
}

#[actix_rt::test]
async fn revoking_a_token_closes_what_it_opened() {
    revoke_one_of_two(false).await;
}

#[actix_rt::test]
async fn revoking_a_token_closes_what_it_opened_in_sleeping_shards_too() {
    revoke_one_of_two(true).await;
}

#[actix_rt::test]
async fn a_connection_on_its_way_does_not_outlive_its_token() {
    let server = Builder {
        workers: 3,
        tiers: vec![tier("thin", 1, 3)],
        ..Builder::default()
    }
    .start();
    let user = spread_user();
    let (_first, _) = server.connect(Who::user(&user).with_token(KEPT)).await;
    // Verified, then revoked before it is placed: here, and on another shard's worker.
    let (mut late, _) = server.arrive(Who::user(&user).with_token(LOST), &[]);
    server.door.revoked.lock().unwrap().push(LOST);
    assert_eq!(server.workers.revoke(&user, &LOST).await, 0);
    until("it is refused", || async {
        server.refusals.lock().unwrap().len() == 1
    })
    .await;
    assert_eq!(*server.refusals.lock().unwrap(), [Refusal::Revoked]);
    assert!(late.rest().await.starts_with(b"HTTP/1.1"));
    assert_eq!(server.stats(&user).await.total_connections, 1);
    assert_eq!(
        server.report().await.counters.rejected[&(String::new(), "revoked")],
        1
    );
}
