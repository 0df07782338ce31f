//! Sums of call records by minute, hour and day, kept in the transaction that writes the records.
//!
//! With them, a report reads at most two minutes of rows, and otherwise sums: by campaign, publisher
//! and buyer, or over all of them for reports that ask for none.

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

/// The same of the sums over everything.
type TotalKey<'a> = (&'a str, i64, i64, &'static str);

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

impl Sums {
    /// The columns, in the order of [`Self::values`].
    const COLUMNS: [&'static str; 6] = [
        "calls",
        "duration",
        "billable_duration",
        "cost_micros",
        "handled",
        "handle_ms",
    ];

    fn add(&mut self, record: &CallRecord) {
        self.calls += 1;
        self.duration = self.duration.saturating_add(record.duration);
        self.billable_duration = self
            .billable_duration
            .saturating_add(record.billable_duration);
        self.cost_micros = self.cost_micros.saturating_add(record.cost_micros);
        if let Some(handle_ms) = record.handle_ms {
            self.handled += 1;
            self.handle_ms = self.handle_ms.saturating_add(handle_ms);
        }
    }

    fn values(&self) -> [i64; 6] {
        [
            self.calls,
            self.duration,
            self.billable_duration,
            self.cost_micros,
            self.handled,
            self.handle_ms,
        ]
    }
}

/// Adds records to the sums.
///
/// # Errors
/// Those of the database.
pub async fn add(tx: &mut Tx, records: &[&CallRecord]) -> Result<(), DatabaseError> {
    let mut parts: BTreeMap<Key<'_>, Sums> = BTreeMap::new();
    let mut totals: BTreeMap<TotalKey<'_>, Sums> = BTreeMap::new();
    for record in records {
        let (tenant, status) = (&*record.tenant, record.status.as_str());
        for width in WIDTHS {
            let bucket = bucket(record.created_at, width);
            let key = (
                tenant,
                width,
                bucket,
                record.campaign_id.as_str(),
                record.publisher_id.as_str(),
                record.buyer_id.as_str(),
                status,
            );
            parts.entry(key).or_default().add(record);
            let key = (tenant, width, bucket, status);
            totals.entry(key).or_default().add(record);
        }
    }
    let parts: Vec<(Key<'_>, Sums)> = parts.into_iter().collect();
    for piece in rows::pieces(&parts) {
        let keys = [
            "tenant_id",
            "width",
            "bucket",
            "campaign_id",
            "publisher_id",
            "buyer_id",
            "status",
        ];
        let mut query = rows::statement(addition("call_rollups", &keys, piece.len()));
        for ((tenant, width, bucket, campaign, publisher, buyer, status), sums) in piece {
            query = query
                .bind((*tenant).to_owned())
                .bind(*width)
                .bind(*bucket)
                .bind((*campaign).to_owned())
                .bind((*publisher).to_owned())
                .bind((*buyer).to_owned())
                .bind(*status);
            for value in sums.values() {
                query = query.bind(value);
            }
        }
        query.execute(tx.connection()).await?;
    }
    let totals: Vec<(TotalKey<'_>, Sums)> = totals.into_iter().collect();
    for piece in rows::pieces(&totals) {
        let keys = ["tenant_id", "width", "bucket", "status"];
        let mut query = rows::statement(addition("call_totals", &keys, piece.len()));
        for ((tenant, width, bucket, status), sums) in piece {
            query = query
                .bind((*tenant).to_owned())
                .bind(*width)
                .bind(*bucket)
                .bind(*status);
            for value in sums.values() {
                query = query.bind(value);
            }
        }
        query.execute(tx.connection()).await?;
    }
    Ok(())
}

/// A statement that adds so many rows of sums to a table, by these columns.
fn addition(table: &str, keys: &[&str], rows: usize) -> String {
    let sums = Sums::COLUMNS.map(|column| {
        let sum = format!("{table}.{column} + excluded.{column}");
        // Prices are whatever publishers say. A sum that no longer fits would end all publishing.
        if column == "cost_micros" {
            let most = i64::MAX;
            format!(
                "{column} = CASE WHEN {table}.{column} > {most} - excluded.{column} \
                 THEN {most} ELSE {sum} END"
            )
        } else {
            format!("{column} = {sum}")
        }
    });
    format!(
        "INSERT INTO {table} ({keys}, {columns}) VALUES {values} \
         ON CONFLICT ({keys}) DO UPDATE SET {sums}",
        values = rows::values(rows, keys.len() + Sums::COLUMNS.len()),
        keys = keys.join(", "),
        columns = Sums::COLUMNS.join(", "),
        sums = sums.join(", "),
    )
}
