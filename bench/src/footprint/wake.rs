//! Waking: how long a sleeping shard takes to deliver, and what becomes of the others while
//! thousands wake at the same time.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::connecting::IN_FLIGHT;
use super::dialect::{Dialect, Heard};
use super::generator::{Ears, Generator, Reply};
use super::plan::SleepPlan;
use super::sleep::{all_asleep, shards};
use super::subject::Subject;
use super::trouble::Trouble;
use super::{echo, fan_out};
use crate::stats::{Trend, median};

/// Users who are awake while the others are woken, each with one connection.
const OTHERS: usize = 10;
/// Between two pings of one of them.
const OTHERS_INTERVAL: Duration = Duration::from_millis(20);
/// Users woken between two looks at what has arrived.
const BATCH: usize = 32;

/// A broadcast to one sleeping shard, round by round.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WakeFigures {
    /// Connections of the shard.
    pub connections: usize,
    /// How often it was woken.
    pub rounds: usize,
    /// Delivery of the broadcast that wakes, in microseconds, over all rounds.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// The last of a round at most.
    pub max_us: f64,
    /// 99th percentile of the next broadcast, which finds the shard awake.
    pub awake_p99_us: f64,
    /// 99th percentile of the floor's broadcasts to as many connections, after as long a rest;
    /// `None` if it was not measured.
    pub floor_p99_us: Option<f64>,
    /// Rounds after which the overview told of a shard awake: all, if a broadcast wakes.
    pub woken: usize,
}

/// Many users woken at once, medians over the rounds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RushFigures {
    /// Users woken, each with one connection.
    pub users: usize,
    /// How often.
    pub rounds: usize,
    /// Seconds until the last of them had its answer.
    pub seconds: f64,
    /// From the first message to each answer, in microseconds.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99th percentile of a ping of users who were awake already, before anyone was woken.
    pub others_before_p99_us: f64,
    /// The same while they were.
    pub others_p99_us: f64,
    /// Shards awake right after, at least.
    pub awake: u64,
}

impl WakeFigures {
    /// One line of `key=value`.
    pub(super) fn line(&self) -> String {
        format!(
            "wake connections={} rounds={} p50_us={:.0} p99_us={:.0} max_us={:.0} \
             awake_p99_us={:.0} floor_p99_us={:.0} woken={}",
            self.connections,
            self.rounds,
            self.p50_us,
            self.p99_us,
            self.max_us,
            self.awake_p99_us,
            self.floor_p99_us.unwrap_or(f64::NAN),
            self.woken
        )
    }
}

impl RushFigures {
    /// One line of `key=value`.
    pub(super) fn line(&self) -> String {
        format!(
            "wake_users users={} rounds={} seconds={:.3} p50_us={:.0} p99_us={:.0} \
             others_before_p99_us={:.0} others_p99_us={:.0} awake={}",
            self.users,
            self.rounds,
            self.seconds,
            self.p50_us,
            self.p99_us,
            self.others_before_p99_us,
            self.others_p99_us,
            self.awake
        )
    }
}

/// Lets the first account's shards sleep and wakes them with a broadcast, again and again; in
/// between, a floor that is given has a broadcast of its own.
///
/// # Errors
/// [`Trouble`]: they do not fall asleep, or a broadcast does not arrive exactly once everywhere.
pub(super) fn measure(
    subject: &Rc<Subject>,
    floor: Option<&Rc<Subject>>,
    patience: Duration,
    plan: &SleepPlan,
    connections: usize,
    rounds: usize,
) -> Result<WakeFigures, Trouble> {
    let mut generator = Generator::for_first_account(subject, patience)?;
    echo::open_and_ping(&mut generator, connections)?;
    let mut floor = match floor {
        Some(floor) => {
            let mut generator = Generator::for_first_account(floor, patience)?;
            generator.open(connections, IN_FLIGHT)?;
            Some(generator)
        }
        None => None,
    };
    let (mut asleep, mut awake, mut woken) = (Trend::new(), Trend::new(), 0);
    let mut least = Trend::new();
    for _ in 0..rounds {
        all_asleep(&mut generator, &plan.admin, plan.timeout)?;
        if let Some(floor) = &mut floor {
            least.merge(&fan_out::once(floor)?);
        }
        asleep.merge(&fan_out::once(&mut generator)?);
        let shards = shards(&mut generator, &plan.admin)?;
        woken += usize::from(shards.asleep < shards.total);
        awake.merge(&fan_out::once(&mut generator)?);
    }
    generator.close(IN_FLIGHT)?;
    Ok(WakeFigures {
        connections,
        rounds,
        p50_us: micros(&asleep, 0.5),
        p99_us: micros(&asleep, 0.99),
        max_us: micros(&asleep, 1.0),
        awake_p99_us: micros(&awake, 0.99),
        floor_p99_us: floor.is_some().then(|| micros(&least, 0.99)),
        woken,
    })
}

