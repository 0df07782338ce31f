//! Connections that come and go as fast as they can.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::trial::{Launch, Raw, TrialServer, broken};

/// Cycles under way at the same time.
const LANES: u64 = 48;
/// Users that they belong to, in turn.
const USERS: u64 = 200;

/// Makes so many cycles: connect, be greeted, say goodbye or break off. Returns how long it took.
pub(super) async fn run(server: &TrialServer, count: u64) -> Result<Duration, Failure> {
    let paths = (0..USERS).map(|user| {
        let token = Launch::user_token(&format!("cycle-{user}"), None)?;
        Ok(format!("/v1/updates?token={}", token.expose()))
    });
    let paths = std::sync::Arc::new(paths.collect::<Result<Vec<_>, Failure>>()?);
    let address = server.address;
    let began = Instant::now();
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let paths = paths.clone();
        lanes.spawn(async move {
            for turn in (lane..count).step_by(LANES as usize) {
                let path = paths
                    .get((turn % USERS) as usize)
                    .map_or("", String::as_str);
                let mut raw = Raw::open(address, turn as usize, path).await?;
                raw.hear("connected").await?;
                match turn % 2 {
                    0 => raw.goodbye().await?,
                    _ => raw.reset()?,
                }
            }
            Ok::<(), std::io::Error>(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        let lane = lane.map_err(|err| broken("a lane", err))?;
        lane.map_err(|err| broken("a cycle", err))?;
    }
    Ok(began.elapsed())
}
