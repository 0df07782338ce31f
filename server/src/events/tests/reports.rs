//! Reports against the rows: whatever was published, and whatever is asked.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use sqlx::Row as _;

use super::super::call_record::{CallRecord, RecordStatus, insert};
use super::super::reporting::query::Group;
use super::super::reporting::{Grouping, ReportQuery, Tally, report};
use super::super::rollup::{DAY, HOUR};
use super::{call_event, change, commit, number, submission_at};
use crate::database::testing::on_both_databases;
use crate::database::{Database, DatabaseError};

/// 2025-01-29, a Wednesday.
const BEGIN: i64 = 1_738_108_800_000;
/// The time over which calls are spread.
const SPAN: i64 = 5 * DAY;

/// Publishes calls of all kinds, some of them twice, in groups.
async fn publish(database: &Database, random: &mut StdRng, calls: usize) {
    let mut group = Vec::new();
    for number in 0..calls {
        let at = u64::try_from(BEGIN + random.random_range(0..SPAN)).unwrap();
        let at = match random.random_range(0..4) {
            0 => at / 3_600_000 * 3_600_000,
            1 => at / 60_000 * 60_000,
            _ => at,
        };
        let tenant = ["t", "t", "t", "u"][random.random_range(0..4)];
        let call = format!("call-{}", random.random_range(0..calls * 2));
        let mut fields = json!({});
        for (field, prefix) in [("campaignId", "c"), ("publisherId", "p"), ("buyerId", "b")] {
            if random.random_bool(0.7) {
                fields[field] = json!(format!("{prefix}{}", random.random_range(0..3)));
            }
        }
        if random.random_bool(0.5) {
            fields["duration"] = json!(random.random_range(0..400));
            fields["rate"] = json!(f64::from(random.random_range(0..100)) / 7.0);
        }
        if random.random_bool(0.5) {
            let mut answered = fields.clone();
            answered["duration"] = json!(null);
            let before = at - random.random_range(0..90_000);
            let event = call_event("call.answered", &call, answered);
            group.push(submission_at(tenant, before, vec![event]));
        }
        let name = if random.random_bool(0.6) {
            "call.completed"
        } else {
            fields["status"] = json!(["BUSY", "NO_ANSWER", "other"][number % 3]);
            "call.failed"
        };
        group.push(submission_at(
            tenant,
            at,
            vec![call_event(name, &call, fields)],
        ));
        if group.len() > random.random_range(1..60) {
            commit(database, std::mem::take(&mut group)).await;
        }
    }
    commit(database, group).await;
}

/// A row as a report sees it.
struct Row {
    tenant: String,
    at: i64,
    campaign: String,
    publisher: String,
    buyer: String,
    status: RecordStatus,
    tally: Tally,
}

async fn rows(database: &Database) -> Vec<Row> {
    let reading = database.read(async |reader| {
        let found = sqlx::query(
            "SELECT tenant_id, created_at, campaign_id, publisher_id, buyer_id, status, duration, \
             billable_duration, cost_micros, handle_ms FROM call_records",
        )
        .fetch_all(reader)
        .await?;
        let mut rows = Vec::new();
        for row in found {
            let status: String = row.try_get(5)?;
            let status = RecordStatus::parse(&status).unwrap();
            let handle_ms: Option<i64> = row.try_get(9)?;
            let tally = Tally {
                calls: 1,
                duration: row.try_get(6)?,
                billable_duration: row.try_get(7)?,
                cost_micros: row.try_get(8)?,
                handled: i64::from(handle_ms.is_some()),
                handle_ms: handle_ms.unwrap_or(0),
                ..Tally::default()
            };
            rows.push(Row {
                tenant: row.try_get(0)?,
                at: row.try_get(1)?,
                campaign: row.try_get(2)?,
                publisher: row.try_get(3)?,
                buyer: row.try_get(4)?,
                status,
                tally: tally.of_status(status),
            });
        }
        Ok::<_, DatabaseError>(rows)
    });
    reading.await.unwrap()
}

