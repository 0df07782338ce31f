//! A user's own account (REST contract, section 8).

use actix_web::http::StatusCode;
use actix_web::web;
use dormouse_protocol::ErrorBody;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::credentials::UserIdentity;
use super::endpoint::Endpoint;
use super::errors::ApiError;
use super::json_body::JsonBody;
use crate::app_state::AppState;
use crate::clock::unix_ms;
use crate::sync::profile::{self, Preferences, Profile, ProfileChange};
use crate::sync::{Change, SyncError, limits};

/// Most characters of a first name, a last name and a username.
const NAME_CHARS: usize = 100;
const USERNAME_CHARS: usize = 50;

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/v1/account").get(account).put(update_account),
        Endpoint::at("/v1/account/profile").get(account_profile),
        Endpoint::at("/v1/account/preferences")
            .get(preferences)
            .put(write_preferences),
        Endpoint::at("/v1/account/settings")
            .get(settings)
            .post(write_settings),
    ]
}

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileAnswer {
    /// The account id.
    id: String,
    /// Now, Unix milliseconds.
    timestamp: u64,
    /// The first name.
    first_name: Option<String>,
    /// The last name.
    last_name: Option<String>,
    /// The name that no other account has.
    username: Option<String>,
    /// The linked GitHub account.
    github: Option<GithubProfile>,
    /// Vendors whose tokens are stored.
    connected_services: Vec<String>,
}

/// A linked GitHub account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GithubProfile {
    /// GitHub's id.
    id: i64,
    /// The login.
    login: String,
}

/// What to change of a profile; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProfileRequest {
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    first_name: Option<String>,
    /// At most 100 characters; null removes it.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 100)]
    last_name: Option<Option<String>>,
    /// 3 to 50 letters, digits, `_` and `-`.
    #[schema(pattern = "^[A-Za-z0-9_-]{3,50}$")]
    username: Option<String>,
}

/// The profile as it is now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProfileUpdated {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// The profile.
    profile: ProfileAnswer,
}

/// Preferences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferencesAnswer {
    /// The ciphertext; null at first.
    settings: Option<String>,
    /// Its version, 0 at first.
    settings_version: i64,
}

/// Preferences to store.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferencesRequest {
    /// The ciphertext, or null.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, required = true, max_length = 500_000)]
    settings: Option<Option<String>>,
    /// The version that is stored now.
    #[schema(minimum = 0)]
    expected_version: i64,
}

/// What became of a write of preferences.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum PreferencesWritten {
    /// They are stored.
    Done(PreferencesStored),
    /// Another version is stored; nothing was changed.
    Mismatch(PreferencesMismatch),
}

/// That preferences are stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreferencesStored {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// Their version now.
    version: i64,
}

/// What is stored instead.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferencesMismatch {
    /// Always false.
    #[schema(example = false)]
    success: bool,
    /// Always `version-mismatch`.
    #[schema(value_type = String, example = "version-mismatch")]
    error: &'static str,
    /// The version that is stored.
    current_version: i64,
    /// What is stored.
    current_settings: Option<String>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

fn answer(id: &str, profile: Profile) -> ProfileAnswer {
    ProfileAnswer {
        id: id.to_owned(),
        timestamp: unix_ms(),
        first_name: profile.first_name,
        last_name: profile.last_name,
        username: profile.username,
        github: None,
        connected_services: Vec::new(),
    }
}

