//! One user at the cap of the tier, who goes on connecting.

use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{Arena, Attack};
use crate::failure::Failure;
use crate::trial::{Raw, broken};

/// Connections that the tier allows.
const CAP: usize = 20;
/// Attempts under way at the same time.
const LANES: usize = 32;

pub(super) const ATTACK: Attack = Attack {
    name: "at-the-cap",
    about: "a user of the free tier with 20 connections tries 10,000 more",
    settings: &[],
    memory_mib: 16.0,
    connections: CAP + LANES,
    run: |arena| run(arena).boxed_local(),
};

async fn run(arena: &mut Arena) -> Result<(), Failure> {
    let count = arena.size.of(10_000, 1_000);
    let path = arena.path("greedy", Some("free"))?;
    let held = arena.open(CAP, &path).await?;
    let address = arena.server.address;
    let began = Instant::now();
    let lanes = (0..LANES).map(async |lane| {
        for turn in (lane..count).step_by(LANES) {
            let mut raw = Raw::connect(address, turn).await?;
            let status = raw.shake_hands(&path).await?;
            if status != 429 {
                return Err(std::io::Error::other(format!("{status} at the cap")));
            }
        }
        Ok(())
    });
    for lane in join_all(lanes).await {
        lane.map_err(|err| broken("one too many", err))?;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    for raw in held {
        raw.goodbye()
            .await
            .map_err(|err| broken("one at the cap", err))?;
    }
    arena.tell("refusals_per_second", rate);
    arena.expect_connections(CAP, "normal");
    arena.expect("dormouse_connections_rejected_total", count);
    arena.expect(
        "dormouse_connections_rejected_total{tier=\"free\",reason=\"connection_limit\"}",
        count,
    );
    arena.expect("do_connections_rejected", count);
    arena.did(format!("{count} answered 429, {rate:.0} a second"));
    Ok(())
}
