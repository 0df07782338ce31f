//! What every answer has in common: request ids, timing, CORS, body limits, one error shape
//! (REST contract, section 1).

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse, web};
use dormouse_config::CorsOrigin;

use super::body_limit;
use super::errors::ApiError;
use super::raw_response::request_id;
use crate::app_state::AppState;
use crate::listeners::Surface;
use crate::socket_io::Pages;

const METHODS: &str = "GET, POST, PUT, DELETE, PATCH, OPTIONS";
const REQUEST_HEADERS: &str = "Content-Type, Authorization, X-Requested-With, X-Request-Id, \
                               X-Client-Version, X-Happy-Client, X-Correlation-Id, X-API-Key, X-Tenant-Id, \
                               X-Demo-Tenant-Id, Idempotency-Key, X-Invite-Code";
const EXPOSED: &str = "Content-Length, X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, \
                       X-RateLimit-Reset, Retry-After, X-Response-Time, Server-Timing, X-Correlation-Id";

/// How a caller stands with a rate limit; kept with the request, told in the answer's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateStanding {
    /// Requests a minute.
    pub limit: u32,
    /// Requests left in this one.
    pub remaining: u32,
    /// When the next minute begins, ISO 8601.
    pub resets_at: String,
}

/// How long parts of a request's work took, by name; kept with the request, told in `Server-Timing`.
#[derive(Clone, Debug)]
pub struct PartTimes(pub Vec<(&'static str, Duration)>);

/// The middleware around all routes.
///
/// # Errors
/// Those of inner middleware; errors of handlers are answers already.
pub async fn manners(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let state = request
        .app_data::<web::Data<AppState>>()
        .cloned()
        .map(web::Data::into_inner);
    let id = request_id(request.headers());
    let correlation = request.headers().get("x-correlation-id").cloned();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let pages = state.as_deref().and_then(|state| {
        let (path, query) = (request.path(), request.query_string());
        let mount = state.socket_io.mount_of(Surface::Main, path, query)?;
        let origin = origin.as_ref().map(|origin| origin.to_str().unwrap_or("?"));
        Some(state.socket_io.pages(mount, origin))
    });
    let mut response = match early_answer(&request, state.as_deref()) {
        Some(answer) => request.into_response(answer),
        // The request must not be cloned before: routing needs it alone.
        None => next.call(request).await?.map_into_boxed_body(),
    };
    if let Some(answer) = rewritten(&response, response.request().path(), &id) {
        response = response.into_response(answer);
    }
    let status = response.status();
    let took = began.elapsed();
    let timing = server_timing(took, response.request());
    let headers = response.headers_mut();
    set(headers, "x-request-id", &id);
    set(
        headers,
        "x-response-time",
        &format!("{}ms", took.as_millis()),
    );
    set(headers, "server-timing", &timing);
    if let Some(correlation) = correlation {
        headers.insert(HeaderName::from_static("x-correlation-id"), correlation);
    }
    let is_development = state.as_deref().is_none_or(|state| state.is_development());
    secure(headers, is_development);
    let listed = state
        .as_deref()
        .map_or(&[][..], |state| &state.settings.http.cors_origins);
    match pages {
        Some(Pages::Any) => set(headers, "access-control-allow-origin", "*"),
        Some(pages) => {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
            if let Pages::Of(origin) = pages {
                set(headers, "access-control-allow-origin", origin);
            }
        }
        None => allow_origin(headers, origin.as_ref(), listed, is_development),
    }
    let rate = response
        .request()
        .extensions()
        .get::<RateStanding>()
        .cloned();
    if let Some(rate) = rate {
        let headers = response.headers_mut();
        set(headers, "x-ratelimit-limit", &rate.limit.to_string());
        set(
            headers,
            "x-ratelimit-remaining",
            &rate.remaining.to_string(),
        );
        set(headers, "x-ratelimit-reset", &rate.resets_at);
    }
    // The path alone: queries may hold tokens and tickets.
    let plain = response.request();
    if let Some(state) = &state {
        let route = plain.match_pattern();
        let http = &state.counters.http;
        http.count(plain.method(), route.as_deref(), status, took);
    }
    tracing::debug!(
        method = %plain.method(), path = plain.path(), status = status.as_u16(), millis = millis(took),
        request = id, "answered"
    );
    Ok(response)
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

/// The value of `Server-Timing`: the whole, then the parts that the handler has told.
fn server_timing(took: Duration, request: &HttpRequest) -> String {
    let mut timing = format!("total;dur={:.1};desc=\"Total request time\"", millis(took));
    let extensions = request.extensions();
    for (name, took) in extensions
        .get::<PartTimes>()
        .into_iter()
        .flat_map(|times| &times.0)
    {
        // Writing to a string does not fail.
        let _ = write!(timing, ", {name};dur={:.1}", millis(*took));
    }
    timing
}

/// Answers that need no handler: preflights, and bodies that say they are too large.
fn early_answer(request: &ServiceRequest, state: Option<&AppState>) -> Option<HttpResponse> {
    let method = request.method();
    if *method == Method::OPTIONS {
        return Some(
            HttpResponse::NoContent()
                .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
                .insert_header((
                    header::ACCESS_CONTROL_ALLOW_HEADERS,
                    request_headers(request),
                ))
                .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
                .finish(),
        );
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let most = body_limit::of(&state?.settings.http, request.path());
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse::<u64>()
        .ok()?;
    (length > most).then(|| ApiError::too_large(most).response(""))
}

/// The headers that a page may send: what it asks for where any may be, else the usual ones.
fn request_headers(request: &ServiceRequest) -> HeaderValue {
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .filter(|_| request.query_string().contains("EIO="));
    let usual = HeaderValue::from_static(REQUEST_HEADERS);
    asked.cloned().unwrap_or(usual)
}

/// Errors get the request's id, and those of the framework the common shape.
fn rewritten(response: &ServiceResponse<BoxBody>, path: &str, id: &str) -> Option<HttpResponse> {
    let status = response.status();
    if let Some(err) = response.response().error() {
        if let Some(err) = err.as_error::<ApiError>() {
            return Some(err.response_at(path, id));
        }
        return Some(framework_error(status, &err.to_string(), path).response_at(path, id));
    }
    // Answers that the framework or `early_answer` made without an error value. Those with a text
    // of their own, such as the refusals of handshakes, stay as they are.
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_json = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let is_bare = content_type.is_none();
    match status {
        StatusCode::PAYLOAD_TOO_LARGE if is_json => {
            let most = response.request().app_data::<web::Data<AppState>>()?;
            let most = body_limit::of(&most.settings.http, path);
            Some(ApiError::too_large(most).response_at(path, id))
        }
        StatusCode::METHOD_NOT_ALLOWED if is_bare => {
            let text = format!("this method is not allowed at {path}");
            let mut answer = ApiError::new(status, text).response_at(path, id);
            if let Some(allow) = response.headers().get(header::ALLOW) {
                answer.headers_mut().insert(header::ALLOW, allow.clone());
            }
            Some(answer)
        }
        status if (status.is_client_error() || status.is_server_error()) && is_bare => {
            Some(framework_error(status, "", path).response_at(path, id))
        }
        _ => None,
    }
}

fn framework_error(status: StatusCode, text: &str, path: &str) -> ApiError {
    match status {
        StatusCode::NOT_FOUND => ApiError::not_found(format!("nothing is served at {path}")),
        status if status.is_server_error() => ApiError::internal(&text),
        status => {
            let reason = status.canonical_reason().unwrap_or("bad request");
            ApiError::new(status, if text.is_empty() { reason } else { text })
        }
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn secure(headers: &mut HeaderMap, is_development: bool) {
    let all = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        (
            "permissions-policy",
            "camera=(), microphone=(), geolocation=(), payment=()",
        ),
    ];
    for (name, value) in all {
        set(headers, name, value);
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        set(
            headers,
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        );
    }
    if !is_development {
        set(headers, "strict-transport-security", "max-age=31536000");
    }
}

/// Who may read the answer from a page (section 1.5).
#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    /// `*`, and no credentials.
    Any,
    /// This origin, with credentials.
    Origin,
    /// Nobody.
    None,
}

fn judge_origin(origin: Option<&str>, listed: &[CorsOrigin], is_development: bool) -> Allowed {
    let Some(origin) = origin else {
        return Allowed::Any;
    };
    let is_listed = listed.iter().any(|listed| listed.as_str() == origin);
    if is_listed || is_development || is_local(origin) {
        Allowed::Origin
    } else {
        Allowed::None
    }
}

/// Whether the host is `localhost` or `127.0.0.1`, on any port. The parsed host is compared: to
/// look for the word anywhere would let `localhost.evil.example` in.
fn is_local(origin: &str) -> bool {
    let Ok(uri) = origin.parse::<actix_web::http::Uri>() else {
        return false;
    };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && matches!(uri.host(), Some("localhost" | "127.0.0.1"))
}

fn allow_origin(
    headers: &mut HeaderMap,
    origin: Option<&HeaderValue>,
    listed: &[CorsOrigin],
    is_development: bool,
) {
    let text = origin.map(|origin| origin.to_str().unwrap_or("?"));
    match (judge_origin(text, listed, is_development), origin) {
        (Allowed::Any, _) => set(headers, "access-control-allow-origin", "*"),
        (Allowed::Origin, Some(origin)) => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            set(headers, "access-control-allow-credentials", "true");
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        _ => headers.append(header::VARY, HeaderValue::from_static("Origin")),
    }
    set(headers, "access-control-expose-headers", EXPOSED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_judged_by_their_exact_host() {
        let listed = dormouse_config::Loader::new()
            .flag("http.cors_origins", "https://app.example.com")
            .load()
            .unwrap()
            .settings
            .http
            .cors_origins;
        let judge = |origin| judge_origin(Some(origin), &listed, false);
        assert_eq!(judge_origin(None, &listed, false), Allowed::Any);
        for good in [
            "https://app.example.com",
            "http://localhost:5173",
            "http://127.0.0.1:3000",
        ] {
            assert_eq!(judge(good), Allowed::Origin, "{good}");
        }
        for bad in [
            "https://localhost.evil.example",
            "https://evil.example/localhost",
            "http://app.example.com",
            "https://app.example.com.evil.example",
            "null",
            "file://localhost",
        ] {
            assert_eq!(judge(bad), Allowed::None, "{bad}");
        }
        assert_eq!(
            judge_origin(Some("https://x.example"), &[], true),
            Allowed::Origin
        );
    }
}
