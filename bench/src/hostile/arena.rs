//! Where an attack takes place: a fresh server, witnesses, and the judgement afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;

use super::{Attack, HostilePlan, Size};
use crate::failure::Failure;
use crate::stats::Trend;
use crate::token::Token;
use crate::trial::{
    Checks, Launch, Page, REQUESTS_FROM, Raw, Seat, TrialServer, Witnesses, admin, broken,
    eventually,
};

/// Pairs of well-behaved clients.
const PAIRS: usize = 6;
/// How long everything may take to settle after an attack.
const SETTLE: Duration = Duration::from_secs(30);
/// Between two looks at the server's memory.
const LOOK: Duration = Duration::from_millis(50);
/// How much nicer attackers are than the others.
const LOWER: i32 = 10;
/// What others may feel of any attack, however quick they are without.
const ENOUGH_MS: f64 = 50.0;

/// Counters that stay where they were unless an attack says otherwise.
const WATCHED: [&str; 14] = [
    "ws_connection_success",
    "dormouse_pings_answered_total",
    "dormouse_handshakes_refused_total",
    "dormouse_lobby_refused_total",
    "dormouse_connections_rejected_total",
    "dormouse_connections_closed_total",
    "dormouse_connections_dropped_total{cause=\"slow_consumer\"}",
    "dormouse_connections_dropped_total{cause=\"too_many_messages\"}",
    "dormouse_connections_dropped_total{cause=\"idle\"}",
    "dormouse_connections_dropped_total{cause=\"protocol_fault\"}",
    "dormouse_shard_sleep_failures_total",
    "dormouse_shard_wake_failures_total",
    "dormouse_ephemerals_dropped_total",
    "dormouse_messages_handled_total",
];

/// What an attack has to work with.
pub struct Arena {
    /// The server that is attacked.
    pub server: TrialServer,
    /// An admin's token.
    pub admin: Token,
    /// For HTTP requests.
    pub http: reqwest::Client,
    /// How large the attack is to be.
    pub size: Size,
    expected: BTreeMap<String, u64>,
    /// What was counted during the attack: the counter, what was expected, what was seen.
    counted: Vec<(String, u64, u64)>,
    told: Vec<(String, f64)>,
    limits: Vec<(String, String, f64, String)>,
    done: String,
}

impl Arena {
    /// Path of a user's connection.
    ///
    /// # Errors
    /// No token can be made.
    pub fn path(&self, user: &str, tier: Option<&str>) -> Result<String, Failure> {
        let token = Launch::user_token(user, tier)?;
        Ok(format!("/v1/updates?token={}", token.expose()))
    }

    /// Connects `count` times with this path and waits for the greetings.
    ///
    /// # Errors
    /// One is refused.
    pub async fn open(&self, count: usize, path: &str) -> Result<Vec<Raw>, Failure> {
        let mut all = Vec::with_capacity(count);
        for turn in 0..count {
            let mut raw = Raw::open(self.server.address, turn, path)
                .await
                .map_err(|err| broken("an attacker", err))?;
            raw.hear("connected")
                .await
                .map_err(|err| broken("an attacker", err))?;
            all.push(raw);
        }
        Ok(all)
    }

    /// Has the server's counter grow by so much more.
    pub fn expect(&mut self, counter: &str, count: usize) {
        *self.expected.entry(counter.to_owned()).or_default() += count as u64;
    }

    /// Keeps account of what a counter has told at a moment of the attack itself.
    pub fn counted(&mut self, counter: &str, expected: u64, seen: u64) {
        self.counted.push((counter.to_owned(), expected, seen));
    }

    /// Has so many connections taken in, and ended with this code.
    pub fn expect_connections(&mut self, count: usize, code: &str) {
        self.expect("ws_connection_success", count);
        self.expect("dormouse_connections_closed_total", count);
        self.expect(
            &format!("dormouse_connections_closed_total{{code=\"{code}\"}}"),
            count,
        );
    }

