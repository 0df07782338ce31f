//! Whether an app is too old (REST contract, section 11).

use actix_web::web;
use dormouse_protocol::ErrorBody;
use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoint::Endpoint;
use super::errors::ApiError;
use super::json_body::JsonBody;
use crate::app_state::AppState;

/// The route.
pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::at("/v1/version").post(version)]
}

/// What an app says of itself.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct VersionRequest {
    /// `ios` or `android`, in any case; others are never too old.
    platform: String,
    /// The app's version.
    version: String,
    /// The app's id.
    #[expect(dead_code, reason = "demanded by the contract, and of no use yet")]
    app_id: String,
}

/// Where to update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionAnswer {
    /// The app's page in its store; null for one that is new enough.
    update_url: Option<String>,
}

/// Says whether an app is too old for this server.
#[utoipa::path(
    post, path = "/v1/version", operation_id = "app_version", tag = "service",
    request_body = VersionRequest,
    responses(
        (status = 200, description = "Where to update, if that is needed", body = VersionAnswer),
        (status = 400, description = "Not such a body", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
    )
)]
pub async fn version(
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<VersionAnswer>, ApiError> {
    let app: VersionRequest = body.read()?;
    let apps = &state.settings.apps;
    let store = match app.platform.to_ascii_lowercase().as_str() {
        "ios" => Some(&apps.ios_url),
        "android" => Some(&apps.android_url),
        _ => None,
    };
    let update_url = store
        .filter(|url| !url.is_empty() && is_too_old(&app.version, &apps.minimum_version))
        .cloned();
    Ok(web::Json(VersionAnswer { update_url }))
}

/// What is no version counts as too old.
fn is_too_old(version: &str, minimum: &str) -> bool {
    match (Version::parse(version), Version::parse(minimum)) {
        (Ok(version), Ok(minimum)) => version < minimum,
        _ => true,
    }
}