/// What a report must say.
fn expected(rows: &[Row], query: &ReportQuery) -> BTreeMap<Group, Tally> {
    let is_it =
        |filter: &Option<String>, value: &String| filter.as_ref().is_none_or(|it| it == value);
    let mut groups: BTreeMap<Group, Tally> = BTreeMap::new();
    for row in rows {
        let is_meant = row.tenant == query.tenant
            && (query.from..query.to).contains(&row.at)
            && is_it(&query.campaign, &row.campaign)
            && is_it(&query.publisher, &row.publisher)
            && is_it(&query.buyer, &row.buyer);
        if !is_meant {
            continue;
        }
        let group = match query.grouping {
            Grouping::None => Group::All,
            Grouping::Hour => Group::Bucket(row.at / HOUR * HOUR),
            Grouping::Day => Group::Bucket(row.at / DAY * DAY),
            Grouping::Campaign => Group::Campaign(row.campaign.clone()),
            Grouping::Status => Group::Status(row.status),
        };
        groups.entry(group).or_default().add(&row.tally);
    }
    groups
}

fn question(random: &mut StdRng) -> ReportQuery {
    let mut moment = || {
        let at = BEGIN - DAY + random.random_range(0..SPAN + 2 * DAY);
        let width = [1, 1000, 60_000, HOUR, DAY][random.random_range(0..5)];
        at / width * width
    };
    let (a, b) = (moment(), moment());
    let groupings = [
        Grouping::None,
        Grouping::Hour,
        Grouping::Day,
        Grouping::Campaign,
        Grouping::Status,
    ];
    // Without any filter, sums over everything are read.
    let share = [0.0, 0.3][random.random_range(0..2)];
    let mut filter = |prefix: &str| {
        let number = random.random_range(0..4);
        random
            .random_bool(share)
            .then(|| format!("{prefix}{number}"))
    };
    let (campaign, publisher, buyer) = (filter("c"), filter("p"), filter("b"));
    ReportQuery {
        tenant: ["t", "u", "nobody"][random.random_range(0..3)].to_owned(),
        from: a.min(b),
        to: a.max(b),
        campaign,
        publisher,
        buyer,
        grouping: groupings[random.random_range(0..5)],
    }
}

