//! The admin page: files that are compiled into the binary, at `/admin/`.
//!
//! Plain HTML, CSS and JavaScript modules from `server/admin-page`, with no build step. They hold
//! no secret and ask for no token: what they show comes from the admin API, which does. The policy
//! allows nothing from elsewhere and nothing inline.

use std::sync::LazyLock;

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use dormouse_protocol::ErrorBody;
use sha2::{Digest as _, Sha256};

use super::endpoint::Endpoint;
use super::errors::ApiError;
use crate::app_state::AppState;

/// A file of the page.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// For `If-None-Match`: a hash of the bytes, in quotes.
    tag: String,
}

macro_rules! assets {
    ($($name:literal $content_type:literal,)*) => {
        static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| vec![$(
            asset($name, $content_type, include_bytes!(concat!("../../admin-page/", $name))),
        )*]);
    };
}

assets! {
    "index.html" "text/html; charset=utf-8",
    "style.css" "text/css; charset=utf-8",
    "icon.svg" "image/svg+xml",
    "accounts.js" "text/javascript; charset=utf-8",
    "actions.js" "text/javascript; charset=utf-8",
    "api-keys.js" "text/javascript; charset=utf-8",
    "api.js" "text/javascript; charset=utf-8",
    "audit.js" "text/javascript; charset=utf-8",
    "chart.js" "text/javascript; charset=utf-8",
    "confirm.js" "text/javascript; charset=utf-8",
    "elements.js" "text/javascript; charset=utf-8",
    "feed.js" "text/javascript; charset=utf-8",
    "format.js" "text/javascript; charset=utf-8",
    "invites.js" "text/javascript; charset=utf-8",
    "listing.js" "text/javascript; charset=utf-8",
    "main.js" "text/javascript; charset=utf-8",
    "overview.js" "text/javascript; charset=utf-8",
    "secret.js" "text/javascript; charset=utf-8",
    "shards.js" "text/javascript; charset=utf-8",
    "tiers.js" "text/javascript; charset=utf-8",
    "try-it.js" "text/javascript; charset=utf-8",
    "user.js" "text/javascript; charset=utf-8",
    "users.js" "text/javascript; charset=utf-8",
}

fn asset(name: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Asset {
    let hash = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(bytes));
    Asset {
        name,
        content_type,
        bytes,
        tag: format!("\"{hash}\""),
    }
}

/// The routes.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/admin").get(redirect),
        Endpoint::at("/admin/").get(page),
        Endpoint::at("/admin/{file}").get(asset_of_page),
    ]
}

/// Leads to the admin page: its links are relative, so that it works behind any prefix.
#[utoipa::path(
    get, path = "/admin", tag = "admin", operation_id = "admin_page_redirect",
    responses((status = 308, description = "It is at `/admin/`"))
)]
pub(crate) async fn redirect() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, "admin/"))
        .finish()
}

/// The admin page, for browsers.
#[utoipa::path(
    get, path = "/admin/", tag = "admin",
    responses((status = 200, description = "A page that asks for an admin token", body = String,
               content_type = "text/html"))
)]
pub(crate) async fn page(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    answer(&request, &state, "index.html")
}

/// A file of the admin page.
#[utoipa::path(
    get, path = "/admin/{file}", tag = "admin", operation_id = "admin_page_file",
    params(("file" = String, Path, description = "Its name, such as `main.js`")),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/plain"),
        (status = 304, description = "As `If-None-Match` has it"),
        (status = 404, description = "No such file", body = ErrorBody),
    )
)]
pub(crate) async fn asset_of_page(
    request: HttpRequest,
    state: web::Data<AppState>,
    file: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    answer(&request, &state, &file)
}

fn answer(request: &HttpRequest, state: &AppState, name: &str) -> Result<HttpResponse, ApiError> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset
        .ok_or_else(|| ApiError::not_found(format!("nothing is served at {}", request.path())))?;
    let known = request.headers().get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|tag| tag.as_bytes() == asset.tag.as_bytes());
    let mut response = if is_known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::ETAG, &*asset.tag))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy(state)))
        .insert_header((
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ));
    Ok(if is_known {
        response.finish()
    } else {
        response.content_type(asset.content_type).body(asset.bytes)
    })
}

/// What the page may load and whom it may talk to.
fn policy(state: &AppState) -> &'static str {
    if state.settings.admin.listen.is_empty() {
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'"
    } else {
        // The panel for trying things out connects to an address for users, which is another.
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/admin-page");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut served: Vec<&str> = ASSETS.iter().map(|asset| asset.name).collect();
        served.sort_unstable();
        assert_eq!(files, served);
    }

    #[test]
    fn pages_hold_nothing_that_the_policy_forbids() {
        for asset in ASSETS.iter() {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for forbidden in [
                "<style",
                " style=",
                "onclick=",
                "innerHTML",
                "eval(",
                "javascript:",
            ] {
                assert!(!text.contains(forbidden), "{forbidden} in {}", asset.name);
            }
            // Names of XML vocabularies are no addresses.
            let text = text.replace("http://www.w3.org/", "");
            assert!(
                !text.contains("http://") && !text.contains("https://"),
                "{}",
                asset.name
            );
        }
    }
}