/// Wakes all users but [`OTHERS`] at once with a message of their own, while those others go on
/// pinging.
///
/// # Errors
/// [`Trouble`]: they do not fall asleep, or an answer is missing or too many.
pub(super) fn rush(
    subject: &Rc<Subject>,
    patience: Duration,
    plan: &SleepPlan,
    users: usize,
    window: Duration,
    rounds: usize,
) -> Result<RushFigures, Trouble> {
    let mut generator = Generator::new(subject, patience)?;
    let all = users + OTHERS;
    echo::open_and_ping(&mut generator, all)?;
    let mut measured = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        all_asleep(&mut generator, &plan.admin, plan.timeout)?;
        measured.push(rush_once(&mut generator, plan, all, window)?);
    }
    generator.close(IN_FLIGHT)?;
    let of = |figure: fn(&Rush) -> f64| median(measured.iter().map(figure)).unwrap_or(f64::NAN);
    Ok(RushFigures {
        users,
        rounds,
        seconds: of(|rush| rush.took.as_secs_f64()),
        p50_us: of(|rush| micros(&rush.answers, 0.5)),
        p99_us: of(|rush| micros(&rush.answers, 0.99)),
        others_before_p99_us: of(|rush| micros(&rush.before, 0.99)),
        others_p99_us: of(|rush| micros(&rush.during, 0.99)),
        awake: measured.iter().map(|rush| rush.awake).min().unwrap_or(0),
    })
}

/// How many users are left to be woken when the others stay aside.
pub(super) fn sleepers(accounts: usize) -> usize {
    accounts.saturating_sub(OTHERS)
}

fn micros(trend: &Trend, share: f64) -> f64 {
    trend
        .quantile(share)
        .map_or(f64::NAN, |micros| micros as f64)
}

/// One round.
struct Rush {
    took: Duration,
    answers: Trend,
    before: Trend,
    during: Trend,
    awake: u64,
}

/// The others are measured for `window` before anyone is woken, and at least as long from then on.
fn rush_once(
    generator: &mut Generator,
    plan: &SleepPlan,
    all: usize,
    window: Duration,
) -> Result<Rush, Trouble> {
    let mut room = Room::new(all, Instant::now());
    let calm = Instant::now() + window;
    while Instant::now() < calm {
        room.others_ping(generator)?;
        generator.turn(room.until_due(), &mut room)?;
    }
    let before = std::mem::take(&mut room.others);

    let began = Instant::now();
    let deadline = generator.deadline();
    let mut next = OTHERS;
    let mut took = None;
    while took.is_none() || began.elapsed() < window {
        for connection in next..all.min(next + BATCH) {
            generator.waking_ping(connection)?;
            room.expect(connection, began);
        }
        next = all.min(next + BATCH);
        room.others_ping(generator)?;
        let wait = match next < all {
            true => Duration::ZERO,
            false => room.until_due(),
        };
        generator.turn(wait, &mut room)?;
        room.check()?;
        let missing = all - OTHERS - room.woken.count() as usize;
        if missing == 0 && took.is_none() {
            took = Some(began.elapsed());
        }
        if Instant::now() > deadline {
            return Err(generator.timed_out(format!("{missing} users have no answer")));
        }
    }
    // What is still on its way to the others counts, and must not meet the next round.
    while room.waits() {
        generator.turn(OTHERS_INTERVAL / 4, &mut room)?;
        room.check()?;
        if Instant::now() > deadline {
            return Err(generator.timed_out("pings of the others have no answer".to_owned()));
        }
    }
    let shards = shards(generator, &plan.admin)?;
    Ok(Rush {
        took: took.unwrap_or_default(),
        answers: room.woken,
        before,
        during: room.others,
        awake: shards.total.saturating_sub(shards.asleep),
    })
}

