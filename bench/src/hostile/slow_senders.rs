//! Clients that send their messages byte by byte.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{Arena, Attack};
use crate::failure::Failure;
use crate::footprint::frame::{Opcode, client_frame};
use crate::trial::{Raw, broken};

/// Between two bytes.
const PAUSE: Duration = Duration::from_millis(20);
/// A message that its shard answers.
const MESSAGE: &str = r#"{"event":"ping","ackId":"slow"}"#;

pub(super) const ATTACK: Attack = Attack {
    name: "slow-senders",
    about: "200 connections send a message one byte every 20 ms, several times; each is answered",
    settings: &[],
    memory_mib: 16.0,
    connections: 200,
    run: |arena| run(arena).boxed_local(),
};

async fn run(arena: &mut Arena) -> Result<(), Failure> {
    let count = arena.size.of(200, 50);
    let rounds = arena.size.of(5, 2);
    let path = arena.path("drip", None)?;
    let mut senders = arena.open(count, &path).await?;
    let answered = join_all(senders.iter_mut().map(|raw| drip(raw, rounds))).await;
    for answer in answered {
        answer.map_err(|err| broken("a slow sender", err))?;
    }
    for raw in senders {
        raw.goodbye()
            .await
            .map_err(|err| broken("a slow sender", err))?;
    }
    arena.expect_connections(count, "normal");
    arena.expect("dormouse_messages_handled_total", count * rounds);
    arena.did(format!(
        "{count} senders, {rounds} messages each, all answered"
    ));
    Ok(())
}

async fn drip(raw: &mut Raw, rounds: usize) -> std::io::Result<()> {
    let frame = client_frame(Opcode::Text, MESSAGE.as_bytes(), [1, 2, 3, 4]);
    for _ in 0..rounds {
        for byte in &frame {
            raw.write(std::slice::from_ref(byte)).await?;
            tokio::time::sleep(PAUSE).await;
        }
        raw.hear("pong").await?;
    }
    Ok(())
}