on_both_databases! {
    async fn reports_are_exact_to_the_rows(test) {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..4 {
            publish(&test.database, &mut random, 150).await;
            let rows = rows(&test.database).await;
            for _ in 0..120 {
                let query = question(&mut random);
                let asked = query.clone();
                let reading = test.database.read(async move |reader| report(reader, &asked).await);
                assert_eq!(reading.await.unwrap(), expected(&rows, &query), "{query:?}");
            }
        }
        let rows = number(&test.database, "SELECT COUNT(*) FROM call_records").await;
        assert!(rows > 300, "{rows} rows");
        for width in ["60000", "3600000", "86400000"] {
            let width: i64 = width.parse().unwrap();
            let summing = test.database.read(async move |reader| {
                let text = "SELECT CAST(SUM(calls) AS BIGINT) FROM call_rollups WHERE width = $1";
                let parts: i64 = sqlx::query_scalar(text).bind(width).fetch_one(&mut *reader).await?;
                let text = "SELECT CAST(SUM(calls) AS BIGINT) FROM call_totals WHERE width = $1";
                let totals: i64 = sqlx::query_scalar(text).bind(width).fetch_one(reader).await?;
                Ok::<_, DatabaseError>((parts, totals))
            });
            assert_eq!(summing.await.unwrap(), (rows, rows), "{width}");
        }
        test.database.close().await;
    }

    async fn a_call_that_has_a_record_is_summed_once(test) {
        let record = CallRecord {
            tenant: "t".into(),
            call_id: "a".to_owned(),
            from_number: None,
            to_number: None,
            direction: "INBOUND".to_owned(),
            status: RecordStatus::Completed,
            duration: 60,
            billable_duration: 60,
            cost_micros: 1,
            rate_micros: 1,
            handle_ms: None,
            campaign_id: String::new(),
            publisher_id: String::new(),
            buyer_id: String::new(),
            created_at: BEGIN,
        };
        let other = CallRecord { call_id: "b".to_owned(), ..record.clone() };
        let elsewhere = CallRecord { tenant: "u".into(), ..record.clone() };
        // Twice in one statement, then in another beside new ones.
        for records in [
            vec![record.clone(), record.clone()],
            vec![record.clone(), other, elsewhere, record],
        ] {
            let writing = test.database.write(async move |tx| insert(tx, &records).await);
            let written: Result<(), DatabaseError> = writing.await;
            written.unwrap();
        }
        for (sum, calls) in [
            ("SELECT CAST(SUM(calls) AS BIGINT) FROM call_totals WHERE width = 60000 AND tenant_id = 't'", 2),
            ("SELECT CAST(SUM(calls) AS BIGINT) FROM call_totals WHERE width = 60000 AND tenant_id = 'u'", 1),
            ("SELECT CAST(SUM(calls) AS BIGINT) FROM call_rollups WHERE width = 60000 AND tenant_id = 't'", 2),
            ("SELECT CAST(SUM(calls) AS BIGINT) FROM call_rollups WHERE width = 60000 AND tenant_id = 'u'", 1),
        ] {
            assert_eq!(number(&test.database, sum).await, calls, "{sum}");
        }
        test.database.close().await;
    }

    async fn prices_of_any_size_break_no_report(test) {
        let at = u64::try_from(BEGIN).unwrap();
        let fields = json!({"rate": 1e9, "duration": 31_536_000, "campaignId": "c"});
        let cost = async |call: &str, from: i64, to: i64| {
            let event = call_event("call.completed", call, fields.clone());
            commit(&test.database, vec![submission_at("t", at, vec![event])]).await;
            let query = ReportQuery {
                tenant: "t".to_owned(),
                from,
                to,
                campaign: None,
                publisher: None,
                buyer: None,
                grouping: Grouping::None,
            };
            let mut costs = Vec::new();
            for grouping in [Grouping::None, Grouping::Campaign] {
                let query = ReportQuery { grouping, ..query.clone() };
                let reading = test.database.read(async move |reader| report(reader, &query).await);
                let groups = reading.await.unwrap();
                costs.extend(groups.values().map(|tally| tally.cost_micros));
            }
            costs
        };
        let most = 1_000_000_000_000_000;
        assert_eq!(cost("a", BEGIN, BEGIN + DAY).await, [most, most]);
        assert_eq!(cost("b", BEGIN, BEGIN + DAY).await, [2 * most, 2 * most]);
        change(&test.database, "UPDATE call_totals SET cost_micros = 9223372036854775000").await;
        change(&test.database, "UPDATE call_rollups SET cost_micros = 9223372036854775000").await;
        assert_eq!(cost("c", BEGIN, BEGIN + DAY).await, [i64::MAX, i64::MAX]);
        // A day and the minute of the next: two sums that do not fit into one.
        let next = u64::try_from(BEGIN + DAY).unwrap();
        let event = call_event("call.completed", "d", json!({"campaignId": "c"}));
        commit(&test.database, vec![submission_at("t", next, vec![event])]).await;
        change(&test.database, "UPDATE call_totals SET cost_micros = 9223372036854775000").await;
        change(&test.database, "UPDATE call_rollups SET cost_micros = 9223372036854775000").await;
        let costs = cost("e", BEGIN, BEGIN + DAY + 60_000).await;
        assert_eq!(costs, [i64::MAX, i64::MAX]);
        test.database.close().await;
    }
}
