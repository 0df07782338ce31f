//! One socket, from its upgrade to its end, in either transport.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use super::transport::{Heard, Transport};
use crate::dial;
use crate::failure::Failure;
use crate::target::Target;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: WebSocketStream<TcpStream>,
    transport: Transport,
    label: String,
    ready_at: Instant,
}

impl Connection {
    /// Connects, and waits until the server says that the connection is ready.
    ///
    /// # Errors
    /// The failure that it would be for the whole run.
    pub(super) async fn open(
        transport: &Transport,
        target: &Target,
        label: &str,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let url = || target.shown().to_owned();
        let unreachable = |reason: String| Failure::Unreachable { url: url(), reason };
        let opened = timeout(patience, async {
            let stream = dial::connect(target)
                .await
                .map_err(|err| unreachable(err.to_string()))?;
            let upgraded = dial::upgrade(transport.url(target), stream).await;
            let (socket, _) = upgraded.map_err(|err| match err {
                WebSocketError::Http(response) => {
                    let body = response.body().as_deref().unwrap_or_default();
                    let body = transport.hide(&String::from_utf8_lossy(body));
                    let status = response.status().as_u16();
                    Failure::of_status(target.shown(), &transport.endpoint(), status, &body)
                }
                err => unreachable(transport.hide(&err.to_string())),
            })?;
            let mut connection = Self {
                socket,
                transport: transport.clone(),
                label: label.to_owned(),
                ready_at: Instant::now(),
            };
            connection.greet(target).await?;
            connection.ready_at = Instant::now();
            Ok(connection)
        });
        opened
            .await
            .unwrap_or_else(|_| Err(unreachable("no connection in time".to_owned())))
    }

    async fn greet(&mut self, target: &Target) -> Result<(), Failure> {
        let ended = |reason: &str| Failure::Unreachable {
            url: target.shown().to_owned(),
            reason: format!("{}: {reason}", self.transport.endpoint()),
        };
        let ended_early = ended("the connection ended before it was ready");
        loop {
            match self.next().await {
                Some(Heard::Ready) => return Ok(()),
                Some(Heard::Opened) => {
                    if let Some(hello) = self.transport.hello()
                        && !self.send(hello).await
                    {
                        return Err(ended_early);
                    }
                }
                Some(Heard::Refused(reason)) if reason.contains("limit") => {
                    let what = self.transport.endpoint();
                    return Err(Failure::of_status(target.shown(), &what, 429, &reason));
                }
                Some(Heard::Refused(reason)) => {
                    return Err(Failure::Refused {
                        url: target.shown().to_owned(),
                        what: self.transport.endpoint(),
                        status: 401,
                        answer: crate::failure::Answer::new(&self.transport.hide(&reason)),
                        remedy: "give a valid token with --token or AUTH_TOKEN",
                    });
                }
                Some(Heard::Beat(answer)) => {
                    self.send(answer.to_owned()).await;
                }
                Some(Heard::Closed) | None => return Err(ended_early),
                Some(_) => {}
            }
        }
    }

    /// When it was ready.
    pub(super) fn ready_at(&self) -> Instant {
        self.ready_at
    }

    /// What comes next; `None` once the connection has ended. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        loop {
            return match self.socket.next().await {
                Some(Ok(Message::Text(text))) => Some(self.transport.hear(&self.label, &text)),
                Some(Ok(Message::Binary(bytes))) => {
                    let text = std::str::from_utf8(&bytes).unwrap_or_default();
                    Some(self.transport.hear(&self.label, text))
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => None,
                // The library answers protocol pings itself.
                Some(Ok(_)) => continue,
            };
        }
    }

    /// Sends a text; `false` if the connection has ended.
    pub(super) async fn send(&mut self, text: String) -> bool {
        self.socket.send(Message::text(text)).await.is_ok()
    }

    /// Ends it.
    pub(super) async fn close(mut self) {
        // An error means that the other side was faster.
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}
