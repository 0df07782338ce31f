//! One report: the statement that reads it, and what comes back.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::super::call_record::RecordStatus;
use super::super::rollup::{DAY, HOUR, WIDTHS};
use super::super::rows;
use super::range::{Piece, split};
use super::tally::Tally;
use crate::database::{DatabaseError, Reader};

/// By what a report is broken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Not at all.
    None,
    /// Hours in UTC.
    Hour,
    /// Days in UTC.
    Day,
    /// Campaigns.
    Campaign,
    /// How calls ended.
    Status,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportQuery {
    /// Whose calls.
    pub tenant: String,
    /// From this moment, Unix ms,
    pub from: i64,
    /// to before this one.
    pub to: i64,
    /// Only this campaign's.
    pub campaign: Option<String>,
    /// Only this publisher's.
    pub publisher: Option<String>,
    /// Only this buyer's.
    pub buyer: Option<String>,
    /// How it is broken down.
    pub grouping: Grouping,
}

/// What a part of a report is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Everything.
    All,
    /// The bucket that begins here, Unix ms.
    Bucket(i64),
    /// A campaign; empty for calls without one.
    Campaign(String),
    /// Calls that ended so.
    Status(RecordStatus),
}

/// Reads a report: sums by group, in order. Groups without a call are left out.
///
/// # Errors
/// Those of the database.
pub async fn report(
    reader: &mut Reader,
    query: &ReportQuery,
) -> Result<BTreeMap<Group, Tally>, DatabaseError> {
    let widest = match query.grouping {
        Grouping::Hour => HOUR,
        _ => DAY,
    };
    let pieces = split(query.from, query.to, widest);
    let mut groups: BTreeMap<Group, Tally> = BTreeMap::new();
    if pieces.is_empty() {
        return Ok(groups);
    }
    let (text, values) = statement(query, &pieces);
    let mut statement = rows::statement(text);
    for value in values {
        statement = match value {
            Bound::Text(text) => statement.bind(text),
            Bound::Number(number) => statement.bind(number),
        };
    }
    for row in statement.fetch_all(reader).await? {
        let status: String = row.try_get(2)?;
        // Nothing else is ever written.
        let Some(status) = RecordStatus::parse(&status) else {
            continue;
        };
        let group = match query.grouping {
            Grouping::None => Group::All,
            Grouping::Hour | Grouping::Day => Group::Bucket(row.try_get(0)?),
            Grouping::Campaign => Group::Campaign(row.try_get(1)?),
            Grouping::Status => Group::Status(status),
        };
        let sums = Tally {
            calls: row.try_get(3)?,
            duration: row.try_get(4)?,
            billable_duration: row.try_get(5)?,
            cost_micros: price(row.try_get(6)?, row.try_get(7)?),
            handled: row.try_get(8)?,
            handle_ms: row.try_get(9)?,
            ..Tally::default()
        };
        groups
            .entry(group)
            .or_default()
            .add(&sums.of_status(status));
    }
    Ok(groups)
}

/// A price in millionths, of its whole part and its millionths; the largest number if it is larger.
pub fn price(whole: i64, micros: i64) -> i64 {
    whole.saturating_mul(1_000_000).saturating_add(micros)
}

/// A value of a statement.
enum Bound {
    Text(String),
    Number(i64),
}

/// One statement for all pieces. Its text depends on the shape of the question alone, so that few
/// have to be prepared.
fn statement(query: &ReportQuery, pieces: &[Piece]) -> (String, Vec<Bound>) {
    let mut values = vec![Bound::Text(query.tenant.clone())];
    let mut filters = String::new();
    for (column, value) in [
        ("campaign_id", &query.campaign),
        ("publisher_id", &query.publisher),
        ("buyer_id", &query.buyer),
    ] {
        if let Some(value) = value {
            values.push(Bound::Text(value.clone()));
            filters.push_str(&format!(" AND {column} = ${}", values.len()));
        }
    }
    let bucket_of = |column: &str| match query.grouping {
        Grouping::Hour => format!("({column} / {HOUR}) * {HOUR}"),
        Grouping::Day => format!("({column} / {DAY}) * {DAY}"),
        _ => "CAST(0 AS BIGINT)".to_owned(),
    };
    let campaign = match query.grouping {
        Grouping::Campaign => "campaign_id",
        _ => "''",
    };
    // What asks for no part is read from the sums over everything: far fewer rows.
    let table = match query.grouping {
        Grouping::Campaign => "call_rollups",
        _ if filters.is_empty() => "call_totals",
        _ => "call_rollups",
    };
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        values.extend([Bound::Number(piece.from), Bound::Number(piece.to)]);
        let (from, to) = (values.len() - 1, values.len());
        parts.push(match piece.width {
            Some(width) => {
                debug_assert!(WIDTHS.contains(&width));
                format!(
                    "SELECT {} AS bucket_at, {campaign} AS campaign, status, calls, duration, \
                     billable_duration, cost_micros, handled, handle_ms FROM {table} \
                     WHERE tenant_id = $1 AND width = {width} AND bucket >= ${from} \
                     AND bucket < ${to}{filters}",
                    bucket_of("bucket"),
                )
            }
            None => format!(
                "SELECT {} AS bucket_at, {campaign} AS campaign, status, CAST(1 AS BIGINT), \
                 duration, billable_duration, cost_micros, \
                 CAST(CASE WHEN handle_ms IS NULL THEN 0 ELSE 1 END AS BIGINT), \
                 COALESCE(handle_ms, 0) FROM call_records \
                 WHERE tenant_id = $1 AND created_at >= ${from} AND created_at < ${to}{filters}",
                bucket_of("created_at"),
            ),
        });
    }
    let sums = [
        "calls",
        "duration",
        "billable_duration",
        // Apart, since the sum of the largest prices would not fit.
        "cost_micros / 1000000",
        "cost_micros % 1000000",
        "handled",
        "handle_ms",
    ]
    .map(|column| format!("CAST(SUM({column}) AS BIGINT)"))
    .join(", ");
    // The names of a union are those of its first part.
    let named = "SELECT CAST(0 AS BIGINT) AS bucket_at, '' AS campaign, '' AS status, \
                 CAST(0 AS BIGINT) AS calls, CAST(0 AS BIGINT) AS duration, \
                 CAST(0 AS BIGINT) AS billable_duration, CAST(0 AS BIGINT) AS cost_micros, \
                 CAST(0 AS BIGINT) AS handled, CAST(0 AS BIGINT) AS handle_ms WHERE 1 = 0";
    let text = format!(
        "SELECT bucket_at, campaign, status, {sums} FROM ({named} UNION ALL {}) AS pieces \
         GROUP BY bucket_at, campaign, status",
        parts.join(" UNION ALL "),
    );
    (text, values)
}
