//! The ways in which the load scenario talks to a server: plain WebSocket, where an event is a
//! client's broadcast, and Socket.IO, where it is a task that a dashboard assigns or, on the mount
//! of the sync API, a client's broadcast again.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::mix::Role;
use crate::socketio::{self, Packet};
use crate::target::Target;
use crate::token::Token;

/// How the server is spoken to.
#[derive(Clone, Debug)]
pub enum Transport {
    /// The realtime contract: `broadcast` from one connection of an account reaches all others.
    WebSocket {
        /// Token of the account.
        token: Token,
    },
    /// The dashboard: `task:assign` makes events that reach all sockets.
    SocketIo {
        /// Where it is mounted.
        mount: String,
        /// Token for CONNECT, where the mount wants one.
        token: Option<Token>,
    },
    /// The sync API: as [`Self::WebSocket`], in Socket.IO's packets.
    SocketIoSync {
        /// Where it is mounted.
        mount: String,
        /// Token of the account.
        token: Token,
    },
}

/// What a text frame turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Heard {
    /// Part of the way in: the transport is open, and CONNECT is to be sent.
    Opened,
    /// The connection is ready.
    Ready,
    /// The server refuses the connection.
    Refused(String),
    /// A heartbeat; this is its answer.
    Beat(&'static str),
    /// The answer to event `number`: accepted, with the server's own id of it, or refused.
    Answer(usize, Result<Option<String>, String>),
    /// A broadcast of this run with its number.
    Numbered(usize),
    /// An event of a task: its task, what tells it from the task's other events, and the time at
    /// which the server says it was sent (Unix ms).
    OfTask(String, u64, Option<f64>),
    /// The server ends the connection.
    Closed,
    /// Anything else.
    Other,
}

/// A frame of the realtime contract as far as this looks at it.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    data: Option<Value>,
    #[serde(borrow, rename = "ackId")]
    ack_id: Option<Cow<'a, str>>,
    ack: Option<Value>,
}

impl Transport {
    /// Its name in results.
    pub fn name(&self) -> &'static str {
        match self {
            Self::WebSocket { .. } => "websocket",
            Self::SocketIo { .. } => "socketio",
            Self::SocketIoSync { .. } => "socketio-sync",
        }
    }

    /// Whether an event comes to the others under its number; else as events of a task that the
    /// server names.
    pub(super) fn is_numbered(&self) -> bool {
        !matches!(self, Self::SocketIo { .. })
    }

    /// The address of a connection.
    pub(super) fn url(&self, target: &Target) -> String {
        match self {
            Self::WebSocket { token } => {
                let role = Role {
                    client_type: dormouse_protocol::ClientType::UserScoped,
                    session: None,
                    machine: None,
                };
                target.updates_url(token, &role)
            }
            Self::SocketIo { mount, .. } | Self::SocketIoSync { mount, .. } => {
                target.websocket_url(&socketio::path(mount))
            }
        }
    }

    /// The same without a secret, for failures.
    pub(super) fn endpoint(&self) -> String {
        match self {
            Self::WebSocket { .. } => "GET /v1/updates".to_owned(),
            Self::SocketIo { mount, .. } | Self::SocketIoSync { mount, .. } => {
                format!("GET {}/", mount.trim_end_matches('/'))
            }
        }
    }

    /// The token hidden in a server's words.
    pub(super) fn hide(&self, text: &str) -> String {
        match self {
            Self::WebSocket { token }
            | Self::SocketIo {
                token: Some(token), ..
            }
            | Self::SocketIoSync { token, .. } => token.hide_in(text),
            Self::SocketIo { token: None, .. } => text.to_owned(),
        }
    }

    /// What is sent once the transport is open.
    pub(super) fn hello(&self) -> Option<String> {
        match self {
            Self::WebSocket { .. } => None,
            Self::SocketIo { token, .. } => {
                let auth = token.as_ref().map(|token| json!({"token": token.expose()}));
                Some(socketio::connect(auth.as_ref()))
            }
            Self::SocketIoSync { token, .. } => {
                let auth = json!({"token": token.expose(), "clientType": "user-scoped"});
                Some(socketio::connect(Some(&auth)))
            }
        }
    }

    /// Event `number` of a run. `acked` asks for an answer.
    pub(super) fn event(&self, label: &str, number: usize, acked: bool) -> String {
        match self {
            Self::WebSocket { .. } => {
                let mut frame = json!({
                    "event": "broadcast",
                    "data": {"run": label, "number": number},
                });
                if acked && let Some(fields) = frame.as_object_mut() {
                    fields.insert("ackId".to_owned(), number.to_string().into());
                }
                frame.to_string()
            }
            Self::SocketIo { .. } => {
                let task = json!({
                    "agentId": format!("test-agent-{}", number % 10),
                    "title": format!("Load test {label} {number}"),
                    "description": "Made by a load test.",
                    "priority": "normal",
                    "_testTimestamp": number,
                });
                socketio::event("task:assign", &task, acked.then_some(number as u64))
            }
            Self::SocketIoSync { .. } => {
                let data = json!({"run": label, "number": number});
                socketio::event("broadcast", &data, acked.then_some(number as u64))
            }
        }
    }

    /// One of the actions of a user who is at it for hours, chosen by `turn`; none asks for an
    /// answer.
    pub(super) fn action(&self, label: &str, turn: usize) -> String {
        let seldom = |name: &str, data: Value| match self {
            Self::WebSocket { .. } => json!({"event": name, "data": data}).to_string(),
            Self::SocketIo { .. } | Self::SocketIoSync { .. } => socketio::event(name, &data, None),
        };
        match (self, turn % 3) {
            (Self::WebSocket { .. }, 1) => r#"{"event":"ping"}"#.to_owned(),
            (Self::SocketIoSync { .. }, 1) => seldom("ping", Value::Null),
            (Self::WebSocket { .. } | Self::SocketIoSync { .. }, 2) => {
                seldom("session-alive", json!({"sid": label, "time": 1}))
            }
            (Self::SocketIo { .. }, 0) => seldom(
                "task:assign",
                json!({"agentId": "test-agent", "title": "Leak test", "description": "-",
                    "priority": "normal"}),
            ),
            (Self::SocketIo { .. }, 1) => seldom(
                "message:send",
                json!({"toAgentId": "test-agent", "subject": "Leak test", "body": "-"}),
            ),
            (Self::SocketIo { .. }, _) => seldom(
                "state:sync",
                json!({"camera": {"x": turn, "y": 0, "zoom": 1}, "ui": {}}),
            ),
            _ => self.event(label, turn, false),
        }
    }

    /// Understands a text frame.
    pub(super) fn hear(&self, label: &str, text: &str) -> Heard {
        match self {
            Self::WebSocket { .. } => hear_plain(label, text),
            Self::SocketIo { .. } => hear_packet(text, None),
            Self::SocketIoSync { .. } => hear_packet(text, Some(label)),
        }
    }
}

