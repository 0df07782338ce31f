//! One connection: its handshake, its pings, what arrives on it, and its end.
//!
//! `conductor` opens clients and tells them to leave. A client owns its socket; it reports to the
//! run's recorder, ledger and roster.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use dormouse_protocol::ClientType;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message, Utf8Bytes};
use uuid::Uuid;

use super::ledger::Receipt;
use super::round_trips::RoundTrips;
use super::run::Run;
use crate::dial;
use crate::failure::{Answer, Failure};
use crate::mix::Role;

/// The exact text that a server may answer without waking the shard (realtime contract, 14).
const PING: &str = r#"{"event":"ping"}"#;

/// The wish that a connection end: it settles its pings, closes, and raises the signal.
#[derive(Debug)]
pub(super) struct Leave(pub(super) oneshot::Sender<()>);

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The socket or the handshake broke.
    #[error("{0}")]
    Transport(String),
    /// No upgrade, or no greeting, within the time.
    #[error("no {0} in time")]
    TooSlow(&'static str),
    /// Another status than 101.
    #[error("the upgrade was refused with {status}{}", Answer::new(body))]
    Refused {
        /// The status.
        status: u16,
        /// What the server said, without the token.
        body: String,
    },
    /// The first frame was not the `connected` that the contract asks for.
    #[error("the first frame was not the expected \"connected\"{0}")]
    Greeting(Answer),
}

impl ConnectError {
    /// Refused by the connection limit, which is counted apart from errors.
    pub(super) fn is_rejection(&self) -> bool {
        matches!(self, Self::Refused { status: 429, .. })
    }

    /// What this means when no connection at all came about.
    pub(super) fn into_failure(self, url: &str) -> Failure {
        match self {
            Self::Refused { status, body } => {
                Failure::of_status(url, "GET /v1/updates", status, &body)
            }
            other => Failure::Unreachable {
                url: url.to_owned(),
                reason: other.to_string(),
            },
        }
    }
}

/// A frame as far as this tool looks at it.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    /// Read only for the events that matter here: others may put anything into it.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PongData {
    timestamp: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BroadcastData {
    test_id: Uuid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectedData {
    connection_id: String,
    client_type: ClientType,
    session_id: Option<String>,
    machine_id: Option<String>,
}

impl<'a> Frame<'a> {
    fn data<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_str(self.data?.get()).ok()
    }
}

/// An open connection that has been greeted.
pub(super) struct Client {
    connection: usize,
    socket: WebSocketStream<TcpStream>,
    round_trips: RoundTrips,
    run: Arc<Run>,
}

