//! The feed (REST contract, section 10).

use actix_web::{HttpRequest, web};
use dormouse_protocol::ErrorBody;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::credentials::UserIdentity;
use super::endpoint::Endpoint;
use super::errors::ApiError;
use super::query::Query;
use crate::app_state::AppState;
use crate::sync::feed::{self, Part};

/// The route.
pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::at("/v1/feed").get(read)]
}

/// An item of the feed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedItem {
    /// Its name.
    id: String,
    /// What is told: `kind` is `text`, `friend_request` or `friend_accepted`.
    #[schema(value_type = Object)]
    body: Box<RawValue>,
    /// What it replaces and is replaced by.
    repeat_key: Option<String>,
    /// Its place in the feed.
    #[schema(example = "cursor_1")]
    cursor: String,
    /// Unix milliseconds.
    created_at: i64,
}

/// A part of the feed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedAnswer {
    /// Newest first.
    items: Vec<FeedItem>,
    /// Whether there are more in the direction that was asked for.
    has_more: bool,
}

/// What the caller is told beside the own sessions, newest first.
#[utoipa::path(
    get, path = "/v1/feed", operation_id = "feed", tag = "feed", security(("userToken" = [])),
    params(
        ("before" = Option<String>, Query, description = "Only items before this cursor"),
        ("after" = Option<String>, Query, description = "Only the items next after this cursor; \
         counts more than `before`"),
        ("limit" = Option<u64>, Query, description = "1 to 200; 50 if absent", minimum = 1,
         maximum = 200),
    ),
    responses(
        (status = 200, description = "Items, newest first", body = FeedAnswer),
        (status = 400, description = "A bad cursor or limit", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn read(
    user: UserIdentity,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<FeedAnswer>, ApiError> {
    let query = Query::new(request.query_string());
    let (before, after) = (cursor(&query, "before")?, cursor(&query, "after")?);
    let part = match (after, before) {
        (Some(counter), _) => Part::After(counter),
        (None, Some(counter)) => Part::Before(counter),
        (None, None) => Part::Newest,
    };
    let limit = query.number("limit", 1..=200)?.unwrap_or(50);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let account = user.0.user;
    let read = state
        .database
        .read(async move |reader| feed::read(reader, &account, part, limit).await);
    let (items, has_more) = read.await?;
    let items = items.into_iter().map(|item| {
        let body = RawValue::from_string(item.body).map_err(|err| ApiError::internal(&err))?;
        Ok(FeedItem {
            id: item.id,
            body,
            repeat_key: item.repeat_key,
            cursor: feed::cursor(item.counter),
            created_at: item.created_at,
        })
    });
    Ok(web::Json(FeedAnswer {
        items: items.collect::<Result<_, ApiError>>()?,
        has_more,
    }))
}

fn cursor(query: &Query<'_>, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = query.text(name)? else {
        return Ok(None);
    };
    let counter = feed::read_cursor(text).ok_or_else(|| {
        let text = format!("{name} must be the cursor of an item, such as cursor_1");
        ApiError::validation(text)
    })?;
    Ok(Some(counter))
}
