//! Requests of a trial: what was asked, and the status and body of the answer.

use std::time::Duration;

use serde_json::Value;

use super::broken;
use super::raw::REQUESTS_FROM;
use crate::failure::Failure;
use crate::target::Target;
use crate::token::Token;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The key of events that development takes.
const EVENT_KEY: &str = "test-api-key";

/// An HTTP client of a trial. Requests that get no answer are `None`: the server may be dead.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Whether the server says that it gave the same before.
    pub replayed: bool,
    /// Its body; null if it is no JSON.
    pub body: Value,
}

impl Api {
    /// A client whose connections end with their requests.
    ///
    /// # Errors
    /// It cannot be set up.
    pub fn new() -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .local_address(REQUESTS_FROM)
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .map_err(|err| broken("the HTTP client", err))?;
        Ok(Self { http })
    }

    /// The client itself.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Asks for what is at a path.
    pub async fn get(&self, target: &Target, path: &str, token: Option<&Token>) -> Option<Answer> {
        self.try_get(target, path, token).await.ok()
    }

    /// The same, with the reason when there is no answer.
    ///
    /// # Errors
    /// What came instead of an answer.
    pub async fn try_get(
        &self,
        target: &Target,
        path: &str,
        token: Option<&Token>,
    ) -> Result<Answer, String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = target.http(path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let mut request = self.http.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        answer(request).await
    }

    /// Posts a body as a user.
    pub async fn post(
        &self,
        target: &Target,
        path: &str,
        token: &Token,
        body: &Value,
    ) -> Option<Answer> {
        let request = self.http.post(target.http(path)).json(body);
        let request = request.bearer_auth(token.expose());
        answer(request).await.ok()
    }

    /// Publishes an event, once for each key.
    pub async fn publish(&self, target: &Target, key: &str) -> Option<Answer> {
        self.try_publish(target, key).await.ok()
    }

    /// The same, with the reason when there is no answer.
    ///
    /// # Errors
    /// What came instead of an answer.
    pub async fn try_publish(&self, target: &Target, key: &str) -> Result<Answer, String> {
        let body = serde_json::json!({ "event": "billing.paid", "data": { "key": key } });
        let request = self.http.post(target.http("/api/v1/events")).json(&body);
        let request = request.header("x-api-key", EVENT_KEY);
        answer(request.header("idempotency-key", key)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, String> {
    // With its causes: "error sending request" alone says nothing.
    let answer = request.send().await.map_err(|err| {
        let err = err.without_url();
        let causes =
            std::iter::successors(Some(&err as &dyn std::error::Error), |err| err.source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        causes.join(": ")
    })?;
    Ok(Answer {
        status: answer.status().as_u16(),
        replayed: answer
            .headers()
            .get("idempotency-replayed")
            .is_some_and(|value| value == "true"),
        body: answer.json().await.unwrap_or_default(),
    })
}
