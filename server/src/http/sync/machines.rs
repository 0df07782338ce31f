//! Machines (REST contract, section 5).

use actix_web::{HttpRequest, web};
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sessions::data_key;
use super::{change, count, id_of, read};
use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::http::query::Query;
use crate::sync::heartbeats::Source;
use crate::sync::limits;
use crate::sync::machines::{self, MACHINE, Machine, NewMachine, Status};

/// A machine.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MachineAnswer {
    machine: Machine,
}

/// Machines.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MachineList {
    machines: Vec<Machine>,
}

/// A machine to be registered.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterMachine {
    /// The client's own id.
    #[schema(min_length = 1, max_length = 128)]
    id: String,
    /// Ciphertext.
    #[schema(max_length = 500_000)]
    metadata: String,
    /// Ciphertext.
    #[serde(default)]
    #[schema(max_length = 500_000)]
    daemon_state: Option<String>,
    /// Base64.
    #[serde(default)]
    #[schema(max_length = 256)]
    data_encryption_key: Option<String>,
}

/// What a machine says of itself; what is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineStatus {
    /// Whether it is active.
    #[serde(default)]
    active: Option<bool>,
    /// Ciphertext.
    #[serde(default)]
    #[schema(max_length = 500_000)]
    metadata: Option<String>,
    /// Ciphertext.
    #[serde(default)]
    #[schema(max_length = 500_000)]
    daemon_state: Option<String>,
}

fn check_state(name: &str, text: Option<&str>) -> Result<(), ApiError> {
    if let Some(text) = text {
        limits::text(name, text, limits::STATE)?;
    }
    Ok(())
}

/// Registers a machine, or returns it exactly as it is stored.
#[utoipa::path(
    post, path = "/v1/machines", operation_id = "machines_register", tag = "sync",
    security(("userToken" = [])), request_body = RegisterMachine,
    responses(
        (status = 200, description = "The machine", body = MachineAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn register(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<MachineAnswer>, ApiError> {
    let body: RegisterMachine = body.read()?;
    limits::filled("id", &body.id, limits::ID)?;
    check_state("metadata", Some(&body.metadata))?;
    check_state("daemonState", body.daemon_state.as_deref())?;
    let new = NewMachine {
        id: body.id,
        metadata: body.metadata,
        daemon_state: body.daemon_state,
        data_encryption_key: data_key(body.data_encryption_key.as_deref())?,
    };
    let registered = change(&state, &user, async |change| {
        machines::register(change, new).await
    });
    let machine = registered.await?;
    Ok(web::Json(MachineAnswer { machine }))
}

/// The machines with the most recent signs of life.
#[utoipa::path(
    get, path = "/v1/machines", operation_id = "machines_list", tag = "sync",
    security(("userToken" = [])),
    params(
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 200, description = "50, if absent"),
        ("activeOnly" = Option<String>, Query, description = "`true`: only active ones"),
    ),
    responses(
        (status = 200, description = "Machines", body = MachineList),
        (status = 400, description = "A bad limit", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn list(
    user: UserIdentity,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<MachineList>, ApiError> {
    let query = Query::new(request.query_string());
    let most = count(query.number("limit", 1..=200)?, 50);
    let active_only = query.text("activeOnly")? == Some("true");
    let machines = read(&state, &user, async move |reader, account| {
        machines::list(reader, account, active_only, most).await
    });
    let machines = machines.await?;
    Ok(web::Json(MachineList { machines }))
}

/// One machine.
#[utoipa::path(
    get, path = "/v1/machines/{id}", operation_id = "machine_one", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The machine")),
    responses(
        (status = 200, description = "The machine", body = MachineAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such machine of the caller", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn one(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
) -> Result<web::Json<MachineAnswer>, ApiError> {
    let id = id_of(MACHINE, id.into_inner())?;
    let machine = read(&state, &user, async move |reader, account| {
        machines::find(reader, account, &id).await
    });
    let machine = machine.await?;
    Ok(web::Json(MachineAnswer { machine }))
}

/// Takes a machine's status; a sign of life in any case.
#[utoipa::path(
    put, path = "/v1/machines/{id}/status", operation_id = "machine_status", tag = "sync",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The machine")),
    request_body = MachineStatus,
    responses(
        (status = 200, description = "The machine", body = MachineAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such machine of the caller", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn status(
    user: UserIdentity,
    state: web::Data<AppState>,
    id: web::Path<String>,
    body: JsonBody,
) -> Result<web::Json<MachineAnswer>, ApiError> {
    let id = id_of(MACHINE, id.into_inner())?;
    let body: MachineStatus = body.read()?;
    check_state("metadata", body.metadata.as_deref())?;
    check_state("daemonState", body.daemon_state.as_deref())?;
    let status = Status {
        active: body.active,
        metadata: body.metadata,
        daemon_state: body.daemon_state,
    };
    let heartbeats = state.heartbeats.clone();
    let written = change(&state, &user, async move |change| {
        let machine = machines::write_status(change, &id, status).await?;
        heartbeats.forget(&Source::machine(change.account(), &id));
        Ok(machine)
    });
    let machine = written.await?;
    Ok(web::Json(MachineAnswer { machine }))
}
