//! The record of a call that is over: one row, from which everything is reported (contract
//! events.md section 9).

use std::sync::Arc;

use dormouse_protocol::events::{CallState, CallStatus};
use serde_json::{Map, Value};
use sqlx::Row as _;

use super::change::Scope;
use super::rows;
use crate::database::{DatabaseError, Tx};

/// Longest id of a campaign, a publisher or a buyer, and longest number, in characters.
const MAX_TEXT: usize = 128;
/// Longest call that is believed, seconds: a year.
const MAX_SECONDS: f64 = 31_536_000.0;
/// Highest price that is believed.
const MAX_MONEY: f64 = 1e9;
/// The same in millionths.
const MAX_MICROS: i64 = 1_000_000_000_000_000;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordStatus {
    /// Answered and over; only platforms that import records use it.
    Answered,
    /// As it should.
    Completed,
    /// For another reason.
    Failed,
    /// The callee was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
}

impl RecordStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::Completed,
        Self::Failed,
        Self::Busy,
        Self::NoAnswer,
    ];

    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "ANSWERED",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Busy => "BUSY",
            Self::NoAnswer => "NO_ANSWER",
        }
    }

    /// The status of a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether somebody answered.
    pub const fn is_answered(self) -> bool {
        matches!(self, Self::Answered | Self::Completed)
    }

    /// Whether it counts as failed.
    pub const fn is_failed(self) -> bool {
        matches!(self, Self::Failed | Self::Busy | Self::NoAnswer)
    }
}

/// A call that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// Whose call it was.
    pub tenant: Arc<str>,
    /// The call's id, once for each tenant.
    pub call_id: String,
    /// Who called.
    pub from_number: Option<String>,
    /// Who was called.
    pub to_number: Option<String>,
    /// `INBOUND` or `OUTBOUND`.
    pub direction: String,
    /// How it ended.
    pub status: RecordStatus,
    /// Seconds.
    pub duration: i64,
    /// Seconds that are charged.
    pub billable_duration: i64,
    /// The price, in millionths.
    pub cost_micros: i64,
    /// The price of a minute, in millionths.
    pub rate_micros: i64,
    /// From answer to end, ms; none for calls that nobody answered.
    pub handle_ms: Option<i64>,
    /// The campaign; empty for none.
    pub campaign_id: String,
    /// The publisher; empty for none.
    pub publisher_id: String,
    /// The buyer; empty for none.
    pub buyer_id: String,
    /// When it ended, Unix ms.
    pub created_at: i64,
}

impl CallRecord {
    /// The record of a call that is over with this event. What the event's data says counts before
    /// what is known of the call; values that cannot be meant are left out.
    pub fn new(
        scope: &Scope,
        state: &CallState,
        data: &Map<String, Value>,
        answered_at: Option<u64>,
    ) -> Self {
        let field = |name: &str| data.get(name).or_else(|| state.metadata.get(name));
        let text = |name: &str| {
            let text = field(name).and_then(Value::as_str)?;
            let is_usable = !text.is_empty() && text.chars().nth(MAX_TEXT).is_none();
            (is_usable && !text.contains('\0')).then(|| text.to_owned())
        };
        let number = |name: &str, most: f64| {
            let number = field(name).and_then(Value::as_f64);
            number.filter(|number| (0.0..=most).contains(number))
        };
        let named = text("status").and_then(|status| RecordStatus::parse(&status));
        let status = if state.status == CallStatus::Completed {
            RecordStatus::Completed
        } else {
            named
                .filter(|status| status.is_failed())
                .unwrap_or(RecordStatus::Failed)
        };
        let now = scope.accepted_ms;
        // A clock that stepped back makes no call shorter than nothing.
        let talked_ms = answered_at.map(|answered| now.saturating_sub(answered));
        let said = number("duration", MAX_SECONDS).map(|seconds| seconds as i64);
        let duration = said.unwrap_or_else(|| talked_ms.map_or(0, |ms| whole(ms / 1000)));
        let handle_ms = if status.is_answered() {
            Some(talked_ms.map_or(duration * 1000, whole))
        } else {
            talked_ms.map(whole)
        };
        let billable_duration = number("billableDuration", MAX_SECONDS)
            .map_or(if status.is_answered() { duration } else { 0 }, |seconds| {
                seconds as i64
            });
        let rate_micros = number("rate", MAX_MONEY).map_or(0, micros);
        let cost_micros = number("cost", MAX_MONEY).map_or_else(
            || {
                let cost = i128::from(rate_micros) * i128::from(billable_duration) / 60;
                i64::try_from(cost).map_or(MAX_MICROS, |cost| cost.min(MAX_MICROS))
            },
            micros,
        );
        Self {
            tenant: scope.tenant.clone(),
            call_id: state.id.clone(),
            from_number: text("fromNumber"),
            to_number: text("toNumber"),
            direction: text("direction").unwrap_or_else(|| "OUTBOUND".to_owned()),
            status,
            duration,
            billable_duration,
            cost_micros,
            rate_micros,
            handle_ms,
            campaign_id: text("campaignId").unwrap_or_default(),
            publisher_id: text("publisherId").unwrap_or_default(),
            buyer_id: text("buyerId").unwrap_or_default(),
            created_at: whole(now),
        }
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn micros(money: f64) -> i64 {
    // At most MAX_MICROS.
    (money * 1e6).round() as i64
}

/// The columns, in the order in which values are bound.
const COLUMNS: [&str; 15] = [
    "tenant_id",
    "call_id",
    "from_number",
    "to_number",
    "direction",
    "status",
    "duration",
    "billable_duration",
    "cost_micros",
    "rate_micros",
    "handle_ms",
    "campaign_id",
    "publisher_id",
    "buyer_id",
    "created_at",
];

/// Writes records, and their sums, in one transaction. A call that has a record keeps it; then
/// nothing is added to the sums.
///
/// # Errors
/// Those of the database.
pub async fn insert(tx: &mut Tx, records: &[CallRecord]) -> Result<(), DatabaseError> {
    let mut written: Vec<&CallRecord> = Vec::with_capacity(records.len());
    for piece in rows::pieces(records) {
        let text = format!(
            "INSERT INTO call_records ({}) VALUES {} ON CONFLICT DO NOTHING \
             RETURNING tenant_id, call_id",
            COLUMNS.join(", "),
            rows::values(piece.len(), COLUMNS.len()),
        );
        let mut query = rows::statement(text);
        for record in piece {
            query = query
                .bind(record.tenant.to_string())
                .bind(record.call_id.clone())
                .bind(record.from_number.clone())
                .bind(record.to_number.clone())
                .bind(record.direction.clone())
                .bind(record.status.as_str())
                .bind(record.duration)
                .bind(record.billable_duration)
                .bind(record.cost_micros)
                .bind(record.rate_micros)
                .bind(record.handle_ms)
                .bind(record.campaign_id.clone())
                .bind(record.publisher_id.clone())
                .bind(record.buyer_id.clone())
                .bind(record.created_at);
        }
        let inserted = query.fetch_all(tx.connection()).await?;
        if inserted.len() == piece.len() {
            written.extend(piece);
            continue;
        }
        let mut keys = std::collections::BTreeSet::new();
        for row in inserted {
            let key: (String, String) = (row.try_get(0)?, row.try_get(1)?);
            keys.insert(key);
        }
        // Taken out, so that a call that is twice in the piece counts once.
        written.extend(
            piece
                .iter()
                .filter(|record| keys.remove(&(record.tenant.to_string(), record.call_id.clone()))),
        );
    }
    super::rollup::add(tx, &written).await
}
