//! The dashboard over HTTP, for backends and agents' programs: what it shows, events told to it,
//! its agents. All with a token of the dashboard's user: `dormouse token --user dashboard`.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web;
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::credentials::UserIdentity;
use super::endpoint::Endpoint;
use super::errors::ApiError;
use super::json_body::JsonBody;
use crate::app_state::AppState;
use crate::dashboard::Dashboard;
use crate::dashboard::agents::AgentChange;
use crate::dashboard::injection::Fault;
use crate::dashboard::records::Agent;

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/v1/dashboard").get(snapshot),
        Endpoint::at("/v1/dashboard/events").post(inject),
        Endpoint::at("/v1/dashboard/claude-events").get(claude_events),
        Endpoint::at("/v1/dashboard/agents/{name}")
            .put(put_agent)
            .delete(delete_agent),
    ]
}

/// The answer of a server without a dashboard.
pub fn absent() -> ApiError {
    ApiError::not_found("there is no dashboard; dashboard.access says who may have one")
}

/// The dashboard, for a caller who has a token of its user.
fn of<'a>(state: &'a AppState, user: &UserIdentity) -> Result<&'a Arc<Dashboard>, ApiError> {
    let dashboard = state.dashboard.as_ref().ok_or_else(absent)?;
    if *user.0.user == **dashboard.user() {
        Ok(dashboard)
    } else {
        let text = "this takes a token of the dashboard's user; dashboard.user names it";
        Err(ApiError::new(StatusCode::FORBIDDEN, text))
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Input(text) => Self::validation(text),
            Fault::Unknown(text) => Self::not_found(text),
            Fault::Full(text) => Self::new(StatusCode::CONFLICT, text),
            Fault::Database(text) => Self::unavailable(text),
        }
    }
}

/// Something to tell the dashboard.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DashboardEvent {
    /// `draft:pending`, `message:new`, `agent:status`, `task:progress`, `task:completed`,
    /// `task:failed`, `task:created`, `task:updated`, `task:deleted`, `activity:log` or
    /// `claude:event`; for one organisation `agent_event`, `main_agent_stream`, or one of the events
    /// that all who look at it get, such as `board_item_created`.
    #[schema(example = "claude:event")]
    event: String,
    /// What comes with it.
    #[schema(value_type = Object)]
    data: Value,
    /// The organisation, for events of one; `default` if absent.
    org_slug: Option<String>,
}

/// That all who should know are told.
#[derive(Debug, Serialize, ToSchema)]
pub struct DashboardEventAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// The id of what was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
}

/// What the dashboard shows: the same as `init`, which its clients are told first.
#[utoipa::path(
    get, path = "/v1/dashboard", operation_id = "dashboard", tag = "dashboard",
    security(("userToken" = [])),
    responses(
        (status = 200, description = "Agents, tasks, messages, drafts", body = Object),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A token of another user", body = ErrorBody),
        (status = 404, description = "There is no dashboard", body = ErrorBody),
    )
)]
pub async fn snapshot(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<Value>, ApiError> {
    Ok(web::Json(of(&state, &user)?.snapshot()))
}

/// The last 1000 events of agents' programs.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClaudeEvents {
    /// Oldest first.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
}

/// Events of agents' programs, as `claude:event` told them.
#[utoipa::path(
    get, path = "/v1/dashboard/claude-events", operation_id = "dashboard_claude_events",
    tag = "dashboard", security(("userToken" = [])),
    responses(
        (status = 200, description = "Oldest first", body = ClaudeEvents),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A token of another user", body = ErrorBody),
        (status = 404, description = "There is no dashboard", body = ErrorBody),
    )
)]
pub async fn claude_events(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<ClaudeEvents>, ApiError> {
    let events = of(&state, &user)?.claude_events();
    Ok(web::Json(ClaudeEvents { events }))
}

/// Tells the dashboard's clients something, and keeps what is to be kept of it.
#[utoipa::path(
    post, path = "/v1/dashboard/events", operation_id = "dashboard_event", tag = "dashboard",
    security(("userToken" = [])), request_body = DashboardEvent,
    responses(
        (status = 200, description = "Told", body = DashboardEventAnswer),
        (status = 400, description = "No such event, or bad data", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A token of another user", body = ErrorBody),
        (status = 404, description = "There is no dashboard, or no such agent or task",
         body = ErrorBody),
        (status = 409, description = "No room: too many drafts wait, or turns are under way",
         body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn inject(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<DashboardEventAnswer>, ApiError> {
    let dashboard = of(&state, &user)?;
    let told: DashboardEvent = body.read()?;
    let slug = told.org_slug.as_deref();
    let id = dashboard.inject(&told.event, told.data, slug).await?;
    Ok(web::Json(DashboardEventAnswer { success: true, id }))
}

/// What is to be known of an agent. Absent fields stay as they are.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentFields {
    /// What it is there for.
    role: Option<String>,
    /// How it is told to be.
    personality_prompt: Option<String>,
    /// What it can do.
    capabilities: Option<Vec<String>>,
    /// Which tools it may use.
    #[schema(value_type = Option<Object>)]
    tool_permissions: Option<Map<String, Value>>,
}

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentAnswer {
    /// As it is now.
    #[schema(value_type = Object)]
    agent: Agent,
}

/// Changes an agent, or makes it.
#[utoipa::path(
    put, path = "/v1/dashboard/agents/{name}", operation_id = "put_dashboard_agent",
    tag = "dashboard", security(("userToken" = [])), request_body = AgentFields,
    params(("name" = String, Path, description = "The agent's name; its id for one that exists")),
    responses(
        (status = 200, description = "Stored", body = AgentAnswer),
        (status = 400, description = "Not such a body, or a field is too long", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A token of another user", body = ErrorBody),
        (status = 404, description = "There is no dashboard", body = ErrorBody),
        (status = 409, description = "There are too many agents", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn put_agent(
    user: UserIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<AgentAnswer>, ApiError> {
    let dashboard = of(&state, &user)?;
    let fields: AgentFields = body.read_or_default()?;
    let change = AgentChange {
        role: fields.role,
        personality_prompt: fields.personality_prompt,
        capabilities: fields.capabilities,
        tool_permissions: fields.tool_permissions,
    };
    let agent = dashboard.put_agent(&path, change).await?;
    Ok(web::Json(AgentAnswer { agent }))
}

/// Deletes an agent; its tasks and messages stay.
#[utoipa::path(
    delete, path = "/v1/dashboard/agents/{name}", operation_id = "delete_dashboard_agent",
    tag = "dashboard", security(("userToken" = [])),
    params(("name" = String, Path, description = "The agent's name or id")),
    responses(
        (status = 200, description = "Deleted", body = AgentAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A token of another user", body = ErrorBody),
        (status = 404, description = "There is no dashboard, or no such agent", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn delete_agent(
    user: UserIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<AgentAnswer>, ApiError> {
    let agent = of(&state, &user)?.delete_agent(&path).await?;
    Ok(web::Json(AgentAnswer { agent }))
}
