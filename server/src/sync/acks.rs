//! The forms of acknowledgements (contract realtime.md section 5).

use serde::Serialize;

use super::bodies::json;

/// The form of an event's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"result":"error","message"}`
    Result,
    /// `{"success":false,"error"}`
    Success,
    /// `{"ok":false,"error"}`
    Ok,
}

impl Shape {
    /// An error in this form, as JSON.
    #[must_use]
    pub fn error(self, text: &str) -> String {
        match self {
            Self::Result => json(&serde_json::json!({ "result": "error", "message": text })),
            Self::Success => json(&serde_json::json!({ "success": false, "error": text })),
            Self::Ok => json(&serde_json::json!({ "ok": false, "error": text })),
        }
    }
}

/// The form of the errors of an event; `None` for those that are not handled here.
#[must_use]
pub fn shape(event: &str) -> Option<Shape> {
    Some(match event {
        "update-metadata"
        | "update-state"
        | "machine-update-metadata"
        | "machine-update-state"
        | "artifact-read"
        | "artifact-create"
        | "artifact-update"
        | "artifact-delete" => Shape::Result,
        "session-alive"
        | "session-end"
        | "machine-alive"
        | "usage-report"
        | "update-usage-limits"
        | "request-updates-since" => Shape::Success,
        "message"
        | "access-key-get"
        | "acp-session-update"
        | "acp-permission-request"
        | "acp-permission-response"
        | "acp-session-command"
        | "acp-session-list-response"
        | "acp-session-command-response" => Shape::Ok,
        _ => return None,
    })
}

/// `{"success":true}`.
pub const SUCCESS: &str = r#"{"success":true}"#;
/// `{"ok":true}`.
pub const OK: &str = r#"{"ok":true}"#;

/// The acknowledgement of a versioned write, whose field is named by what was written.
pub fn versioned(result: &str, version: i64, field: &str, value: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Head<'a> {
        result: &'a str,
        version: i64,
    }

    let mut text = json(&Head { result, version });
    // Names of fields are this module's callers' own and need no escapes.
    text.truncate(text.len() - 1);
    text.push_str(&format!(",\"{field}\":{}}}", json(value)));
    text
}
