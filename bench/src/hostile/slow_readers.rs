//! Clients that do not read while their user's connections are sent broadcasts.

use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, join_all};

use super::{Arena, Attack};
use crate::failure::Failure;
use crate::trial::{Launch, PATIENCE, Page, Raw, broken};

/// Bytes of a broadcast's payload.
const PAYLOAD: usize = 64 << 10;
/// Receive buffer of a slow reader, bytes: what the kernels keep for it comes on top.
const NARROW: u32 = 4096;

pub(super) const ATTACK: Attack = Attack {
    name: "slow-readers",
    about: "100 connections of one user read nothing while broadcasts of 64 KiB are sent to them",
    settings: &["limits.outbox=1 MiB"],
    // 100 outboxes of 1 MiB would be 100 MiB; they share the frames, which are 1 MiB.
    memory_mib: 32.0,
    connections: 100,
    run: |arena| run(arena).boxed_local(),
};

async fn run(arena: &mut Arena) -> Result<(), Failure> {
    let count = arena.size.of(100, 20);
    let path = arena.path("hoarder", None)?;
    let token = Launch::user_token("hoarder", None)?;
    let mut readers = Vec::new();
    for turn in 0..count {
        let fail = |err| broken("a slow reader", err);
        let connected = Raw::connect_narrow(arena.server.address, turn, NARROW).await;
        let mut raw = connected.map_err(fail)?;
        raw.shake_hands(&path).await.map_err(fail)?;
        raw.hear("connected").await.map_err(fail)?;
        readers.push(raw);
    }
    let url = arena.server.target.http("/v1/websocket/broadcast");
    let body = serde_json::json!({
        "message": { "type": "news", "payload": "x".repeat(PAYLOAD) }
    });
    let (began, mut sent) = (Instant::now(), 0);
    let dropped = "dormouse_connections_dropped_total{cause=\"slow_consumer\"}";
    while began.elapsed() < PATIENCE {
        let request = arena.http.post(url.clone()).json(&body);
        let answer = request.bearer_auth(token.expose()).send().await;
        answer.map_err(|err| broken("a broadcast", err.without_url()))?;
        sent += 1;
        if sent % 8 == 0 {
            let page = Page::fetch(&arena.http, &arena.server.target).await?;
            if page.sum(dropped) >= count as f64 {
                break;
            }
        }
    }
    arena.expect_connections(count, "slow_consumer");
    arena.expect_dropped(count, "slow_consumer");
    arena.tell("broadcasts", f64::from(sent));
    arena.did(format!(
        "{count} readers, {sent} broadcasts until all were closed"
    ));
    // Those that come to their senses can still read why they were closed.
    let told: Vec<LocalBoxFuture<'_, Option<u16>>> = readers
        .iter_mut()
        .map(|raw| raw.closing().boxed_local())
        .collect();
    let told = join_all(told).await;
    let told = told.into_iter().filter(|code| *code == Some(1013)).count();
    arena.tell("told_1013", told as f64);
    Ok(())
}
