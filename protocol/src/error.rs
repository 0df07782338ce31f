//! The one JSON shape of errors over HTTP (REST contract, section 1.3).

use serde::Serialize;
use serde_json::{Map, Value};

/// Body of every non-2xx answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// What is wrong and what to do about it; for people, not to be matched on.
    pub error: String,
    /// A stable word for programs, where the contract gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The request's id, as in `X-Request-ID`.
    pub request_id: String,
    /// When the answer was made, ISO 8601 UTC with milliseconds.
    pub timestamp: String,
    /// Fields of one endpoint, such as `tier`, `limit`, `connections`, `retryAfter`, `maxSize`.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(additional_properties))]
    pub fields: Map<String, Value>,
}

/// Body of every non-2xx answer of the event side (contract events.md section 1).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventErrorBody {
    /// What is wrong.
    pub error: EventError,
}

/// What is wrong, on the event side.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventError {
    /// A stable word for programs.
    pub code: String,
    /// What is wrong and what to do about it.
    pub message: String,
    /// The request's id, as in `X-Request-ID`.
    pub request_id: String,
    /// Seconds after which another try may succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub retry_after: Option<u64>,
    /// Fields of one endpoint.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub details: Map<String, Value>,
}
