//! Reports as JSON (contract events.md section 9).

use std::collections::BTreeMap;

use dormouse_protocol::timestamp::iso;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::query::Group;
use super::tally::Tally;

/// The span of a report.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Period {
    /// Its first moment, ISO 8601.
    #[schema(format = "date-time")]
    pub start: String,
    /// The first moment after it.
    #[schema(format = "date-time")]
    pub end: String,
}

impl Period {
    /// From Unix ms.
    pub fn new(from: i64, to: i64) -> Self {
        let text = |at: i64| iso(u64::try_from(at).unwrap_or(0));
        Self {
            start: text(from),
            end: text(to),
        }
    }
}

/// Figures over all calls of a report, or of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Calls that are over.
    pub total_calls: i64,
    /// Those that somebody answered.
    pub answered_calls: i64,
    /// Those that ended as they should.
    pub completed_calls: i64,
    /// Those that failed, were busy or not answered.
    pub failed_calls: i64,
    /// Seconds.
    pub total_duration: i64,
    /// Charged minutes, floored.
    pub total_billable_minutes: i64,
    /// The price.
    pub total_cost: f64,
    /// Seconds of a call on average.
    pub average_duration: f64,
    /// Share of calls that somebody answered, 0 to 1.
    pub asr: f64,
    /// Seconds from answer to end on average, floored.
    pub aht: i64,
}

impl From<&Tally> for Metrics {
    fn from(tally: &Tally) -> Self {
        Self {
            total_calls: tally.calls,
            answered_calls: tally.answered,
            completed_calls: tally.completed,
            failed_calls: tally.failed,
            total_duration: tally.duration,
            total_billable_minutes: tally.billable_minutes(),
            total_cost: tally.cost(),
            average_duration: tally.average_duration(),
            asr: tally.asr(),
            aht: tally.aht(),
        }
    }
}

/// One hour or day of a report.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketMetrics {
    /// Its beginning in UTC, as in `2025-01-31 09:00:00`.
    pub timestamp: String,
    /// Calls that are over.
    pub total_calls: i64,
    /// Those that somebody answered.
    pub answered_calls: i64,
    /// Share of them, 0 to 1.
    pub asr: f64,
    /// Seconds from answer to end on average, floored.
    pub aht: i64,
    /// Charged minutes, floored.
    pub billable_minutes: i64,
    /// The price.
    pub cost: f64,
}

/// One value of what a report is grouped by.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DimensionMetrics {
    /// What it is grouped by.
    pub dimension: &'static str,
    /// The value; null for calls without one.
    pub value: Option<String>,
    /// Its figures.
    pub metrics: Metrics,
}

/// A report by hours or days.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketReport {
    /// The campaign that was asked for by its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub campaign_id: Option<String>,
    /// The span.
    pub period: Period,
    /// Figures over all of it.
    pub metrics: Metrics,
    /// The same by hours or days, in order; those without a call are left out.
    pub breakdown: Vec<BucketMetrics>,
}

/// A report by what was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CallReport {
    /// The span.
    pub period: Period,
    /// Figures over all of it.
    pub metrics: Metrics,
    /// The same by parts, in order; empty where none were asked for.
    pub breakdown: Vec<DimensionMetrics>,
}

/// All groups together.
pub fn total(groups: &BTreeMap<Group, Tally>) -> Metrics {
    let mut all = Tally::default();
    groups.values().for_each(|tally| all.add(tally));
    Metrics::from(&all)
}

/// Groups that are buckets, as a breakdown.
pub fn buckets(groups: &BTreeMap<Group, Tally>) -> Vec<BucketMetrics> {
    let read = |(group, tally): (&Group, &Tally)| match group {
        Group::Bucket(at) => Some(BucketMetrics {
            timestamp: at_second(*at),
            total_calls: tally.calls,
            answered_calls: tally.answered,
            asr: tally.asr(),
            aht: tally.aht(),
            billable_minutes: tally.billable_minutes(),
            cost: tally.cost(),
        }),
        _ => None,
    };
    groups.iter().filter_map(read).collect()
}

/// What a report of calls can be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// UTC days.
    Day,
    /// Weeks by their Monday.
    Week,
    /// Months.
    Month,
    /// Campaigns.
    Campaign,
    /// How calls ended.
    Status,
}

impl Dimension {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 5] = [
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Campaign,
        Self::Status,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Campaign => "campaign",
            Self::Status => "status",
        }
    }
}

/// Groups as the values of a dimension, in order.
pub fn dimensions(groups: &BTreeMap<Group, Tally>, dimension: Dimension) -> Vec<DimensionMetrics> {
    let mut values: BTreeMap<String, Tally> = BTreeMap::new();
    for (group, tally) in groups {
        let value = match group {
            Group::All => String::new(),
            Group::Bucket(at) => period_of(*at, dimension),
            Group::Campaign(campaign) => campaign.clone(),
            Group::Status(status) => status.as_str().to_owned(),
        };
        values.entry(value).or_default().add(tally);
    }
    let read = |(value, tally): (String, Tally)| DimensionMetrics {
        dimension: dimension.as_str(),
        value: Some(value).filter(|value| !value.is_empty()),
        metrics: Metrics::from(&tally),
    };
    values.into_iter().map(read).collect()
}

/// The day, the Monday of the week, or the month of a day.
fn period_of(day: i64, dimension: Dimension) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(day.div_euclid(1000)) else {
        return String::new();
    };
    let date = match dimension {
        Dimension::Week => {
            let days = i64::from(at.weekday().number_days_from_monday());
            at.date().saturating_sub(time::Duration::days(days))
        }
        _ => at.date(),
    };
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    match dimension {
        Dimension::Month => format!("{year:04}-{month:02}"),
        _ => format!("{year:04}-{month:02}-{day:02}"),
    }
}

/// The beginning of a bucket, to the second, without its zone.
fn at_second(at: i64) -> String {
    let text = iso(u64::try_from(at).unwrap_or(0));
    text.get(..19).unwrap_or_default().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_periods_are_named_in_utc() {
        let day = 1_738_281_600_000; // 2025-01-31, a Friday
        assert_eq!(at_second(day + 9 * 3_600_000), "2025-01-31 09:00:00");
        assert_eq!(period_of(day, Dimension::Day), "2025-01-31");
        assert_eq!(period_of(day, Dimension::Week), "2025-01-27");
        assert_eq!(period_of(day, Dimension::Month), "2025-01");
    }
}