impl Client {
    /// Connects, and waits for the `connected` frame. Connection and greeting time run from
    /// `intended`, the moment at which the connection was due.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) async fn connect(
        run: &Arc<Run>,
        connection: usize,
        role: &Role,
        intended: Instant,
    ) -> Result<Self, ConnectError> {
        let patience = run.traffic.delivery_timeout;
        let upgrade = timeout(patience, upgrade(run, role)).await;
        let mut socket = upgrade.map_err(|_| ConnectError::TooSlow("upgrade"))??;
        run.recorder
            .lock()
            .ws_connection_time
            .record(intended.elapsed());
        let greeting = timeout(patience, greeting(run, &mut socket, role)).await;
        greeting.map_err(|_| ConnectError::TooSlow("greeting"))??;
        run.recorder.lock().ws_ready_time.record(intended.elapsed());
        let round_trips = RoundTrips::default();
        Ok(Self {
            connection,
            socket,
            round_trips,
            run: Arc::clone(run),
        })
    }

    /// Pings and listens until told to leave or cut off, then gives its account to the run.
    ///
    /// Each ping has a moment at which it is due, whatever the server does meanwhile, and its
    /// latency runs from there.
    pub(super) async fn live(mut self, mut orders: mpsc::Receiver<Leave>) {
        let interval = self.run.traffic.ping_interval;
        // Connections ping one after the other within the interval, not all at once.
        let phase = interval.mul_f64(self.connection as f64 % 64.0 / 64.0);
        let mut due = Instant::now() + phase;
        let left = loop {
            tokio::select! {
                order = orders.recv() => break order,
                frame = self.socket.next() => if !self.take(frame) { break None },
                () = tokio::time::sleep_until(due.into()) => {
                    if !self.ping(due).await { break None }
                    due += interval;
                }
            }
        };
        let run = Arc::clone(&self.run);
        let dropped = match &left {
            Some(_) => !self.leave().await,
            None => {
                let mut members = run.roster();
                members.remove(self.connection);
                run.recorder
                    .lock()
                    .ws_connections_active
                    .set(members.len() as f64);
                true
            }
        };
        run.recorder
            .lock()
            .ws_connections_dropped
            .add(u64::from(dropped));
        run.settle_pings(self.round_trips.close());
        // Last: whoever waits for this reads the accounts next.
        if let Some(Leave(done)) = left {
            let _ = done.send(());
        }
    }

    /// Sends a last ping, waits until it and all before it are answered, and closes. `false` if
    /// the server had ended the connection before.
    ///
    /// A connection's frames arrive in order, so whatever was on its way when the last ping went
    /// out has arrived when its pong does.
    async fn leave(&mut self) -> bool {
        let patience = self.run.traffic.delivery_timeout;
        let mut open = self.ping(Instant::now()).await;
        let settled = async {
            while open && !self.round_trips.is_settled() {
                let frame = self.socket.next().await;
                open = self.take(frame);
            }
        };
        // Whatever is still unanswered after that is counted as lost.
        let _ = timeout(patience, settled).await;
        let closed = async {
            // An error here means that the other side was faster; the account is complete.
            let _ = self.socket.close(None).await;
            while let Some(frame @ Ok(_)) = self.socket.next().await {
                self.take(Some(frame));
            }
        };
        let _ = timeout(patience, closed).await;
        open
    }

    async fn ping(&mut self, due: Instant) -> bool {
        let ping = self
            .socket
            .send(Message::text(Utf8Bytes::from_static(PING)));
        let sent = timeout(self.run.traffic.delivery_timeout, ping).await;
        if !matches!(sent, Ok(Ok(()))) {
            return false;
        }
        self.round_trips.sent(due);
        self.run.recorder.lock().ws_messages_sent.add(1);
        true
    }

    /// Takes what the socket gave; `false` once it is finished.
    fn take(&mut self, frame: Option<Result<Message, WebSocketError>>) -> bool {
        let now = Instant::now();
        match frame {
            Some(Ok(Message::Text(text))) => self.take_data(&text, now),
            Some(Ok(Message::Binary(bytes))) => {
                self.take_data(std::str::from_utf8(&bytes).unwrap_or_default(), now);
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
            Some(Ok(_)) => {}
        }
        true
    }

    fn take_data(&mut self, text: &str, now: Instant) {
        let run = &self.run;
        let mut metrics = run.recorder.lock();
        metrics.ws_messages_received.add(1);
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else {
            metrics.ws_messages_faulty.add(1);
            return;
        };
        match frame.event.as_ref() {
            "pong" => {
                if let Some(latency) = self.round_trips.answered(now)
                    && now.checked_sub(latency).is_some_and(|due| run.times(due))
                {
                    metrics.ws_message_latency.record(latency);
                }
                if !frame
                    .data()
                    .is_some_and(|data: PongData| data.timestamp > 0.0)
                {
                    metrics.ws_messages_faulty.add(1);
                }
            }
            "broadcast" => {
                let id = frame.data().map(|data: BroadcastData| data.test_id);
                if let Receipt::Expected(due) = run.ledger().receive(id, self.connection) {
                    let took = now.saturating_duration_since(due);
                    metrics.ws_broadcast_delivery_time.record(took);
                    metrics
                        .ws_broadcast_success
                        .add(took <= run.traffic.broadcast_success_within);
                }
            }
            "error" | "auth-error" => metrics.ws_messages_faulty.add(1),
            // Presence of the run's own machines, for one.
            _ => {}
        }
    }
}

async fn upgrade(run: &Run, role: &Role) -> Result<WebSocketStream<TcpStream>, ConnectError> {
    let transport = |err: std::io::Error| ConnectError::Transport(err.to_string());
    let stream = dial::connect(&run.target).await.map_err(transport)?;
    let url = run.target.updates_url(&run.token, role);
    let upgraded = dial::upgrade(url, stream).await;
    let (socket, _) = match upgraded {
        Ok(upgraded) => upgraded,
        Err(WebSocketError::Http(response)) => {
            let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
            return Err(ConnectError::Refused {
                status: response.status().as_u16(),
                body: run.token.hide_in(&body),
            });
        }
        Err(err) => return Err(ConnectError::Transport(run.token.hide_in(&err.to_string()))),
    };
    Ok(socket)
}

async fn greeting(
    run: &Run,
    socket: &mut WebSocketStream<TcpStream>,
    role: &Role,
) -> Result<(), ConnectError> {
    let unexpected = |text: &str| ConnectError::Greeting(Answer::new(&run.token.hide_in(text)));
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                run.recorder.lock().ws_messages_received.add(1);
                let frame = serde_json::from_str::<Frame<'_>>(&text);
                let expected = frame.is_ok_and(|frame| is_greeting(&frame, role));
                return if expected {
                    Ok(())
                } else {
                    Err(unexpected(&text))
                };
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(other)) => return Err(unexpected(&other.to_string())),
            Some(Err(err)) => return Err(ConnectError::Transport(err.to_string())),
            None => return Err(unexpected("the connection was closed")),
        }
    }
}

/// `connected` with an id, and with the role that was asked for (realtime contract, section 4.2).
fn is_greeting(frame: &Frame<'_>, role: &Role) -> bool {
    frame.event == "connected"
        && frame.data().is_some_and(|data: ConnectedData| {
            !data.connection_id.is_empty()
                && data.client_type == role.client_type
                && data.session_id == role.session
                && data.machine_id == role.machine
        })
}