    /// Has so many handshakes refused for this reason.
    pub fn expect_refused(&mut self, count: usize, reason: &str) {
        self.expect("dormouse_handshakes_refused_total", count);
        self.expect(
            &format!("dormouse_handshakes_refused_total{{reason=\"{reason}\"}}"),
            count,
        );
    }

    /// Has so many connections closed by the server for this cause.
    pub fn expect_dropped(&mut self, count: usize, cause: &str) {
        self.expect(
            &format!("dormouse_connections_dropped_total{{cause=\"{cause}\"}}"),
            count,
        );
    }

    /// Says what was done, for the report.
    pub fn did(&mut self, what: impl Into<String>) {
        self.done = what.into();
    }

    /// A figure that is told.
    pub fn tell(&mut self, name: &str, value: f64) {
        self.told.push((name.to_owned(), value));
    }

    /// A figure with a limit.
    pub fn limit(&mut self, heading: &str, name: &str, value: f64, limit: &str) {
        self.limits
            .push((heading.to_owned(), name.to_owned(), value, limit.to_owned()));
    }
}

/// Runs one attack and judges it. Returns its row of the summary.
pub(super) async fn fight(
    attack: &Attack,
    plan: &HostilePlan,
    checks: &mut Checks,
) -> Result<Vec<String>, Failure> {
    let folder = tempfile::tempdir().map_err(|err| broken("a folder", err))?;
    let mut launch = Launch::new(&plan.server, &folder.path().join("data"));
    for setting in attack.settings {
        if let Some((key, value)) = setting.split_once('=') {
            launch = launch.set(key, value);
        }
    }
    let server = launch.start().await?;
    let http = reqwest::Client::builder()
        // Each request's connection ends with it, so that descriptors can be counted.
        .pool_max_idle_per_host(0)
        .local_address(REQUESTS_FROM)
        .no_proxy()
        .build()
        .map_err(|err| broken("the HTTP client", err))?;
    let mut arena = Arena {
        server,
        admin: launch.admin_token()?,
        http,
        size: plan.size,
        expected: BTreeMap::new(),
        counted: Vec::new(),
        told: Vec::new(),
        limits: Vec::new(),
        done: String::new(),
    };
    let mut witnesses = Witnesses::connect(&arena.server, PAIRS).await?;
    // What is opened at first use is open after this.
    Page::fetch(&arena.http, &arena.server.target).await?;
    let quiet = plan
        .size
        .of(Duration::from_secs(5), Duration::from_millis(1500));
    witnesses.talk(Seat::Quiet);
    tokio::time::sleep(quiet).await;

    let before = Page::fetch(&arena.http, &arena.server.target).await?;
    let pings_before = "dormouse_pings_answered_total";
    let descriptors = settled_descriptors(&arena.server).await;
    let kinds = arena.server.descriptor_kinds();
    let memory = arena.server.memory().unwrap_or(0);
    witnesses.talk(Seat::Attacked);
    let began = Instant::now();
    let peaks = Peaks::watch(&arena.server);
    let fought = at_lower_priority(|| (attack.run)(&mut arena));
    // A short attack is felt for a while.
    let rest = quiet.saturating_sub(began.elapsed());
    tokio::time::sleep(rest).await;
    let (peak, most_files) = peaks.end().await;
    fought?;
    let felt = witnesses.rest().await;
    let given_back = eventually(SETTLE, async || {
        arena
            .server
            .descriptors()
            .filter(|open| *open <= descriptors)
    })
    .await;

    if given_back.is_none() {
        let now = arena.server.descriptor_kinds();
        let more = now
            .iter()
            .filter(|(kind, count)| kinds.get(*kind).unwrap_or(&0) < count);
        let more: Vec<String> = more
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        checks.note(format!(
            "{}: {descriptors} descriptors before; of these kinds there are more now: {}",
            attack.name,
            more.join(", ")
        ));
    }

    let name = attack.name.replace('-', "_");
    let key = |figure: &str| format!("{name}_{figure}");
    // Everything that the witnesses said is counted, too.
    let talked = felt.pings as f64 - before.sum(pings_before);
    arena.expect(pings_before, talked.max(0.0) as usize);
    let handled = "dormouse_messages_handled_total";
    let broadcasts = felt.broadcasts as f64 - before.sum(handled);
    arena.expect(handled, broadcasts.max(0.0) as usize);
    let exact = count(&arena, &before, attack, checks).await?;
    overview(&arena, &witnesses, attack, checks).await?;

    let limit = |quantile: Option<f64>| (quantile.unwrap_or(0.0) * 2.0).max(ENOUGH_MS);
    let millis = |trend: &Trend| trend.quantile(0.99).map(|micros| micros as f64 / 1e3);
    let (quiet_p99, p99) = (millis(&felt.quiet), millis(&felt.attacked));
    checks.tell(&key("others_quiet_p99_ms"), quiet_p99);
    let heading = format!(
        "{}: others' p99 under twice its quiet value or {ENOUGH_MS} ms",
        attack.name
    );
    let under = format!("< {:.1}", limit(quiet_p99));
    match plan.size {
        Size::Full => checks.limit(&heading, &key("others_p99_ms"), p99, &under)?,
        // Told alone: it runs wherever something is checked in, beside whatever runs there.
        Size::Short => checks.tell(&key("others_p99_ms"), p99),
    }
    checks.exactly(
        format!("{}: messages of others lost", attack.name),
        0,
        felt.lost,
    );
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let grown = mebibytes(peak.saturating_sub(memory));
    let bound = attack.memory_mib;
    let heading = format!("{}: memory grows by no more than {bound} MiB", attack.name);
    checks.limit(
        &heading,
        &key("memory_growth_mib"),
        Some(grown),
        &format!("<= {bound}"),
    )?;
    checks.tell(&key("descriptors_peak"), Some(most_files as f64));
    let heading = format!("{}: all descriptors are given back", attack.name);
    checks.holds(&heading, &key("descriptors_back"), given_back.is_some())?;
    for (figure, value) in std::mem::take(&mut arena.told) {
        checks.tell(&key(&figure), Some(value));
    }
    for (heading, figure, value, under) in std::mem::take(&mut arena.limits) {
        let heading = format!("{}: {heading}", attack.name);
        checks.limit(&heading, &key(&figure), Some(value), &under)?;
    }
    drop(witnesses);
    let ended = arena.server.stop().await?;
    let log = arena.server.log();
    let heading = format!(
        "{}: the server stops with status 0 and never panicked",
        attack.name
    );
    let clean = ended.success() && !log.contains("panicked");
    checks.holds(&heading, &key("clean_end"), clean)?;
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1} ms"));
    Ok(vec![
        attack.name.to_owned(),
        arena.done.clone(),
        shown(quiet_p99),
        shown(p99),
        format!("{grown:.1} MiB"),
        format!("{bound} MiB"),
        given_back.map_or("no", |_| "yes").to_owned(),
        if exact { "yes" } else { "no" }.to_owned(),
    ])
}

