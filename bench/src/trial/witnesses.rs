//! Well-behaved clients that measure what they feel while others misbehave.
//!
//! Pairs of connections, each of a user of its own, so that they are spread over the server's
//! workers. One of a pair pings, or broadcasts to the other, in turn, at a steady pace. They live on
//! a thread of their own, so that attackers do not hold them up here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::process::{Launch, TrialServer};
use super::{Raw, broken};
use crate::failure::Failure;
use crate::stats::Trend;

/// Between two messages of a pair.
const PACE: Duration = Duration::from_millis(25);

/// What the witnesses do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Talk, and keep the times under this heading.
    Talk(Seat),
    /// Stay connected and say nothing.
    Rest,
    /// Leave.
    Leave,
}

/// Under which heading times are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// Nothing else happens.
    Quiet,
    /// An attack is on.
    Attacked,
}

/// What they have felt and done.
#[derive(Clone, Debug, Default)]
pub struct Felt {
    /// Round trips while nothing else happened.
    pub quiet: Trend,
    /// Round trips during the attack.
    pub attacked: Trend,
    /// Exact pings sent.
    pub pings: u64,
    /// Broadcasts sent.
    pub broadcasts: u64,
    /// Messages whose answer did not come, or whose connection broke.
    pub lost: u64,
}

/// Witnesses at work.
#[derive(Debug)]
pub struct Witnesses {
    orders: watch::Sender<Order>,
    felt: Arc<Mutex<Felt>>,
    resting: mpsc::UnboundedReceiver<()>,
    pairs: usize,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Witnesses {
    /// Connects so many pairs. They rest until told to talk.
    ///
    /// # Errors
    /// Not all can connect.
    pub async fn connect(server: &TrialServer, pairs: usize) -> Result<Self, Failure> {
        let mut connected = Vec::new();
        for number in 0..pairs {
            let token = Launch::user_token(&format!("witness-{number}"), None)?;
            let path = format!("/v1/updates?token={}", token.expose());
            let open = async || {
                let mut raw = Raw::open(server.address, number, &path).await?;
                raw.hear("connected").await?;
                raw.into_plain()
            };
            let pair = (open().await, open().await);
            let (Ok(first), Ok(second)) = pair else {
                return Err(broken("a witness", "it cannot connect"));
            };
            connected.push((first, second));
        }
        let (orders, order) = watch::channel(Order::Rest);
        let (rest, mut resting) = mpsc::unbounded_channel();
        let felt = Arc::<Mutex<Felt>>::default();
        let thread = {
            let felt = felt.clone();
            std::thread::Builder::new()
                .name("witnesses".into())
                .spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build();
                    if let Ok(runtime) = runtime {
                        runtime.block_on(async {
                            let pairs = connected.into_iter().filter_map(|(first, second)| {
                                let (first, second) =
                                    (Raw::from_plain(first).ok()?, Raw::from_plain(second).ok()?);
                                Some(pair(
                                    first,
                                    second,
                                    order.clone(),
                                    felt.clone(),
                                    rest.clone(),
                                ))
                            });
                            futures_util::future::join_all(pairs).await;
                        });
                    }
                })
                .map_err(|err| broken("the witnesses' thread", err))?
        };
        for _ in 0..pairs {
            resting.recv().await;
        }
        Ok(Self {
            orders,
            felt,
            resting,
            pairs,
            thread: Some(thread),
        })
    }

    /// How many connections they have.
    pub fn connections(&self) -> u64 {
        self.pairs as u64 * 2
    }

    /// Has them talk and keep their times under this heading.
    pub fn talk(&self, seat: Seat) {
        self.orders.send_replace(Order::Talk(seat));
    }

    /// Has them fall silent, and returns what they have felt once they all have.
    pub async fn rest(&mut self) -> Felt {
        self.orders.send_replace(Order::Rest);
        for _ in 0..self.pairs {
            self.resting.recv().await;
        }
        self.felt
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Witnesses {
    fn drop(&mut self) {
        self.orders.send_replace(Order::Leave);
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

async fn pair(
    mut first: Raw,
    mut second: Raw,
    mut orders: watch::Receiver<Order>,
    felt: Arc<Mutex<Felt>>,
    resting: mpsc::UnboundedSender<()>,
) {
    let mut turn = 0_u64;
    let mut next = Instant::now();
    let mut is_resting = false;
    loop {
        let order = *orders.borrow_and_update();
        match order {
            Order::Leave => break,
            Order::Rest => {
                if !is_resting {
                    is_resting = true;
                    // Nobody asks only at the very end.
                    let _ = resting.send(());
                }
                tokio::select! {
                    changed = orders.changed() => if changed.is_err() { break },
                    // Pings are answered meanwhile.
                    _ = first.next() => {}
                    _ = second.next() => {}
                }
                next = Instant::now();
            }
            Order::Talk(seat) => {
                is_resting = false;
                turn += 1;
                next += PACE;
                tokio::time::sleep_until(next.into()).await;
                // Not a pace that makes up for what it missed: that would be a flood of its own.
                next = next.max(Instant::now());
                let is_ping = turn.is_multiple_of(2);
                let began = Instant::now();
                let answered = match is_ping {
                    true => ping(&mut first).await,
                    false => broadcast(&mut first, &mut second, turn).await,
                };
                let took = began.elapsed();
                let mut felt = felt.lock().unwrap_or_else(PoisonError::into_inner);
                match is_ping {
                    true => felt.pings += 1,
                    false => felt.broadcasts += 1,
                }
                match (answered.is_ok(), seat) {
                    (true, Seat::Quiet) => felt.quiet.record(took),
                    (true, Seat::Attacked) => felt.attacked.record(took),
                    (false, _) => {
                        felt.lost += 1;
                        break;
                    }
                }
            }
        }
    }
    // Whoever waits for all to rest waits for those that broke off, too.
    if !is_resting {
        let _ = resting.send(());
    }
}

async fn ping(raw: &mut Raw) -> std::io::Result<()> {
    raw.send(r#"{"event":"ping"}"#).await?;
    raw.hear("pong").await.map(drop)
}

async fn broadcast(from: &mut Raw, to: &mut Raw, turn: u64) -> std::io::Result<()> {
    let text = format!(r#"{{"event":"broadcast","data":{{"turn":{turn}}},"ackId":"{turn}"}}"#);
    from.send(&text).await?;
    from.hear("ack").await?;
    let mark = format!("{{\"turn\":{turn}}}");
    loop {
        if to.hear("broadcast").await?.contains(&mark) {
            return Ok(());
        }
    }
}
