//! `GET /api/v1/events`: what a tenant's log holds, to see what happened (contract events.md
//! section 8).

use actix_web::{HttpRequest, web};
use dormouse_protocol::EventErrorBody;
use dormouse_protocol::events::Pattern;
use dormouse_protocol::events::request::{MAX_PATTERNS, parse_cursor};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::database_error;
use super::tenant::Tenant;
use crate::app_state::AppState;
use crate::events::stored_events;
use crate::http::errors::ApiError;
use crate::http::query::Query;

/// Entries of an answer, where the request names no number.
const ENTRIES: u64 = 100;
/// Entries of an answer at most.
const MOST_ENTRIES: u64 = 1000;

/// An event of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogEntry {
    /// Its place in the tenant's log.
    #[schema(example = "1042")]
    cursor: String,
    /// Its name.
    #[schema(example = "call.answered")]
    channel: String,
    /// What subscribers got.
    #[schema(value_type = Object)]
    payload: Box<RawValue>,
}

impl LogEntry {
    /// One of a payload that is JSON.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn new(cursor: u64, channel: String, payload: String) -> Result<Self, ApiError> {
        Ok(Self {
            cursor: cursor.to_string(),
            channel,
            payload: RawValue::from_string(payload).map_err(|err| ApiError::internal(&err))?,
        })
    }
}

/// A part of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogExcerpt {
    /// The events, oldest first.
    events: Vec<LogEntry>,
    /// The place of the newest event there is; 0 before the first.
    #[schema(example = "1042")]
    head: String,
}

/// The newest events, oldest of them first; or those that come first after a cursor.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", operation_id = "read_events",
    security(("apiKey" = []), ("userToken" = [])),
    params(
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000,
         description = "Events at most; 100 by default"),
        ("after" = Option<String>, Query,
         description = "The first events after this cursor, instead of the newest"),
        ("channels" = Option<String>, Query,
         description = "Only these: names such as `call.started` or prefixes such as `call.*`, \
         joined by commas"),
    ),
    responses(
        (status = 200, description = "Events", body = LogExcerpt),
        (status = 400, description = "A query that cannot be used", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn read(
    tenant: Tenant,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<LogExcerpt>, ApiError> {
    let query = Query::new(request.query_string());
    let most = query.number("limit", 1..=MOST_ENTRIES)?.unwrap_or(ENTRIES) as usize;
    let after = query.text("after")?.map(cursor).transpose()?;
    let channels = match query.text("channels")? {
        Some(text) => channels(text.split(','))?,
        None => Vec::new(),
    };
    let reading = state.database.read_snapshot(async move |reader| {
        stored_events::excerpt(reader, &tenant.0, &channels, after, most).await
    });
    let page = reading.await.map_err(|err| database_error(&err))?;
    let events = page
        .events
        .into_iter()
        .map(|event| LogEntry::new(event.cursor, event.name.into(), event.payload.into()));
    Ok(web::Json(LogExcerpt {
        events: events.collect::<Result<_, _>>()?,
        head: page.head.to_string(),
    }))
}

/// Reads a cursor.
///
/// # Errors
/// 400.
pub(super) fn cursor(text: &str) -> Result<u64, ApiError> {
    parse_cursor(text).ok_or_else(|| {
        ApiError::validation("a cursor is a decimal number as text, as answers have it")
    })
}

/// Reads channels.
///
/// # Errors
/// 400, for too many or for one that is none.
pub(super) fn channels<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Pattern>, ApiError> {
    let mut channels = Vec::new();
    for text in texts {
        let fault = |err| ApiError::validation(format!("{text:?}: {err}"));
        let channel = Pattern::parse(text).map_err(fault)?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
        if channels.len() > MAX_PATTERNS {
            let text = format!("at most {MAX_PATTERNS} channels can be named");
            return Err(ApiError::validation(text));
        }
    }
    Ok(channels)
}