/// Runs an attack to its end on a thread of its own that leaves the processors to server and
/// witnesses, which would not share them with attackers either.
fn at_lower_priority<'a>(
    attack: impl FnOnce() -> LocalBoxFuture<'a, Result<(), Failure>> + Send,
) -> Result<(), Failure> {
    let run = || {
        // Threads are niced one by one on Linux. Refused, it runs as everything else does.
        let _ = rustix::process::nice(LOWER);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|err| broken("the attackers' runtime", err))?;
        runtime.block_on(attack())
    };
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let thread = scope.spawn(run);
            let ended = thread.join();
            ended.unwrap_or_else(|_| Err(broken("the attackers", "they panicked")))
        })
    })
}

/// Descriptors once connections of requests that are over have been closed.
async fn settled_descriptors(server: &TrialServer) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..10 {
        least = least.min(server.descriptors().unwrap_or(u64::MAX));
        tokio::time::sleep(LOOK).await;
    }
    least
}

/// Waits until the counters tell what was done, and keeps account of it. Returns whether they do.
async fn count(
    arena: &Arena,
    before: &Page,
    attack: &Attack,
    checks: &mut Checks,
) -> Result<bool, Failure> {
    let mut expected = arena.expected.clone();
    for counter in WATCHED {
        // A part of it is expected, so its whole is said there.
        expected.entry(counter.to_owned()).or_default();
    }
    let grown = |page: &Page, counter: &str| {
        (page.sum(counter) - before.sum(counter)).max(0.0).round() as u64
    };
    let began = Instant::now();
    let page = loop {
        let page = Page::fetch(&arena.http, &arena.server.target).await?;
        let all = expected
            .iter()
            .all(|(counter, count)| grown(&page, counter) == *count);
        if all || began.elapsed() > SETTLE {
            break page;
        }
        tokio::time::sleep(LOOK * 4).await;
    };
    let at_the_end = expected
        .iter()
        .map(|(counter, count)| (counter, *count, grown(&page, counter)));
    let meanwhile = arena.counted.iter();
    let meanwhile = meanwhile.map(|(counter, count, seen)| (counter, *count, *seen));
    let mut exact = true;
    for (counter, count, seen) in at_the_end.chain(meanwhile) {
        exact &= seen == count;
        checks.exactly(format!("{}: {counter}", attack.name), count, seen);
    }
    Ok(exact)
}

