//! The server runs out of file descriptors.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::TcpStream;

use super::disk_full::is_served;
use super::{Done, Fault, FaultPlan};
use crate::failure::Failure;
use crate::procfs;
use crate::trial::{Api, Checks, Launch, Seat, Witnesses, broken, eventually};

/// The shell line that limits the server's descriptors for good.
const FEW_FILES: &str = r#"ulimit -n 160; exec "$@""#;
/// The same number.
const LIMIT: u64 = 160;
/// Connections that are opened on top, more than there is room for.
const EXTRA: usize = 300;

pub(super) const FAULT: Fault = Fault {
    name: "descriptors",
    about: "300 connections to a server that may open 160 files",
    run: |plan, checks| run(plan, checks).boxed_local(),
};

async fn run(plan: &FaultPlan, checks: &mut Checks) -> Result<Done, Failure> {
    let folder = tempfile::tempdir().map_err(|err| broken("a folder", err))?;
    let mut launch = Launch::new(&plan.server, &folder.path().join("data"))
        // The idle connections are to stay.
        .set("http.header_timeout", "60s");
    launch.line = Some(FEW_FILES.to_owned());
    let mut server = launch.start().await?;
    let mut witnesses = Witnesses::connect(&server, 4).await?;
    witnesses.talk(Seat::Quiet);
    let mut extra = Vec::new();
    for _ in 0..EXTRA {
        // The kernel takes them, whether the server can or not.
        let connected = TcpStream::connect(server.address).await;
        extra.push(connected.map_err(|err| broken("one too many", err))?);
    }
    let exhausted = eventually(Duration::from_secs(30), async || {
        server.open_files().filter(|open| *open >= LIMIT - 1)
    })
    .await;
    witnesses.talk(Seat::Attacked);
    let cpu = || {
        procfs::cpu_time(server.id())
            .map(|cpu| cpu.total)
            .unwrap_or_default()
    };
    let before = cpu();
    let watched = Duration::from_secs(3);
    tokio::time::sleep(watched).await;
    let busy = (cpu() - before).as_secs_f64() / watched.as_secs_f64();
    let felt = witnesses.rest().await;
    drop(extra);
    let api = Api::new()?;
    let token = Launch::user_token("newcomer", None)?;
    let well = eventually(Duration::from_secs(30), async || {
        is_served(&api, &server, &token).await.then_some(())
    })
    .await;
    drop(witnesses);
    let ended = server.stop().await?;
    checks.holds(
        "descriptors: all were used",
        "descriptors_used",
        exhausted.is_some(),
    )?;
    checks.exactly(
        "descriptors: messages of those connected lost",
        0,
        felt.lost,
    );
    let p99 = felt
        .attacked
        .quantile(0.99)
        .map(|micros| micros as f64 / 1e3);
    checks.tell("descriptors_others_p99_ms", p99);
    checks.limit(
        "descriptors: accepting backs off (processors used meanwhile)",
        "descriptors_cpu",
        Some(busy),
        "< 0.5",
    )?;
    checks.holds(
        "descriptors: recovers without help",
        "descriptors_recovered",
        well.is_some(),
    )?;
    let clean = ended.success() && !server.log().contains("panicked");
    checks.holds(
        "descriptors: stops with status 0",
        "descriptors_clean_end",
        clean,
    )?;
    Ok(Done::Made(format!(
        "{EXTRA} connections, {LIMIT} descriptors; {:.0} % of a processor meanwhile",
        busy * 100.0
    )))
}