/// The number of a broadcast of this run.
fn number_of(label: &str, data: &Value) -> Heard {
    let ours = data.get("run").and_then(Value::as_str) == Some(label);
    let number = data.get("number").and_then(Value::as_u64);
    match number.and_then(|number| usize::try_from(number).ok()) {
        Some(number) if ours => Heard::Numbered(number),
        _ => Heard::Other,
    }
}

fn hear_plain(label: &str, text: &str) -> Heard {
    let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else {
        return Heard::Other;
    };
    match frame.event.as_ref() {
        "connected" => Heard::Ready,
        "broadcast" => number_of(label, &frame.data.unwrap_or_default()),
        "ack" => {
            let number = frame.ack_id.and_then(|id| id.parse().ok());
            let ack = frame.ack.unwrap_or_default();
            let good = ack.get("success").and_then(Value::as_bool) == Some(true);
            match number {
                Some(number) if good => Heard::Answer(number, Ok(None)),
                Some(number) => Heard::Answer(number, Err(ack.to_string())),
                None => Heard::Other,
            }
        }
        _ => Heard::Other,
    }
}

/// `label` is that of a run whose events come back under their numbers; without one they are
/// tasks.
fn hear_packet(text: &str, label: Option<&str>) -> Heard {
    match socketio::parse(text) {
        Ok(Packet::Open) => Heard::Opened,
        Ok(Packet::Connected) => Heard::Ready,
        Ok(Packet::Refused(reason)) => Heard::Refused(reason),
        Ok(Packet::Ping) => Heard::Beat(socketio::PONG),
        Ok(Packet::Close | Packet::Disconnected) => Heard::Closed,
        Ok(Packet::Ack(number, answer)) => {
            let Ok(number) = usize::try_from(number) else {
                return Heard::Other;
            };
            let good = answer.get("success").and_then(Value::as_bool) == Some(true);
            let task = answer.get("taskId").and_then(Value::as_str);
            match (good, task) {
                (true, Some(task)) => Heard::Answer(number, Ok(Some(task.to_owned()))),
                (true, None) if label.is_some() => Heard::Answer(number, Ok(None)),
                _ => Heard::Answer(number, Err(answer.to_string())),
            }
        }
        Ok(Packet::Event(name, data, _)) => {
            if let Some(label) = label {
                return match name.as_str() {
                    "broadcast" => number_of(label, &data),
                    _ => Heard::Other,
                };
            }
            let Some(task) = data.get("taskId").and_then(Value::as_str) else {
                return Heard::Other;
            };
            // A task's events differ in name, status or progress.
            let part = |key: &str| data.get(key).map(Value::to_string).unwrap_or_default();
            let kind = fingerprint(&[&name, &part("status"), &part("progress")]);
            Heard::OfTask(
                task.to_owned(),
                kind,
                data.get("_emitTimestamp").and_then(Value::as_f64),
            )
        }
        Ok(Packet::Idle) | Err(_) => Heard::Other,
    }
}

