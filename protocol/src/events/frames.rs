//! JSON of what subscribers read (contract events.md section 7) and of events (section 5).

use serde::Serialize;
use serde_json::value::RawValue;

use super::pattern::Pattern;
use super::request::RequestError;
use crate::frames::Json;

/// First frame after the key is verified.
pub fn connected(tenant: &str, timestamp: &str) -> Json {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Connected<'a> {
        r#type: &'static str,
        tenant_id: &'a str,
        timestamp: &'a str,
    }
    json(&Connected {
        r#type: "connected",
        tenant_id: tenant,
        timestamp,
    })
}

/// Answer to `subscribe`: the whole set in insertion order. With a cursor where one was asked for:
/// the place in the log up to which nothing is live.
pub fn subscribed<'a>(channels: impl Iterator<Item = &'a Pattern>, cursor: Option<u64>) -> Json {
    set("subscribed", channels, cursor)
}

/// Answer to `unsubscribe`: what remains.
pub fn unsubscribed<'a>(channels: impl Iterator<Item = &'a Pattern>) -> Json {
    set("unsubscribed", channels, None)
}

fn set<'a>(
    kind: &'static str,
    channels: impl Iterator<Item = &'a Pattern>,
    cursor: Option<u64>,
) -> Json {
    #[derive(Serialize)]
    struct Set {
        r#type: &'static str,
        channels: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    }
    json(&Set {
        r#type: kind,
        channels: channels.map(Pattern::to_string).collect(),
        cursor: cursor.map(|cursor| cursor.to_string()),
    })
}

/// Answer to `ping`.
pub fn pong(timestamp: &str) -> Json {
    format!(r#"{{"type":"pong","timestamp":"{timestamp}"}}"#)
}

/// A request that cannot be used.
pub fn error(fault: &RequestError) -> Json {
    fault_frame(fault.code(), &fault.to_string())
}

/// A replay that cannot be had.
pub fn fault_frame(code: &'static str, message: &str) -> Json {
    #[derive(Serialize)]
    struct Fault<'a> {
        r#type: &'static str,
        message: &'a str,
        code: &'static str,
    }
    json(&Fault {
        r#type: "error",
        message,
        code,
    })
}

/// How an event is framed for a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventForm {
    /// Live, for those who asked for no cursors.
    Plain,
    /// Live, with its place in the log.
    WithCursor(u64),
    /// From the log.
    Replayed(u64),
}

/// One event. `payload` is the JSON of [`payload`].
pub fn event(channel: &str, payload: &str, form: EventForm) -> Json {
    let mut json = String::with_capacity(80 + channel.len() + payload.len());
    // Names hold nothing that JSON would have to escape.
    json.push_str(r#"{"type":"event","channel":""#);
    json.push_str(channel);
    json.push_str(r#"","payload":"#);
    json.push_str(payload);
    let cursor = match form {
        EventForm::Plain => None,
        EventForm::WithCursor(cursor) => Some(cursor),
        EventForm::Replayed(cursor) => {
            json.push_str(r#","replay":true"#);
            Some(cursor)
        }
    };
    if let Some(cursor) = cursor {
        json.push_str(r#","cursor":""#);
        json.push_str(&cursor.to_string());
        json.push('"');
    }
    json.push('}');
    json
}

/// An event's payload (section 5): what subscribers and the log get.
pub fn payload(event: &str, tenant: &str, data: &RawValue, timestamp: &str, id: &str) -> Json {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload<'a> {
        event: &'a str,
        tenant_id: &'a str,
        data: &'a RawValue,
        timestamp: &'a str,
        id: &'a str,
    }
    json(&Payload {
        event,
        tenant_id: tenant,
        data,
        timestamp,
        id,
    })
}

fn json(value: &impl Serialize) -> Json {
    // Texts and lists of texts can always be written.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn frames_have_the_shapes_of_the_contract() {
        let at = "2025-01-31T09:15:00.123Z";
        assert_eq!(
            connected("t-1", at),
            r#"{"type":"connected","tenantId":"t-1","timestamp":"2025-01-31T09:15:00.123Z"}"#
        );
        let set = ["call.*", "billing.paid"].map(|text| Pattern::parse(text).unwrap());
        assert_eq!(
            subscribed(set.iter(), None),
            r#"{"type":"subscribed","channels":["call.*","billing.paid"]}"#
        );
        assert_eq!(
            subscribed(set[..1].iter(), Some(7)),
            r#"{"type":"subscribed","channels":["call.*"],"cursor":"7"}"#
        );
        assert_eq!(
            unsubscribed([].iter()),
            r#"{"type":"unsubscribed","channels":[]}"#
        );
        assert_eq!(
            pong(at),
            r#"{"type":"pong","timestamp":"2025-01-31T09:15:00.123Z"}"#
        );
        assert_eq!(
            error(&RequestError::Format),
            r#"{"type":"error","message":"Invalid message format","code":"BAD_FRAME"}"#
        );
    }

    #[test]
    fn events_are_framed_for_each_kind_of_subscriber() {
        let data = to_raw_value(&serde_json::json!({"callId": "c"})).unwrap();
        let payload = payload(
            "call.started",
            "t",
            &data,
            "2025-01-31T09:15:00.123Z",
            "1-a",
        );
        let frame = |form| event("call.started", &payload, form);
        let body = r#"{"event":"call.started","tenantId":"t","data":{"callId":"c"},"timestamp":"2025-01-31T09:15:00.123Z","id":"1-a"}"#;
        let start = format!(r#"{{"type":"event","channel":"call.started","payload":{body}"#);
        assert_eq!(frame(EventForm::Plain), format!("{start}}}"));
        assert_eq!(
            frame(EventForm::WithCursor(9)),
            format!(r#"{start},"cursor":"9"}}"#)
        );
        assert_eq!(
            frame(EventForm::Replayed(9)),
            format!(r#"{start},"replay":true,"cursor":"9"}}"#)
        );
    }
}
