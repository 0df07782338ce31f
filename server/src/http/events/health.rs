//! Health of the event side (contract events.md section 11).

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::app_state::AppState;
use crate::clock::iso_now;
use crate::http::endpoint::Endpoint;

/// The routes, which every surface has.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/health/live").get(live),
        Endpoint::at("/health/ready").get(ready),
    ]
}

/// That the process runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LiveAnswer {
    /// Always `ok`.
    status: &'static str,
    /// What this is.
    service: &'static str,
}

/// Whether the process runs: touches nothing.
#[utoipa::path(
    get, path = "/health/live", tag = "service", operation_id = "health_live",
    responses((status = 200, description = "The process runs", body = LiveAnswer))
)]
pub async fn live() -> web::Json<LiveAnswer> {
    web::Json(LiveAnswer {
        status: "ok",
        service: "dormouse",
    })
}

/// Whether the server should get traffic.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DetailedReadyAnswer {
    /// `healthy`, `degraded` (still gets traffic) or `unhealthy`.
    status: &'static str,
    /// Now, ISO 8601 UTC.
    #[schema(format = "date-time")]
    timestamp: String,
    /// What it depends on, by name.
    checks: BTreeMap<&'static str, DependencyCheck>,
}

/// The state of something that the server depends on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DependencyCheck {
    /// `ok`, `error`, or `disabled` for what this server does not use.
    status: &'static str,
    /// How long it took to find out, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    latency: Option<f64>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// Whether the server should get traffic, with the state of what it depends on.
#[utoipa::path(
    get, path = "/health/ready", tag = "service", operation_id = "health_ready",
    responses(
        (status = 200, description = "Ready, if perhaps degraded", body = DetailedReadyAnswer),
        (status = 503, description = "The database fails, or the server is stopping",
         body = DetailedReadyAnswer),
    )
)]
pub async fn ready(state: web::Data<AppState>) -> HttpResponse {
    let began = Instant::now();
    let fault = state.database.check().await.err();
    let latency = (began.elapsed().as_secs_f64() * 1e5).round() / 100.0;
    let disabled = DependencyCheck {
        status: "disabled",
        latency: None,
        error: None,
    };
    let database = DependencyCheck {
        status: if fault.is_none() { "ok" } else { "error" },
        latency: Some(latency),
        error: fault.as_ref().map(ToString::to_string),
    };
    let is_ready = fault.is_none() && !state.workers.is_draining();
    let body = DetailedReadyAnswer {
        status: if is_ready { "healthy" } else { "unhealthy" },
        timestamp: iso_now(),
        checks: [
            ("database", database),
            ("redis", disabled.clone()),
            ("clickhouse", disabled),
        ]
        .into(),
    };
    if is_ready {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}
