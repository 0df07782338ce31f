//! Events about use (5.9 and 5.10).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Event;
use crate::sync::bodies::json;
use crate::sync::change::Change;
use crate::sync::error::SyncError;
use crate::sync::usage::NewReport;
use crate::sync::{acks, limits as most, usage};

/// Requires an object with a numeric `total`.
fn amounts(name: &str, raw: &RawValue) -> Result<(), SyncError> {
    // All of it: what cannot be read could not be added up later.
    let read = serde_json::from_str::<BTreeMap<String, Value>>(raw.get());
    if read.is_ok_and(|amounts| amounts.get("total").is_some_and(Value::is_number)) {
        return Ok(());
    }
    let text = format!("Invalid {name} object - must include total");
    Err(SyncError::Invalid(text))
}

/// `usage-report`.
pub async fn report(change: &mut Change<'_>, event: Event<'_>) -> Result<String, SyncError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        key: String,
        #[serde(default)]
        session_id: Option<String>,
        tokens: Box<RawValue>,
        cost: Box<RawValue>,
    }

    let data: Data = event.read()?;
    most::filled("key", &data.key, most::USAGE_KEY)
        .map_err(|err| SyncError::Invalid(format!("Invalid key: {err}")))?;
    let session = data.session_id.filter(|id| !id.is_empty());
    if let Some(session) = &session {
        most::text("sessionId", session, most::ID)?;
    }
    amounts("tokens", &data.tokens)?;
    amounts("cost", &data.cost)?;
    let new = NewReport {
        session,
        key: data.key,
        tokens: data.tokens,
        cost: data.cost,
    };
    let stored = usage::report(change, new).await?;
    let mut ack = json(&stored);
    ack.insert_str(1, "\"success\":true,");
    Ok(ack)
}

/// `update-usage-limits`. Two fields are looked at; all are kept as they came.
pub async fn limits(change: &mut Change<'_>, event: Event<'_>) -> Result<String, SyncError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        #[serde(rename = "limitsAvailable")]
        _limits_available: bool,
        #[serde(rename = "weeklyLimits")]
        _weekly_limits: Vec<serde::de::IgnoredAny>,
    }

    event.read::<Data>()?;
    let text = event.data.map_or("{}", RawValue::get);
    usage::write_limits(change, text).await?;
    Ok(acks::SUCCESS.to_owned())
}
