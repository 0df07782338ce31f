//! Binary values inside JSON.
//!
//! Socket.IO sends them as attachments behind a packet whose JSON holds placeholders. Everywhere
//! else a binary value is the object `{"$binary": "<base64>"}`: plain clients see and send it, and
//! handlers need no second way for data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

/// The only key of an object that stands for a binary value; its value is base64.
pub const BINARY_KEY: &str = "$binary";

/// Replaces the placeholders of `data` by the attachments; `None` when one is out of range.
pub(super) fn embed(data: &RawValue, attachments: &[Bytes]) -> Option<String> {
    let mut value: Value = serde_json::from_str(data.get()).ok()?;
    fill(&mut value, attachments)?;
    Some(value.to_string())
}

fn fill(value: &mut Value, attachments: &[Bytes]) -> Option<()> {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| fill(item, attachments)),
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
            let number = fields.get("num")?.as_u64()?;
            let bytes = attachments.get(usize::try_from(number).ok()?)?;
            *value = serde_json::json!({ BINARY_KEY: STANDARD.encode(bytes) });
            Some(())
        }
        Value::Object(fields) => fields
            .values_mut()
            .try_for_each(|field| fill(field, attachments)),
        _ => Some(()),
    }
}

/// Takes the binary values out of `data` and leaves placeholders; `None` when there are none,
/// which costs one search.
pub(super) fn extract(data: &RawValue) -> Option<(String, Vec<Bytes>)> {
    if !data.get().contains("\"$binary\"") {
        return None;
    }
    let mut value: Value = serde_json::from_str(data.get()).ok()?;
    let mut attachments = Vec::new();
    drain(&mut value, &mut attachments);
    (!attachments.is_empty()).then(|| (value.to_string(), attachments))
}

fn drain(value: &mut Value, attachments: &mut Vec<Bytes>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| drain(item, attachments)),
        Value::Object(fields) => {
            let only = (fields.len() == 1)
                .then(|| fields.get(BINARY_KEY))
                .flatten();
            let bytes = only
                .and_then(Value::as_str)
                .and_then(|text| STANDARD.decode(text).ok());
            match bytes {
                Some(bytes) => {
                    let number = attachments.len();
                    attachments.push(bytes.into());
                    *value = serde_json::json!({ "_placeholder": true, "num": number });
                }
                None => fields
                    .values_mut()
                    .for_each(|field| drain(field, attachments)),
            }
        }
        _ => {}
    }
}
