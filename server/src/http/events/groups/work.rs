//! What the workers of a group do: read, acknowledge, give back.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::web;
use dormouse_protocol::EventErrorBody;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::super::log::LogEntry;
use super::super::tenant::Tenant;
use super::{check_name, key, places};
use crate::app_state::AppState;
use crate::events::groups::reading::{self, Ask, Batch};
use crate::events::groups::settling;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;

/// Entries of an answer, where the request names no number.
const ENTRIES: u64 = 10;
/// Entries of an answer at most.
const MOST_ENTRIES: u64 = 100;
/// Longest wait for an entry, and that of a request that names none, ms.
const MOST_BLOCK: u64 = 1000;
/// Longest text of a failure, characters.
const MOST_ERROR: usize = 1000;

/// A worker that wants something to do.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadRequest<'a> {
    /// The worker's name: it tells who has an entry.
    #[serde(borrow)]
    #[schema(example = "billing-1")]
    consumer: Cow<'a, str>,
    /// Entries at most; 10 by default, at most 100.
    count: Option<u64>,
    /// How long to wait while there is none, ms; 1000 by default, which is the most.
    block_ms: Option<u64>,
}

/// An entry that the worker has now.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkEntry {
    #[serde(flatten)]
    event: LogEntry,
    /// How often the entry has been handed out, this time included; the fifth is the last.
    attempt: u64,
}

/// Entries that the worker has now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Work {
    /// Those that others have failed at first, then new ones, each in order; none if nothing came
    /// in time.
    entries: Vec<WorkEntry>,
    /// Events that had left the log before the group came to them, since it was made.
    missed: u64,
}

