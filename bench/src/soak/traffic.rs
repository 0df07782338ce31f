//! Mixed traffic: pings, broadcasts, stored messages, HTTP, events; and clients that reconnect.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::target::Target;
use crate::token::Token;
use crate::trial::{Api, Launch, Raw, TrialServer, broken};

/// How long it is tried how much is possible.
const TRIAL: Duration = Duration::from_secs(5);
/// Connections of one user.
const OF_ONE_USER: usize = 5;
/// Messages after which a client reconnects.
const CHURN: u64 = 500;
/// One message in so many is stored, is a broadcast, is an HTTP request, is an event.
const STORED: u64 = 20;
const BROADCAST: u64 = 5;
const HTTP: u64 = 101;
const EVENT: u64 = 211;
/// How many of those that got no answer are told in full.
const TOLD: usize = 10;

/// What was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    /// Messages that were answered.
    pub(super) messages: u64,
    /// Messages that were not.
    pub(super) lost: u64,
    /// What happened to the first of those.
    pub(super) how_lost: Vec<String>,
    /// Connections given up for new ones.
    pub(super) reconnects: u64,
}

#[derive(Debug, Default)]
struct Counts {
    messages: AtomicU64,
    lost: AtomicU64,
    how_lost: Mutex<Vec<String>>,
    reconnects: AtomicU64,
}

impl Counts {
    fn lose(&self, how: String) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        let mut told = self.how_lost.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD {
            told.push(how);
        }
    }
}

struct Client {
    address: std::net::SocketAddr,
    target: Target,
    api: Api,
    token: Token,
    session: String,
    number: usize,
    counts: Arc<Counts>,
}

/// Messages a second that clients get answered who never wait between two.
pub(super) async fn capacity(
    server: &TrialServer,
    api: &Api,
    clients: usize,
) -> Result<f64, Failure> {
    let done = run(server, api, clients, f64::INFINITY, TRIAL).await?;
    Ok(done.messages as f64 / TRIAL.as_secs_f64())
}

/// Has clients talk at this rate, all together, for this long.
pub(super) async fn run(
    server: &TrialServer,
    api: &Api,
    clients: usize,
    rate: f64,
    lasting: Duration,
) -> Result<Traffic, Failure> {
    let counts = Arc::<Counts>::default();
    let mut tasks = JoinSet::new();
    let end = Instant::now() + lasting;
    let pace = match rate.is_finite() {
        true => Duration::from_secs_f64(clients as f64 / rate.max(1e-3)),
        false => Duration::ZERO,
    };
    for number in 0..clients {
        let token = Launch::user_token(&format!("soak-{}", number / OF_ONE_USER), None)?;
        let body = json!({ "tag": "soak", "metadata": "m" });
        let session = api
            .post(&server.target, "/v1/sessions", &token, &body)
            .await;
        let session = session.and_then(|answer| {
            let id = answer.body["session"]["id"].as_str()?;
            Some(id.to_owned())
        });
        let client = Client {
            address: server.address,
            target: server.target.clone(),
            api: api.clone(),
            token,
            session: session.ok_or_else(|| broken("a session", "it cannot be made"))?,
            number,
            counts: counts.clone(),
        };
        tasks.spawn(client.live(pace, end));
    }
    while let Some(client) = tasks.join_next().await {
        let client = client.map_err(|err| broken("a client", err))?;
        client.map_err(|err| broken("a client", err))?;
    }
    let told = &counts.how_lost;
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Ok(Traffic {
        messages: read(&counts.messages),
        lost: read(&counts.lost),
        how_lost: std::mem::take(&mut *told),
        reconnects: read(&counts.reconnects),
    })
}

impl Client {
    async fn live(self, pace: Duration, end: Instant) -> std::io::Result<()> {
        let path = format!("/v1/updates?token={}", self.token.expose());
        let mut raw = Raw::open(self.address, self.number, &path).await?;
        raw.hear("connected").await?;
        let mut next = Instant::now();
        let mut turn = self.number as u64;
        while Instant::now() < end {
            next += pace;
            if pace > Duration::ZERO {
                tokio::time::sleep_until(next.into()).await;
            }
            turn += 1;
            let answered = self.say(&mut raw, turn).await;
            let counts = &self.counts;
            let is_answered = answered.is_ok();
            match answered {
                Ok(()) => {
                    counts.messages.fetch_add(1, Ordering::Relaxed);
                }
                Err(how) => counts.lose(format!("client {}, turn {turn}: {how}", self.number)),
            }
            if turn.is_multiple_of(CHURN) || !is_answered {
                counts.reconnects.fetch_add(1, Ordering::Relaxed);
                // Every other one leaves without a word.
                if turn.is_multiple_of(2 * CHURN) {
                    raw.reset()?;
                } else if is_answered {
                    raw.goodbye().await?;
                }
                raw = Raw::open(self.address, self.number, &path).await?;
                raw.hear("connected").await?;
            }
        }
        raw.goodbye().await
    }

    /// One message or request; an error says what came instead of the answer.
    async fn say(&self, raw: &mut Raw, turn: u64) -> Result<(), String> {
        if turn.is_multiple_of(EVENT) {
            // A key of events has a limit a minute, which is an answer as well.
            let key = uuid::Uuid::new_v4().to_string();
            let answer = self.api.try_publish(&self.target, &key).await;
            return answer.map(drop).map_err(|err| format!("an event: {err}"));
        }
        if turn.is_multiple_of(HTTP) {
            let path = "/v1/websocket/stats";
            let answer = self.api.try_get(&self.target, path, Some(&self.token));
            return match answer.await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{path}: {answer:?}")),
                Err(err) => Err(format!("{path}: {err}")),
            };
        }
        let (text, answer) = if turn.is_multiple_of(STORED) {
            let data = json!({ "sid": self.session, "message": "ciphertext" });
            let message = json!({ "event": "message", "ackId": "1", "data": data });
            (message.to_string(), "ack")
        } else if turn.is_multiple_of(BROADCAST) {
            let message = json!({ "event": "broadcast", "ackId": "1", "data": { "turn": turn } });
            (message.to_string(), "ack")
        } else {
            (r#"{"event":"ping"}"#.to_owned(), "pong")
        };
        let sent = raw.send(&text).await;
        sent.map_err(|err| format!("sending {text}: {err}"))?;
        let heard = raw.hear(answer).await;
        heard.map_err(|err| format!("after {text}: {err}"))?;
        Ok(())
    }
}
