//! What admins see and do, under `/admin/v1`.
//!
//! Every route takes an admin's own token ([`super::credentials::AdminIdentity`]), wherever it is
//! served. Reading wakes no shard, except for the attachments of one user's connections. Whatever
//! changes something is put on record in the audit log before it is done, and logged, with who did
//! it and to whom; never with a token.

pub mod accounts;
pub mod api_keys;
pub mod audit;
pub mod broadcast;
pub mod disconnect;
pub mod drain;
pub mod invites;
pub mod overview;
pub mod shard_page;
pub mod shards;
pub mod tier;
pub mod try_it;
pub mod user_list;
pub mod users;

use serde::Serialize;
use utoipa::ToSchema;

use super::endpoint::Endpoint;
use super::errors::ApiError;

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/admin/v1/overview").get(overview::overview),
        Endpoint::at("/admin/v1/shards").get(shards::shards),
        Endpoint::at("/admin/v1/users").get(user_list::users),
        Endpoint::at("/admin/v1/users/{id}").get(users::user),
        Endpoint::at("/admin/v1/users/{id}/disconnect").post(disconnect::disconnect_user),
        Endpoint::at("/admin/v1/users/{id}/tier")
            .put(tier::set_tier)
            .delete(tier::clear_tier),
        Endpoint::at("/admin/v1/connections/{id}").delete(disconnect::close_connection),
        Endpoint::at("/admin/v1/accounts").get(accounts::accounts),
        Endpoint::at("/admin/v1/accounts/{id}")
            .get(accounts::account)
            .delete(accounts::delete),
        Endpoint::at("/admin/v1/accounts/{id}/approve").post(accounts::approve),
        Endpoint::at("/admin/v1/accounts/{id}/block").post(accounts::block),
        Endpoint::at("/admin/v1/invites")
            .get(invites::list)
            .post(invites::create),
        Endpoint::at("/admin/v1/invites/{id}").delete(invites::revoke),
        Endpoint::at("/admin/v1/api-keys")
            .get(api_keys::list)
            .post(api_keys::create),
        Endpoint::at("/admin/v1/api-keys/{id}").delete(api_keys::revoke),
        Endpoint::at("/admin/v1/broadcast").post(broadcast::broadcast),
        Endpoint::at("/admin/v1/broadcast/preview").post(broadcast::preview),
        Endpoint::at("/admin/v1/drain").post(drain::drain),
        Endpoint::at("/admin/v1/audit").get(audit::audit),
        Endpoint::at("/admin/v1/try-it").post(try_it::try_it),
    ]
}

/// Where a user's tier comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TierOrigin {
    /// The configured default.
    Default,
    /// The `tier` claim of the token that the latest connection came with.
    Token,
    /// An admin's override.
    Override,
}

impl From<dormouse_shard::shards::TierSource> for TierOrigin {
    fn from(source: dormouse_shard::shards::TierSource) -> Self {
        use dormouse_shard::shards::TierSource;
        match source {
            TierSource::Default => Self::Default,
            TierSource::Token => Self::Token,
            TierSource::Override => Self::Override,
        }
    }
}

/// The tier of this name.
///
/// # Errors
/// 400, naming the tiers that there are.
fn find_tier(
    workers: &dormouse_shard::Workers,
    name: &str,
) -> Result<dormouse_shard::tier::TierId, ApiError> {
    workers.tiers().find(name).ok_or_else(|| {
        let known: Vec<&str> = workers
            .tiers()
            .iter()
            .map(|(_, tier)| &*tier.name)
            .collect();
        let known = known.join(", ");
        ApiError::validation(format!("there is no tier {name:?}; use one of {known}"))
    })
}
