//! Everybody sleeps, and everybody is woken at once.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{Arena, Attack};
use crate::failure::Failure;
use crate::trial::{Page, Raw, admin, broken, eventually};

/// Handshakes under way at the same time.
const LANES: usize = 64;
/// How long shards may take to fall asleep.
const SLEEP: Duration = Duration::from_secs(120);
const WAKES: &str = "dormouse_shard_wakes_total";

pub(super) const ATTACK: Attack = Attack {
    name: "wake-all",
    about: "10,000 users with a connection each are asleep and woken at once by a broadcast to all",
    // Long enough that witnesses, who talk all the time, stay awake on a machine that stalls.
    settings: &["shard.hibernate_after=5s"],
    // Each user is a shard with its record, its store pages and, awake, an actor.
    memory_mib: 160.0,
    connections: 10_000,
    run: |arena| run(arena).boxed_local(),
};

async fn run(arena: &mut Arena) -> Result<(), Failure> {
    let count = arena.size.of(10_000, 1_000);
    let paths = (0..count).map(|user| arena.path(&format!("sleeper-{user}"), None));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    let address = arena.server.address;
    let lanes = (0..LANES).map(async |lane| {
        let mut sleepers = Vec::new();
        for turn in (lane..count).step_by(LANES) {
            let path = paths.get(turn).map_or("", String::as_str);
            let mut raw = Raw::open(address, turn, path).await?;
            raw.hear("connected").await?;
            sleepers.push(raw);
        }
        Ok::<_, std::io::Error>(sleepers)
    });
    let mut sleepers = Vec::new();
    for lane in join_all(lanes).await {
        sleepers.extend(lane.map_err(|err| broken("a sleeper", err))?);
    }
    let asleep = eventually(SLEEP, async || {
        let overview = admin(
            &arena.http,
            &arena.server.target,
            "/admin/v1/overview",
            &arena.admin,
        );
        let asleep = overview.await.ok()?["shards"]["asleep"].as_u64()?;
        (asleep >= count as u64).then_some(())
    })
    .await;
    asleep.ok_or_else(|| broken("the sleepers", "they do not fall asleep"))?;
    let url = arena.server.target.http("/admin/v1/broadcast");
    let body = serde_json::json!({
        "message": { "type": "wake", "payload": "up" }, "to": { "everyone": true }
    });
    let request = arena
        .http
        .post(url)
        .bearer_auth(arena.admin.expose())
        .json(&body);
    let before = Page::fetch(&arena.http, &arena.server.target).await?;
    // Read concurrently: the last of them is what counts.
    let began = Instant::now();
    let heard = join_all(sleepers.iter_mut().map(async |raw| {
        raw.hear("wake").await?;
        Ok::<_, std::io::Error>(began.elapsed())
    }));
    let (sent, heard) = tokio::join!(request.send(), heard);
    let sent = sent.and_then(reqwest::Response::error_for_status);
    sent.map_err(|err| broken("the broadcast", err.without_url()))?;
    let mut last = Duration::ZERO;
    for time in heard {
        last = last.max(time.map_err(|err| broken("a sleeper", err))?);
    }
    arena.limit(
        "all are awake and have heard it within 2 s",
        "last_heard_s",
        last.as_secs_f64(),
        "<= 2",
    );
    // Now, and not at the end: who hears early may be asleep again before it leaves, and leaving
    // wakes it a second time.
    let after = Page::fetch(&arena.http, &arena.server.target).await?;
    let woken = (after.sum(WAKES) - before.sum(WAKES)).round();
    arena.counted(WAKES, count as u64, woken as u64);
    for chunk in sleepers.chunks_mut(LANES) {
        let leaving = chunk.iter_mut().map(Raw::leave);
        for left in join_all(leaving).await {
            left.map_err(|err| broken("a sleeper", err))?;
        }
    }
    arena.expect_connections(count, "normal");
    arena.did(format!(
        "{count} users, the last heard it after {:.2} s",
        last.as_secs_f64()
    ));
    Ok(())
}
