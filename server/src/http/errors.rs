//! Errors of handlers, in the one JSON shape (REST contract, section 1.3).

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use dormouse_protocol::{ErrorBody, EventError, EventErrorBody};
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

/// What the paths of the event side begin with.
const EVENT_SIDE: &str = "/api/v1/";

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

    /// 413 for a file over what was announced, or over what files may have.
    pub fn file_too_large(most: u64) -> Self {
        Self::larger_than("file", most)
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

    /// 503, worth another try in a second.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
            .field("retryAfter", 1)
            .header(header::RETRY_AFTER, "1")
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

    /// The whole answer to a request for this path: the event side has a shape of its own (contract
    /// events.md section 1).
    pub fn response_at(&self, path: &str, request_id: &str) -> HttpResponse {
        if !path.starts_with(EVENT_SIDE) {
            return self.response(request_id);
        }
        let mut details = self.fields.clone();
        let retry_after = details
            .remove("retryAfter")
            .and_then(|after| after.as_u64());
        self.builder().json(EventErrorBody {
            error: EventError {
                code: self.event_code().to_owned(),
                message: self.text.clone(),
                request_id: request_id.to_owned(),
                retry_after,
                details,
            },
        })
    }

    /// The word of the event side, which has one for every error.
    fn event_code(&self) -> &'static str {
        // What is shared with the other routes has their words, in lowercase, or none.
        let own = self.code.filter(|code| !code.contains('-'));
        match (self.status.as_u16(), own) {
            (400, _) => "BAD_REQUEST",
            (_, Some(code)) => code,
            (401, None) => "UNAUTHORIZED",
            (403, None) => "FORBIDDEN",
            (404, None) => "NOT_FOUND",
            (405, None) => "METHOD_NOT_ALLOWED",
            (409, None) => "CONFLICT",
            (413, None) => "PAYLOAD_TOO_LARGE",
            (429, None) => "RATE_LIMIT_EXCEEDED",
            (503, None) => "SERVICE_UNAVAILABLE",
            (400..500, None) => "BAD_REQUEST",
            _ => "INTERNAL_ERROR",
        }
    }

    fn builder(&self) -> actix_web::HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status);
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response
    }

    /// The whole answer.
    pub fn response(&self, request_id: &str) -> HttpResponse {
        self.builder().json(ErrorBody {
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
            AccountError::RequestNotFound | AccountError::NotFound(_) => StatusCode::NOT_FOUND,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_fault_of_the_server_says_nothing_of_its_cause() {
        let failure = DatabaseError::Internal("no such column: secret_1".to_owned());
        for err in [ApiError::internal(&"secret_1 at 10.0.0.1"), failure.into()] {
            for path in ["/v1/sessions", "/api/v1/events"] {
                let answer = err.response_at(path, "r");
                assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
                let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
                let body = String::from_utf8_lossy(&body);
                assert!(body.contains("internal error"), "{body}");
                assert!(!body.contains("secret") && !body.contains("10.0"), "{body}");
            }
        }
    }
}
