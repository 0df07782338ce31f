//! Who posts the events: each publisher has its share of the schedule, and is late only by the
//! server's answers.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::{Shared, lock};
use crate::failure::{Answer, Failure};
use crate::receipts::Published;
use crate::stop::Stop;

const ENDPOINT: &str = "POST /api/v1/demo/events/call";
const PATH: &str = "/api/v1/demo/events/call";
const EVENTS: [&str; 3] = ["call.started", "call.answered", "call.completed"];

/// Posts events.
#[derive(Debug)]
pub(super) struct Publisher {
    shared: Arc<Shared>,
    client: reqwest::Client,
}

impl Publisher {
    /// # Errors
    /// The HTTP client cannot be set up.
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self, Failure> {
        let client = reqwest::Client::builder()
            .timeout(shared.job.settings.patience)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|err| Failure::Incomplete(format!("cannot set up the HTTP client: {err}")))?;
        Ok(Self { shared, client })
    }

    /// Posts one event that is not counted.
    ///
    /// # Errors
    /// The server cannot be reached, refuses the key or lacks the endpoint.
    pub(super) async fn rehearse(&self) -> Result<(), Failure> {
        let url = self.shared.job.api.shown();
        match self.post("first", EVENTS[0]).await {
            Ok((200..=299, _)) => Ok(()),
            Ok((status, body)) => Err(match Failure::of_status(url, ENDPOINT, status, &body) {
                Failure::Refused {
                    url,
                    what,
                    status,
                    answer,
                    ..
                } => Failure::Refused {
                    url,
                    what,
                    status,
                    answer,
                    remedy: "give a valid key with --api-key or API_KEY, and its tenant with \
                             --tenant-id or TENANT_ID",
                },
                failure => failure,
            }),
            Err(reason) => Err(Failure::Unreachable {
                url: url.to_owned(),
                reason,
            }),
        }
    }

    /// Posts every event of this publisher's share when it is due, until told to end.
    pub(super) async fn publish(self: Arc<Self>, place: usize, events: usize, mut end: Stop) {
        let mut number = place;
        while number < events {
            let due = self.shared.due(number);
            tokio::select! {
                () = end.requested() => return,
                () = tokio::time::sleep_until(due.into()) => {}
            }
            let sent = Instant::now();
            // What is under way is finished: its answer belongs to the account.
            let answer = self
                .post(
                    &number.to_string(),
                    EVENTS.get(number % EVENTS.len()).unwrap_or(&EVENTS[0]),
                )
                .await;
            let now = Instant::now();
            let published = match answer {
                Ok((200..=299, _)) => Published::Accepted(sent, now),
                Ok((status, body)) => {
                    let words = Answer::new(&body);
                    self.shared
                        .note(format!("{ENDPOINT} was answered {status}{words}"));
                    Published::Refused
                }
                Err(reason) => {
                    self.shared.note(format!("{ENDPOINT}: {reason}"));
                    Published::Unanswered
                }
            };
            {
                let mut metrics = self.shared.metrics();
                metrics.published.add(1);
                metrics.publish_duration.record(now - due);
            }
            if let Some(event) = lock(&self.shared.published).get_mut(number) {
                *event = published;
            }
            number += self.shared.job.settings.publishers;
        }
    }

    async fn post(&self, number: &str, event: &str) -> Result<(u16, String), String> {
        let job = &self.shared.job;
        let body = json!({
            "callId": format!("{}-{number}", self.shared.label),
            "eventType": event,
        });
        let mut request = self.client.post(job.api.http(PATH)).json(&body);
        if let Some(key) = &job.credentials.api_key {
            request = request.header("x-api-key", key.expose());
        }
        if let Some(tenant) = &job.credentials.tenant {
            request = request
                .header("X-Tenant-Id", tenant)
                .header("X-Demo-Tenant-Id", tenant);
        }
        let failed = |err: reqwest::Error| match err.is_timeout() {
            true => "no answer in time".to_owned(),
            false => {
                let mut cause: &dyn std::error::Error = &err;
                while let Some(source) = cause.source() {
                    cause = source;
                }
                cause.to_string()
            }
        };
        let response = request
            .send()
            .await
            .map_err(|err| failed(err.without_url()))?;
        let status = response.status().as_u16();
        let body = response
            .text()
            .await
            .map_err(|err| failed(err.without_url()))?;
        Ok((status, body))
    }
}
