//! The two HTTP endpoints that exist for the socket: statistics and broadcast (realtime contract,
//! section 11).
//!
//! Called by `observers` and by the conductor's first look at the server. Times nothing.

use std::error::Error as _;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::roster::Census;
use crate::failure::{Answer, Failure};
use crate::target::Target;
use crate::token::Token;

const STATS: &str = "/v1/websocket/stats";
const BROADCAST: &str = "/v1/websocket/broadcast";

/// A client of the server under test, for one account.
#[derive(Debug)]
pub(super) struct Api {
    client: reqwest::Client,
    target: Target,
    token: Token,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// No answer, or a broken one.
    #[error("{endpoint}: {reason}")]
    Transport {
        /// Method and path.
        endpoint: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// Another status than 200.
    #[error("{endpoint} was answered {status}{}", Answer::new(body))]
    Status {
        /// Method and path.
        endpoint: &'static str,
        /// The status.
        status: u16,
        /// What the server said, without the token.
        body: String,
    },
    /// 200 with a body that is not the contract's.
    #[error(
        "{endpoint} was answered 200 with an unexpected body: {reason}{}",
        Answer::new(body)
    )]
    Body {
        /// Method and path.
        endpoint: &'static str,
        /// The parser's complaint.
        reason: String,
        /// The body, without the token.
        body: String,
    },
}

impl CallError {
    /// What this means when it is the first thing that the server says.
    pub(super) fn into_failure(self, target: &Target) -> Failure {
        let url = target.shown().to_owned();
        match self {
            Self::Transport { reason, .. } => Failure::Unreachable { url, reason },
            Self::Status {
                endpoint,
                status,
                body,
            } => Failure::of_status(&url, endpoint, status, &body),
            Self::Body { .. } => Failure::Unreachable {
                url,
                reason: self.to_string(),
            },
        }
    }
}

/// The part of the statistics that is checked or recorded.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stats {
    pub(super) total_connections: u64,
    by_type: ByType,
    active_sessions: u64,
    active_machines: u64,
    pub(super) oldest_connection: Option<u64>,
    pub(super) memory_usage: Option<u64>,
    pub(super) message_queue_depth: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ByType {
    user_scoped: u64,
    session_scoped: u64,
    machine_scoped: u64,
}

impl Stats {
    /// The counts, in the form of the roster's.
    pub(super) fn census(&self) -> Census {
        let ByType {
            user_scoped,
            session_scoped,
            machine_scoped,
        } = self.by_type;
        Census {
            total: self.total_connections,
            by_type: [user_scoped, session_scoped, machine_scoped],
            sessions: self.active_sessions,
            machines: self.active_machines,
        }
    }
}

#[derive(Deserialize)]
struct Delivered {
    success: bool,
    delivered: u64,
}

impl Api {
    /// A client that gives up on an answer after `timeout`.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub(super) fn new(target: Target, token: Token, timeout: Duration) -> Result<Self, Failure> {
        // Proxies of the environment would be measured along with the server.
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .no_proxy()
            .build();
        let client = client
            .map_err(|err| Failure::Incomplete(format!("cannot set up the HTTP client: {err}")))?;
        Ok(Self {
            client,
            target,
            token,
        })
    }

    /// `GET /v1/websocket/stats`.
    ///
    /// # Errors
    /// No answer, another status than 200, or a body without the contract's fields.
    pub(super) async fn stats(&self) -> Result<Stats, CallError> {
        let endpoint = "GET /v1/websocket/stats";
        let request = self.client.get(self.target.http(STATS));
        self.call(endpoint, request).await
    }

    /// `POST /v1/websocket/broadcast`; returns `delivered`.
    ///
    /// # Errors
    /// No answer, another status than 200, or a body that does not say how many it reached.
    pub(super) async fn broadcast(
        &self,
        payload: &Value,
        sent_at: u64,
        filter: Option<Value>,
    ) -> Result<u64, CallError> {
        let endpoint = "POST /v1/websocket/broadcast";
        let mut body = json!({
            "message": {"type": "broadcast", "payload": payload, "timestamp": sent_at}
        });
        if let (Some(filter), Some(fields)) = (filter, body.as_object_mut()) {
            fields.insert("filter".to_owned(), filter);
        }
        let request = self.client.post(self.target.http(BROADCAST)).json(&body);
        let answer: Delivered = self.call(endpoint, request).await?;
        match answer.success {
            true => Ok(answer.delivered),
            false => Err(CallError::Body {
                endpoint,
                reason: "success is false".to_owned(),
                body: String::new(),
            }),
        }
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        endpoint: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, CallError> {
        let transport = |err: reqwest::Error| CallError::Transport {
            endpoint,
            reason: root_cause(&err.without_url()),
        };
        let response = request
            .bearer_auth(self.token.expose())
            .send()
            .await
            .map_err(transport)?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(transport)?;
        let shown = |text: &str| self.token.hide_in(text);
        if status != 200 {
            return Err(CallError::Status {
                endpoint,
                status,
                body: shown(&text),
            });
        }
        serde_json::from_str(&text).map_err(|err| CallError::Body {
            endpoint,
            reason: err.to_string(),
            body: shown(&text),
        })
    }
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
