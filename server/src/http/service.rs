//! `/`, `/health`, `/ready` (REST contract, section 2).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::endpoint::Endpoint;
use super::manners::PartTimes;
use crate::app_state::{AppState, VERSION};
use crate::clock::iso_now;

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/").get(root),
        Endpoint::at("/health").get(health),
        Endpoint::at("/ready").get(ready),
    ]
}

/// What this is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RootAnswer {
    /// A welcome.
    message: &'static str,
    /// The server's version.
    version: &'static str,
    /// `development` or `production`.
    environment: &'static str,
    /// Now, ISO 8601 UTC.
    #[schema(format = "date-time")]
    timestamp: String,
}

/// That the process runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthAnswer {
    /// Always `healthy`.
    status: &'static str,
    /// Now, ISO 8601 UTC.
    #[schema(format = "date-time")]
    timestamp: String,
    /// The server's version.
    version: &'static str,
    /// What this is.
    service: &'static str,
    /// Seconds since the start.
    uptime: u64,
}

/// Whether the server should get traffic, and if not, why.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReadyAnswer {
    /// Whether every check passes.
    ready: bool,
    /// Each check by name.
    checks: BTreeMap<&'static str, bool>,
    /// Now, ISO 8601 UTC.
    #[schema(format = "date-time")]
    timestamp: String,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// What this is.
#[utoipa::path(
    get, path = "/", tag = "service",
    responses((status = 200, description = "Name, version and environment", body = RootAnswer))
)]
pub(crate) async fn root(state: web::Data<AppState>) -> web::Json<RootAnswer> {
    web::Json(RootAnswer {
        // The words "Happy Server" are what the load scripts of that server look for.
        message: "Welcome to Dormouse, a Happy Server for WebSocket connections",
        version: VERSION,
        environment: if state.is_development() {
            "development"
        } else {
            "production"
        },
        timestamp: iso_now(),
    })
}

/// Whether the process runs: touches nothing.
#[utoipa::path(
    get, path = "/health", tag = "service",
    responses((status = 200, description = "The process runs", body = HealthAnswer))
)]
pub(crate) async fn health(state: web::Data<AppState>) -> web::Json<HealthAnswer> {
    web::Json(HealthAnswer {
        status: "healthy",
        timestamp: iso_now(),
        version: VERSION,
        service: "dormouse",
        uptime: state.started.elapsed().as_secs(),
    })
}

async fn timed<T>(check: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let result = check.await;
    (result, began.elapsed())
}

/// Whether the server should get traffic. `Server-Timing` has the time of each check.
#[utoipa::path(
    get, path = "/ready", tag = "service",
    responses(
        (status = 200, description = "Ready", body = ReadyAnswer),
        (status = 503, description = "A check fails", body = ReadyAnswer),
    )
)]
pub(crate) async fn ready(state: web::Data<AppState>, request: HttpRequest) -> HttpResponse {
    let store = state.workers.store();
    let (database, realtime, store) = tokio::join!(
        timed(async { state.database.check().await.err() }),
        timed(async { state.workers.is_draining() }),
        timed(async { store.fault().map(|fault| fault.to_string()) }),
    );
    // Settings that cannot be used end the start: there is nothing left to check of them.
    let times = vec![
        ("environment", Duration::ZERO),
        ("database", database.1),
        ("realtime", realtime.1),
        ("store", store.1),
    ];
    request.extensions_mut().insert(PartTimes(times));
    let (database, is_draining, store) = (database.0, realtime.0, store.0);
    let (has_store, has_database) = (store.is_none(), database.is_none());
    let error = store
        .or_else(|| database.map(|err| err.to_string()))
        .or_else(|| is_draining.then(|| "the server is stopping".to_owned()));
    let body = ReadyAnswer {
        ready: error.is_none(),
        checks: [
            ("environment", true),
            ("database", has_database),
            ("realtime", !is_draining),
            ("store", has_store),
        ]
        .into(),
        timestamp: iso_now(),
        error,
    };
    if body.ready {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}
