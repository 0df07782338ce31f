//! One client that connects and is gone, again and again.

use std::time::Instant;

use futures_util::FutureExt as _;

use super::{Arena, Attack};
use crate::failure::Failure;
use crate::trial::{Raw, broken};

pub(super) const ATTACK: Attack = Attack {
    name: "storm",
    about: "20,000 connections in a row; each connects and is gone, every other one with a reset",
    settings: &[],
    memory_mib: 16.0,
    connections: 1,
    run: |arena| run(arena).boxed_local(),
};

async fn run(arena: &mut Arena) -> Result<(), Failure> {
    let count = arena.size.of(20_000, 2_000);
    let path = arena.path("gust", None)?;
    let began = Instant::now();
    for turn in 0..count {
        let cycle = async {
            let mut raw = Raw::open(arena.server.address, turn, &path).await?;
            raw.hear("connected").await?;
            match turn % 2 {
                0 => raw.goodbye().await,
                _ => raw.reset(),
            }
        };
        cycle.await.map_err(|err| broken("a gust", err))?;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    arena.tell("connections_per_second", rate);
    arena.expect_connections(count / 2, "normal");
    arena.expect_connections(count / 2, "abnormal");
    arena.did(format!("{count} connections, {rate:.0} a second"));
    Ok(())
}
