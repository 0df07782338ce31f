//! The list of artifacts (REST contract, section 6), the one list that has no length of its own.
//!
//! Without `limit` it is as long as the account has artifacts. So it is read and sent page by page, as
//! fast as its reader takes it: no read takes long, and no answer is held in memory as a whole.

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use dormouse_protocol::ErrorBody;
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use utoipa::ToSchema;

use super::{count, read};
use crate::app_state::AppState;
use crate::http::credentials::UserIdentity;
use crate::http::errors::ApiError;
use crate::http::query::Query;
use crate::sync::artifacts::ArtifactHeader;
use crate::sync::artifacts::list::Listing;

/// Most artifacts of one read, and of a list with a `limit`.
const PAGE: u32 = 1000;

/// Artifacts without their bodies.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactList {
    artifacts: Vec<ArtifactHeader>,
    /// The number of the last change that the list knows of, for `sinceSeq`.
    max_seq: i64,
}

/// Artifacts without their bodies, the last change first.
///
/// A list of more than 1,000 is sent as it is read. What changes meanwhile is left out of it, and is in
/// the next one since `maxSeq`. One that cannot be read to its end breaks off, and its JSON with it.
#[utoipa::path(
    get, path = "/v1/artifacts", operation_id = "artifacts_list", tag = "sync",
    security(("userToken" = [])),
    params(
        ("sinceSeq" = Option<u64>, Query, minimum = 0, maximum = 9007199254740991_u64,
         description = "Only those with a later change: `maxSeq` of an earlier list"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "All, if absent"),
    ),
    responses(
        (status = 200, description = "Artifacts", body = ArtifactList),
        (status = 400, description = "A bad number", body = ErrorBody),
        (status = 401, description = "No token, or a bad one", body = ErrorBody),
        (status = 503, description = "The database is not available", body = ErrorBody),
    )
)]
pub async fn list(
    user: UserIdentity,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query = Query::new(request.query_string());
    let since = query.number("sinceSeq", 0..=i64::MAX as u64)?;
    let since = since.map(|since| count(Some(since), 0));
    let limit = query.number("limit", 1..=u64::from(PAGE))?;
    let most = count(limit, i64::from(PAGE));
    let (first, listing) = next_page(&state, &user, Listing::new(since), most).await?;
    if limit.is_some() || is_last(&first) {
        return Ok(HttpResponse::Ok().json(ArtifactList {
            artifacts: first,
            max_seq: listing.last_change(),
        }));
    }
    let beginning = format!("{{\"artifacts\":[{}", items(&first)?);
    let beginning = stream::once(async move { Ok(Bytes::from(beginning)) });
    Ok(HttpResponse::Ok()
        .content_type(ContentType::json())
        .streaming(beginning.chain(rest(state, user, listing))))
}

/// What comes behind the first page: the others, and the end of the answer.
fn rest(
    state: web::Data<AppState>,
    user: UserIdentity,
    listing: Listing,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    stream::try_unfold(Some(listing), move |listing| {
        let (state, user) = (state.clone(), user.clone());
        async move {
            let Some(listing) = listing else {
                return Ok::<_, actix_web::Error>(None);
            };
            let (page, listing) = next_page(&state, &user, listing, i64::from(PAGE)).await?;
            let comma = if page.is_empty() { "" } else { "," };
            let mut text = format!("{comma}{}", items(&page)?);
            let more = if is_last(&page) {
                text.push_str(&format!("],\"maxSeq\":{}}}", listing.last_change()));
                None
            } else {
                Some(listing)
            };
            Ok(Some((Bytes::from(text), more)))
        }
    })
}

async fn next_page(
    state: &AppState,
    user: &UserIdentity,
    mut listing: Listing,
    most: i64,
) -> Result<(Vec<ArtifactHeader>, Listing), ApiError> {
    let reading = read(state, user, async move |reader, account| {
        let page = listing.next_page(reader, account, most).await?;
        Ok((page, listing))
    });
    reading.await
}

fn is_last(page: &[ArtifactHeader]) -> bool {
    page.len() < PAGE as usize
}

/// Artifacts as they stand between the brackets of a JSON array.
fn items(artifacts: &[ArtifactHeader]) -> Result<String, ApiError> {
    let json = serde_json::to_string(artifacts).map_err(|err| ApiError::internal(&err))?;
    let inner = json
        .strip_prefix('[')
        .and_then(|json| json.strip_suffix(']'));
    Ok(inner.unwrap_or_default().to_owned())
}
