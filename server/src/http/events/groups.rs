//! Groups of workers over HTTP: each of a service's workers reads entries of the log that no other
//! of them has, and acknowledges what is done (contract events.md section 8).

pub mod dead;
pub mod definition;
pub mod work;

use std::borrow::Cow;

use actix_web::http::StatusCode;

use super::database_error;
use super::log::cursor;
use super::tenant::Tenant;
use crate::events::groups::{GroupError, GroupKey, MAX_NAME, is_name};
use crate::http::endpoint::Endpoint;
use crate::http::errors::ApiError;

/// Most cursors of one request.
const MOST_CURSORS: usize = 1000;

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/api/v1/events/groups").get(definition::list),
        Endpoint::at("/api/v1/events/groups/{group}")
            .get(definition::show)
            .put(definition::put)
            .delete(definition::remove),
        Endpoint::at("/api/v1/events/groups/{group}/read").post(work::read),
        Endpoint::at("/api/v1/events/groups/{group}/ack").post(work::acknowledge),
        Endpoint::at("/api/v1/events/groups/{group}/fail").post(work::fail),
        Endpoint::at("/api/v1/events/groups/{group}/dead").get(dead::list),
        Endpoint::at("/api/v1/events/groups/{group}/dead/retry").post(dead::retry),
        Endpoint::at("/api/v1/events/groups/{group}/dead/discard").post(dead::discard),
    ]
}

impl From<GroupError> for ApiError {
    fn from(err: GroupError) -> Self {
        let text = err.to_string();
        match err {
            GroupError::Unknown => Self::not_found(text).code("GROUP_NOT_FOUND"),
            GroupError::TooMany => Self::new(StatusCode::CONFLICT, text).code("TOO_MANY_GROUPS"),
            GroupError::Ahead => Self::validation(text),
            GroupError::Full => Self::new(StatusCode::CONFLICT, text).code("TOO_MANY_PENDING"),
            GroupError::Database(err) => database_error(&err),
        }
    }
}

/// The group that a path names.
///
/// # Errors
/// 400.
fn key(tenant: &Tenant, name: &str) -> Result<GroupKey, ApiError> {
    check_name("the name of a group", name)?;
    Ok(GroupKey {
        tenant: tenant.0.to_string(),
        name: name.to_owned(),
    })
}

fn check_name(what: &str, name: &str) -> Result<(), ApiError> {
    if is_name(name) {
        return Ok(());
    }
    let text = format!("{what} is 1 to {MAX_NAME} letters, digits, dots, underscores and hyphens");
    Err(ApiError::validation(text))
}

/// Reads the cursors of a request.
///
/// # Errors
/// 400.
fn places(cursors: &[Cow<'_, str>]) -> Result<Vec<u64>, ApiError> {
    if cursors.is_empty() || cursors.len() > MOST_CURSORS {
        let text = format!("cursors must be a list of 1 to {MOST_CURSORS} cursors");
        return Err(ApiError::validation(text));
    }
    cursors.iter().map(|text| cursor(text)).collect()
}
