//! The tenant that shows the product (contract events.md section 4.3).

use actix_web::http::StatusCode;
use actix_web::web;
use dormouse_protocol::EventErrorBody;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use utoipa::ToSchema;

use super::database_error;
use super::tenant::Tenant;
use crate::app_state::AppState;
use crate::database::DatabaseError;
use crate::events::reporting::query::price;
use crate::events::rollup::DAY;
use crate::events::tenants::{self, DEMO_SLUG};
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;

/// Whether there is a demo tenant that others may read.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DemoStatus {
    /// Whether it is there and open.
    enabled: bool,
    /// Its id, if it is there.
    tenant_id: Option<String>,
}

/// Whether there is a demo tenant.
#[utoipa::path(
    get, path = "/api/v1/demo/status", tag = "events", operation_id = "demo_status",
    security(("apiKey" = []), ("userToken" = [])),
    responses(
        (status = 200, description = "Whether there is one", body = DemoStatus),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 429, description = "Over the requests of a minute", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn status(
    _: Tenant,
    state: web::Data<AppState>,
) -> Result<web::Json<DemoStatus>, ApiError> {
    let found = demo(&state).await?;
    Ok(web::Json(DemoStatus {
        enabled: found.as_ref().is_some_and(|tenant| tenant.is_demo),
        tenant_id: found.map(|tenant| tenant.id),
    }))
}

/// What the demo tenant is to be.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub struct DemoToggle {
    /// Whether others may read its reports.
    enabled: bool,
}

/// What it is now.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DemoToggled {
    /// Whether others may read its reports.
    enabled: bool,
    /// Its id.
    tenant_id: String,
    /// The same in words.
    message: &'static str,
}

/// Opens the demo tenant's reports to other tenants, or closes them; for the demo tenant only.
#[utoipa::path(
    post, path = "/api/v1/demo/toggle", tag = "events", operation_id = "demo_toggle",
    security(("apiKey" = []), ("userToken" = [])),
    request_body = DemoToggle,
    responses(
        (status = 200, description = "It is so now", body = DemoToggled),
        (status = 400, description = "Not such a body", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "The credential is not the demo tenant's",
         body = EventErrorBody),
        (status = 404, description = "There is no demo tenant", body = EventErrorBody),
        (status = 413, description = "The body is too large", body = EventErrorBody),
        (status = 429, description = "Over the requests of a minute", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn toggle(
    tenant: Tenant,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<DemoToggled>, ApiError> {
    let DemoToggle { enabled } = body.read()?;
    let found = demo(&state).await?.ok_or_else(no_demo)?;
    if *found.id != *tenant.0 {
        let text = "only the demo tenant's own credential may do this";
        return Err(ApiError::new(StatusCode::FORBIDDEN, text).code("TENANT_MISMATCH"));
    }
    let id = found.id.clone();
    let writing = state
        .database
        .write(async move |tx| tenants::set_demo(tx, &id, enabled).await);
    writing.await.map_err(|err| database_error(&err))?;
    Ok(web::Json(DemoToggled {
        enabled,
        tenant_id: found.id,
        message: if enabled {
            "Demo mode enabled"
        } else {
            "Demo mode disabled"
        },
    }))
}

/// What the demo tenant has.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DemoStats {
    /// Its calls.
    calls: DemoCalls,
    /// Publishers with a call.
    publishers: i64,
    /// Buyers with a call.
    buyers: i64,
    /// Campaigns with a call.
    campaigns: i64,
    /// Invoices; this server makes none.
    invoices: i64,
    /// The price of all calls.
    revenue: f64,
}

/// Calls of the demo tenant.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DemoCalls {
    /// Calls that are over.
    total: i64,
    /// Those that ended as they should.
    completed: i64,
    /// The share of those, 0 to 1.
    completion_rate: f64,
}

/// Figures of the demo tenant.
#[utoipa::path(
    get, path = "/api/v1/demo/stats", tag = "events", operation_id = "demo_stats",
    security(("apiKey" = []), ("userToken" = [])),
    responses(
        (status = 200, description = "Figures", body = DemoStats),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 404, description = "There is no demo tenant", body = EventErrorBody),
        (status = 429, description = "Over the requests of a minute", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn stats(
    tenant: Tenant,
    state: web::Data<AppState>,
) -> Result<web::Json<DemoStats>, ApiError> {
    let found = demo(&state).await?.ok_or_else(no_demo)?;
    if !found.is_demo && *found.id != *tenant.0 {
        return Err(no_demo());
    }
    let reading = state.database.read(async move |reader| {
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(calls), 0) AS BIGINT), \
             CAST(COALESCE(SUM(CASE WHEN status = 'COMPLETED' THEN calls ELSE 0 END), 0) AS BIGINT), \
             COUNT(DISTINCT NULLIF(publisher_id, '')), COUNT(DISTINCT NULLIF(buyer_id, '')), \
             COUNT(DISTINCT NULLIF(campaign_id, '')), \
             CAST(COALESCE(SUM(cost_micros / 1000000), 0) AS BIGINT), \
             CAST(COALESCE(SUM(cost_micros % 1000000), 0) AS BIGINT) \
             FROM call_rollups WHERE tenant_id = $1 AND width = $2",
        )
        .bind(found.id)
        .bind(DAY)
        .fetch_one(reader)
        .await?;
        let number = |place: usize| row.try_get::<i64, _>(place);
        let (total, completed) = (number(0)?, number(1)?);
        Ok::<_, DatabaseError>(DemoStats {
            calls: DemoCalls {
                total,
                completed,
                completion_rate: if total == 0 {
                    0.0
                } else {
                    completed as f64 / total as f64
                },
            },
            publishers: number(2)?,
            buyers: number(3)?,
            campaigns: number(4)?,
            invoices: 0,
            revenue: price(number(5)?, number(6)?) as f64 / 1e6,
        })
    });
    Ok(web::Json(
        reading.await.map_err(|err| database_error(&err))?,
    ))
}

async fn demo(state: &AppState) -> Result<Option<tenants::Tenant>, ApiError> {
    let found = state
        .database
        .read(async |reader| tenants::by_slug(reader, DEMO_SLUG).await);
    found.await.map_err(|err| database_error(&err))
}

fn no_demo() -> ApiError {
    let text = "there is no demo tenant; make one with `dormouse tenant create --slug demo`";
    ApiError::not_found(text).code("DEMO_NOT_FOUND")
}
