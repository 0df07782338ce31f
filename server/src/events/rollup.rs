//! Sums of call records by minute, hour and day, kept in the transaction that writes the records.
//!
//! With them, a report reads at most two minutes of rows, and otherwise sums.

use std::collections::BTreeMap;

use super::call_record::CallRecord;
use super::rows;
use crate::database::{DatabaseError, Tx};

/// A minute, ms.
pub const MINUTE: i64 = 60_000;
/// An hour, ms.
pub const HOUR: i64 = 60 * MINUTE;
/// A day, ms. Unix time knows no leap seconds, so each UTC day has as many.
pub const DAY: i64 = 24 * HOUR;

/// The widths of buckets, finest first; each divides the next.
pub const WIDTHS: [i64; 3] = [MINUTE, HOUR, DAY];

/// The beginning of the bucket that a time is in.
pub const fn bucket(at: i64, width: i64) -> i64 {
    at.div_euclid(width) * width
}

/// What a bucket is for. In the order of the table's key, so that writes go through it in order.
type Key<'a> = (&'a str, i64, i64, &'a str, &'a str, &'a str, &'static str);

/// Sums over some records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    calls: i64,
    duration: i64,
    billable_duration: i64,
    cost_micros: i64,
    handled: i64,
    handle_ms: i64,
}

/// Adds records to the sums.
///
/// # Errors
/// Those of the database.
pub async fn add(tx: &mut Tx, records: &[&CallRecord]) -> Result<(), DatabaseError> {
    let mut all: BTreeMap<Key<'_>, Sums> = BTreeMap::new();
    for record in records {
        for width in WIDTHS {
            let key = (
                &*record.tenant,
                width,
                bucket(record.created_at, width),
                record.campaign_id.as_str(),
                record.publisher_id.as_str(),
                record.buyer_id.as_str(),
                record.status.as_str(),
            );
            let sums = all.entry(key).or_default();
            sums.calls += 1;
            sums.duration = sums.duration.saturating_add(record.duration);
            sums.billable_duration = sums
                .billable_duration
                .saturating_add(record.billable_duration);
            sums.cost_micros = sums.cost_micros.saturating_add(record.cost_micros);
            if let Some(handle_ms) = record.handle_ms {
                sums.handled += 1;
                sums.handle_ms = sums.handle_ms.saturating_add(handle_ms);
            }
        }
    }
    let all: Vec<(Key<'_>, Sums)> = all.into_iter().collect();
    for piece in rows::pieces(&all) {
        let text = format!(
            "INSERT INTO call_rollups (tenant_id, width, bucket, campaign_id, publisher_id, \
             buyer_id, status, calls, duration, billable_duration, cost_micros, handled, \
             handle_ms) VALUES {} \
             ON CONFLICT (tenant_id, width, bucket, campaign_id, publisher_id, buyer_id, status) \
             DO UPDATE SET calls = call_rollups.calls + excluded.calls, \
             duration = call_rollups.duration + excluded.duration, \
             billable_duration = call_rollups.billable_duration + excluded.billable_duration, \
             cost_micros = call_rollups.cost_micros + excluded.cost_micros, \
             handled = call_rollups.handled + excluded.handled, \
             handle_ms = call_rollups.handle_ms + excluded.handle_ms",
            rows::values(piece.len(), 13),
        );
        let mut query = rows::statement(text);
        for ((tenant, width, bucket, campaign, publisher, buyer, status), sums) in piece {
            query = query
                .bind((*tenant).to_owned())
                .bind(*width)
                .bind(*bucket)
                .bind((*campaign).to_owned())
                .bind((*publisher).to_owned())
                .bind((*buyer).to_owned())
                .bind(*status)
                .bind(sums.calls)
                .bind(sums.duration)
                .bind(sums.billable_duration)
                .bind(sums.cost_micros)
                .bind(sums.handled)
                .bind(sums.handle_ms);
        }
        query.execute(tx.connection()).await?;
    }
    Ok(())
}
