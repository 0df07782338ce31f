//! Reports over calls (contract events.md section 9).

use std::collections::BTreeMap;

use actix_web::{HttpRequest, web};
use dormouse_protocol::EventErrorBody;
use dormouse_protocol::timestamp::parse_iso;

use super::database_error;
use super::tenant::ReadTenant;
use crate::app_state::AppState;
use crate::clock::unix_ms;
use crate::events::reporting::answer::{
    BucketReport, CallReport, Dimension, Period, buckets, dimensions, total,
};
use crate::events::reporting::query::Group;
use crate::events::reporting::{Grouping, ReportQuery, Tally, report};
use crate::http::errors::ApiError;
use crate::http::query::Query;

/// Longest id in a query or path, characters.
const MOST_CHARS: usize = 128;

/// Figures by hour or day.
///
/// The span goes from `startDate` to before `endDate`.
#[utoipa::path(
    get, path = "/api/v1/reporting/metrics", tag = "events", operation_id = "report_metrics",
    security(("apiKey" = []), ("userToken" = [])),
    params(
        ("startDate" = Option<String>, Query, description = "ISO 8601; 24 hours ago by default"),
        ("endDate" = Option<String>, Query, description = "ISO 8601; now by default"),
        ("granularity" = Option<String>, Query, description = "`hour`, the default, or `day`; in UTC"),
        ("campaignId" = Option<String>, Query, description = "Only this campaign's calls"),
        ("publisherId" = Option<String>, Query, description = "Only this publisher's calls"),
        ("buyerId" = Option<String>, Query, description = "Only this buyer's calls"),
    ),
    responses(
        (status = 200, description = "Figures", body = BucketReport),
        (status = 400, description = "A query that cannot be used", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn metrics(
    tenant: ReadTenant,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<BucketReport>, ApiError> {
    let query = Query::new(request.query_string());
    let grouping = match query.text("granularity")? {
        None | Some("hour") => Grouping::Hour,
        Some("day") => Grouping::Day,
        Some(_) => return Err(ApiError::validation("granularity must be hour or day")),
    };
    let mut asked = asked(&tenant, &query, DAY_MS, grouping)?;
    asked.publisher = id(&query, "publisherId")?;
    asked.buyer = id(&query, "buyerId")?;
    asked.campaign = id(&query, "campaignId")?;
    let groups = read(&state, asked.clone()).await?;
    Ok(web::Json(by_bucket(&asked, &groups)))
}

/// Figures over a span, by what is asked for.
#[utoipa::path(
    get, path = "/api/v1/reporting/calls", tag = "events", operation_id = "report_calls",
    security(("apiKey" = []), ("userToken" = [])),
    params(
        ("startDate" = Option<String>, Query, description = "ISO 8601; 24 hours ago by default"),
        ("endDate" = Option<String>, Query, description = "ISO 8601; now by default"),
        ("campaignId" = Option<String>, Query, description = "Only this campaign's calls"),
        ("groupBy" = Option<String>, Query,
         description = "`day`, `week`, `month`, `campaign` or `status`; none by default"),
    ),
    responses(
        (status = 200, description = "Figures", body = CallReport),
        (status = 400, description = "A query that cannot be used", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn calls(
    tenant: ReadTenant,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<CallReport>, ApiError> {
    let query = Query::new(request.query_string());
    let dimension = match query.text("groupBy")? {
        None => None,
        Some(word) => {
            let found = Dimension::ALL
                .into_iter()
                .find(|known| known.as_str() == word);
            Some(found.ok_or_else(|| {
                ApiError::validation("groupBy must be day, week, month, campaign or status")
            })?)
        }
    };
    let grouping = match dimension {
        None => Grouping::None,
        Some(Dimension::Day | Dimension::Week | Dimension::Month) => Grouping::Day,
        Some(Dimension::Campaign) => Grouping::Campaign,
        Some(Dimension::Status) => Grouping::Status,
    };
    let mut asked = asked(&tenant, &query, DAY_MS, grouping)?;
    asked.campaign = id(&query, "campaignId")?;
    let groups = read(&state, asked.clone()).await?;
    Ok(web::Json(CallReport {
        period: Period::new(asked.from, asked.to),
        metrics: total(&groups),
        breakdown: dimension.map_or(Vec::new(), |dimension| dimensions(&groups, dimension)),
    }))
}

/// Figures of a campaign by day; of the last seven days by default.
#[utoipa::path(
    get, path = "/api/v1/reporting/campaigns/{campaignId}", tag = "events", operation_id = "report_campaign",
    security(("apiKey" = []), ("userToken" = [])),
    params(
        ("campaignId" = String, Path, description = "The campaign"),
        ("startDate" = Option<String>, Query, description = "ISO 8601; 7 days ago by default"),
        ("endDate" = Option<String>, Query, description = "ISO 8601; now by default"),
    ),
    responses(
        (status = 200, description = "Figures", body = BucketReport),
        (status = 400, description = "A query that cannot be used", body = EventErrorBody),
        (status = 401, description = "No key or token, or a bad one", body = EventErrorBody),
        (status = 403, description = "Another tenant, or one that is not active",
         body = EventErrorBody),
        (status = 429, description = "The key's limit is reached", body = EventErrorBody),
        (status = 503, description = "The database is not available", body = EventErrorBody),
    )
)]
pub async fn campaign(
    tenant: ReadTenant,
    state: web::Data<AppState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> Result<web::Json<BucketReport>, ApiError> {
    let query = Query::new(request.query_string());
    let campaign = usable_id("campaignId", &path.into_inner())?;
    let mut asked = asked(&tenant, &query, 7 * DAY_MS, Grouping::Day)?;
    asked.campaign = Some(campaign.clone());
    let groups = read(&state, asked.clone()).await?;
    let mut report = by_bucket(&asked, &groups);
    report.campaign_id = Some(campaign);
    Ok(web::Json(report))
}

/// A day, ms.
const DAY_MS: i64 = 86_400_000;

/// What a query asks for: the span, `range` ms before now by default.
fn asked(
    tenant: &ReadTenant,
    query: &Query<'_>,
    range: i64,
    grouping: Grouping,
) -> Result<ReportQuery, ApiError> {
    let time = |name: &'static str| -> Result<Option<i64>, ApiError> {
        let Some(text) = query.text(name)? else {
            return Ok(None);
        };
        let at = parse_iso(text).and_then(|at| i64::try_from(at).ok());
        at.map(Some).ok_or_else(|| {
            let text = format!("{name} must be an ISO 8601 time, such as 2025-01-31T09:15:00.123Z");
            ApiError::validation(text)
        })
    };
    // Calls of this very moment are part of "until now".
    let now = i64::try_from(unix_ms()).unwrap_or(i64::MAX - 1) + 1;
    let to = time("endDate")?.unwrap_or(now);
    let from = time("startDate")?.unwrap_or_else(|| now.saturating_sub(range));
    if from > to {
        return Err(ApiError::validation("startDate must not be after endDate"));
    }
    Ok(ReportQuery {
        tenant: tenant.0.to_string(),
        from,
        to,
        campaign: None,
        publisher: None,
        buyer: None,
        grouping,
    })
}

fn id(query: &Query<'_>, name: &'static str) -> Result<Option<String>, ApiError> {
    query.text(name)?.map(|id| usable_id(name, id)).transpose()
}

fn usable_id(name: &str, id: &str) -> Result<String, ApiError> {
    if id.is_empty() || id.chars().nth(MOST_CHARS).is_some() || id.chars().any(char::is_control) {
        let text = format!("{name} must be 1 to {MOST_CHARS} characters, none of them a control");
        return Err(ApiError::validation(text));
    }
    Ok(id.to_owned())
}

async fn read(state: &AppState, query: ReportQuery) -> Result<BTreeMap<Group, Tally>, ApiError> {
    let reading = state
        .database
        .read(async move |reader| report(reader, &query).await);
    reading.await.map_err(|err| database_error(&err))
}

fn by_bucket(asked: &ReportQuery, groups: &BTreeMap<Group, Tally>) -> BucketReport {
    BucketReport {
        campaign_id: None,
        period: Period::new(asked.from, asked.to),
        metrics: total(groups),
        breakdown: buckets(groups),
    }
}
