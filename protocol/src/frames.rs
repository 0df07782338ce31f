//! JSON of the frames that the server originates (realtime contract, 4.2 and section 6).
//!
//! Each function writes one message in the client form. Payloads and correlation ids are raw
//! JSON that is copied as it came. The WebSocket framing around it belongs to the shard crate.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Attachment, CloseCode};

/// JSON text of one message.
pub type Json = String;

/// First frame after authentication.
pub fn connected(attachment: &Attachment, now: u64) -> Json {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Data<'a> {
        connection_id: crate::ConnectionId,
        user_id: &'a str,
        #[serde(flatten)]
        labels: &'a crate::Labels,
        timestamp: u64,
    }
    let data = Data {
        connection_id: attachment.connection_id,
        user_id: &attachment.user_id,
        labels: &attachment.labels,
        timestamp: now,
    };
    event("connected", &data)
}

/// Answer to `ping`; with a correlation id it is the ack as well.
pub fn pong(now: u64, correlation: Option<&RawValue>) -> Json {
    let mut json = String::with_capacity(80);
    json.push_str(r#"{"event":"pong","data":{"timestamp":"#);
    push_number(&mut json, now);
    json.push('}');
    if let Some(id) = correlation {
        json.push_str(r#","ackId":"#);
        json.push_str(id.get());
        json.push_str(r#","ack":{}"#);
    }
    json.push('}');
    json
}

/// An `error` frame; the connection stays open.
pub fn error(code: CloseCode, message: &str, now: u64) -> Json {
    event(
        "error",
        &Fault {
            code: code.as_u16(),
            message,
            timestamp: now,
        },
    )
}

/// An `auth-error` frame.
pub fn auth_error(code: CloseCode, message: &str, now: u64) -> Json {
    event(
        "auth-error",
        &Fault {
            code: code.as_u16(),
            message,
            timestamp: now,
        },
    )
}

/// Answer to a request that carried a correlation id. `value` is JSON.
pub fn ack(correlation: &RawValue, value: &str) -> Json {
    let mut json = String::with_capacity(40 + correlation.get().len() + value.len());
    json.push_str(r#"{"event":"ack","ackId":"#);
    json.push_str(correlation.get());
    json.push_str(r#","ack":"#);
    json.push_str(value);
    json.push('}');
    json
}

/// A client's event as its peers see it; absent parts are left out.
pub fn forwarded(event: &str, data: Option<&RawValue>, correlation: Option<&RawValue>) -> Json {
    let mut json = opened(event, 40 + data.map_or(0, |raw| raw.get().len()));
    if let Some(data) = data {
        json.push_str(r#","data":"#);
        json.push_str(data.get());
    }
    if let Some(id) = correlation {
        json.push_str(r#","ackId":"#);
        json.push_str(id.get());
    }
    json.push('}');
    json
}

/// A message from the broadcast endpoints (section 11).
pub fn broadcast(event: &str, payload: Option<&RawValue>, timestamp: u64) -> Json {
    let mut json = opened(event, 60 + payload.map_or(0, |raw| raw.get().len()));
    if let Some(payload) = payload {
        json.push_str(r#","data":"#);
        json.push_str(payload.get());
    }
    json.push_str(r#","timestamp":"#);
    push_number(&mut json, timestamp);
    json.push('}');
    json
}

/// An `ephemeral` frame with this body (section 8).
pub fn ephemeral(body: &impl Serialize) -> Json {
    event("ephemeral", body)
}

/// A frame with this event name and data.
pub fn event(name: &str, data: &impl Serialize) -> Json {
    let mut json = opened(name, 100);
    json.push_str(r#","data":"#);
    push_json(&mut json, data);
    json.push('}');
    json
}

/// `rpc-request` to a serving connection; `id` is the server's, the data keeps all its fields.
pub fn rpc_request(event_name: &str, call: &crate::rpc::Call<'_>, id: &str) -> Json {
    let mut json = opened(event_name, 80 + call.len());
    json.push_str(r#","data":"#);
    call.push_with_request_id(&mut json, id);
    json.push_str(r#","ackId":"#);
    push_json(&mut json, &id);
    json.push('}');
    json
}

#[derive(Serialize)]
struct Fault<'a> {
    code: u16,
    message: &'a str,
    timestamp: u64,
}

fn opened(event: &str, extra: usize) -> Json {
    let mut json = String::with_capacity(event.len() + extra);
    json.push_str(r#"{"event":"#);
    push_json(&mut json, &event);
    json
}

fn push_number(json: &mut Json, number: u64) {
    use std::fmt::Write as _;
    let _ = write!(json, "{number}");
}

/// Appends a value's JSON. The types written here have string keys and finite numbers, so
/// serialisation cannot fail; were it to, `null` keeps the text well formed.
pub(crate) fn push_json(json: &mut Json, value: &impl Serialize) {
    json.push_str(serde_json::to_string(value).as_deref().unwrap_or("null"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuthState, ConnectionId, Labels};

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn frames_have_the_exact_shapes_of_the_contract() {
        let attachment = Attachment {
            connection_id: ConnectionId::from_bytes([1; 16]),
            user_id: "alice".into(),
            labels: Labels::new(Some("session-scoped"), Some("s1"), None).unwrap(),
            connected_at: 1,
            last_activity_at: 1,
            auth_state: AuthState::Legacy,
            token_hash: None,
            rooms: Default::default(),
            is_foreground: false,
        };
        assert_eq!(
            connected(&attachment, 9),
            r#"{"event":"connected","data":{"connectionId":"01010101-0101-0101-0101-010101010101","userId":"alice","clientType":"session-scoped","sessionId":"s1","timestamp":9}}"#
        );
        assert_eq!(pong(7, None), r#"{"event":"pong","data":{"timestamp":7}}"#);
        assert_eq!(
            pong(7, Some(&raw("\"a\""))),
            r#"{"event":"pong","data":{"timestamp":7},"ackId":"a","ack":{}}"#
        );
        assert_eq!(
            error(CloseCode::PROTOCOL_ERROR, "no \"event\"", 3),
            r#"{"event":"error","data":{"code":1002,"message":"no \"event\"","timestamp":3}}"#
        );
        assert_eq!(
            auth_error(CloseCode::AUTH_TIMEOUT, "late", 3),
            r#"{"event":"auth-error","data":{"code":4007,"message":"late","timestamp":3}}"#
        );
        assert_eq!(
            ack(&raw("5"), "null"),
            r#"{"event":"ack","ackId":5,"ack":null}"#
        );
    }

    #[test]
    fn forwarded_values_are_copied_as_they_came() {
        assert_eq!(
            forwarded("a\"b", Some(&raw("{ \"x\" : 1.50 }")), Some(&raw("\"i\""))),
            r#"{"event":"a\"b","data":{ "x" : 1.50 },"ackId":"i"}"#
        );
        assert_eq!(forwarded("e", None, None), r#"{"event":"e"}"#);
        assert_eq!(
            broadcast("broadcast", Some(&raw("{}")), 12),
            r#"{"event":"broadcast","data":{},"timestamp":12}"#
        );
    }
}
