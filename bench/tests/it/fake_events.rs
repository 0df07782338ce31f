//! The event side of the fake server: publishing and reporting over HTTP, subscribers, and the
//! dashboard over Socket.IO.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::fake_server::{Hub, now, nth};

/// The one API key that the server accepts.
pub const KEY: &str = "test-api-key";

impl Hub {
    pub fn events_http(&self, line: &str, key: Option<&str>, body: &[u8]) -> (u16, Value) {
        if self.faults.without_events {
            return (
                404,
                json!({"error": {"code": "NOT_FOUND", "message": "no"}}),
            );
        }
        if key != Some(KEY) {
            return (
                401,
                json!({"error": {"code": "UNAUTHORIZED", "message": "Invalid API key"}}),
            );
        }
        if line.starts_with("GET /api/v1/reporting/") {
            assert!(line.contains("startDate=20"), "{line}");
            return match self.faults.empty_reports {
                true => (200, json!({})),
                false => (200, json!({"metrics": {}, "breakdown": []})),
            };
        }
        assert!(line.starts_with("POST /api/v1/demo/events/call "), "{line}");
        self.publish(&serde_json::from_slice(body).unwrap())
    }

    fn publish(&self, body: &Value) -> (u16, Value) {
        let count = self.published.fetch_add(1, Ordering::Relaxed) + 1;
        if nth(self.faults.refuse_events, count) {
            return (
                503,
                json!({"error": {"code": "UNAVAILABLE", "message": "ordered"}}),
            );
        }
        let status = match body["eventType"].as_str().unwrap() {
            "call.answered" if !self.faults.stuck_calls => "answered",
            "call.completed" if !self.faults.stuck_calls => "completed",
            _ => "ringing",
        };
        let state = json!({"id": body["callId"], "status": status});
        let event = json!({"type": "event", "channel": body["eventType"], "payload": {
            "event": body["eventType"], "timestamp": now(),
            "data": {"callId": body["callId"], "callState": state},
        }});
        let subscribers = self.subscribers.lock().unwrap();
        if !subscribers.is_empty() {
            self.event_seen.notify_one();
        }
        for (place, outbox) in subscribers.values().enumerate() {
            for _ in 0..self.copies(place == 0, count) {
                let _ = outbox.send((self.faults.delay_broadcasts, event.to_string()));
            }
        }
        (
            200,
            json!({"success": true, "callId": body["callId"], "callState": state}),
        )
    }

    pub async fn subscriber(
        self: Arc<Self>,
        mut socket: WebSocketStream<TcpStream>,
        key: Option<&String>,
    ) {
        if key.map(String::as_str) != Some(KEY) {
            let frame = CloseFrame {
                code: 1008.into(),
                reason: "Unauthorized".into(),
            };
            let _ = socket.close(Some(frame)).await;
            return;
        }
        let hello = json!({"type": "connected", "tenantId": "t", "timestamp": "-"});
        let _ = socket.send(Message::text(hello.to_string())).await;
        let (outbox, mut inbox) = mpsc::unbounded_channel::<(Duration, String)>();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        loop {
            tokio::select! {
                Some((delay, text)) = inbox.recv() => {
                    tokio::time::sleep(delay).await;
                    if socket.send(Message::text(text)).await.is_err() {
                        break;
                    }
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let frame: Value = serde_json::from_str(&text).unwrap();
                        assert_eq!(frame["type"], "subscribe");
                        let answer = json!({"type": "subscribed", "channels": frame["channels"]});
                        let _ = outbox.send((Duration::ZERO, answer.to_string()));
                        self.subscribers.lock().unwrap().insert(id, outbox.clone());
                    }
                    _ => break,
                }
            }
        }
        self.subscribers.lock().unwrap().remove(&id);
    }

    pub async fn socket_io(self: Arc<Self>, mut socket: WebSocketStream<TcpStream>) {
        let open = r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;
        let _ = socket.send(Message::text(open)).await;
        let (outbox, mut inbox) = mpsc::unbounded_channel::<(Duration, String)>();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let say = |text: String| outbox.send((Duration::ZERO, text)).unwrap();
        loop {
            tokio::select! {
                Some((delay, text)) = inbox.recv() => {
                    tokio::time::sleep(delay).await;
                    if socket.send(Message::text(text)).await.is_err() {
                        break;
                    }
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) if text.starts_with("40") => {
                        say(r#"40{"sid":"y"}"#.to_owned());
                        say("2".to_owned());
                        say(r#"42["init",{"agents":[]}]"#.to_owned());
                        self.dashboards.lock().unwrap().insert(id, outbox.clone());
                    }
                    Some(Ok(Message::Text(text))) if text == "3" => {}
                    Some(Ok(Message::Text(text))) => {
                        let (ack, json) = text[2..].split_at(text[2..].find('[').unwrap());
                        let event: Value = serde_json::from_str(json).unwrap();
                        if event[0] == "task:assign" {
                            self.assign(ack, &say);
                        } else if event[0] == "broadcast" {
                            self.relay(id, ack, &event, &say);
                        }
                    }
                    _ => break,
                }
            }
        }
        self.dashboards.lock().unwrap().remove(&id);
    }

    /// A client's broadcast: to every other socket.
    fn relay(&self, id: u64, ack: &str, event: &Value, say: &impl Fn(String)) {
        let count = self.published.fetch_add(1, Ordering::Relaxed) + 1;
        let sockets = self.dashboards.lock().unwrap();
        say(format!(
            r#"43{ack}[{{"success":true,"delivered":{}}}]"#,
            sockets.len() - 1
        ));
        let others = sockets.iter().filter(|(other, _)| **other != id);
        for (place, (_, outbox)) in others.enumerate() {
            for _ in 0..self.copies(place == 0, count) {
                let _ = outbox.send((self.faults.delay_broadcasts, format!("42{event}")));
            }
        }
    }

    fn assign(&self, ack: &str, say: &impl Fn(String)) {
        let count = self.published.fetch_add(1, Ordering::Relaxed) + 1;
        if nth(self.faults.refuse_events, count) {
            say(format!(r#"43{ack}[{{"success":false,"error":"ordered"}}]"#));
            return;
        }
        if !ack.is_empty() {
            say(format!(
                r#"43{ack}[{{"success":true,"taskId":"task-{count}"}}]"#
            ));
        }
        if self.faults.silent_tasks {
            return;
        }
        for progress in [0, 100] {
            let event = json!(["task:progress", {
                "taskId": format!("task-{count}"), "progress": progress, "_emitTimestamp": now(),
            }]);
            let dashboards = self.dashboards.lock().unwrap();
            for (place, outbox) in dashboards.values().enumerate() {
                for _ in 0..self.copies(place == 0, count) {
                    let _ = outbox.send((self.faults.delay_broadcasts, format!("42{event}")));
                }
            }
        }
    }
}
