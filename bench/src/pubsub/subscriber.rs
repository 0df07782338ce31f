//! One socket on `/ws/events`.

use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use super::Shared;
use crate::dial;
use crate::failure::{Answer, Failure};
use crate::receipts::Receipts;
use crate::stop::Stop;

const ENDPOINT: &str = "GET /ws/events";

/// A subscriber whose subscription is in force.
#[derive(Debug)]
pub(super) struct Subscriber {
    socket: WebSocketStream<TcpStream>,
    /// When it came into force.
    since: Instant,
}

impl Subscriber {
    /// Connects, subscribes, and waits for the confirmation.
    ///
    /// # Errors
    /// The failure that it would be for the whole run.
    pub(super) async fn open(shared: &Shared) -> Result<Self, Failure> {
        let target = &shared.job.sockets;
        let unreachable = |reason: String| Failure::Unreachable {
            url: target.shown().to_owned(),
            reason: match &shared.job.credentials.api_key {
                Some(key) => key.hide_in(&reason),
                None => reason,
            },
        };
        let opened = timeout(shared.job.settings.patience, async {
            let stream = dial::connect(target)
                .await
                .map_err(|err| unreachable(err.to_string()))?;
            let key = shared.job.credentials.api_key.as_ref();
            let key = key.map_or("", |key| key.expose());
            let query = url::form_urlencoded::byte_serialize(key.as_bytes());
            let path = format!("/ws/events?apiKey={}", query.collect::<String>());
            let url = target.websocket_url(&path);
            let (mut socket, _) = dial::upgrade(url, stream).await.map_err(|err| match err {
                WebSocketError::Http(response) => {
                    let body = response.body().as_deref().unwrap_or_default();
                    let body = String::from_utf8_lossy(body);
                    let status = response.status().as_u16();
                    Failure::of_status(target.shown(), ENDPOINT, status, &body)
                }
                err => unreachable(err.to_string()),
            })?;
            await_frame(shared, &mut socket, "connected").await?;
            let subscribe = json!({"type": "subscribe", "channels": shared.job.settings.channels});
            let sent = socket.send(Message::text(subscribe.to_string())).await;
            sent.map_err(|err| unreachable(err.to_string()))?;
            await_frame(shared, &mut socket, "subscribed").await?;
            Ok(Self {
                socket,
                since: Instant::now(),
            })
        });
        opened
            .await
            .unwrap_or_else(|_| Err(unreachable(format!("{ENDPOINT}: nothing in time"))))
    }

    /// Receives until told to leave, and for a while what was published before.
    pub(super) async fn live(mut self, shared: &Shared, mut leave: Stop) -> Receipts {
        let mut receipts = Receipts::new(self.since);
        {
            let mut metrics = shared.metrics();
            metrics.subscribed += 1;
            metrics.most_subscribed = metrics.most_subscribed.max(metrics.subscribed);
        }
        let marker = format!("{}-", shared.label);
        let open = loop {
            tokio::select! {
                () = leave.requested() => break true,
                frame = self.socket.next() => {
                    if !take(shared, &marker, frame, &mut receipts) {
                        break false;
                    }
                }
            }
        };
        receipts.until = Instant::now();
        {
            let mut metrics = shared.metrics();
            metrics.subscribed -= 1;
            metrics.disconnection_rate.add(!open);
        }
        if open {
            let rest =
                async { while take(shared, &marker, self.socket.next().await, &mut receipts) {} };
            // It ends by the clock: nothing tells that no event is on its way.
            let _ = timeout(shared.job.settings.linger, rest).await;
            self.close().await;
        }
        receipts
    }

    /// Ends it.
    pub(super) async fn close(mut self) {
        // An error means that the other side was faster.
        let _ = timeout(std::time::Duration::from_secs(1), self.socket.close(None)).await;
    }
}

/// Takes a frame; `false` once the connection has ended.
fn take(
    shared: &Shared,
    marker: &str,
    frame: Option<Result<Message, WebSocketError>>,
    receipts: &mut Receipts,
) -> bool {
    let now = Instant::now();
    match frame {
        Some(Ok(Message::Text(text))) => {
            // Events of others, and answers, have no such mark.
            if let Some(number) = number_after(&text, marker) {
                if receipts.take(number) {
                    let took = now.saturating_duration_since(shared.due(number));
                    let mut metrics = shared.metrics();
                    metrics.received.add(1);
                    metrics.message_latency.record(took);
                }
            } else if text.contains(r#""type":"error""#) {
                shared.note(format!("a subscriber was told{}", Answer::new(&text)));
            }
            true
        }
        Some(Ok(Message::Close(frame))) => {
            let reason = frame.map(|frame| format!("{}: {}", u16::from(frame.code), frame.reason));
            let words = reason.unwrap_or_else(|| "no reason".to_owned());
            shared.note(format!("a subscription was ended with {words}"));
            false
        }
        Some(Err(_)) | None => false,
        Some(Ok(_)) => true,
    }
}

/// The number behind the first mark.
fn number_after(text: &str, marker: &str) -> Option<usize> {
    let at = text.find(marker)? + marker.len();
    let rest = text.get(at..)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest.get(..digits)?.parse().ok()
}

async fn await_frame(
    shared: &Shared,
    socket: &mut WebSocketStream<TcpStream>,
    kind: &str,
) -> Result<(), Failure> {
    let url = || shared.job.sockets.shown().to_owned();
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                if frame.get("type").and_then(Value::as_str) == Some(kind) {
                    return Ok(());
                }
            }
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                    (u16::from(frame.code), frame.reason.to_string())
                });
                return Err(match code {
                    1008 => Failure::Refused {
                        url: url(),
                        what: ENDPOINT.to_owned(),
                        status: code,
                        answer: Answer::new(&reason),
                        remedy: "give a valid key with --api-key or API_KEY",
                    },
                    _ => Failure::Unreachable {
                        url: url(),
                        reason: format!(
                            "{ENDPOINT} was closed with {code}{}",
                            Answer::new(&reason)
                        ),
                    },
                });
            }
            Some(Ok(_)) => {}
            Some(Err(err)) => {
                return Err(Failure::Unreachable {
                    url: url(),
                    reason: err.to_string(),
                });
            }
            None => {
                return Err(Failure::Unreachable {
                    url: url(),
                    reason: format!("{ENDPOINT} ended before \"{kind}\""),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_stand_behind_their_mark() {
        let text =
            r#"{"payload":{"data":{"callId":"bench-1a-42","callState":{"id":"bench-1a-42"}}}}"#;
        assert_eq!(number_after(text, "bench-1a-"), Some(42));
        assert_eq!(number_after(text, "bench-2b-"), None);
        assert_eq!(number_after("bench-1a-first", "bench-1a-"), None);
        assert_eq!(number_after("bench-1a-", "bench-1a-"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = number_after(&text, "bench-");
            let _ = number_after(&format!("bench-{text}"), "bench-");
        }
    }
}
