//! Errors of handlers, in the one JSON shape (REST contract, section 1.3).

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use dormouse_protocol::ErrorBody;
use serde_json::{Map, Value};

use crate::accounts::AccountError;
use crate::auth::Admission;
use crate::clock::iso_now;
use crate::database::DatabaseError;
use crate::sync::SyncError;

/// The header that names a limit of calls per minute (REST contract, section 1.3).
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// The header that says how many calls are left in this minute.
pub const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

/// An answer that is no success. [`super::manners`] adds the request's id.
#[derive(Clone, Debug)]
pub struct ApiError {
    status: StatusCode,
    text: String,
    code: Option<&'static str>,
    fields: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl ApiError {
    /// An error with this status and text.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let (code, fields, headers) = Default::default();
        Self {
            status,
            text: text.into(),
            code,
            fields,
            headers,
        }
    }

    /// 400 with code `VALIDATION_FAILED`.
    pub fn validation(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text).code("VALIDATION_FAILED")
    }

    /// 401: no token, or one that is not good.
    pub fn unauthorized(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, text).header(header::WWW_AUTHENTICATE, "Bearer")
    }

    /// 404.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// 413 for a body over `http.body` (section 1.6).
    pub fn too_large(most: u64) -> Self {
        Self::larger_than("body", most)
    }

    /// 413 for a message over `limits.message`, which no connection could have sent either.
    pub fn message_too_large(most: u64) -> Self {
        Self::larger_than("message", most)
    }

    fn larger_than(what: &str, most: u64) -> Self {
        let text = format!("the {what} is larger than {most} bytes; send less");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, text.clone())
            .code("payload-too-large")
            .field("message", text)
            .field("maxSize", most)
    }

    /// 429 for a call over a rate limit of `what` per minute (section 1.8).
    pub fn too_many(what: &str, admission: Admission) -> Self {
        let (limit, seconds) = (admission.limit, admission.retry_after_s);
        let text = format!("{limit} {what} a minute are the limit; try again in {seconds} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, text)
            .field("retryAfter", seconds)
            .header(header::RETRY_AFTER, &seconds.to_string())
            .header(RATE_LIMIT, &limit.to_string())
            .header(RATE_REMAINING, "0")
    }

    /// 500 with a generic text; what happened goes to the log only.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    /// Adds a stable word for programs.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds a field to the body.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// The whole answer.
    pub fn response(&self, request_id: &str) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response.json(ErrorBody {
            error: self.text.clone(),
            code: self.code.map(str::to_owned),
            request_id: request_id.to_owned(),
            timestamp: iso_now(),
            fields: self.fields.clone(),
        })
    }
}

impl From<DatabaseError> for ApiError {
    fn from(err: DatabaseError) -> Self {
        if !err.is_unavailable() {
            return Self::internal(&err);
        }
        tracing::warn!(%err, "request failed");
        let text =
            "the database is not available at the moment, and nothing was changed; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text).header(header::RETRY_AFTER, "1")
    }
}

impl From<SyncError> for ApiError {
    fn from(err: SyncError) -> Self {
        match err {
            SyncError::NotFound(_) => Self::not_found(err.to_string()),
            SyncError::Invalid(text) => Self::validation(text),
            SyncError::Conflict(text) => Self::new(StatusCode::CONFLICT, text),
            SyncError::Database(err) => err.into(),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(err: AccountError) -> Self {
        let status = match &err {
            AccountError::Database(err) => return err.clone().into(),
            AccountError::NotFound(_) => StatusCode::NOT_FOUND,
            AccountError::BeingDeleted => StatusCode::CONFLICT,
            _ => StatusCode::FORBIDDEN,
        };
        let answer = Self::new(status, err.to_string());
        let answer = match &err {
            AccountError::Pending { account } => answer.field("accountId", account.as_str()),
            _ => answer,
        };
        match err.code() {
            Some(code) => answer.code(code),
            None => answer,
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.response("")
    }
}
