//! Protocol pings as fast as they can be sent.

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{Arena, Attack};
use crate::failure::Failure;
use crate::footprint::frame::{Opcode, client_frame};
use crate::trial::broken;

pub(super) const ATTACK: Attack = Attack {
    name: "ping-flood",
    about: "50 connections send protocol pings of 125 bytes as fast as they can until they are closed",
    settings: &[],
    memory_mib: 32.0,
    connections: 50,
    run: |arena| run(arena).boxed_local(),
};

async fn run(arena: &mut Arena) -> Result<(), Failure> {
    let count = arena.size.of(50, 20);
    let path = arena.path("pinger", None)?;
    let mut pingers = arena.open(count, &path).await?;
    let burst: Vec<u8> = client_frame(Opcode::Ping, &[b'p'; 125], [1, 2, 3, 4]).repeat(100);
    let told = join_all(pingers.iter_mut().map(async |raw| {
        for _ in 0..1_000 {
            if raw.write(&burst).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok::<_, std::io::Error>(raw.closing().await)
    }))
    .await;
    for end in told {
        end.map_err(|err| broken("a pinger", err))?;
    }
    drop(pingers);
    arena.expect_connections(count, "policy");
    arena.expect_dropped(count, "too_many_messages");
    arena.did(format!("{count} connections, all closed with 1008"));
    Ok(())
}
