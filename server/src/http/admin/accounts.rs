//! `/admin/v1/accounts`: who may use the server.

use actix_web::{HttpRequest, web};
use dormouse_protocol::ErrorBody;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::audit::{ended, on_record};
use crate::accounts::administration::{self, Account, AccountQuery, Status};
use crate::accounts::{AccountError, removal};
use crate::app_state::AppState;
use crate::audit::AuditAction;
use crate::http::credentials::AdminIdentity;
use crate::http::errors::ApiError;
use crate::http::query::Query;

/// Accounts of one page, by id.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountPage {
    /// The accounts.
    accounts: Vec<Account>,
    /// What to ask the next page with; null on the last one.
    next_cursor: Option<String>,
}

/// What was done to an account.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AccountAnswer {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    /// The account now.
    account: Account,
    /// Connections that were closed.
    closed: u64,
}

/// Lists accounts.
#[utoipa::path(
    get, path = "/admin/v1/accounts", tag = "admin", security(("adminToken" = [])),
    params(
        ("status" = Option<Status>, Query, description = "Only those of this status"),
        ("search" = Option<String>, Query, description = "Only those whose id, public key or \
         username contains this; case does not matter"),
        ("limit" = Option<u64>, Query, description = "1 to 500; 100 if absent", minimum = 1,
         maximum = 500),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses(
        (status = 200, description = "Accounts, by id", body = AccountPage),
        (status = 400, description = "A parameter that cannot be used", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn accounts(
    _: AdminIdentity,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<AccountPage>, ApiError> {
    let query = Query::new(request.query_string());
    let status = match query.text("status")? {
        None => None,
        Some(word) => Some(Status::parse(word).ok_or_else(|| {
            let words = Status::ALL.map(Status::as_str).join(", ");
            ApiError::validation(format!("status must be one of {words}"))
        })?),
    };
    let limit = query.number("limit", 1..=500)?.unwrap_or(100);
    let after = query.text("cursor")?.unwrap_or_default().to_owned();
    if after.contains('\0') {
        return Err(ApiError::validation(
            "cursor must be the nextCursor of a page",
        ));
    }
    let search = query.text("search")?.map(str::to_owned);
    if search.as_ref().is_some_and(|search| search.contains('\0')) {
        return Err(ApiError::validation("search must not contain U+0000"));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let asked = AccountQuery {
        status,
        search,
        after,
        // One more than asked for says whether there is a next page.
        limit: i64::try_from(limit + 1).unwrap_or(i64::MAX),
    };
    let mut accounts = administration::list(&state.database, asked).await?;
    let has_more = accounts.len() > limit;
    accounts.truncate(limit);
    let last = accounts.last().filter(|_| has_more);
    let next_cursor = last.map(|account| account.id.clone());
    Ok(web::Json(AccountPage {
        accounts,
        next_cursor,
    }))
}

/// Shows an account.
#[utoipa::path(
    get, path = "/admin/v1/accounts/{id}", operation_id = "admin_account", tag = "admin", security(("adminToken" = [])),
    params(("id" = String, Path, description = "The account id")),
    responses(
        (status = 200, description = "The account", body = Account),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 404, description = "No such account", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn account(
    _: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<Account>, ApiError> {
    let found = administration::get(&state.database, path.into_inner()).await?;
    let found = found.ok_or(AccountError::NotFound("account of this id"))?;
    Ok(web::Json(found))
}

/// Lets an account in: one that waits for approval, or one that was blocked.
#[utoipa::path(
    post, path = "/admin/v1/accounts/{id}/approve", operation_id = "approve_account", tag = "admin",
    security(("adminToken" = [])),
    params(("id" = String, Path, description = "The account id, or its public key in hex")),
    responses(
        (status = 200, description = "It is let in", body = AccountAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 404, description = "No such account", body = ErrorBody),
        (status = 409, description = "It is being deleted", body = ErrorBody),
        (status = 503, description = "The database is not available; nothing has changed",
         body = ErrorBody),
    )
)]
pub async fn approve(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<AccountAnswer>, ApiError> {
    let id = path.into_inner();
    let action = AuditAction::ApproveAccount;
    let entry = on_record(&state, &admin, action, &*id, json!({})).await?;
    let approving = async {
        let account = administration::approve(&state.database, id).await?;
        state.access.refresh().await?;
        Ok(account)
    };
    let account = ended(
        entry,
        approving.await,
        |account: &Account| json!({"account": account.id}),
    )
    .await?;
    tracing::info!(admin = %admin.0.user, user = account.id, "an admin approved an account");
    Ok(done(account, 0))
}

/// Refuses an account: its key, its tokens, and its open connections (4001).
#[utoipa::path(
    post, path = "/admin/v1/accounts/{id}/block", operation_id = "block_account", tag = "admin", security(("adminToken" = [])),
    params(("id" = String, Path, description = "The account id, or its public key in hex; the id of \
            a user whose tokens come from elsewhere need not be known yet")),
    responses(
        (status = 200, description = "It is blocked", body = AccountAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 404, description = "No user can have this id", body = ErrorBody),
        (status = 503, description = "The database is not available; nothing has changed",
         body = ErrorBody),
    )
)]
pub async fn block(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<AccountAnswer>, ApiError> {
    let id = path.into_inner();
    let action = AuditAction::BlockAccount;
    let entry = on_record(&state, &admin, action, &*id, json!({})).await?;
    let blocking = async {
        let account = administration::block(&state.database, id).await?;
        let closed = state.access.refuse(&account.id).await;
        Ok((account, closed))
    };
    let (account, closed) = ended(
        entry,
        blocking.await,
        |(account, closed): &(Account, u64)| json!({"account": account.id, "closed": closed}),
    )
    .await?;
    tracing::info!(
        admin = %admin.0.user, user = account.id, closed, "an admin blocked an account"
    );
    Ok(done(account, closed))
}

/// Deletes an account with all that it has stored, and refuses its tokens.
#[utoipa::path(
    delete, path = "/admin/v1/accounts/{id}", operation_id = "delete_account", tag = "admin", security(("adminToken" = [])),
    params(("id" = String, Path, description = "The account id, or its public key in hex")),
    responses(
        (status = 200, description = "It is gone", body = AccountAnswer),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 403, description = "A user's token", body = ErrorBody),
        (status = 404, description = "No such account", body = ErrorBody),
        (status = 503, description = "The database is not available; what is left is deleted \
         later", body = ErrorBody),
    )
)]
pub async fn delete(
    admin: AdminIdentity,
    state: web::Data<AppState>,
    path: web::Path<String>,
) -> Result<web::Json<AccountAnswer>, ApiError> {
    let id = path.into_inner();
    let action = AuditAction::DeleteAccount;
    let entry = on_record(&state, &admin, action, &*id, json!({})).await?;
    let deleting = async {
        let account = administration::begin_deletion(&state.database, id).await?;
        let closed = state.access.refuse(&account.id).await;
        tracing::info!(
            admin = %admin.0.user, user = account.id, closed, "an admin deletes an account"
        );
        removal::remove(&state.database, &account.id).await?;
        Ok((account, closed))
    };
    let (account, closed) = ended(
        entry,
        deleting.await,
        |(account, closed): &(Account, u64)| json!({"account": account.id, "closed": closed}),
    )
    .await?;
    Ok(done(account, closed))
}

fn done(account: Account, closed: u64) -> web::Json<AccountAnswer> {
    web::Json(AccountAnswer {
        success: true,
        account,
        closed,
    })
}
