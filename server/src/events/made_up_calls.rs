//! Call records that nobody made, to try reports and to measure them.
//!
//! They go the way of real ones: rows and sums in one transaction. Called by `dormouse tenant seed`
//! alone; never by a server.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::call_record::{self, CallRecord, RecordStatus};
use crate::database::{Database, DatabaseError};

/// Records of one transaction: others that write wait for its end.
const PIECE: u64 = 2000;
/// Publishers that bring calls to a campaign.
const PUBLISHERS: u64 = 3;

/// What is made up.
#[derive(Clone, Debug)]
pub struct MadeUpCalls {
    /// Whose calls they are.
    pub tenant: Arc<str>,
    /// How many.
    pub records: u64,
    /// The first end of a call, Unix ms.
    pub from: i64,
    /// All ends are before this, Unix ms.
    pub to: i64,
    /// Campaigns, each with a buyer and three publishers.
    pub campaigns: u64,
}

impl MadeUpCalls {
    /// Stores them, spread evenly over the time, in its order.
    ///
    /// # Errors
    /// Those of the database; what was stored before stays.
    pub async fn store(&self, database: &Database) -> Result<(), DatabaseError> {
        // The same each time, so that two measurements are of the same calls.
        let mut random = StdRng::seed_from_u64(self.records);
        let mut first = 0;
        while first < self.records {
            let last = self.records.min(first + PIECE);
            let records: Vec<CallRecord> = (first..last)
                .map(|number| self.record(number, &mut random))
                .collect();
            let writing = database.write(async move |tx| call_record::insert(tx, &records).await);
            writing.await?;
            first = last;
        }
        Ok(())
    }

    fn record(&self, number: u64, random: &mut StdRng) -> CallRecord {
        let span = i128::from(self.to - self.from);
        let after = span * i128::from(number) / i128::from(self.records.max(1));
        let status = match random.random_range(0..100) {
            0..70 => RecordStatus::Completed,
            70..80 => RecordStatus::Failed,
            80..88 => RecordStatus::Busy,
            _ => RecordStatus::NoAnswer,
        };
        let duration = if status.is_answered() {
            random.random_range(30..330)
        } else {
            0
        };
        let rate_micros = 20_000;
        let campaign = random.random_range(0..self.campaigns.max(1));
        let publisher = campaign * PUBLISHERS + random.random_range(0..PUBLISHERS);
        CallRecord {
            tenant: self.tenant.clone(),
            call_id: format!("seed-{}-{number}", self.from),
            from_number: Some(format!("+1555{:07}", random.random_range(0..10_000_000))),
            to_number: Some(format!("+1800{:07}", campaign)),
            direction: if random.random_bool(0.8) {
                "INBOUND"
            } else {
                "OUTBOUND"
            }
            .to_owned(),
            status,
            duration,
            billable_duration: duration,
            cost_micros: rate_micros * duration / 60,
            rate_micros,
            handle_ms: status.is_answered().then_some(duration * 1000),
            campaign_id: format!("campaign-{campaign}"),
            publisher_id: format!("publisher-{publisher}"),
            buyer_id: format!("buyer-{campaign}"),
            created_at: self.from + i64::try_from(after).unwrap_or(0),
        }
    }
}
