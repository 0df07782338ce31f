//! The sync API over HTTP (REST contract, sections 4 to 7 and 12): what a user's devices keep in
//! step, by request.
//!
//! Reads requests and writes answers; the rules are [`crate::sync`]'s. Every route takes a user's
//! token and touches that user's own things: others' are answered with 404.

use crate::app_state::AppState;
use crate::database::Reader;
use crate::http::credentials::UserIdentity;
use crate::http::endpoint::Endpoint;
use crate::http::errors::ApiError;
use crate::sync::{Change, SyncError, limits};

pub mod access_keys;
pub mod artifact_list;
pub mod artifacts;
pub mod attachments;
pub mod cursor;
pub mod machines;
pub mod message_batches;
pub mod messages;
pub mod push_event;
pub mod session_archive;
pub mod sessions;
pub mod usage;

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/v1/sessions")
            .get(sessions::list)
            .post(sessions::create),
        Endpoint::at("/v2/sessions").get(sessions::page),
        Endpoint::at("/v2/sessions/active").get(sessions::active),
        Endpoint::at("/v1/sessions/{id}")
            .get(sessions::one)
            .delete(sessions::delete),
        Endpoint::at("/v1/sessions/{id}/state").get(session_archive::state),
        Endpoint::at("/v1/sessions/{id}/archive").post(session_archive::archive),
        Endpoint::at("/v1/sessions/{id}/push-event").post(push_event::push_event),
        Endpoint::at("/v1/sessions/{id}/attachments/request-upload")
            .post(attachments::request_upload),
        Endpoint::at("/v1/sessions/{id}/attachments/request-download")
            .post(attachments::request_download),
        Endpoint::at("/v1/sessions/{id}/messages")
            .get(messages::list)
            .post(messages::create),
        Endpoint::at("/v2/sessions/{id}/messages").get(messages::page),
        Endpoint::at("/v3/sessions/{id}/messages")
            .get(message_batches::list)
            .post(message_batches::create),
        Endpoint::at("/v1/machines")
            .get(machines::list)
            .post(machines::register),
        Endpoint::at("/v1/machines/{id}").get(machines::one),
        Endpoint::at("/v1/machines/{id}/status").put(machines::status),
        Endpoint::at("/v1/artifacts")
            .get(artifact_list::list)
            .post(artifacts::create),
        Endpoint::at("/v1/artifacts/{id}")
            .get(artifacts::one)
            .post(artifacts::update)
            .delete(artifacts::delete),
        Endpoint::at("/v1/access-keys/{sessionId}/{machineId}")
            .get(access_keys::one)
            .post(access_keys::create)
            .put(access_keys::update),
        Endpoint::at("/v1/usage/query").post(usage::query),
    ]
}

/// Makes a change of the caller's things, and tells the caller's connections of it.
async fn change<T: Send + 'static>(
    state: &AppState,
    user: &UserIdentity,
    work: impl AsyncFnOnce(&mut Change<'_>) -> Result<T, SyncError> + Send + 'static,
) -> Result<T, ApiError> {
    let account = user.0.user.clone();
    let changed = state.database.write(async move |tx| {
        let mut change = Change::new(tx, account);
        let value = work(&mut change).await?;
        change.finish(None);
        Ok::<_, SyncError>(value)
    });
    Ok(changed.await?)
}

/// Reads the caller's things; the work gets the account's id.
async fn read<T: Send + 'static>(
    state: &AppState,
    user: &UserIdentity,
    work: impl AsyncFnOnce(&mut Reader, &str) -> Result<T, SyncError> + Send + 'static,
) -> Result<T, ApiError> {
    let account = user.0.user.to_string();
    let reading = state
        .database
        .read(async move |reader: &mut Reader| work(reader, &account).await);
    Ok(reading.await?)
}

/// An id out of a path. One that nothing can have is not found.
fn id_of(what: &'static str, id: String) -> Result<String, SyncError> {
    if limits::filled(what, &id, limits::ID).is_err() {
        return Err(SyncError::NotFound(what));
    }
    Ok(id)
}

/// A limit of a list.
fn count(limit: Option<u64>, otherwise: i64) -> i64 {
    limit.map_or(otherwise, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}
