//! Handshakes that never end: half a request, and then a byte now and then.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{Arena, Attack};
use crate::failure::Failure;
use crate::trial::{Raw, Seen, broken};

/// Between two bytes.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) const ATTACK: Attack = Attack {
    name: "half-handshakes",
    about: "1,000 connections each send half a handshake and then a byte now and then, again and again",
    settings: &["http.header_timeout=1s"],
    // actix keeps its buffers for each.
    memory_mib: 48.0,
    connections: 1_000,
    run: |arena| run(arena).boxed_local(),
};

async fn run(arena: &mut Arena) -> Result<(), Failure> {
    let count = arena.size.of(1_000, 200);
    let lasting = arena
        .size
        .of(Duration::from_secs(10), Duration::from_secs(3));
    let address = arena.server.address;
    let end = Instant::now() + lasting;
    let lanes = (0..count).map(async |lane| {
        let mut closed = 0_usize;
        while Instant::now() < end {
            let mut raw = Raw::connect(address, lane).await?;
            raw.write(b"GET /v1/updates HTTP/1.1\r\nHost: h\r\nX-")
                .await?;
            // Sends on until the server has had enough; an answer (408) may come before.
            loop {
                tokio::select! {
                    seen = raw.next() => if seen == Seen::End { break },
                    () = tokio::time::sleep(PAUSE) => if raw.write(b"x").await.is_err() { break },
                }
            }
            closed += 1;
        }
        Ok::<usize, std::io::Error>(closed)
    });
    let mut closed = 0;
    for lane in join_all(lanes).await {
        closed += lane.map_err(|err| broken("half a handshake", err))?;
    }
    arena.tell("closed", closed as f64);
    arena.limit(
        "every one is closed by the server",
        "closed_of_each",
        closed as f64 / count as f64,
        ">= 1",
    );
    arena.did(format!("{count} at a time, {closed} closed by the server"));
    Ok(())
}
