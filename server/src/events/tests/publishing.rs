//! What is stored of what is published.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use dormouse_protocol::events::CallStatus;
use serde_json::{Value, json};

use super::super::maintenance::{Maintenance, Retention};
use super::super::submission::Idempotency;
use super::super::{EventService, Outcome, embedded};
use super::{
    TTL, call_event, change, commit, log, number, plain_event, stored, submission, submission_at,
};
use crate::clock::unix_ms;
use crate::database::DatabaseError;
use crate::database::testing::on_both_databases;

on_both_databases! {
    async fn places_ascend_by_one_in_each_tenants_log(test) {
        let group = vec![
            submission("a", vec![plain_event("billing.paid"), plain_event("billing.due")]),
            submission("b", vec![plain_event("recording.ready")]),
            submission("a", vec![plain_event("billing.closed")]),
        ];
        let done = commit(&test.database, group).await;
        let cursors: Vec<Option<u64>> = done
            .outcomes
            .iter()
            .flat_map(|outcome| stored(outcome).iter().map(|event| event.cursor))
            .collect();
        assert_eq!(cursors, [Some(1), Some(2), Some(1), Some(3)]);
        commit(&test.database, vec![submission("a", vec![plain_event("billing.paid")])]).await;
        let (entries, head) = log(&test.database, "a", 1).await;
        let expected = [(2, "billing.due"), (3, "billing.closed"), (4, "billing.paid")];
        assert_eq!(entries, expected.map(|(place, name)| (place, name.to_owned())));
        assert_eq!(head, 4);
        assert_eq!(log(&test.database, "b", 0).await.0.len(), 1);
        assert_eq!(log(&test.database, "c", 0).await, (vec![], 0));
        test.database.close().await;
    }

    async fn a_call_is_made_by_its_first_event_and_never_goes_back(test) {
        let event = |name| submission("t", vec![call_event(name, "c", json!({}))]);
        // Several of one group, then one of the next.
        let done = commit(&test.database, vec![event("call.answered"), event("call.started")]).await;
        let [first, second] = &done.outcomes[..] else {
            panic!("two outcomes");
        };
        assert!(stored(first)[0].is_applied());
        assert_eq!(stored(first)[0].state.as_ref().unwrap().status, CallStatus::Answered);
        assert!(!stored(second)[0].is_applied());
        assert_eq!(stored(second)[0].state.as_ref().unwrap().status, CallStatus::Answered);
        assert_eq!(done.events.len(), 1, "what is not applied is not told");
        let test = test.reopen().await;
        let done = commit(&test.database, vec![event("call.completed"), event("call.failed")]).await;
        assert!(stored(&done.outcomes[0])[0].is_applied());
        assert!(!stored(&done.outcomes[1])[0].is_applied());
        assert_eq!(log(&test.database, "t", 0).await.1, 2);
        assert_eq!(number(&test.database, "SELECT COUNT(*) FROM call_records").await, 1);
        // The call of another tenant is another call.
        let other = submission("u", vec![call_event("call.started", "c", json!({}))]);
        let done = commit(&test.database, vec![other]).await;
        assert_eq!(stored(&done.outcomes[0])[0].state.as_ref().unwrap().status, CallStatus::Ringing);
        test.database.close().await;
    }

    async fn a_clock_that_steps_back_loses_nothing(test) {
        let now = unix_ms();
        for (at, name) in [(now, "call.answered"), (now - 3_600_000, "call.completed")] {
            let events = vec![call_event(name, "c", json!({}))];
            commit(&test.database, vec![submission_at("t", at, events)]).await;
        }
        assert_eq!(log(&test.database, "t", 0).await.1, 2);
        let handled = "SELECT handle_ms FROM call_records";
        assert_eq!(number(&test.database, handled).await, 0, "no call is shorter than nothing");
        test.database.close().await;
    }

    async fn the_time_in_an_id_never_steps_back_not_even_over_a_restart(test) {
        let now = unix_ms();
        let ahead = now + 3_600_000;
        let at = |tenant: &str, at| vec![submission_at(tenant, at, vec![plain_event("billing.paid")])];
        let time = |group: embedded::Group| {
            let id = stored(&group.outcomes[0])[0].id.clone().unwrap();
            id.split_once('-').unwrap().0.parse::<u64>().unwrap()
        };
        let process: Arc<AtomicU64> = Arc::default();
        for (asked, expected) in [(now, now), (ahead, ahead), (now, ahead)] {
            let committing =
                embedded::commit(&test.database, at("t", asked), TTL, process.clone());
            assert_eq!(time(committing.await.unwrap()), expected);
        }
        // Of a tenant that is heard of later, too.
        commit(&test.database, at("u", now)).await;
        let test = test.reopen().await;
        assert_eq!(time(commit(&test.database, at("t", now)).await), ahead);
        assert_eq!(time(commit(&test.database, at("new", ahead + 1)).await), ahead + 1);
        assert_eq!(time(commit(&test.database, at("u", now)).await), ahead + 1);
        test.database.close().await;
    }

    async fn a_state_is_kept_anew_by_each_event_and_one_that_expired_is_gone(test) {
        let event = |name| vec![submission("t", vec![call_event(name, "c", json!({}))])];
        commit(&test.database, event("call.answered")).await;
        change(&test.database, "UPDATE call_states SET expires_at = expires_at - 3600000").await;
        commit(&test.database, event("call.play")).await;
        let expires_at = number(&test.database, "SELECT expires_at FROM call_states").await;
        assert!(expires_at >= i64::try_from(unix_ms() + TTL - 60_000).unwrap(), "{expires_at}");
        change(&test.database, "UPDATE call_states SET expires_at = 1").await;
        let done = commit(&test.database, event("call.started")).await;
        let published = &stored(&done.outcomes[0])[0];
        assert_eq!(published.state.as_ref().unwrap().status, CallStatus::Ringing);
        test.database.close().await;
    }

    async fn a_record_holds_what_was_said_of_its_call_and_nothing_absurd(test) {
        let event = |name: &str, at, call: &str, fields| {
            submission_at("t", at, vec![call_event(name, call, fields)])
        };
        let at = 1_738_314_900_123;
        let said = json!({"fromNumber": "+1", "toNumber": "+2", "direction": "INBOUND"});
        let end = json!({
            "duration": 90, "billableDuration": 60.9, "rate": 0.6, "campaignId": "c",
            "publisherId": "p", "buyerId": "b",
        });
        let absurd = json!({
            "duration": -1, "billableDuration": 1e300, "cost": "7", "rate": -0.5,
            "status": "ANSWERED", "campaignId": "x".repeat(129),
        });
        let group = vec![
            event("call.started", at, "a", said),
            event("call.answered", at + 1_000, "a", json!({})),
            event("call.completed", at + 62_500, "a", end),
            event("call.failed", at, "b", absurd),
        ];
        commit(&test.database, group).await;
        let reading = test.database.read(async |reader| {
            let columns = [
                "call_id", "from_number", "to_number", "direction", "status", "duration",
                "billable_duration", "cost_micros", "rate_micros", "handle_ms", "campaign_id",
                "publisher_id", "buyer_id", "created_at",
            ]
            .map(|column| format!("COALESCE(CAST({column} AS TEXT), '-')"))
            .join(" || ' ' || ");
            let text = format!("SELECT {columns} FROM call_records ORDER BY call_id");
            let rows: Vec<String> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_all(reader).await?;
            Ok::<_, DatabaseError>(rows)
        });
        assert_eq!(reading.await.unwrap(), [
            "a +1 +2 INBOUND COMPLETED 90 60 600000 600000 61500 c p b 1738314962623",
            "b - - OUTBOUND FAILED 0 0 0 0 -    1738314900123",
        ]);
        test.database.close().await;
    }

    async fn a_repeated_request_is_answered_as_before_and_published_once(test) {
        let keyed = |tenant: &str, key: &str, fingerprint: &str| {
            let mut one = submission(tenant, vec![call_event("call.started", "c", json!({}))]);
            one.idempotency = Some(Idempotency {
                key: key.to_owned(),
                fingerprint: fingerprint.to_owned(),
            });
            one
        };
        let group = vec![keyed("t", "k", "f"), keyed("t", "k", "f"), keyed("t", "k", "g")];
        let done = commit(&test.database, group).await;
        let answer = match &done.outcomes[..] {
            [Outcome::Stored(_), Outcome::Repeated(answer), Outcome::Conflict] => answer.clone(),
            other => panic!("{other:?}"),
        };
        let read: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(read["events"][0]["cursor"], "1");
        let test = test.reopen().await;
        let group = vec![keyed("t", "k", "f"), keyed("t", "k", "g"), keyed("u", "k", "g")];
        let done = commit(&test.database, group).await;
        match &done.outcomes[..] {
            [Outcome::Repeated(again), Outcome::Conflict, Outcome::Stored(_)] => {
                assert_eq!(*again, answer);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(log(&test.database, "t", 0).await.1, 1);
        test.database.close().await;
    }

    async fn old_entries_and_states_go_and_places_are_not_given_again(test) {
        let now = unix_ms();
        let two_days_ago = now - 2 * TTL;
        let events = |count| (0..count).map(|_| plain_event("billing.paid")).collect();
        commit(&test.database, vec![submission_at("old", two_days_ago, events(1500))]).await;
        for _ in 0..5 {
            commit(&test.database, vec![submission_at("full", now, events(700))]).await;
        }
        commit(&test.database, vec![submission("few", events(10))]).await;
        let call = vec![call_event("call.started", "c", json!({}))];
        commit(&test.database, vec![submission("few", call)]).await;
        let settings = dormouse_config::Settings::default();
        let service = crate::events::tests::ledger::workers();
        let (_, tasks) = EventService::new(&settings, &test.database, &service);
        let maintenance = Maintenance {
            retention: Retention {
                log_entries: 2000,
                log_age: std::time::Duration::from_millis(TTL),
            },
            ..tasks.maintenance
        };
        let now = i64::try_from(now).unwrap();
        maintenance.round(now).await.unwrap();
        assert_eq!(log(&test.database, "old", 0).await.0.len(), 500, "whole pieces go");
        let (left, head) = log(&test.database, "full", 0).await;
        assert_eq!((left.len(), head), (1000, 3500), "a page of what is left");
        assert_eq!(left[0].0, 1001);
        assert_eq!(log(&test.database, "few", 0).await.0.len(), 11);
        assert_eq!(number(&test.database, "SELECT COUNT(*) FROM call_states").await, 1);
        maintenance.round(now + 3 * i64::try_from(TTL).unwrap()).await.unwrap();
        assert_eq!(number(&test.database, "SELECT COUNT(*) FROM call_states").await, 0);
        commit(&test.database, vec![submission("old", events(1))]).await;
        assert_eq!(log(&test.database, "old", 0).await.1, 1501);
        test.database.close().await;
    }
}
