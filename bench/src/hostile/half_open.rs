//! Peers that are gone: some break off with a reset, the others never answer again.

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{Arena, Attack};
use crate::failure::Failure;
use crate::trial::broken;

pub(super) const ATTACK: Attack = Attack {
    name: "half-open",
    about: "200 connections die: half with a reset, half go silent and answer no ping",
    settings: &["shard.ping_interval=1s", "shard.idle_timeout=2s"],
    memory_mib: 16.0,
    connections: 200,
    run: |arena| run(arena).boxed_local(),
};

async fn run(arena: &mut Arena) -> Result<(), Failure> {
    let half = arena.size.of(100, 25);
    let path = arena.path("ghost", None)?;
    let mut silent = arena.open(half, &path).await?;
    for raw in arena.open(half, &path).await? {
        raw.reset().map_err(|err| broken("a reset", err))?;
    }
    let told = join_all(silent.iter_mut().map(|raw| {
        raw.play_dead();
        raw.closing()
    }))
    .await;
    let told = told.iter().filter(|code| **code == Some(1001)).count();
    drop(silent);
    arena.expect_connections(half, "abnormal");
    arena.expect_connections(half, "going_away");
    arena.expect_dropped(half, "idle");
    arena.limit(
        "those that went silent are closed with 1001",
        "told_1001",
        told as f64,
        &format!("== {half}"),
    );
    arena.did(format!(
        "{half} resets, {half} silent ones closed with 1001"
    ));
    Ok(())
}
