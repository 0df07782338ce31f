//! The machine's clock steps forwards and back.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::{Done, Fault, FaultPlan};
use crate::failure::Failure;
use crate::trial::{Checks, Launch, Raw, Seat, Witnesses, broken};

/// Where the library that moves a program's clock lies, by package.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
];
/// The steps, in turn: from the true time.
const STEPS: [&str; 4] = ["+1h", "-1h", "+2d", "+0"];
/// How long each lasts.
const EACH: Duration = Duration::from_secs(2);

pub(super) const FAULT: Fault = Fault {
    name: "clock",
    about: "the clock steps an hour forwards, two back, two days forwards, and to the truth",
    run: |plan, checks| run(plan, checks).boxed_local(),
};

async fn run(plan: &FaultPlan, checks: &mut Checks) -> Result<Done, Failure> {
    let Some(library) = LIBRARIES.iter().find(|path| Path::new(path).exists()) else {
        return Ok(Done::NotRun(
            "libfaketime is missing; install the package faketime".to_owned(),
        ));
    };
    let folder = tempfile::tempdir().map_err(|err| broken("a folder", err))?;
    let time = folder.path().join("time");
    step(&time, "+0")?;
    let mut launch = Launch::new(&plan.server, &folder.path().join("data"))
        .set("shard.ping_interval", "1s")
        .set("shard.idle_timeout", "5s")
        .set("shard.hibernate_after", "500ms");
    launch.environment = [
        ("LD_PRELOAD", (*library).to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", time.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        // A clock that is set leaves the one that only counts alone.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    let mut server = launch.start().await?;
    let mut witnesses = Witnesses::connect(&server, 3).await?;
    witnesses.talk(Seat::Attacked);
    let token = Launch::user_token("timeless", None)?;
    let path = format!("/v1/updates?token={}", token.expose());
    let mut raw = Raw::open(server.address, 0, &path)
        .await
        .map_err(|err| broken("a connection", err))?;
    let (mut last, mut moved) = (now_of(&mut raw).await?, 0);
    for to in STEPS {
        step(&time, to)?;
        tokio::time::sleep(EACH).await;
        let now = now_of(&mut raw).await?;
        // Each step is more than half an hour: else the library did nothing, and this proves nothing.
        moved += u64::from(now.abs_diff(last) > 1_800_000);
        last = now;
    }
    let truth = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    let felt = witnesses.rest().await;
    let alive = raw.send(r#"{"event":"ping"}"#).await.is_ok() && raw.hear("pong").await.is_ok();
    drop(witnesses);
    let ended = server.stop().await?;
    checks.exactly(
        "clock: steps that the server saw",
        STEPS.len() as u64,
        moved,
    );
    checks.exactly("clock: messages lost", 0, felt.lost);
    checks.holds("clock: connections stay, idle or not", "clock_alive", alive)?;
    checks.limit(
        "clock: and it tells the true time in the end",
        "clock_error_s",
        Some(truth.abs_diff(last) as f64 / 1e3),
        "< 10",
    )?;
    let clean = ended.success() && !server.log().contains("panicked");
    checks.holds("clock: stops with status 0", "clock_clean_end", clean)?;
    Ok(Done::Made(
        "+1 h, -2 h, +2 days and 1 hour, back: no connection was lost".to_owned(),
    ))
}

/// Sets the server's clock.
fn step(file: &PathBuf, to: &str) -> Result<(), Failure> {
    // Moved into place: a file that is half written would be no time at all.
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{to}\n"))
        .and_then(|()| std::fs::rename(&new, file))
        .map_err(|err| broken("the clock", err))
}

/// The server's time, as it tells a client: ms since 1970.
async fn now_of(raw: &mut Raw) -> Result<u64, Failure> {
    let fail = |err| broken("the server's time", err);
    let ping = json!({ "event": "ping", "ackId": "t" }).to_string();
    raw.send(&ping).await.map_err(fail)?;
    let pong: Value = serde_json::from_str(&raw.hear("pong").await.map_err(fail)?)
        .map_err(|err| broken("the server's time", err))?;
    pong["data"]["timestamp"]
        .as_u64()
        .ok_or_else(|| broken("the server's time", "it does not tell"))
}
