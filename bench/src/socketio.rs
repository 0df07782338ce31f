//! Engine.IO 4 and Socket.IO 5 packets as a client on a WebSocket needs them (contract socketio.md,
//! sections 2 and 3). Text packets only. Pure: the caller owns the socket.

use serde_json::Value;

/// A packet from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// Engine.IO `0`: the transport is open.
    Open,
    /// Engine.IO `1`: the server ends the transport.
    Close,
    /// Engine.IO `2`: to be answered with [`PONG`].
    Ping,
    /// Engine.IO packets that need nothing: pong, upgrade, noop.
    Idle,
    /// Socket.IO `0`: the namespace is joined.
    Connected,
    /// Socket.IO `1`: the server ends the namespace.
    Disconnected,
    /// Socket.IO `2`: name, first argument, and the id under which an answer is wanted.
    Event(String, Value, Option<u64>),
    /// Socket.IO `3`: the answer to the event that was sent under this id.
    Ack(u64, Value),
    /// Socket.IO `4`: the namespace is refused, with the reason.
    Refused(String),
}

/// The answer to [`Packet::Ping`].
pub const PONG: &str = "3";

/// A text that is no packet, or one of a kind that is not asked for here (binary).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server sent something that is no Socket.IO packet")]
pub struct PacketError;

/// Reads a text frame.
///
/// # Errors
/// [`PacketError`].
pub fn parse(text: &str) -> Result<Packet, PacketError> {
    let (kind, rest) = split(text)?;
    match kind {
        '0' => Ok(Packet::Open),
        '1' => Ok(Packet::Close),
        '2' => Ok(Packet::Ping),
        '3' | '5' | '6' => Ok(Packet::Idle),
        '4' => message(rest),
        _ => Err(PacketError),
    }
}

fn split(text: &str) -> Result<(char, &str), PacketError> {
    let mut chars = text.chars();
    let kind = chars.next().ok_or(PacketError)?;
    Ok((kind, chars.as_str()))
}

fn message(text: &str) -> Result<Packet, PacketError> {
    let (kind, rest) = split(text)?;
    // Another namespace than the main one stands before a comma.
    let rest = match rest.starts_with('/') {
        true => rest.split_once(',').map_or("", |parts| parts.1),
        false => rest,
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (id, json) = rest.split_at_checked(digits).ok_or(PacketError)?;
    let id = match id {
        "" => None,
        id => Some(id.parse::<u64>().map_err(|_| PacketError)?),
    };
    let value = || serde_json::from_str::<Value>(json).map_err(|_| PacketError);
    match kind {
        '0' => Ok(Packet::Connected),
        '1' => Ok(Packet::Disconnected),
        '2' => {
            let Value::Array(mut items) = value()? else {
                return Err(PacketError);
            };
            let mut items = items.drain(..);
            let Some(Value::String(name)) = items.next() else {
                return Err(PacketError);
            };
            Ok(Packet::Event(name, items.next().unwrap_or(Value::Null), id))
        }
        '3' => {
            let Value::Array(items) = value()? else {
                return Err(PacketError);
            };
            let answer = items.into_iter().next().unwrap_or(Value::Null);
            Ok(Packet::Ack(id.ok_or(PacketError)?, answer))
        }
        '4' => {
            let reason = value().ok();
            let reason = reason
                .as_ref()
                .and_then(|reason| reason.get("message")?.as_str());
            Ok(Packet::Refused(
                reason.unwrap_or("no reason given").to_owned(),
            ))
        }
        _ => Err(PacketError),
    }
}

/// The request to join the main namespace, with what the server wants to know.
pub fn connect(auth: Option<&Value>) -> String {
    auth.map_or_else(|| "40".to_owned(), |auth| format!("40{auth}"))
}

/// An event with one argument; with an id, an answer is asked for.
pub fn event(name: &str, data: &Value, ack: Option<u64>) -> String {
    let id = ack.map(|id| id.to_string()).unwrap_or_default();
    format!(
        "42{id}{}",
        Value::from(vec![Value::from(name), data.clone()])
    )
}

/// Path and query of a mount.
pub fn path(mount: &str) -> String {
    format!("{}/?EIO=4&transport=websocket", mount.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_contracts_own_examples() {
        let cases = [
            (
                r#"0{"sid":"i4Q","upgrades":[],"pingInterval":15000}"#,
                Packet::Open,
            ),
            ("2", Packet::Ping),
            ("6", Packet::Idle),
            (r#"40{"sid":"lweb"}"#, Packet::Connected),
            ("41", Packet::Disconnected),
            (
                r#"42["update",{"id":"x"}]"#,
                Packet::Event("update".into(), json!({"id": "x"}), None),
            ),
            (
                r#"4212["rpc-call",{"a":1}]"#,
                Packet::Event("rpc-call".into(), json!({"a": 1}), Some(12)),
            ),
            (
                r#"42/admin,7["x"]"#,
                Packet::Event("x".into(), Value::Null, Some(7)),
            ),
            (r#"4312[{"ok":true}]"#, Packet::Ack(12, json!({"ok": true}))),
            (
                r#"44{"message":"Invalid authentication token"}"#,
                Packet::Refused("Invalid authentication token".into()),
            ),
        ];
        for (text, packet) in cases {
            assert_eq!(parse(text), Ok(packet), "{text}");
        }
        for text in [
            "",
            "9",
            "4",
            "42",
            "42{}",
            "42[1]",
            "43[1]",
            "42[",
            "451-[\"x\"]",
            "4399999999999999999999[1]",
        ] {
            assert_eq!(parse(text), Err(PacketError), "{text}");
        }
    }

    #[test]
    fn what_is_sent_can_be_read() {
        assert_eq!(connect(None), "40");
        assert_eq!(connect(Some(&json!({"token": "t"}))), r#"40{"token":"t"}"#);
        let text = event("task:assign", &json!({"n": 1}), Some(5));
        assert_eq!(text, r#"425["task:assign",{"n":1}]"#);
        let read = Packet::Event("task:assign".into(), json!({"n": 1}), Some(5));
        assert_eq!(parse(&text), Ok(read));
        assert_eq!(path("/socket.io"), "/socket.io/?EIO=4&transport=websocket");
        assert_eq!(
            path("/v1/updates/"),
            "/v1/updates/?EIO=4&transport=websocket"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn no_packet_panics(kind in "[0-9]{1,3}", rest in ".*") {
            let _ = parse(&format!("{kind}{rest}"));
        }
    }
}
