//! Endurance: mixed traffic at half of what the server can do, and then connections that come and
//! go by the million; after both, whether its memory grew.
//!
//! The rule is that of the performance testing suite: memory that grows by more than 5 MB an hour
//! along a line that explains more than 70 % of what is seen is a leak.

mod cycles;
mod memory;
mod traffic;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use crate::conditions::Conditions;
use crate::failure::Failure;
use crate::fd_limit;
use crate::outcome::{Extra, Outcome};
use crate::table::sparkline;
use crate::trial::{Api, Checks, Launch, broken};
use crate::watch::{Live, Observation, ServerWatch, Watch, sample_interval};

use memory::Memory;

/// Columns of a line of memory over time.
const WIDTH: usize = 60;
/// Traffic before anything is measured, where the rate is given: it opens what is opened at first use.
const WARM_UP: Duration = Duration::from_secs(2);
/// Longer than sockets of connections that have ended linger in the server.
const LINGERING: Duration = Duration::from_secs(6);

/// What is to be run.
#[derive(Clone, Debug)]
pub struct SoakPlan {
    /// The server's program.
    pub server: PathBuf,
    /// How long the traffic lasts.
    pub duration: Duration,
    /// How many connections come and go afterwards.
    pub cycles: u64,
    /// How many clients talk.
    pub clients: usize,
    /// Messages a second of all clients together; `None`: half of what is found to be possible.
    pub rate: Option<f64>,
}

/// Runs traffic and cycles against one server.
///
/// # Errors
/// The server cannot be started or breaks off.
pub async fn run(plan: &SoakPlan, progress: &mut dyn FnMut(&str)) -> Result<Outcome, Failure> {
    fd_limit::make_room(plan.clients * 2 + 500)?;
    let (started_at, began) = (SystemTime::now(), Instant::now());
    let folder = tempfile::tempdir().map_err(|err| broken("a folder", err))?;
    let launch = Launch::new(&plan.server, &folder.path().join("data"))
        .set("shard.hibernate_after", "2s")
        .set("log.level", "warn");
    let mut server = launch.start().await?;
    let watched = ServerWatch::new(&server.target, Some(server.id()), None);
    let watch = Watch::start(
        sample_interval(plan.duration),
        watched.map_err(Failure::Usage)?,
        Live::silent(),
        Observation::default,
    );
    let mut checks = Checks::default();
    let mut summary = Extra::new(
        "Server memory (resident)",
        &["", "from", "to", "MB an hour", "R²", "leak", "over time"],
    );
    let api = Api::new()?;

    let rate = match plan.rate {
        Some(rate) => {
            traffic::run(&server, &api, plan.clients, rate, WARM_UP).await?;
            rate
        }
        None => {
            let most = traffic::capacity(&server, &api, plan.clients).await?;
            progress(&format!(
                "{most:.0} messages a second are possible; half of that from now on"
            ));
            checks.tell("soak_capacity_per_second", Some(most));
            most / 2.0
        }
    };
    tokio::time::sleep(LINGERING).await;
    let descriptors = server.descriptors();
    let mut memory = Memory::watch(server.id(), plan.duration);
    let done = traffic::run(&server, &api, plan.clients, rate, plan.duration).await?;
    memory.end().await;
    progress(&format!("traffic: {done:?}"));
    judge("traffic", &memory, &mut checks, &mut summary)?;
    checks.tell("soak_messages", Some(done.messages as f64));
    checks.tell("soak_reconnects", Some(done.reconnects as f64));
    checks.exactly("soak: messages without an answer", 0, done.lost);
    for how in done.how_lost {
        checks.note(format!("without an answer: {how}"));
    }

    let expected = Duration::from_secs_f64(plan.cycles as f64 / 10_000.0);
    let mut memory = Memory::watch(server.id(), expected);
    let took = cycles::run(&server, plan.cycles).await?;
    memory.end().await;
    let per_second = plan.cycles as f64 / took.as_secs_f64().max(1e-6);
    progress(&format!(
        "cycles: {} in {:.1} s, {per_second:.0}/s",
        plan.cycles,
        took.as_secs_f64()
    ));
    judge("cycles", &memory, &mut checks, &mut summary)?;
    checks.tell("cycles", Some(plan.cycles as f64));
    checks.tell("cycles_per_second", Some(per_second));
    checks.table(summary);

    let back = crate::trial::eventually(Duration::from_secs(30), async || {
        server
            .descriptors()
            .filter(|open| Some(*open) <= descriptors)
    })
    .await;
    checks.holds(
        "all descriptors are given back",
        "soak_descriptors_back",
        back.is_some(),
    )?;
    let conditions = Conditions::of(watch.finish().await, 1.0, None);
    let ended = server.stop().await?;
    let clean = ended.success() && !server.log().contains("panicked");
    checks.holds("the server stops with status 0", "soak_clean_end", clean)?;
    let mode = serde_json::json!({
        "minutes": plan.duration.as_secs_f64() / 60.0, "cycles": plan.cycles,
        "clients": plan.clients, "messagesPerSecond": rate,
    });
    let lasted = began.elapsed().as_secs_f64();
    Ok(checks.outcome("soak", "Endurance", mode, (started_at, lasted), conditions))
}

fn judge(
    part: &str,
    memory: &Memory,
    checks: &mut Checks,
    summary: &mut Extra,
) -> Result<(), Failure> {
    let verdict = memory.verdict();
    let megabytes = memory.megabytes();
    let (first, last) = (megabytes.first().copied(), megabytes.last().copied());
    checks.tell(&format!("{part}_memory_first_mb"), first);
    checks.tell(&format!("{part}_memory_last_mb"), last);
    checks.tell(
        &format!("{part}_growth_mb_per_hour"),
        verdict.map(|line| line.slope),
    );
    checks.tell(
        &format!("{part}_growth_r_squared"),
        verdict.map(|line| line.r_squared),
    );
    checks.limit(
        &format!("{part}: memory grows by less than 5 MB an hour, or along no line (R² < 0.7)"),
        &format!("{part}_leak"),
        verdict.map(|line| f64::from(u8::from(line.is_leak()))),
        "== 0",
    )?;
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    summary.rows.push(vec![
        part.to_owned(),
        shown(first),
        shown(last),
        shown(verdict.map(|line| line.slope)),
        shown(verdict.map(|line| line.r_squared)),
        match verdict {
            Some(line) if line.is_leak() => "✗ yes",
            Some(_) => "✓ no",
            None => "not told",
        }
        .to_owned(),
        sparkline(&megabytes, WIDTH),
    ]);
    Ok(())
}