/// A number that tells texts apart: FNV-1a.
pub(super) fn fingerprint(texts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for text in texts {
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Transport {
        Transport::WebSocket {
            token: Token::new("t").unwrap(),
        }
    }

    fn socket_io() -> Transport {
        Transport::SocketIo {
            mount: "/socket.io".to_owned(),
            token: None,
        }
    }

    fn sync() -> Transport {
        Transport::SocketIoSync {
            mount: "/v1/updates".to_owned(),
            token: Token::new("t").unwrap(),
        }
    }

    #[test]
    fn plain_frames_are_understood() {
        let sent: Value = serde_json::from_str(&plain().event("r1", 7, true)).unwrap();
        assert_eq!(sent["ackId"], "7");
        assert_eq!(sent["data"], json!({"run": "r1", "number": 7}));
        let cases = [
            (r#"{"event":"connected","data":{}}"#, Heard::Ready),
            (
                r#"{"event":"broadcast","data":{"run":"r1","number":7}}"#,
                Heard::Numbered(7),
            ),
            (
                r#"{"event":"broadcast","data":{"run":"r2","number":7}}"#,
                Heard::Other,
            ),
            (r#"{"event":"broadcast","data":"x"}"#, Heard::Other),
            (
                r#"{"event":"ack","ackId":"7","ack":{"success":true,"delivered":3}}"#,
                Heard::Answer(7, Ok(None)),
            ),
            (
                r#"{"event":"ack","ackId":"7","ack":{"success":false}}"#,
                Heard::Answer(7, Err(r#"{"success":false}"#.to_owned())),
            ),
            ("nothing", Heard::Other),
        ];
        for (text, expected) in cases {
            assert_eq!(plain().hear("r1", text), expected, "{text}");
        }
    }

    #[test]
    fn packets_are_understood() {
        assert!(
            socket_io()
                .event("r", 12, true)
                .starts_with("4212[\"task:assign\",")
        );
        let cases = [
            ("0{}", Heard::Opened),
            ("40{\"sid\":\"x\"}", Heard::Ready),
            ("44{\"message\":\"no\"}", Heard::Refused("no".to_owned())),
            ("2", Heard::Beat("3")),
            ("41", Heard::Closed),
            (
                r#"4312[{"success":true,"taskId":"t1"}]"#,
                Heard::Answer(12, Ok(Some("t1".to_owned()))),
            ),
            (
                r#"4312[{"success":false,"error":"e"}]"#,
                Heard::Answer(12, Err(r#"{"error":"e","success":false}"#.to_owned())),
            ),
            (r#"42["heartbeat",{"timestamp":1}]"#, Heard::Other),
        ];
        for (text, expected) in cases {
            assert_eq!(socket_io().hear("r", text), expected, "{text}");
        }
        let of = |text: &str| match socket_io().hear("r", text) {
            Heard::OfTask(task, kind, at) => (task, kind, at),
            other => panic!("{other:?}"),
        };
        let quarter = of(r#"42["task:progress",{"taskId":"t","progress":25,"_emitTimestamp":9}]"#);
        let half = of(r#"42["task:progress",{"taskId":"t","progress":50}]"#);
        let done = of(r#"42["task:completed",{"taskId":"t","result":{}}]"#);
        assert_eq!((quarter.0.as_str(), quarter.2), ("t", Some(9.0)));
        assert!(quarter.1 != half.1 && half.1 != done.1);
        assert_eq!(
            quarter.1,
            of(r#"42["task:progress",{"progress":25,"taskId":"t"}]"#).1
        );
    }

    #[test]
    fn broadcasts_in_packets_are_understood() {
        assert_eq!(
            sync().event("r1", 7, true),
            r#"427["broadcast",{"number":7,"run":"r1"}]"#
        );
        assert!(sync().hello().unwrap().contains("user-scoped"));
        let cases = [
            (
                r#"42["broadcast",{"run":"r1","number":7}]"#,
                Heard::Numbered(7),
            ),
            (r#"42["broadcast",{"run":"r2","number":7}]"#, Heard::Other),
            (r#"42["ephemeral",{"type":"activity"}]"#, Heard::Other),
            (
                r#"437[{"success":true,"delivered":3}]"#,
                Heard::Answer(7, Ok(None)),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(sync().hear("r1", text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_user_does_several_things() {
        for transport in [plain(), socket_io(), sync()] {
            let actions: Vec<String> = (0..3).map(|turn| transport.action("r", turn)).collect();
            assert!(actions[0] != actions[1] && actions[1] != actions[2]);
            assert!(!actions.iter().any(|action| action.contains("ackId")));
        }
    }
}