/// What the admin side tells: only the witnesses are left, and as many were refused as counted.
async fn overview(
    arena: &Arena,
    witnesses: &Witnesses,
    attack: &Attack,
    checks: &mut Checks,
) -> Result<(), Failure> {
    let target = &arena.server.target;
    let left = eventually(SETTLE, async || {
        let overview = admin(&arena.http, target, "/admin/v1/overview", &arena.admin).await;
        let overview = overview.ok()?;
        let left = overview["connections"].as_u64()? + overview["pending"].as_u64()?;
        (left == witnesses.connections()).then_some(overview)
    })
    .await;
    let overview = match left {
        Some(overview) => overview,
        None => admin(&arena.http, target, "/admin/v1/overview", &arena.admin).await?,
    };
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
    let left = number(&overview["connections"]) + number(&overview["pending"]);
    checks.exactly(
        format!("{}: overview: connections left", attack.name),
        witnesses.connections(),
        left,
    );
    let counts = overview["rejections"].as_array().into_iter().flatten();
    let refused: u64 = counts.map(|rejection| number(&rejection["count"])).sum();
    let expected: u64 = [
        "dormouse_handshakes_refused_total",
        "dormouse_lobby_refused_total",
        "dormouse_connections_rejected_total",
    ]
    .iter()
    .filter_map(|counter| arena.expected.get(*counter))
    .sum();
    checks.exactly(
        format!("{}: overview: refusals", attack.name),
        expected,
        refused,
    );
    Ok(())
}

/// The most that was seen of the server's memory and descriptors.
struct Peaks {
    task: tokio::task::JoinHandle<(u64, u64)>,
    end: tokio::sync::oneshot::Sender<()>,
}

impl Peaks {
    fn watch(server: &TrialServer) -> Self {
        let id = server.id();
        let (end, mut ended) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut memory, mut files) = (0, 0);
            loop {
                let resident = crate::procfs::memory(id).map(|memory| memory.resident);
                memory = memory.max(resident.unwrap_or(0));
                files = files.max(crate::procfs::open_files(id).unwrap_or(0));
                tokio::select! {
                    _ = &mut ended => return (memory, files),
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        });
        Self { task, end }
    }

    async fn end(self) -> (u64, u64) {
        // Nobody listens only if the task has panicked, which the next line shows.
        let _ = self.end.send(());
        self.task.await.unwrap_or_default()
    }
}