/// Who waits for an answer. The first [`OTHERS`] connections are the others'.
struct Room {
    /// Since when each connection waits, once for every ping that is unanswered.
    waiting: Vec<VecDeque<Instant>>,
    /// When the others' next pings are due, all at evenly spaced moments.
    due: Instant,
    turn: usize,
    woken: Trend,
    others: Trend,
    strange: u64,
}

impl Room {
    fn new(connections: usize, now: Instant) -> Self {
        Self {
            waiting: vec![VecDeque::new(); connections],
            due: now,
            turn: 0,
            woken: Trend::new(),
            others: Trend::new(),
            strange: 0,
        }
    }

    /// Whether anything is unanswered.
    fn waits(&self) -> bool {
        self.waiting.iter().any(|dues| !dues.is_empty())
    }

    /// How long until one of the others pings.
    fn until_due(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// A message was due on that connection at that moment.
    fn expect(&mut self, connection: usize, due: Instant) {
        if let Some(waiting) = self.waiting.get_mut(connection) {
            waiting.push_back(due);
        }
    }

    /// Sends what is due of the others, whose pings keep to their times however slow the answers.
    fn others_ping(&mut self, generator: &mut Generator) -> Result<(), Trouble> {
        let now = Instant::now();
        while self.due <= now {
            let connection = self.turn % OTHERS;
            generator.waking_ping(connection)?;
            self.expect(connection, self.due);
            self.turn += 1;
            self.due += OTHERS_INTERVAL / OTHERS as u32;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Trouble> {
        match self.strange {
            0 => Ok(()),
            count => Err(Trouble::Account(format!("{count} frames answer no ping"))),
        }
    }
}

impl Ears for Room {
    fn heard(&mut self, connection: usize, text: &[u8], now: Instant) -> Reply {
        let since = self
            .waiting
            .get_mut(connection)
            .and_then(VecDeque::pop_front);
        let (Heard::Pong, Some(since)) = (Dialect::hear(text), since) else {
            self.strange += 1;
            return Reply::Nothing;
        };
        let trend = match connection < OTHERS {
            true => &mut self.others,
            false => &mut self.woken,
        };
        trend.record(now.saturating_duration_since(since));
        Reply::Nothing
    }

    fn answered(&mut self, _: usize, _: u16, _: &[u8], _: Instant) {
        self.strange += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PONG: &[u8] = br#"{"event":"pong","data":{"timestamp":1}}"#;

    #[test]
    fn the_woken_and_the_others_are_told_apart() {
        let now = Instant::now();
        let mut room = Room::new(OTHERS + 2, now);
        room.expect(0, now);
        room.expect(OTHERS, now);
        room.heard(0, PONG, now + Duration::from_micros(40));
        room.heard(OTHERS, PONG, now + Duration::from_micros(70));
        assert_eq!(
            (room.others.quantile(1.0), room.woken.quantile(1.0)),
            (Some(40), Some(70))
        );
        assert!(room.check().is_ok());
        room.heard(OTHERS + 1, PONG, now);
        assert!(room.check().is_err(), "it had asked for nothing");
        let mut room = Room::new(1, now);
        room.expect(0, now);
        room.heard(0, br#"{"event":"error"}"#, now);
        assert!(room.check().is_err());
    }

    #[test]
    fn a_few_users_stay_aside() {
        assert_eq!((sleepers(10_010), sleepers(3)), (10_000, 0));
    }
}
