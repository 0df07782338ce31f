//! Payloads of RPC frames (realtime contract, section 6).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::frames::push_json;

/// Longest method name, in characters: two ids and a separator with room to spare.
pub const MAX_METHOD_CHARS: usize = 512;

/// `{"method": …}` of `rpc-register` and `rpc-unregister`.
pub fn method(payload: Option<&RawValue>) -> Option<Cow<'_, str>> {
    let call = Call::parse(payload?)?;
    Some(call.method)
}

/// The `{"requestId": …}` of `rpc-cancel`.
pub fn request_id(payload: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Cancel<'a> {
        #[serde(borrow, rename = "requestId")]
        request_id: &'a RawValue,
    }
    let cancel: Cancel<'_> = serde_json::from_str(payload?.get()).ok()?;
    crate::envelope::string(cancel.request_id)
}

/// Data of an `rpc-call`: the method is read, everything else is passed on untouched.
#[derive(Debug)]
pub struct Call<'a> {
    /// `<targetId>:<method>`, not empty.
    pub method: Cow<'a, str>,
    data: &'a RawValue,
}

impl<'a> Call<'a> {
    /// Reads a call; `None` when the data is not an object with a usable string `method`.
    pub fn parse(data: &'a RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields<'b> {
            #[serde(borrow)]
            method: &'b RawValue,
        }
        let fields: Fields<'a> = serde_json::from_str(data.get()).ok()?;
        let method = crate::envelope::string(fields.method)?;
        let usable = !method.is_empty() && method.chars().nth(MAX_METHOD_CHARS).is_none();
        usable.then_some(Self { method, data })
    }

    /// The session or machine that the method names: the text before the first `:`.
    pub fn target(&self) -> &str {
        self.method.split_once(':').map_or("", |(target, _)| target)
    }

    /// Length of the call's data, in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.data.get().len()
    }

    /// Appends the data with `requestId` as its last field, so that it wins over a field of that
    /// name from the caller.
    pub(crate) fn push_with_request_id(&self, json: &mut String, id: &str) {
        let text = self.data.get().trim_end();
        json.push_str(text.strip_suffix('}').unwrap_or(text));
        json.push_str(r#","requestId":"#);
        push_json(json, &id);
        json.push('}');
    }
}

/// The ack for a call that a target has answered: an object with `ok` is passed on (completed by
/// `requestId`), anything else becomes the `result`.
pub fn answer(value: Option<&RawValue>, id: &str) -> String {
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(borrow)]
        ok: Option<&'a RawValue>,
        #[serde(borrow, rename = "requestId")]
        request_id: Option<&'a RawValue>,
    }
    let text = value.map_or("null", RawValue::get);
    let mut json = String::with_capacity(text.len() + id.len() + 40);
    match text
        .starts_with('{')
        .then(|| serde_json::from_str::<Shape<'_>>(text))
    {
        Some(Ok(Shape {
            ok: Some(_),
            request_id: Some(_),
        })) => json.push_str(text),
        Some(Ok(Shape {
            ok: Some(_),
            request_id: None,
        })) => {
            json.push_str(text.trim_end().strip_suffix('}').unwrap_or(text));
            json.push_str(r#","requestId":"#);
            push_json(&mut json, &id);
            json.push('}');
        }
        _ => return result(value, id),
    }
    json
}

/// The ack for a Socket.IO caller: the answer is the `result` whatever it is (Socket.IO contract,
/// section 9).
pub fn result(value: Option<&RawValue>, id: &str) -> String {
    let text = value.map_or("null", RawValue::get);
    let mut json = String::with_capacity(text.len() + id.len() + 40);
    json.push_str(r#"{"ok":true,"result":"#);
    json.push_str(text);
    json.push_str(r#","requestId":"#);
    push_json(&mut json, &id);
    json.push('}');
    json
}

/// The ack for a call that failed.
pub fn failure(error: &str, id: Option<&str>, cancelled: bool) -> String {
    let mut json = String::from(r#"{"ok":false,"error":"#);
    push_json(&mut json, &error);
    if let Some(id) = id {
        json.push_str(r#","requestId":"#);
        push_json(&mut json, &id);
    }
    if cancelled {
        json.push_str(r#","cancelled":true"#);
    }
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn calls_are_read_and_completed() {
        let data = raw(r#"{"method":"m1:bash","params":"x","requestId":"forged" }"#);
        let call = Call::parse(&data).unwrap();
        assert_eq!((&*call.method, call.target()), ("m1:bash", "m1"));
        assert_eq!(
            crate::frames::rpc_request("rpc-request", &call, "r1"),
            r#"{"event":"rpc-request","data":{"method":"m1:bash","params":"x","requestId":"forged" ,"requestId":"r1"},"ackId":"r1"}"#
        );
        for bad in [
            "{}",
            r#"{"method":5}"#,
            r#"{"method":""}"#,
            "[]",
            "null",
            "\"m\"",
        ] {
            assert!(Call::parse(&raw(bad)).is_none(), "{bad}");
        }
        assert!(Call::parse(&raw(&format!(r#"{{"method":"{}"}}"#, "m".repeat(513)))).is_none());
    }

    #[test]
    fn answers_follow_the_table() {
        let cases = [
            (
                Some(r#"{"ok":false,"error":"e"}"#),
                r#"{"ok":false,"error":"e","requestId":"r"}"#,
            ),
            (
                Some(r#"{"ok":1,"requestId":"own"}"#),
                r#"{"ok":1,"requestId":"own"}"#,
            ),
            (
                Some(r#""text""#),
                r#"{"ok":true,"result":"text","requestId":"r"}"#,
            ),
            (Some("null"), r#"{"ok":true,"result":null,"requestId":"r"}"#),
            (None, r#"{"ok":true,"result":null,"requestId":"r"}"#),
            (
                Some(r#"{"a":1}"#),
                r#"{"ok":true,"result":{"a":1},"requestId":"r"}"#,
            ),
        ];
        for (value, expected) in cases {
            let value = value.map(raw);
            assert_eq!(answer(value.as_deref(), "r"), expected);
        }
    }

    #[test]
    fn cancel_needs_a_request_id() {
        assert_eq!(
            request_id(Some(&raw(r#"{"requestId":"a"}"#))).as_deref(),
            Some("a")
        );
        assert!(request_id(Some(&raw(r#"{"requestId":1}"#))).is_none());
        assert!(request_id(None).is_none());
    }
}