/// The caller's profile.
#[utoipa::path(
    get, path = "/v1/account", tag = "account", security(("userToken" = [])),
    responses(
        (status = 200, description = "As it is stored", body = ProfileAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn account(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<ProfileAnswer>, ApiError> {
    read_profile(&user, &state).await.map(web::Json)
}

/// The same as `GET /v1/account`.
#[utoipa::path(
    get, path = "/v1/account/profile", tag = "account", security(("userToken" = [])),
    responses(
        (status = 200, description = "As it is stored", body = ProfileAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn account_profile(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<ProfileAnswer>, ApiError> {
    read_profile(&user, &state).await.map(web::Json)
}

/// The caller's preferences.
#[utoipa::path(
    get, path = "/v1/account/preferences", tag = "account", security(("userToken" = [])),
    responses(
        (status = 200, description = "As it is stored", body = PreferencesAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn preferences(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<PreferencesAnswer>, ApiError> {
    read_preferences(&user, &state).await.map(web::Json)
}

/// The same as `GET /v1/account/preferences`.
#[utoipa::path(
    get, path = "/v1/account/settings", tag = "account", security(("userToken" = [])),
    responses(
        (status = 200, description = "As it is stored", body = PreferencesAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn settings(
    user: UserIdentity,
    state: web::Data<AppState>,
) -> Result<web::Json<PreferencesAnswer>, ApiError> {
    read_preferences(&user, &state).await.map(web::Json)
}

async fn read_profile(user: &UserIdentity, state: &AppState) -> Result<ProfileAnswer, ApiError> {
    let id = user.0.user.clone();
    let read = state
        .database
        .read(async move |reader| profile::get(reader, &id).await);
    Ok(answer(&user.0.user, read.await?))
}

async fn read_preferences(
    user: &UserIdentity,
    state: &AppState,
) -> Result<PreferencesAnswer, ApiError> {
    let id = user.0.user.clone();
    let read = state
        .database
        .read(async move |reader| profile::preferences(reader, &id).await);
    let Preferences { settings, version } = read.await?;
    Ok(PreferencesAnswer {
        settings,
        settings_version: version,
    })
}

/// Changes the caller's profile, and tells the caller's other devices.
#[utoipa::path(
    put, path = "/v1/account", tag = "account", security(("userToken" = [])),
    request_body = ProfileRequest,
    responses(
        (status = 200, description = "The profile as it is now", body = ProfileUpdated),
        (status = 400, description = "Not such a body, or a field out of its bounds",
         body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 409, description = "`error` is `username-taken`, `success` is false; nothing was \
         changed", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn update_account(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<ProfileUpdated>, ApiError> {
    let asked: ProfileRequest = body.read()?;
    if let Some(name) = &asked.first_name {
        limits::filled("firstName", name, NAME_CHARS)?;
    }
    if let Some(Some(name)) = &asked.last_name {
        limits::text("lastName", name, NAME_CHARS)?;
    }
    if let Some(name) = &asked.username {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(3..=USERNAME_CHARS).contains(&name.len()) || !name.bytes().all(is_allowed) {
            let text = "username must have 3 to 50 letters, digits, _ and -";
            return Err(ApiError::validation(text));
        }
    }
    let new = ProfileChange {
        first_name: asked.first_name,
        last_name: asked.last_name,
        username: asked.username,
    };
    let account = user.0.user.clone();
    let write = state.database.write(async move |tx| {
        let mut change = Change::new(tx, account);
        let profile = profile::update(&mut change, &new).await?;
        change.finish(None);
        Ok::<_, SyncError>(profile)
    });
    let profile = write.await.map_err(|err| match err {
        SyncError::Conflict(text) => {
            ApiError::new(StatusCode::CONFLICT, text).field("success", false)
        }
        other => other.into(),
    })?;
    Ok(web::Json(ProfileUpdated {
        success: true,
        profile: answer(&user.0.user, profile),
    }))
}

/// Replaces the caller's preferences, if they have the expected version.
#[utoipa::path(
    put, path = "/v1/account/preferences", tag = "account", security(("userToken" = [])),
    request_body = PreferencesRequest,
    responses(
        (status = 200, description = "Stored, or what is stored instead",
         body = PreferencesWritten),
        (status = 400, description = "Not such a body, or settings too long", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn write_preferences(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<PreferencesWritten>, ApiError> {
    write(&user, &state, &body).await
}

/// The same as `PUT /v1/account/preferences`.
#[utoipa::path(
    post, path = "/v1/account/settings", tag = "account", security(("userToken" = [])),
    request_body = PreferencesRequest,
    responses(
        (status = 200, description = "Stored, or what is stored instead",
         body = PreferencesWritten),
        (status = 400, description = "Not such a body, or settings too long", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn write_settings(
    user: UserIdentity,
    state: web::Data<AppState>,
    body: JsonBody,
) -> Result<web::Json<PreferencesWritten>, ApiError> {
    write(&user, &state, &body).await
}

async fn write(
    user: &UserIdentity,
    state: &AppState,
    body: &JsonBody,
) -> Result<web::Json<PreferencesWritten>, ApiError> {
    let asked: PreferencesRequest = body.read()?;
    let Some(settings) = asked.settings else {
        return Err(ApiError::validation(
            "settings must be given: a text or null",
        ));
    };
    if let Some(settings) = &settings {
        limits::text("settings", settings, limits::STATE)?;
    }
    let expected = asked.expected_version;
    if expected < 0 {
        return Err(ApiError::validation("expectedVersion must be 0 or more"));
    }
    let account = user.0.user.clone();
    let write = state.database.write(async move |tx| {
        let mut change = Change::new(tx, account);
        let written = profile::write_preferences(&mut change, settings.as_deref(), expected);
        let written = written.await?;
        change.finish(None);
        Ok::<_, SyncError>(written)
    });
    Ok(web::Json(match write.await? {
        Ok(version) => PreferencesWritten::Done(PreferencesStored {
            success: true,
            version,
        }),
        Err(current) => PreferencesWritten::Mismatch(PreferencesMismatch {
            success: false,
            error: "version-mismatch",
            current_version: current.version,
            current_settings: current.settings,
        }),
    }))
}