/// Gives a worker entries that no other worker of the group has.
///
/// An entry that is neither acknowledged nor given back within 60 s goes to whoever reads next; one
/// that has failed five times becomes a dead letter.
#[utoipa::path(
    post, path = "/api/v1/events/groups/{group}/read", tag = "events", operation_id = "read_group",
    security(("apiKey" = []), ("userToken" = [])),
    params(("group" = String, Path, description = "The group")),
    request_body = ReadRequest<'_>,
    responses(
        (status = 200, description = "Entries, or none", body = Work),
        (status = 400, description = "Not such a body or name", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 404, description = "There is no such group", body = EventErrorBody),
        (status = 409, description = "10000 entries wait to be acknowledged", body = EventErrorBody),
        (status = 413, description = "The body is too large", body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn read(
    tenant: Tenant,
    state: web::Data<AppState>,
    path: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<Work>, ApiError> {
    let key = key(&tenant, &path)?;
    let request: ReadRequest<'_> = body.read()?;
    check_name("consumer", &request.consumer)?;
    let count = request.count.unwrap_or(ENTRIES);
    let block = request.block_ms.unwrap_or(MOST_BLOCK);
    if !(1..=MOST_ENTRIES).contains(&count) || block > MOST_BLOCK {
        let text = format!("count must be 1 to {MOST_ENTRIES}, and blockMs 0 to {MOST_BLOCK}");
        return Err(ApiError::validation(text));
    }
    let ask = Ask {
        key,
        consumer: request.consumer.into_owned(),
        count: count as usize,
    };
    let deadline = Instant::now() + Duration::from_millis(block);
    let batch = wait_for_entries(&tenant, &state, &ask, deadline).await?;
    let entries = batch.entries.into_iter().map(|entry| {
        Ok::<_, ApiError>(WorkEntry {
            event: LogEntry::new(entry.place, entry.name, entry.payload)?,
            attempt: entry.attempt,
        })
    });
    Ok(web::Json(Work {
        entries: entries.collect::<Result<_, _>>()?,
        missed: batch.missed,
    }))
}

/// Reads until there is something, or it is too late.
async fn wait_for_entries(
    tenant: &Tenant,
    state: &AppState,
    ask: &Ask,
    deadline: Instant,
) -> Result<Batch, ApiError> {
    let listener = state.events.arrivals.listen(&tenant.0);
    loop {
        // What comes while this reads ends the wait behind it.
        let next = listener.next();
        let asked = ask.clone();
        let reading = state.database.write(async move |tx| {
            let now = tx.now();
            reading::read(tx, &asked, now).await
        });
        let batch = reading.await?;
        state.events.counters.died(batch.died);
        if !batch.entries.is_empty() || Instant::now() >= deadline {
            return Ok(batch);
        }
        if !batch.is_behind && timeout_at(deadline, next).await.is_err() {
            return Ok(batch);
        }
    }
}

/// Entries whose work is done.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct AckRequest<'a> {
    /// Their cursors, 1 to 1000.
    #[serde(borrow)]
    cursors: Vec<Cow<'a, str>>,
}

/// What was acknowledged.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Acknowledged {
    /// Entries that waited for it; others were acknowledged before, or never handed out.
    acknowledged: u64,
}

/// Acknowledges entries: their work is done, or they do not concern the service.
#[utoipa::path(
    post, path = "/api/v1/events/groups/{group}/ack", tag = "events", operation_id = "ack_group",
    security(("apiKey" = []), ("userToken" = [])),
    params(("group" = String, Path, description = "The group")),
    request_body = AckRequest<'_>,
    responses(
        (status = 200, description = "They will not be handed out again", body = Acknowledged),
        (status = 400, description = "Not such a body or name", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 404, description = "There is no such group", body = EventErrorBody),
        (status = 413, description = "The body is too large", body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn acknowledge(
    tenant: Tenant,
    state: web::Data<AppState>,
    path: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<Acknowledged>, ApiError> {
    let key = key(&tenant, &path)?;
    let request: AckRequest<'_> = body.read()?;
    let places = places(&request.cursors)?;
    let writing = state
        .database
        .write(async move |tx| settling::acknowledge(tx, &key, &places).await);
    Ok(web::Json(Acknowledged {
        acknowledged: writing.await?,
    }))
}

/// Entries that a worker could not work on.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct FailRequest<'a> {
    /// The worker that was given them.
    #[serde(borrow)]
    #[schema(example = "billing-1")]
    consumer: Cow<'a, str>,
    /// Their cursors, 1 to 1000.
    #[serde(borrow)]
    cursors: Vec<Cow<'a, str>>,
    /// Why, for whoever reads the dead letters; at most 1000 characters.
    #[serde(borrow, default)]
    error: Option<Cow<'a, str>>,
}

/// What was given back.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Failed {
    /// Entries that others are given now.
    released: u64,
    /// Entries that are dead letters now.
    dead: u64,
}

/// Gives entries back: others get them at once, or they are dead letters after five failures.
#[utoipa::path(
    post, path = "/api/v1/events/groups/{group}/fail", tag = "events", operation_id = "fail_group",
    security(("apiKey" = []), ("userToken" = [])),
    params(("group" = String, Path, description = "The group")),
    request_body = FailRequest<'_>,
    responses(
        (status = 200, description = "What the worker had of them is given back", body = Failed),
        (status = 400, description = "Not such a body or name", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 404, description = "There is no such group", body = EventErrorBody),
        (status = 413, description = "The body is too large", body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn fail(
    tenant: Tenant,
    state: web::Data<AppState>,
    path: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<Failed>, ApiError> {
    let key = key(&tenant, &path)?;
    let request: FailRequest<'_> = body.read()?;
    check_name("consumer", &request.consumer)?;
    let places = places(&request.cursors)?;
    let is_long = |text: &str| text.chars().nth(MOST_ERROR).is_some() || text.contains('\0');
    if request.error.as_deref().is_some_and(is_long) {
        let text = format!("error is at most {MOST_ERROR} characters, none of them a null");
        return Err(ApiError::validation(text));
    }
    let consumer = request.consumer.into_owned();
    let error = request.error.map(Cow::into_owned);
    let writing = state.database.write(async move |tx| {
        let error = error.as_deref();
        settling::fail(tx, &key, &consumer, &places, error).await
    });
    let (released, dead) = writing.await?;
    state.events.counters.died(dead);
    if released > 0 {
        // Those who wait may have it.
        state.events.arrivals.wake(&tenant.0);
    }
    Ok(web::Json(Failed { released, dead }))
}
