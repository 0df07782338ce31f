//! Lists of an account's artifacts, read page by page: an account may have more than one read can
//! bring.

use sqlx::{AnyConnection, Row as _};

use super::{ArtifactHeader, header_columns, read_header};
use crate::sync::error::SyncError;

/// The number of the account's last change of an artifact.
pub const LAST_CHANGE: &str = "SELECT change_seq FROM artifacts WHERE account_id = $1 \
                               ORDER BY change_seq DESC LIMIT 1";

/// All up to a change that come after a time and an id, the last change first. Bodies are not read.
pub const LIST: &str = concat!(
    "SELECT ",
    header_columns!(),
    ", change_seq FROM artifacts WHERE account_id = $1 AND (updated_at, id) < ($4, $5) \
     AND change_seq <= $3 ORDER BY updated_at DESC, id DESC LIMIT $2"
);

/// As [`LIST`], those that changed after a number of the account's sequence; its order is that of
/// the times.
pub const LIST_SINCE: &str = concat!(
    "SELECT ",
    header_columns!(),
    ", change_seq FROM artifacts WHERE account_id = $1 AND change_seq > $4 AND change_seq <= $3 \
     ORDER BY change_seq DESC LIMIT $2"
);

/// A list of an account's artifacts that is read page by page, the last change first.
///
/// It shows what is stored when its first page is read. What is changed or made meanwhile is left
/// out, and is found by the next list since [`Self::last_change`]; what is deleted meanwhile is left
/// out as well.
#[derive(Clone, Debug)]
pub struct Listing {
    since: Option<i64>,
    /// The number up to which changes are shown, once it is known.
    until: Option<i64>,
    /// What was read last: its number, its time, its id.
    after: Option<(i64, i64, String)>,
}

impl Listing {
    /// All artifacts, or those with a change after a number of the account's sequence.
    #[must_use]
    pub fn new(since: Option<i64>) -> Self {
        let (until, after) = (None, None);
        Self {
            since,
            until,
            after,
        }
    }

    /// The number of the last change that the list takes into account.
    #[must_use]
    pub fn last_change(&self) -> i64 {
        self.until.max(self.since).unwrap_or(0)
    }

    /// The next artifacts; fewer than `most` when there are no more.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_page(
        &mut self,
        reader: &mut AnyConnection,
        account: &str,
        most: i64,
    ) -> Result<Vec<ArtifactHeader>, SyncError> {
        let until = match self.until {
            Some(until) => until,
            None => {
                let query = sqlx::query(LAST_CHANGE).bind(account);
                let row = query.fetch_optional(&mut *reader).await?;
                row.map_or(Ok(0), |row| row.try_get(0))?
            }
        };
        self.until = Some(until);
        let query = match (self.since, &self.after) {
            (None, after) => {
                let (at, id) = after
                    .as_ref()
                    .map_or((i64::MAX, ""), |(_, at, id)| (*at, id.as_str()));
                let query = sqlx::query(LIST).bind(account).bind(most).bind(until);
                query.bind(at).bind(id)
            }
            (Some(since), after) => {
                let until = after.as_ref().map_or(until, |(number, ..)| number - 1);
                let query = sqlx::query(LIST_SINCE).bind(account).bind(most);
                query.bind(until).bind(since)
            }
        };
        let rows = query.fetch_all(reader).await?;
        let headers: Vec<ArtifactHeader> =
            rows.iter().map(read_header).collect::<Result<_, _>>()?;
        if let (Some(row), Some(last)) = (rows.last(), headers.last()) {
            self.after = Some((row.try_get(7)?, last.updated_at, last.id.clone()));
        }
        Ok(headers)
    }
}
