//! The disk of the data folder fills up under load, at whatever moment, and gets room again.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Done, Fault, FaultPlan};
use crate::failure::Failure;
use crate::token::Token;
use crate::trial::{Api, Checks, Launch, Raw, TrialServer, broken, eventually};

/// The shell line that gives the server a small disk of its own, which is gone with it. The writes
/// of 30 rounds take a third of it.
const ON_A_SMALL_DISK: &str = r#"data="$0"; export data; exec unshare --mount sh -c 'mkdir -p "$data" && mount -t tmpfs -o size=32m tmpfs "$data" && exec "$0" "$@"' "$@""#;
/// Users whose shards fall asleep and wake all the time.
const USERS: usize = 30;
/// How long the server may take to say that its disk is full, and to recover.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) const FAULT: Fault = Fault {
    name: "disk-full",
    about: "the disk of store and database fills up under load, and gets room again",
    run: |plan, checks| run(plan, checks).boxed_local(),
};

/// Whether file systems can be mounted here.
pub(super) fn can_mount() -> bool {
    let trial = Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .output();
    trial.is_ok_and(|output| output.status.success())
}

async fn run(plan: &FaultPlan, checks: &mut Checks) -> Result<Done, Failure> {
    if !can_mount() {
        return Ok(Done::NotRun("only root can mount a small disk".to_owned()));
    }
    let folder = tempfile::tempdir().map_err(|err| broken("a folder", err))?;
    let data = folder.path().join("data");
    let mut launch = Launch::new(&plan.server, &data).set("shard.hibernate_after", "100ms");
    launch.line = Some(ON_A_SMALL_DISK.to_owned());
    let mut server = launch.start().await?;
    let inside = format!("/proc/{}/root{}", server.id(), data.display());
    let ballast = PathBuf::from(inside).join("ballast");
    let api = Api::new()?;
    let token = Launch::user_token("writer", None)?;
    let mut load = JoinSet::new();
    for number in 0..USERS {
        let token = Launch::user_token(&format!("sleeper-{number}"), None)?;
        load.spawn(restless(server.address, number, token));
    }
    let (mut told, mut served, mut recovered) = (0_u64, 0_u64, 0_u64);
    let (mut slowest, mut longest_to_tell) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..plan.rounds {
        // At whatever moment.
        let random = (Uuid::new_v4().as_u128() % 300) as u64;
        tokio::time::sleep(Duration::from_millis(random)).await;
        let began = Instant::now();
        fill(&ballast)?;
        let full = eventually(PATIENCE, async || {
            let ready = api.get(&server.target, "/ready", None).await?;
            // Writes need room, too: they are refused as long as there is none.
            let write = write(&api, &server, &token).await?;
            (ready.status == 503 && write == 503).then_some(())
        })
        .await;
        told += u64::from(full.is_some());
        longest_to_tell = longest_to_tell.max(began.elapsed());
        served += u64::from(is_served(&api, &server, &token).await);
        std::fs::remove_file(&ballast).map_err(|err| broken("the ballast", err))?;
        let began = Instant::now();
        let well = eventually(PATIENCE, async || {
            let ready = api.get(&server.target, "/ready", None).await?;
            let write = write(&api, &server, &token).await?;
            (ready.status == 200 && write == 200).then_some(())
        })
        .await;
        recovered += u64::from(well.is_some());
        slowest = slowest.max(began.elapsed());
        if well.is_none() {
            break;
        }
    }
    load.abort_all();
    while load.join_next().await.is_some() {}
    let rounds = u64::from(plan.rounds);
    checks.exactly(
        "disk-full: told as 503 by /ready and by a write",
        rounds,
        told,
    );
    checks.exactly("disk-full: pings and broadcasts went on", rounds, served);
    checks.exactly("disk-full: recovered without help", rounds, recovered);
    checks.tell(
        "disk_full_slowest_to_tell_s",
        Some(longest_to_tell.as_secs_f64()),
    );
    checks.tell("disk_full_slowest_recovery_s", Some(slowest.as_secs_f64()));
    let ended = server.stop().await?;
    let log = server.log();
    checks.holds(
        "disk-full: it stops with status 0 and never panicked",
        "disk_full_clean_end",
        ended.success() && !log.contains("panicked"),
    )?;
    Ok(Done::Made(format!(
        "filled {rounds} times; told within {:.1} s, recovered within {:.1} s",
        longest_to_tell.as_secs_f64(),
        slowest.as_secs_f64()
    )))
}

/// Fills the disk to its last byte.
fn fill(ballast: &std::path::Path) -> Result<(), Failure> {
    let mut file = std::fs::File::create(ballast).map_err(|err| broken("the ballast", err))?;
    let mut zeros = std::io::repeat(0).take(64 << 20);
    match std::io::copy(&mut zeros, &mut file) {
        Err(err) if err.kind() == std::io::ErrorKind::StorageFull => {}
        Err(err) => return Err(broken("the ballast", err)),
        Ok(_) => {
            return Err(broken(
                "the ballast",
                "the disk is not as small as it should be",
            ));
        }
    }
    // What is less than a page is full as well.
    while file.write_all(&[0; 64]).is_ok() {}
    Ok(())
}

/// The status of a write.
pub(super) async fn write(api: &Api, server: &TrialServer, token: &Token) -> Option<u16> {
    let tag = Uuid::new_v4().to_string();
    let body = json!({ "tag": tag, "metadata": "m".repeat(2000) });
    let answer = api.post(&server.target, "/v1/sessions", token, &body).await;
    answer.map(|answer| answer.status)
}

/// Whether a newcomer is taken in, its ping answered and its broadcast delivered.
pub(super) async fn is_served(api: &Api, server: &TrialServer, token: &Token) -> bool {
    let path = format!("/v1/updates?token={}", token.expose());
    let trial = async {
        let mut one = Raw::open(server.address, 0, &path).await?;
        one.hear("connected").await?;
        let mut two = Raw::open(server.address, 0, &path).await?;
        two.hear("connected").await?;
        one.send(r#"{"event":"ping"}"#).await?;
        one.hear("pong").await?;
        one.send(r#"{"event":"broadcast","data":1,"ackId":"1"}"#)
            .await?;
        one.hear("ack").await?;
        two.hear("broadcast").await?;
        one.goodbye().await?;
        two.goodbye().await
    };
    let health = api.get(&server.target, "/health", None);
    trial.await.is_ok() && health.await.is_some_and(|answer| answer.status == 200)
}

/// A user that connects, lets the shard fall asleep, wakes it, and goes.
async fn restless(address: std::net::SocketAddr, number: usize, token: Token) {
    // Labels as long as they may be: what is stored fills pages.
    let labels = format!(
        "&sessionId={}&machineId={}",
        "s".repeat(128),
        "m".repeat(128)
    );
    let path = format!("/v1/updates?token={}{labels}", token.expose());
    loop {
        let cycle = async {
            let mut all = Vec::new();
            for _ in 0..3 {
                let mut raw = Raw::open(address, number, &path).await?;
                raw.hear("connected").await?;
                all.push(raw);
            }
            for raw in &mut all {
                tokio::time::sleep(Duration::from_millis(150)).await;
                raw.send(r#"{"event":"ping","ackId":"1"}"#).await?;
                raw.hear("pong").await?;
            }
            Ok::<_, std::io::Error>(())
        };
        if cycle.await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
