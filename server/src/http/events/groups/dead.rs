//! Dead letters of a group: seen, tried again, discarded.

use std::borrow::Cow;

use actix_web::{HttpRequest, web};
use dormouse_protocol::EventErrorBody;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::log::{LogEntry, cursor};
use super::super::tenant::Tenant;
use super::{key, places};
use crate::app_state::AppState;
use crate::clock::iso;
use crate::events::groups::settling;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::http::query::Query;

/// Dead letters of an answer, where the request names no number.
const LETTERS: u64 = 100;
/// Dead letters of an answer at most.
const MOST_LETTERS: u64 = 1000;

/// An entry that was handed out five times and not acknowledged.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    #[serde(flatten)]
    event: LogEntry,
    /// How often it was handed out.
    attempts: u64,
    /// The worker that had it last.
    consumer: String,
    /// What was said of the last failure.
    error: String,
    /// When it was given up.
    #[schema(format = "date-time")]
    died_at: String,
}

/// Dead letters of a group.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetters {
    /// Oldest event first.
    dead: Vec<DeadLetter>,
}

/// The dead letters of a group, the newest 10000 of which are kept.
#[utoipa::path(
    get, path = "/api/v1/events/groups/{group}/dead", tag = "events",
    operation_id = "list_dead_letters", security(("apiKey" = []), ("userToken" = [])),
    params(
        ("group" = String, Path, description = "The group"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000,
         description = "Dead letters at most; 100 by default"),
        ("after" = Option<String>, Query,
         description = "Only those behind this cursor, for the next page"),
    ),
    responses(
        (status = 200, description = "Dead letters", body = DeadLetters),
        (status = 400, description = "Not such a name, or a query that cannot be used",
         body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 404, description = "There is no such group", body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn list(
    tenant: Tenant,
    state: web::Data<AppState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Result<web::Json<DeadLetters>, ApiError> {
    let key = key(&tenant, &path)?;
    let query = Query::new(request.query_string());
    let most = query.number("limit", 1..=MOST_LETTERS)?.unwrap_or(LETTERS) as usize;
    let after = query.text("after")?.map(cursor).transpose()?.unwrap_or(0);
    let reading = state
        .database
        .read(async move |reader| settling::dead_letters(reader, &key, after, most).await);
    let letters = reading.await?.into_iter().map(|letter| {
        Ok::<_, ApiError>(DeadLetter {
            event: LogEntry::new(letter.place, letter.name, letter.payload)?,
            attempts: letter.attempts,
            consumer: letter.consumer,
            error: letter.error,
            died_at: iso(letter.died_at),
        })
    });
    Ok(web::Json(DeadLetters {
        dead: letters.collect::<Result<_, _>>()?,
    }))
}

/// Which dead letters.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct LettersRequest<'a> {
    /// Their cursors, 1 to 1000.
    #[serde(borrow)]
    cursors: Vec<Cow<'a, str>>,
}

/// What is tried again.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Retried {
    /// Dead letters that are handed out again.
    retried: u64,
}

/// Has dead letters handed out again, each five times at most.
#[utoipa::path(
    post, path = "/api/v1/events/groups/{group}/dead/retry", tag = "events",
    operation_id = "retry_dead_letters", security(("apiKey" = []), ("userToken" = [])),
    params(("group" = String, Path, description = "The group")),
    request_body = LettersRequest<'_>,
    responses(
        (status = 200, description = "Workers are given them next", body = Retried),
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
pub async fn retry(
    tenant: Tenant,
    state: web::Data<AppState>,
    path: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<Retried>, ApiError> {
    let key = key(&tenant, &path)?;
    let request: LettersRequest<'_> = body.read()?;
    let places = places(&request.cursors)?;
    let writing = state
        .database
        .write(async move |tx| settling::retry(tx, &key, &places).await);
    let retried = writing.await?;
    if retried > 0 {
        state.events.arrivals.wake(&tenant.0);
    }
    Ok(web::Json(Retried { retried }))
}

/// What is removed.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Discarded {
    /// Dead letters that are gone.
    discarded: u64,
}

/// Removes dead letters.
#[utoipa::path(
    post, path = "/api/v1/events/groups/{group}/dead/discard", tag = "events",
    operation_id = "discard_dead_letters", security(("apiKey" = []), ("userToken" = [])),
    params(("group" = String, Path, description = "The group")),
    request_body = LettersRequest<'_>,
    responses(
        (status = 200, description = "They are gone", body = Discarded),
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
pub async fn discard(
    tenant: Tenant,
    state: web::Data<AppState>,
    path: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<Discarded>, ApiError> {
    let key = key(&tenant, &path)?;
    let request: LettersRequest<'_> = body.read()?;
    let places = places(&request.cursors)?;
    let writing = state
        .database
        .write(async move |tx| settling::discard(tx, &key, &places).await);
    Ok(web::Json(Discarded {
        discarded: writing.await?,
    }))
}
