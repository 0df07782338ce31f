//! Making, showing and deleting groups.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use dormouse_protocol::EventErrorBody;
use dormouse_protocol::events::{Pattern, Since};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::log::{channels, cursor};
use super::super::tenant::Tenant;
use super::key;
use crate::app_state::AppState;
use crate::clock::iso;
use crate::events::groups::{all_channels, store};
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;

/// What a group reads.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct GroupDefinition<'a> {
    /// Names such as `call.completed` or prefixes such as `call.*`; all events by default.
    #[serde(borrow)]
    channels: Option<Vec<Cow<'a, str>>>,
    /// For a new group: `$` to begin with the next event, which is the default, `0` with all that
    /// the log holds, or the cursor of the event to begin behind.
    #[serde(borrow)]
    start: Option<Cow<'a, str>>,
}

/// A group.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its name.
    name: String,
    /// What it reads.
    channels: Vec<String>,
    /// The cursor of the last event that it has looked at.
    position: String,
    /// Events behind its position, of all channels.
    lag: u64,
    /// Entries that are handed out and not acknowledged.
    pending: u64,
    /// Dead letters.
    dead: u64,
    /// Events that had left the log before the group came to them.
    missed: u64,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
}

/// All groups of a tenant.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Groups {
    /// By name.
    groups: Vec<Group>,
}

/// That a group is gone.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GroupRemoved {
    /// Always true.
    #[schema(example = true)]
    success: bool,
}

impl From<store::GroupStanding> for Group {
    fn from(group: store::GroupStanding) -> Self {
        Self {
            name: group.name,
            channels: group.channels.iter().map(Pattern::to_string).collect(),
            position: group.position.to_string(),
            lag: group.lag,
            pending: group.pending,
            dead: group.dead,
            missed: group.missed,
            created_at: iso(group.created_at),
        }
    }
}

/// The tenant's groups, by name.
#[utoipa::path(
    get, path = "/api/v1/events/groups", tag = "events", operation_id = "list_groups",
    security(("apiKey" = []), ("userToken" = [])),
    responses(
        (status = 200, description = "All of them", body = Groups),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn list(
    tenant: Tenant,
    state: web::Data<AppState>,
) -> Result<web::Json<Groups>, ApiError> {
    let reading = state
        .database
        .read(async move |reader| store::list(reader, &tenant.0).await);
    let groups = reading.await?.into_iter().map(Group::from).collect();
    Ok(web::Json(Groups { groups }))
}

/// A group, and how far it is.
#[utoipa::path(
    get, path = "/api/v1/events/groups/{group}", tag = "events", operation_id = "show_group",
    security(("apiKey" = []), ("userToken" = [])),
    params(("group" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The group", body = Group),
        (status = 400, description = "Not such a name", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 404, description = "There is no such group", body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn show(
    tenant: Tenant,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<Group>, ApiError> {
    let key = key(&tenant, &path)?;
    let reading = state
        .database
        .read(async move |reader| store::show(reader, &key).await);
    Ok(web::Json(reading.await?.into()))
}

/// Makes a group, or gives one that exists other channels from now on.
///
/// A group is for one service: all its workers read by it, and each event goes to one of them.
#[utoipa::path(
    put, path = "/api/v1/events/groups/{group}", tag = "events", operation_id = "put_group",
    security(("apiKey" = []), ("userToken" = [])),
    params(("group" = String, Path,
            description = "Its name: 1 to 64 letters, digits, dots, underscores and hyphens")),
    request_body = GroupDefinition<'_>,
    responses(
        (status = 200, description = "It was there; its channels are these now", body = Group),
        (status = 201, description = "It is made", body = Group),
        (status = 400, description = "Not such a name or body, or a start ahead of the log",
         body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 409, description = "The tenant has 100 groups", body = EventErrorBody),
        (status = 413, description = "The body is too large", body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn put(
    tenant: Tenant,
    state: web::Data<AppState>,
    path: web::Path<String>,
    body: JsonBody,
) -> Result<HttpResponse, ApiError> {
    let key = key(&tenant, &path)?;
    let request: GroupDefinition<'_> = body.read_or_default()?;
    let channels = match &request.channels {
        None => all_channels(),
        Some(texts) if texts.is_empty() => {
            let text = "channels must name at least one; leave it out for all events";
            return Err(ApiError::validation(text));
        }
        Some(texts) => channels(texts.iter().map(|text| &**text))?,
    };
    let start = match request.start.as_deref() {
        None | Some("$") => Since::Now,
        Some(text) => Since::After(cursor(text)?),
    };
    let writing = state.database.write(async move |tx| {
        let is_new = store::put(tx, &key, &channels, start).await?;
        let group = store::show(tx.connection(), &key).await?;
        Ok::<_, crate::events::groups::GroupError>((is_new, group))
    });
    let (is_new, group) = writing.await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(HttpResponse::build(status).json(Group::from(group)))
}

/// Deletes a group with all that it has handed out, dead letters too.
#[utoipa::path(
    delete, path = "/api/v1/events/groups/{group}", tag = "events", operation_id = "delete_group",
    security(("apiKey" = []), ("userToken" = [])),
    params(("group" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "It is gone", body = GroupRemoved),
        (status = 400, description = "Not such a name", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 404, description = "There is no such group", body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn remove(
    tenant: Tenant,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<GroupRemoved>, ApiError> {
    let key = key(&tenant, &path)?;
    let writing = state
        .database
        .write(async move |tx| store::remove(tx, &key).await);
    writing.await?;
    Ok(web::Json(GroupRemoved { success: true }))
}
