//! Virtual users: who begins and stops when, and the pace of each.
//!
//! A user's requests are due at moments that its script gives, whatever the server does meanwhile:
//! a slow answer delays the next request, and that delay is counted as the server's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::requests::Sender;
use crate::stages::Stages;
use crate::stop::Stop;

/// A number between 0 and 1 that looks random and is the same in every run: SplitMix64 of its
/// three arguments.
pub fn spread(user: usize, turn: u64, salt: u64) -> f64 {
    let mut bits = (user as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(turn.wrapping_mul(0xd1b5_4a32_d192_ed03))
        .wrapping_add(salt.wrapping_mul(0x8cb9_2ba7_2f3d_8dd7));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Lets users begin and stop as the stages say; returns how long it took, when the last has
/// finished.
pub(super) async fn drive(sender: &Arc<Sender>, stages: &Stages, stop: &mut Stop) -> Duration {
    let started = Instant::now();
    let mut users: Vec<Option<User>> = Vec::new();
    let mut leaving = Vec::new();
    for change in stages.changes() {
        let due = started + change.at;
        tokio::select! {
            () = stop.requested() => break,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        if change.opens {
            users.push(Some(User::begin(
                Arc::clone(sender),
                change.connection,
                due,
            )));
        } else if let Some(user) = users.pop().flatten() {
            leaving.push(user.leave());
        }
    }
    tokio::select! {
        () = stop.requested() => {}
        () = tokio::time::sleep_until((started + stages.duration()).into()) => {}
    }
    let took = started.elapsed();
    leaving.extend(users.into_iter().flatten().map(User::leave));
    // Each ends with its request under way, whose time is bounded.
    futures_util::future::join_all(leaving).await;
    took
}

struct User {
    task: JoinHandle<()>,
    leave: watch::Sender<bool>,
}

impl User {
    fn begin(sender: Arc<Sender>, number: usize, at: Instant) -> Self {
        let (leave, mut left) = watch::channel(false);
        let task = tokio::spawn(async move {
            let _busy = sender.enter();
            let mut due = at;
            for turn in 0.. {
                tokio::select! {
                    _ = left.wait_for(|left| *left) => return,
                    () = tokio::time::sleep_until(due.into()) => {}
                }
                due = sender.iterate(number, turn, due).await;
            }
        });
        Self { task, leave }
    }

    fn leave(self) -> JoinHandle<()> {
        // Nobody listens only if the user is gone already.
        let _ = self.leave.send(true);
        self.task
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_the_same_each_time_and_even() {
        assert_eq!(spread(3, 4, 5), spread(3, 4, 5));
        let values: Vec<f64> = (0..10_000)
            .map(|turn| spread(turn as usize % 7, turn, 1))
            .collect();
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        let low = values.iter().filter(|value| **value < 0.1).count();
        assert!((800..1200).contains(&low), "{low}");
    }
}
