//! What is said to the server under test and how its words are understood.
//!
//! Everything that is particular to the realtime contract is in this file: to measure another kind
//! of server, write its dialect. The generator around it knows only TCP, HTTP and WebSocket.

use dormouse_protocol::ClientType;

use super::frame::{Opcode, client_frame};
use super::http1;
use crate::mix::Role;
use crate::socketio;
use crate::target::Target;
use crate::token::Token;

/// The exact text that a server may answer without waking the shard (realtime contract, 14).
pub const PING: &str = r#"{"event":"ping"}"#;
/// A ping that is not that text, which therefore only the shard can answer.
pub const WAKING_PING: &str = r#"{"event":"ping","data":{}}"#;
/// A ping in Socket.IO: an event that is acknowledged. Only the shard answers it.
const SOCKET_IO_PING: &str = r#"420["ping"]"#;
/// Bytes of a broadcast's payload, as JSON.
pub const PAYLOAD_BYTES: usize = 200;
/// Path of the broadcast endpoint (realtime contract, section 11).
pub const BROADCAST: &str = "/v1/websocket/broadcast";
/// Path of the admin overview, whose `shards` tell how many there are and how many sleep.
pub const OVERVIEW: &str = "/admin/v1/overview";

/// How connections speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speech {
    /// JSON in WebSocket messages.
    #[default]
    Plain,
    /// Socket.IO packets, on the mount of the sync API.
    Socketio,
}

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The first frame of a connection: it is ready.
    Greeting,
    /// The answer to a ping.
    Pong,
    /// A broadcast with this sequence number.
    Broadcast(u64),
    /// A heartbeat, which is to be answered.
    Beat,
    /// Anything else, a complaint for one.
    Other,
}

/// How one server is spoken to.
#[derive(Clone, Debug)]
pub struct Dialect {
    target: Target,
    speech: Speech,
}

impl Dialect {
    /// The dialect of a server that keeps the realtime contract.
    pub fn new(target: &Target) -> Self {
        Self {
            target: target.clone(),
            speech: Speech::Plain,
        }
    }

    /// The same server, spoken to in another way.
    #[must_use]
    pub fn speaking(self, speech: Speech) -> Self {
        Self { speech, ..self }
    }

    /// The upgrade of a user-scoped connection of this account; in Socket.IO with its CONNECT, which
    /// no answer has to be waited for.
    pub fn upgrade(&self, token: &Token) -> Vec<u8> {
        if self.speech == Speech::Socketio {
            let path = self.target.http("");
            let path = path.path().trim_end_matches('/');
            let path = format!("{path}{}", socketio::path("/v1/updates"));
            let mut bytes = http1::upgrade(self.target.authority(), &path);
            let auth = serde_json::json!({
                "token": token.expose(), "clientType": "user-scoped",
            });
            bytes.extend(text_frame(&socketio::connect(Some(&auth))));
            return bytes;
        }
        let role = Role {
            client_type: ClientType::UserScoped,
            session: None,
            machine: None,
        };
        http1::upgrade(
            self.target.authority(),
            &self.target.updates_path(token, &role),
        )
    }

    /// An application ping as a frame.
    pub fn ping(&self) -> Vec<u8> {
        match self.speech {
            Speech::Plain => text_frame(PING),
            Speech::Socketio => text_frame(SOCKET_IO_PING),
        }
    }

    /// The answer to a heartbeat as a frame.
    pub fn beat(&self) -> Vec<u8> {
        text_frame(socketio::PONG)
    }

    /// A ping in a form that only the shard itself understands, as a frame: it wakes a sleeping one.
    pub fn waking_ping(&self) -> Vec<u8> {
        match self.speech {
            Speech::Plain => text_frame(WAKING_PING),
            // Every event of a Socket.IO client is the shard's.
            Speech::Socketio => text_frame(SOCKET_IO_PING),
        }
    }

    /// The request for a broadcast to all connections of an account, with a payload of
    /// [`PAYLOAD_BYTES`] that carries the sequence number.
    pub fn broadcast(&self, token: &Token, sequence: u64) -> Vec<u8> {
        let head = format!("{{\"seq\":{sequence},\"pad\":\"");
        let pad = "x".repeat(PAYLOAD_BYTES.saturating_sub(head.len() + 2));
        let body = format!(
            "{{\"message\":{{\"type\":\"broadcast\",\"payload\":{head}{pad}\"}},\"timestamp\":1}}}}"
        );
        http1::post(
            self.target.authority(),
            self.target.http(BROADCAST).path(),
            token,
            &body,
        )
    }

    /// How many connections the answer to a broadcast claims; `None` if it does not say.
    pub fn delivered(&self, body: &[u8]) -> Option<u64> {
        #[derive(serde::Deserialize)]
        struct Delivered {
            delivered: u64,
        }
        serde_json::from_slice(body)
            .ok()
            .map(|body: Delivered| body.delivered)
    }

