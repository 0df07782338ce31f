//! How large a request body may be: `http.body`, and more where a client would send a refused body
//! again for ever (contract happy-client.md section 7).

use dormouse_config::HttpSettings;

use super::file_links;

/// The limit of requests for this path, bytes.
#[must_use]
pub fn of(settings: &HttpSettings, path: &str) -> u64 {
    let is_batch = path
        .strip_prefix("/v3/sessions/")
        .is_some_and(|rest| rest.ends_with("/messages"));
    let more = if is_batch {
        settings.messages_body.as_u64()
    } else {
        file_links::body_limit(path).unwrap_or(0)
    };
    settings.body.as_u64().max(more)
}
