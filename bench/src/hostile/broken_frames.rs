//! Frames beyond all measure: announced, sent in parts, and parts without an end.

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{Arena, Attack};
use crate::failure::Failure;
use crate::footprint::frame::{Opcode, client_frame};
use crate::trial::broken;

/// Parts of a message that is too long, bytes each.
const PART: usize = 64 << 10;

pub(super) const ATTACK: Attack = Attack {
    name: "broken-frames",
    about: "50 connections announce a frame of a terabyte, 50 send 2 MiB in parts, 50 send parts without an end",
    settings: &[],
    // 50 messages of up to 1 MiB while they are put together.
    memory_mib: 96.0,
    connections: 150,
    run: |arena| run(arena).boxed_local(),
};

async fn run(arena: &mut Arena) -> Result<(), Failure> {
    let count = arena.size.of(50, 10);
    let path = arena.path("giant", None)?;
    let mut announcers = arena.open(count, &path).await?;
    let mut senders = arena.open(count, &path).await?;
    let mut endless = arena.open(count, &path).await?;
    let announced = join_all(announcers.iter_mut().map(async |raw| {
        let mut header = vec![0x81, 0xff];
        header.extend_from_slice(&(1_u64 << 40).to_be_bytes());
        header.extend_from_slice(&[1, 2, 3, 4]);
        raw.write(&header).await?;
        Ok::<_, std::io::Error>(raw.closing().await)
    }));
    let in_parts = join_all(senders.iter_mut().map(async |raw| {
        for number in 0..(2 << 20) / PART {
            // Refused on the way: then the rest cannot be sent.
            if raw.write(&part(number == 0, &[b'x'; PART])).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(raw.closing().await)
    }));
    let without_end = join_all(endless.iter_mut().map(async |raw| {
        for number in 0..1_000_000 {
            if raw.write(&part(number == 0, b"x")).await.is_err() {
                break;
            }
            // What is written at once takes no turn: the others would wait for this one's end.
            tokio::task::yield_now().await;
        }
        Ok(raw.closing().await)
    }));
    let (announced, in_parts, without_end) = tokio::join!(announced, in_parts, without_end);
    for end in announced.into_iter().chain(in_parts).chain(without_end) {
        end.map_err(|err| broken("a giant", err))?;
    }
    drop((announcers, senders, endless));
    arena.expect_connections(2 * count, "too_big");
    arena.expect_dropped(2 * count, "protocol_fault");
    arena.expect_connections(count, "policy");
    arena.expect_dropped(count, "too_many_messages");
    arena.did(format!("{count} of each, closed with 1009, 1009 and 1008"));
    Ok(())
}

/// A part of a text message that is not its last.
fn part(first: bool, payload: &[u8]) -> Vec<u8> {
    let opcode = match first {
        true => Opcode::Text,
        false => Opcode::Continuation,
    };
    let mut frame = client_frame(opcode, payload, [0; 4]);
    if let Some(byte) = frame.first_mut() {
        *byte &= 0x7f;
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::footprint::frame::Header;

    #[test]
    fn a_part_is_not_the_last() {
        let first = Header::parse(&part(true, b"x")).unwrap().unwrap();
        assert_eq!((first.fin, first.opcode), (false, Opcode::Text));
        let later = Header::parse(&part(false, b"x")).unwrap().unwrap();
        assert_eq!((later.fin, later.opcode), (false, Opcode::Continuation));
    }
}
