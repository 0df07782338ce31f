//! The event side over HTTP (contract events.md): publishing, groups of workers, demonstrations,
//! reports.
//!
//! Every route takes a tenant's key or token ([`tenant::Tenant`]) and touches that tenant's own
//! data only. Errors have the event side's shape, which is chosen by the path.

pub mod calls;
pub mod demo;
pub mod groups;
pub mod health;
pub mod log;
pub mod publish;
pub mod reports;
pub mod tenant;

use super::endpoint::Endpoint;
use super::errors::ApiError;
use crate::database::DatabaseError;
use crate::events::PublishError;

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    let mut all = vec![
        Endpoint::at("/api/v1/events")
            .get(log::read)
            .post(publish::publish),
        Endpoint::at("/api/v1/demo/events/call").post(calls::call),
        Endpoint::at("/api/v1/demo/events/call/sequence").post(calls::sequence),
        Endpoint::at("/api/v1/demo/status").get(demo::status),
        Endpoint::at("/api/v1/demo/toggle").post(demo::toggle),
        Endpoint::at("/api/v1/demo/stats").get(demo::stats),
        Endpoint::at("/api/v1/reporting/metrics").get(reports::metrics),
        Endpoint::at("/api/v1/reporting/calls").get(reports::calls),
        Endpoint::at("/api/v1/reporting/campaigns/{campaignId}").get(reports::campaign),
    ];
    all.extend(groups::endpoints());
    all
}

impl From<PublishError> for ApiError {
    fn from(err: PublishError) -> Self {
        match err {
            PublishError::Busy => Self::unavailable(err.to_string()),
            PublishError::Database(err) => database_error(&err),
        }
    }
}

/// A failure of the database: 503 where another try may help, without its internals.
pub(super) fn database_error(err: &DatabaseError) -> ApiError {
    if err.is_unavailable() {
        tracing::warn!(%err, "the database does not answer a request");
        ApiError::unavailable("the database is not available; try again")
    } else {
        ApiError::internal(err)
    }
}
