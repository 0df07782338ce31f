//! Handshakes as fast as they come: by users who may, and by strangers who may not.

use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{Arena, Attack};
use crate::failure::Failure;
use crate::trial::{Raw, broken};

/// Handshakes under way at the same time.
const LANES: usize = 64;

pub(super) const ATTACK: Attack = Attack {
    name: "handshake-flood",
    about: "10,000 handshakes with valid tokens of 1,000 users, 64 at a time",
    settings: &[],
    // Tokens that are remembered, records of shards, the store's pages.
    memory_mib: 48.0,
    connections: LANES,
    run: |arena| users(arena).boxed_local(),
};

pub(super) const FORGED: Attack = Attack {
    name: "forged-handshakes",
    about: "10,000 handshakes with forged tokens and as many without any, 64 at a time",
    settings: &["auth.deadline=500ms"],
    memory_mib: 32.0,
    connections: 2 * LANES,
    run: |arena| strangers(arena).boxed_local(),
};

async fn users(arena: &mut Arena) -> Result<(), Failure> {
    let count = arena.size.of(10_000, 1_000);
    let users = arena.size.of(1_000, 100);
    let paths = (0..users).map(|user| arena.path(&format!("flood-{user}"), None));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    let address = arena.server.address;
    let began = Instant::now();
    let lanes = (0..LANES).map(async |lane| {
        for turn in (lane..count).step_by(LANES) {
            let path = paths.get(turn % users).map_or("", String::as_str);
            let mut raw = Raw::open(address, turn, path).await?;
            raw.hear("connected").await?;
            raw.goodbye().await?;
        }
        Ok::<(), std::io::Error>(())
    });
    for lane in join_all(lanes).await {
        lane.map_err(|err| broken("a handshake", err))?;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    arena.tell("handshakes_per_second", rate);
    arena.expect_connections(count, "normal");
    arena.did(format!("{count} handshakes, {rate:.0} a second"));
    Ok(())
}

async fn strangers(arena: &mut Arena) -> Result<(), Failure> {
    let count = arena.size.of(10_000, 1_000);
    let address = arena.server.address;
    let good = arena.path("somebody", None)?;
    let began = Instant::now();
    let lanes = (0..LANES).map(async |lane| {
        for turn in (lane..count).step_by(LANES) {
            // Another one each time, so that no refusal is remembered.
            let mut raw = Raw::connect(address, turn).await?;
            let status = raw.shake_hands(&format!("{good}{turn:x}")).await?;
            if status != 401 {
                return Err(std::io::Error::other(format!(
                    "{status} for a forged token"
                )));
            }
        }
        Ok(())
    });
    for lane in join_all(lanes).await {
        lane.map_err(|err| broken("a forged handshake", err))?;
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    arena.tell("handshakes_per_second", rate);
    arena.expect_refused(count, "token");

    // Without credentials: 20 wait from one address, and are closed at the deadline.
    let places = 20;
    let path = "/v1/updates";
    let mut waiting = Vec::new();
    for _ in 0..places {
        let raw = Raw::open(address, 0, path).await;
        waiting.push(raw.map_err(|err| broken("a place in the lobby", err))?);
    }
    let mut refused = 0;
    for _ in 0..places {
        let mut raw = Raw::connect(address, 0)
            .await
            .map_err(|err| broken("a stranger", err))?;
        let status = raw.shake_hands(path).await;
        refused += usize::from(status.map_err(|err| broken("a stranger", err))? == 429);
    }
    let told = join_all(waiting.iter_mut().map(Raw::closing)).await;
    let told = told.iter().filter(|code| **code == Some(4007)).count();
    drop(waiting);
    arena.expect_refused(refused, "pending_limit");
    arena.expect("dormouse_lobby_refused_total", places);
    arena.expect(
        "dormouse_lobby_refused_total{reason=\"auth_timeout\"}",
        places,
    );
    arena.expect("dormouse_connections_closed_total", places);
    arena.limit(
        "who does not authenticate in time is closed with 4007",
        "told_4007",
        told as f64,
        &format!("== {places}"),
    );
    arena.did(format!(
        "{count} forged tokens, {rate:.0} refused a second; {places} silent strangers, {refused} \
         more refused"
    ));
    Ok(())
}
