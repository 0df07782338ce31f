//! Another process holds the database's lock.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::disk_full::{is_served, write};
use super::{Done, Fault, FaultPlan};
use crate::failure::Failure;
use crate::trial::{Api, Checks, Launch, broken, eventually};

/// Holds the write lock of an SQLite file until its input ends.
const HOLDER: &str = "import sqlite3, sys\n\
                      db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                      db.execute('BEGIN IMMEDIATE')\n\
                      print('locked', flush=True)\n\
                      sys.stdin.read()\n";
/// `database.lock_timeout` of the server.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) const FAULT: Fault = Fault {
    name: "locked",
    about: "another process holds the write lock of the database",
    run: |plan, checks| run(plan, checks).boxed_local(),
};

/// A process that holds the lock; ends with this value.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // It ends by itself where it has got its end of input already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes the lock; `None` without Python.
fn hold(file: &std::path::Path) -> Option<Holder> {
    let mut child = Command::new("python3")
        .args(["-c", HOLDER])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let holder = Holder(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).ok()?;
    (line.trim() == "locked").then_some(holder)
}

async fn run(plan: &FaultPlan, checks: &mut Checks) -> Result<Done, Failure> {
    let folder = tempfile::tempdir().map_err(|err| broken("a folder", err))?;
    let data = folder.path().join("data");
    let launch = Launch::new(&plan.server, &data).set("database.lock_timeout", "1s");
    let mut server = launch.start().await?;
    let api = Api::new()?;
    let token = Launch::user_token("writer", None)?;
    let before = write(&api, &server, &token).await;
    let Some(holder) = hold(&data.join("dormouse.db")) else {
        server.stop().await?;
        return Ok(Done::NotRun("python3 with SQLite is missing".to_owned()));
    };
    let began = Instant::now();
    let refused = write(&api, &server, &token).await;
    let took = began.elapsed();
    let ready = api.get(&server.target, "/ready", None).await;
    let served = is_served(&api, &server, &token).await;
    drop(holder);
    let well = eventually(Duration::from_secs(30), async || {
        let ready = api.get(&server.target, "/ready", None).await?;
        let write = write(&api, &server, &token).await?;
        (ready.status == 200 && write == 200).then_some(())
    })
    .await;
    let ended = server.stop().await?;
    let is = |status: Option<u16>, expected| status == Some(expected);
    checks.holds(
        "locked: writes work before",
        "locked_before",
        is(before, 200),
    )?;
    checks.holds(
        "locked: a write is answered 503",
        "locked_503",
        is(refused, 503),
    )?;
    let limit = format!("<= {}", (LOCK_TIMEOUT * 5).as_secs());
    checks.limit(
        "locked: and that soon after database.lock_timeout (1 s)",
        "locked_answer_s",
        Some(took.as_secs_f64()),
        &limit,
    )?;
    let told = ready.is_some_and(|ready| ready.status == 503);
    checks.holds("locked: /ready says so", "locked_ready_503", told)?;
    checks.holds(
        "locked: pings and broadcasts go on",
        "locked_served",
        served,
    )?;
    checks.holds(
        "locked: recovers without help",
        "locked_recovered",
        well.is_some(),
    )?;
    checks.holds(
        "locked: stops with status 0",
        "locked_clean_end",
        ended.success(),
    )?;
    Ok(Done::Made(format!(
        "a write was answered 503 after {:.1} s",
        took.as_secs_f64()
    )))
}
