//! `GET /metrics`, and who may read it.

use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use dormouse_config::{MetricsAccess, Settings};
use dormouse_protocol::ErrorBody;

use super::scrape::scrape;
use crate::app_state::AppState;
use crate::http::credentials::AdminIdentity;
use crate::http::endpoint::Endpoint;
use crate::http::errors::ApiError;
use crate::listeners::Surface;

/// The content type of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The route, which every surface has.
pub fn endpoints(surface: Surface) -> Vec<Endpoint> {
    let endpoint = Endpoint::at("/metrics");
    vec![match surface {
        Surface::Main => endpoint.get(on_main),
        Surface::Admin => endpoint.get(on_admin),
    }]
}

/// Metrics in the text format of Prometheus.
///
/// Whether a token is needed is configured (`metrics.access`).
#[utoipa::path(
    get, path = "/metrics", tag = "service", security((), ("adminToken" = [])),
    responses(
        (status = 200, description = "Metrics", body = String, content_type = "text/plain"),
        (status = 401, description = "A token is needed, and there is none or a bad one",
         body = ErrorBody),
        (status = 403, description = "An admin token is needed, and this is a user's",
         body = ErrorBody),
    )
)]
pub(crate) async fn on_main(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    answer(&request, &state, Surface::Main).await
}

async fn on_admin(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    answer(&request, &state, Surface::Admin).await
}

async fn answer(
    request: &HttpRequest,
    state: &AppState,
    surface: Surface,
) -> Result<HttpResponse, ApiError> {
    if needs_admin(&state.settings, surface) {
        AdminIdentity::extract(request).await?;
    }
    let text = scrape(state)
        .await
        .map_err(|err| ApiError::internal(&err))?;
    Ok(HttpResponse::Ok().content_type(TEXT_FORMAT).body(text))
}

/// Whether a surface asks for an admin token. What is open on an address of its own is not yet
/// open to the world: user ids are among the labels.
fn needs_admin(settings: &Settings, surface: Surface) -> bool {
    match (surface, settings.metrics.access) {
        (Surface::Main, MetricsAccess::Auto) => settings.is_production(),
        _ => settings.metrics_need_admin(),
    }
}

#[cfg(test)]
mod tests {
    use dormouse_config::Loader;

    use super::*;

    #[test]
    fn an_address_for_admins_opens_no_metrics_to_the_world() {
        let secret = ("auth.secret", "0123456789abcdef0123456789abcdef");
        let own = ("admin.listen", "127.0.0.1:0");
        // Flags, whether the main surface asks for a token, whether the admin surface does.
        for (flags, main, admin) in [
            (&[][..], false, false),
            (&[own], false, false),
            (&[secret], true, true),
            (&[secret, own], true, false),
            (&[secret, own, ("metrics.access", "open")], false, false),
            (&[secret, own, ("metrics.access", "admin")], true, true),
            (&[("metrics.access", "admin")], true, true),
        ] {
            let loader = flags.iter().fold(Loader::new(), |loader, (key, value)| {
                loader.flag(*key, *value)
            });
            let settings = loader.load().unwrap().settings;
            assert_eq!(needs_admin(&settings, Surface::Main), main, "{flags:?}");
            assert_eq!(needs_admin(&settings, Surface::Admin), admin, "{flags:?}");
        }
    }
}