    /// The request for the admin overview.
    pub fn overview(&self, admin: &Token) -> Vec<u8> {
        http1::get(
            self.target.authority(),
            self.target.http(OVERVIEW).path(),
            admin,
        )
    }

    /// Shards and sleeping shards of an overview; `None` if it does not say.
    pub fn shards(&self, body: &[u8]) -> Option<Shards> {
        #[derive(serde::Deserialize)]
        struct Overview {
            shards: Shards,
        }
        serde_json::from_slice(body)
            .ok()
            .map(|body: Overview| body.shards)
    }

    /// Understands a frame. The event comes first in practice, so that this is a short search.
    pub fn hear(text: &[u8]) -> Heard {
        match text {
            b"2" => return Heard::Beat,
            [b'4', b'0', ..] => return Heard::Greeting,
            [b'4', b'3', b'0', b'[', ..] => return Heard::Pong,
            [b'4', b'2', b'[', b'"', event @ ..] if event.starts_with(b"broadcast\"") => {
                let number = after(event, b"\"seq\":").and_then(number);
                return number.map_or(Heard::Other, Heard::Broadcast);
            }
            _ => {}
        }
        let Some(event) = after(text, b"\"event\":\"") else {
            return Heard::Other;
        };
        if event.starts_with(b"pong\"") {
            Heard::Pong
        } else if event.starts_with(b"broadcast\"") {
            after(text, b"\"seq\":")
                .and_then(number)
                .map_or(Heard::Other, Heard::Broadcast)
        } else if event.starts_with(b"connected\"") {
            Heard::Greeting
        } else {
            Heard::Other
        }
    }
}

/// How many shards there are and how many of them sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Shards {
    /// All shards.
    pub total: u64,
    /// Those without attachments in memory.
    pub asleep: u64,
}

fn text_frame(text: &str) -> Vec<u8> {
    client_frame(Opcode::Text, text.as_bytes(), [0x1d, 0x83, 0x5a, 0xe7])
}

fn after<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = text.windows(name.len()).position(|window| window == name)?;
    text.get(start + name.len()..)
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_understood_whatever_the_order_of_their_fields() {
        let cases: [(&[u8], Heard); 14] = [
            (br#"{"event":"pong","data":{"timestamp":1}}"#, Heard::Pong),
            (
                br#"{"event":"broadcast","data":{"seq":17,"pad":"x"}}"#,
                Heard::Broadcast(17),
            ),
            (
                br#"{"data":{"pad":"x","seq":3},"event":"broadcast"}"#,
                Heard::Broadcast(3),
            ),
            (br#"{"event":"broadcast","data":{"seq":"x"}}"#, Heard::Other),
            (br#"{"event":"connected","data":{}}"#, Heard::Greeting),
            (br#"{"event":"pongs"}"#, Heard::Other),
            (br#"{"event":"error"}"#, Heard::Other),
            (b"", Heard::Other),
            (br#"0{"sid":"x"}"#, Heard::Other),
            (br#"40{"sid":"x"}"#, Heard::Greeting),
            (br#"44{"message":"x"}"#, Heard::Other),
            (br#"430[{}]"#, Heard::Pong),
            (
                br#"42["broadcast",{"seq":9,"pad":"x"}]"#,
                Heard::Broadcast(9),
            ),
            (b"2", Heard::Beat),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Dialect::hear(text),
                expected,
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn a_broadcast_is_json_with_a_payload_of_the_same_size_each_time() {
        let dialect = Dialect::new(&Target::parse("http://127.0.0.1:1/p").unwrap());
        let token = Token::new("t").unwrap();
        for sequence in [0, 7, 123_456_789] {
            let request = dialect.broadcast(&token, sequence);
            let text = String::from_utf8(request).unwrap();
            assert!(
                text.starts_with("POST /p/v1/websocket/broadcast HTTP/1.1\r\n"),
                "{text}"
            );
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            let payload = &body["message"]["payload"];
            assert_eq!(payload["seq"], sequence);
            assert!(body["message"]["timestamp"].is_number());
            // serde_json sorts no keys here, and writes as compactly as the request does.
            assert_eq!(payload.to_string().len(), PAYLOAD_BYTES);
        }
        let upgrade = dialect.clone().speaking(Speech::Socketio).upgrade(&token);
        let start = b"GET /p/v1/updates/?EIO=4&transport=websocket HTTP/1.1\r\n";
        assert!(upgrade.starts_with(start));
        let shards = dialect.shards(br#"{"shards":{"total":3,"asleep":2,"more":0},"x":1}"#);
        assert_eq!(
            shards,
            Some(Shards {
                total: 3,
                asleep: 2
            })
        );
        assert_eq!(dialect.shards(b"{}"), None);
        assert_eq!(
            dialect.delivered(br#"{"success":true,"delivered":5}"#),
            Some(5)
        );
        assert_eq!(dialect.delivered(b"no"), None);
    }
}
