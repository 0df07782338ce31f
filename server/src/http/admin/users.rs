//! `GET /admin/v1/users/{id}`.

use actix_web::web;
use dormouse_protocol::stats::{ByType, ShardStats};
use dormouse_protocol::{Attachment, AuthState, ClientType, ErrorBody};
use serde::Serialize;
use utoipa::ToSchema;

use super::TierOrigin;
use crate::app_state::AppState;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;

/// A user with everything that is theirs.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserAnswer {
    /// The account id.
    user: String,
    /// The tier that caps the user.
    tier: String,
    /// Where the tier comes from.
    tier_source: TierOrigin,
    /// Connections that the user may have.
    limit: u32,
    /// Connections that the user has.
    total_connections: u64,
    /// The same, by client type.
    by_type: ByType,
    /// Distinct session labels.
    active_sessions: u64,
    /// Distinct machine labels.
    active_machines: u64,
    /// The shards, first to last.
    shards: Vec<ShardStats>,
    /// The connections, oldest first.
    connections: Vec<ConnectionView>,
}

/// A connection's attachment.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionView {
    /// The server's name for it.
    #[schema(format = "uuid")]
    connection_id: String,
    /// The owner.
    user_id: String,
    /// What it is for.
    client_type: ClientType,
    /// The session it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    session_id: Option<String>,
    /// The machine it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    machine_id: Option<String>,
    /// When it was accepted, Unix milliseconds.
    connected_at: u64,
    /// When it last said something, Unix milliseconds.
    last_activity_at: u64,
    /// How it authenticated.
    auth_state: AuthState,
    /// The rooms that an application has put it into.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rooms: Vec<String>,
}

impl From<Attachment> for ConnectionView {
    fn from(attachment: Attachment) -> Self {
        Self {
            connection_id: attachment.connection_id.to_string(),
            user_id: attachment.user_id.into(),
            client_type: attachment.labels.client_type,
            session_id: attachment.labels.session_id.map(String::from),
            machine_id: attachment.labels.machine_id.map(String::from),
            connected_at: attachment.connected_at,
            last_activity_at: attachment.last_activity_at,
            auth_state: attachment.auth_state,
            rooms: attachment.rooms.iter().map(str::to_owned).collect(),
        }
    }
}

/// One user with shards and connections. Wakes the user's shards, as they know the connections.
#[utoipa::path(
    get, path = "/admin/v1/users/{id}", tag = "admin", security(("adminToken" = [])),
    params(("id" = String, Path, description = "The account id")),
    responses(
        (status = 200, description = "The user; lists are empty where only an override is known",
         body = UserAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 404, description = "Neither a connection nor an override of this user",
         body = ErrorBody),
    )
)]
pub async fn user(
    _: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<UserAnswer>, ApiError> {
    let user = path.into_inner();
    let workers = &state.workers;
    if let Some(report) = workers.user(&user).await
        && report.stats.total_connections > 0
    {
        let stats = report.stats;
        return Ok(web::Json(UserAnswer {
            user,
            tier: report.tier,
            tier_source: report.tier_source.into(),
            limit: report.limit,
            total_connections: stats.total_connections,
            by_type: stats.by_type,
            active_sessions: stats.active_sessions,
            active_machines: stats.active_machines,
            shards: stats.shards,
            connections: report.connections.into_iter().map(Into::into).collect(),
        }));
    }
    let Some(tier) = workers.tier_override(&user) else {
        let text = "this user has no connection and no tier of its own";
        return Err(ApiError::not_found(text));
    };
    let tier = workers.tiers().get(tier);
    Ok(web::Json(UserAnswer {
        user,
        tier: tier.name.to_string(),
        tier_source: TierOrigin::Override,
        limit: tier.limit(),
        total_connections: 0,
        by_type: ByType::default(),
        active_sessions: 0,
        active_machines: 0,
        shards: Vec::new(),
        connections: Vec::new(),
    }))
}
