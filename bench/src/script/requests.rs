//! What virtual users send, and what they make of the answers.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use serde_json::Value;

use super::metrics::Metrics;
use super::scenario::{Auth, Request, Scenario};
use super::template::Values;
use super::users::spread;
use crate::failure::{Answer, Failure};
use crate::target::Target;
use crate::token::Token;

/// Who the users are; only what the scenario's requests need is looked at.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Bearer token.
    pub token: Option<Token>,
    /// API key.
    pub api_key: Option<Token>,
    /// Tenant that the key belongs to.
    pub tenant: Option<String>,
}

/// Sends the requests of all users of a run.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) scenario: Scenario,
    client: reqwest::Client,
    target: Target,
    credentials: Credentials,
    /// Different from that of other runs.
    label: String,
    metrics: Mutex<Metrics>,
    busy: AtomicU64,
    peak: AtomicU64,
    /// Turns of all users so far.
    turns: AtomicU64,
}

/// A user that is at work.
pub(super) struct Busy<'a>(&'a AtomicU64);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What became of a request.
enum Answered {
    /// Its status and body.
    Whole(u16, String),
    /// No answer, or a broken one.
    Broken(String),
}

impl Sender {
    /// # Errors
    /// The scenario needs credentials that are not there, or the HTTP client cannot be set up.
    pub(super) fn new(
        scenario: Scenario,
        target: Target,
        credentials: Credentials,
    ) -> Result<Self, Failure> {
        let missing = |what: &str| Failure::Usage(format!("no {what}"));
        match scenario.auth {
            Auth::Bearer if credentials.token.is_none() => {
                return Err(missing("token; give one with --token or AUTH_TOKEN"));
            }
            Auth::ApiKey if credentials.api_key.is_none() => {
                return Err(missing("API key; give one with --api-key or API_KEY"));
            }
            _ => {}
        }
        let client = reqwest::Client::builder()
            .timeout(scenario.timeout)
            .pool_max_idle_per_host(usize::MAX)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|err| Failure::Incomplete(format!("cannot set up the HTTP client: {err}")))?;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Self {
            metrics: Mutex::new(Metrics::for_scenario(&scenario)),
            label: format!("{:x}", since.unwrap_or_default().as_millis()),
            scenario,
            client,
            target,
            credentials,
            busy: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            turns: AtomicU64::new(0),
        })
    }

    pub(super) fn metrics(&self) -> MutexGuard<'_, Metrics> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Users at work now.
    pub(super) fn busy(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }

    /// The most users that were at work.
    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// A user begins; it ends when the guard goes.
    pub(super) fn enter(&self) -> Busy<'_> {
        let now = self.busy.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(now, Ordering::Relaxed);
        Busy(&self.busy)
    }

    /// Sends every request of the script once, before the clock starts and without counting.
    ///
    /// # Errors
    /// The server cannot be reached, refuses the credentials, lacks an endpoint or answers
    /// otherwise than the script demands.
    pub(super) async fn rehearse(&self) -> Result<(), Failure> {
        let url = self.target.shown();
        for (number, group) in self.scenario.groups.iter().enumerate() {
            let mut values = self.values(usize::MAX, number as u64);
            for request in &group.requests {
                let (status, body) = match self.send(request, &values).await {
                    Answered::Whole(status, body) => (status, body),
                    Answered::Broken(reason) => {
                        return Err(Failure::Unreachable {
                            url: url.to_owned(),
                            reason,
                        });
                    }
                };
                if !request.expect.contains(&status) {
                    let failure = Failure::of_status(url, &request.endpoint, status, &body);
                    return Err(match (failure, request.auth) {
                        (
                            Failure::Refused {
                                url,
                                what,
                                status,
                                answer,
                                ..
                            },
                            Auth::ApiKey,
                        ) => Failure::Refused {
                            url,
                            what,
                            status,
                            answer,
                            remedy: "give a valid key with --api-key or API_KEY, and its \
                                         tenant with --tenant-id or TENANT_ID",
                        },
                        (failure, _) => failure,
                    });
                }
                capture(request, &body, &mut values);
            }
        }
        Ok(())
    }

    /// One turn of a user, due at `due`; returns when its next is due.
    pub(super) async fn iterate(&self, user: usize, turn: u64, due: Instant) -> Instant {
        let pause = self.scenario.pause.at(spread(user, turn, 1));
        let place = self.turns.fetch_add(1, Ordering::Relaxed);
        let Some(group) = self.scenario.group(place) else {
            return due + pause;
        };
        let began = Instant::now();
        let mut values = self.values(user, turn);
        let mut request_due = due;
        let mut delays = false;
        for (step, request) in group.requests.iter().enumerate() {
            let delay = request.delay.at(spread(user, turn, 2 + step as u64));
            if !delay.is_zero() {
                delays = true;
                request_due += delay;
                // A turn is not left half done: the server keeps what was begun.
                tokio::time::sleep_until(request_due.into()).await;
            }
            let body = self.perform(request, &values, request_due).await;
            let captured = body.is_some_and(|body| capture(request, &body, &mut values));
            if !captured && !request.capture.is_empty() {
                // What follows needs what did not come.
                break;
            }
            if delay.is_zero() {
                // Without a moment of its own, a request is due once the one before is answered.
                request_due = request_due.max(Instant::now());
            }
        }
        let mut metrics = self.metrics();
        metrics.iterations.add(1);
        metrics.iteration_duration.record(began.elapsed());
        drop(metrics);
        if delays {
            request_due + pause
        } else {
            due + pause
        }
    }

    fn values(&self, user: usize, turn: u64) -> Values {
        let user_label = if user == usize::MAX {
            "first".to_owned()
        } else {
            user.to_string()
        };
        Values {
            unique: format!("{}-{user_label}-{turn}", self.label),
            user,
            captured: BTreeMap::new(),
        }
    }

    /// Sends a request, judges its answer and counts both; the body of an expected answer.
    async fn perform(&self, request: &Request, values: &Values, due: Instant) -> Option<String> {
        let answered = self.send(request, values).await;
        let took = due.elapsed();
        let mut metrics = self.metrics();
        let metrics = &mut *metrics;
        metrics.http_reqs.add(1);
        metrics.http_req_duration.record(took);
        let (expected, body) = match answered {
            Answered::Whole(status, body) => {
                metrics.data_received.add(body.len() as u64);
                let expected = request.expect.contains(&status);
                if !expected {
                    metrics.refused += 1;
                    let words = Answer::new(&self.hide(&body));
                    metrics.note(format!("{} was answered {status}{words}", request.endpoint));
                }
                (expected, Some(body))
            }
            Answered::Broken(reason) => {
                metrics.unanswered += 1;
                metrics.note(format!("{}: {reason}", request.endpoint));
                (false, None)
            }
        };
        metrics.http_req_failed.add(!expected);
        if let Some(endpoint) = metrics.each.get_mut(request.number) {
            endpoint.duration.record(took);
            endpoint.failed.add(!expected);
        }
        let body = body.filter(|_| expected);
        let mut good = expected;
        if let (Some(check), Some(body)) = (&request.check, &body) {
            let holds = serde_json::from_str(body).is_ok_and(|body| check.holds(&body));
            metrics.checks.add(holds);
            good &= holds;
            if !holds {
                let words = Answer::new(&self.hide(body));
                metrics.note(format!(
                    "{}: not what was asked for{words}",
                    request.endpoint
                ));
            }
        }
        let in_time = request.within.is_none_or(|within| took <= within);
        metrics.success.add(good && in_time);
        body
    }

    async fn send(&self, request: &Request, values: &Values) -> Answered {
        let path = request.path.fill(values, SystemTime::now());
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let mut url = self.target.http(path);
        if !query.is_empty() {
            url.set_query(Some(query));
        }
        let mut builder = self.client.request(request.method.clone(), url);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        match request.auth {
            Auth::None => {}
            Auth::Bearer => {
                if let Some(token) = &self.credentials.token {
                    builder = builder.bearer_auth(token.expose());
                }
            }
            Auth::ApiKey => {
                if let Some(key) = &self.credentials.api_key {
                    builder = builder.header("x-api-key", key.expose());
                }
                if let Some(tenant) = &self.credentials.tenant {
                    builder = builder
                        .header("X-Tenant-Id", tenant)
                        .header("X-Demo-Tenant-Id", tenant);
                }
            }
        }
        if let Some(body) = &request.body {
            let body = body.fill(values, SystemTime::now());
            self.metrics().data_sent.add(body.len() as u64);
            builder = builder
                .header("content-type", "application/json")
                .body(body);
        }
        let broken = |err: reqwest::Error| Answered::Broken(root_cause(&err.without_url()));
        match builder.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                // A protocol switch has no body to wait for.
                if status == 101 {
                    return Answered::Whole(status, String::new());
                }
                match response.text().await {
                    Ok(text) => Answered::Whole(status, text),
                    Err(err) => broken(err),
                }
            }
            Err(err) => broken(err),
        }
    }

    fn hide(&self, text: &str) -> String {
        let secrets = [&self.credentials.token, &self.credentials.api_key];
        let secrets = secrets.into_iter().flatten();
        secrets.fold(text.to_owned(), |text, secret| secret.hide_in(&text))
    }
}

/// Keeps what later requests need; `false` if something is missing.
fn capture(request: &Request, body: &str, values: &mut Values) -> bool {
    if request.capture.is_empty() {
        return true;
    }
    let Ok(body) = serde_json::from_str::<Value>(body) else {
        return false;
    };
    request.capture.iter().all(|(name, pointer)| {
        let found = body.pointer(pointer).and_then(|found| match found {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        found
            .map(|text| values.captured.insert(name.clone(), text))
            .is_some()
    })
}

/// The innermost reason of an HTTP client's error, which is the one that tells something.
fn root_cause(err: &reqwest::Error) -> String {
    if err.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = err;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match err.source() {
        Some(_) => cause.to_string(),
        None => err.to_string(),
    }
}
