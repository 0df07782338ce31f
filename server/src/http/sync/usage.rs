//! What was used (REST contract, section 12).

use std::collections::BTreeMap;

use actix_web::web;
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::ToSchema;

use super::read;
use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::json_body::JsonBody;
use crate::sync::limits as most;
use crate::sync::usage::{self, Amounts, UsageQuery};

const HOUR_MS: i64 = 60 * 60 * 1000;

/// The length of buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// Hours.
    Hour,
    /// Days of UTC.
    #[default]
    Day,
}

/// Which reports are added up.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageRequest {
    /// Only those of this session.
    #[serde(default)]
    #[schema(max_length = 128)]
    session_id: Option<String>,
    /// Only those made then or later, Unix seconds.
    #[serde(default)]
    #[schema(minimum = 1)]
    start_time: Option<u64>,
    /// Only those made then or earlier, Unix seconds.
    #[serde(default)]
    #[schema(minimum = 1)]
    end_time: Option<u64>,
    /// `day`, if absent.
    #[serde(default)]
    group_by: Option<GroupBy>,
}

/// The sums of one bucket.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageBucket {
    /// Its begin, Unix seconds.
    timestamp: i64,
    /// Tokens by name.
    #[schema(value_type = BTreeMap<String, f64>)]
    tokens: BTreeMap<String, Number>,
    /// Cost by name.
    #[schema(value_type = BTreeMap<String, f64>)]
    cost: BTreeMap<String, Number>,
    /// How many reports.
    report_count: u64,
}

/// Sums by buckets; empty ones are left out.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageAnswer {
    usage: Vec<UsageBucket>,
    group_by: GroupBy,
    /// How many reports in all.
    total_reports: u64,
}

/// Whole numbers are written as such.
fn numbers(amounts: Amounts) -> BTreeMap<String, Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = |amount: f64| {
        if amount.fract() == 0.0 && amount.abs() < EXACT {
            return Some(Number::from(amount as i64));
        }
        // Sums past all numbers have no JSON.
        Number::from_f64(amount)
    };
    let named = amounts
        .into_iter()
        .filter_map(|(name, amount)| Some((name, number(amount)?)));
    named.collect()
}

/// Unix seconds, which must be positive, as ms.
fn ms(name: &str, seconds: Option<u64>) -> Result<Option<i64>, ApiError> {
    match seconds {
        Some(0) => Err(ApiError::validation(format!("{name} must be positive"))),
        seconds => Ok(seconds.map(|seconds| {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            seconds.saturating_mul(1000)
        })),
    }
}

/// Adds up the caller's usage reports by hours or days.
#[utoipa::path(
    post, path = "/v1/usage/query", operation_id = "usage_query", tag = "sync",
    security(("userToken" = [])), request_body = UsageRequest,
    responses(
        (status = 200, description = "Sums", body = UsageAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 404, description = "No such session of the caller", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn query(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<UsageAnswer>, ApiError> {
    let body: UsageRequest = body.read_or_default()?;
    if let Some(session) = &body.session_id {
        most::text("sessionId", session, most::ID)?;
    }
    let group_by = body.group_by.unwrap_or_default();
    let query = UsageQuery {
        session: body.session_id,
        from: ms("startTime", body.start_time)?,
        // The second that is named is part of it.
        to: ms("endTime", body.end_time)?.map(|to| to.saturating_add(999)),
        bucket: match group_by {
            GroupBy::Hour => HOUR_MS,
            GroupBy::Day => 24 * HOUR_MS,
        },
    };
    let sums = read(&state, &user, async move |reader, account| {
        usage::sums(reader, account, query).await
    });
    let usage: Vec<_> = sums
        .await?
        .into_iter()
        .map(|(at, sums)| UsageBucket {
            timestamp: at / 1000,
            tokens: numbers(sums.tokens),
            cost: numbers(sums.cost),
            report_count: sums.reports,
        })
        .collect();
    let total_reports = usage.iter().map(|bucket| bucket.report_count).sum();
    Ok(web::Json(UsageAnswer {
        usage,
        group_by,
        total_reports,
    }))
}
