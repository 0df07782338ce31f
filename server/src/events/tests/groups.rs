//! Groups of workers: who is given what, and when it is given up.

use std::collections::BTreeSet;

use dormouse_protocol::events::{Pattern, Since};

use super::super::groups::reading::{self, Ask, Batch};
use super::super::groups::settling::{self, DeadLetter};
use super::super::groups::store::{self, GroupStanding};
use super::super::groups::{
    GroupError, GroupKey, IDLE_MS, MOST_ATTEMPTS, MOST_GROUPS, MOST_PENDING, all_channels,
};
use super::super::stored_events;
use super::{commit, number, plain_event, submission};
use crate::database::testing::on_both_databases;
use crate::database::{Database, DatabaseError};

fn key(name: &str) -> GroupKey {
    GroupKey {
        tenant: "t".to_owned(),
        name: name.to_owned(),
    }
}

async fn put(
    database: &Database,
    name: &str,
    channels: &[&str],
    start: Since,
) -> Result<bool, GroupError> {
    let key = key(name);
    let channels: Vec<Pattern> = channels
        .iter()
        .map(|text| Pattern::parse(text).unwrap())
        .collect();
    let channels = if channels.is_empty() {
        all_channels()
    } else {
        channels
    };
    let writing = database.write(async move |tx| store::put(tx, &key, &channels, start).await);
    writing.await
}

async fn read_at(
    database: &Database,
    group: &str,
    consumer: &str,
    count: usize,
    now: i64,
) -> Result<Batch, GroupError> {
    let ask = Ask {
        key: key(group),
        consumer: consumer.to_owned(),
        count,
    };
    let writing = database.write(async move |tx| reading::read(tx, &ask, now).await);
    writing.await
}

/// The places and attempts that a worker is given.
async fn given(
    database: &Database,
    group: &str,
    consumer: &str,
    count: usize,
    now: i64,
) -> Vec<(u64, u64)> {
    let batch = read_at(database, group, consumer, count, now)
        .await
        .unwrap();
    let entries = batch
        .entries
        .iter()
        .map(|entry| (entry.place, entry.attempt));
    entries.collect()
}

async fn acknowledge(database: &Database, group: &str, places: &[u64]) -> u64 {
    let (key, places) = (key(group), places.to_vec());
    let writing = database.write(async move |tx| settling::acknowledge(tx, &key, &places).await);
    writing.await.unwrap()
}

async fn fail(database: &Database, group: &str, consumer: &str, places: &[u64]) -> (u64, u64) {
    let (key, consumer, places) = (key(group), consumer.to_owned(), places.to_vec());
    let writing = database.write(async move |tx| {
        settling::fail(tx, &key, &consumer, &places, Some("no such account")).await
    });
    writing.await.unwrap()
}

async fn dead(database: &Database, group: &str) -> Vec<DeadLetter> {
    let key = key(group);
    let reading =
        database.read(async move |reader| settling::dead_letters(reader, &key, 0, 1000).await);
    reading.await.unwrap()
}

async fn show(database: &Database, group: &str) -> GroupStanding {
    let key = key(group);
    let reading = database.read(async move |reader| store::show(reader, &key).await);
    reading.await.unwrap()
}

async fn publish(database: &Database, names: &[&str]) {
    let events = names.iter().map(|name| plain_event(name)).collect();
    commit(database, vec![submission("t", events)]).await;
}

/// Some time.
const NOW: i64 = 1_738_108_800_000;

on_both_databases! {
    async fn each_entry_goes_to_one_worker_of_each_group_in_order(test) {
        let database = &test.database;
        publish(database, &["billing.before"]).await;
        assert!(put(database, "billing", &[], Since::Now).await.unwrap());
        assert!(put(database, "records", &[], Since::After(0)).await.unwrap());
        publish(database, &["billing.paid"; 7]).await;
        assert_eq!(given(database, "billing", "a", 3, NOW).await, [(2, 1), (3, 1), (4, 1)]);
        assert_eq!(given(database, "billing", "b", 2, NOW).await, [(5, 1), (6, 1)]);
        assert_eq!(given(database, "records", "a", 1, NOW).await, [(1, 1)]);
        assert_eq!(acknowledge(database, "billing", &[2, 4, 4, 99]).await, 2);
        assert_eq!(acknowledge(database, "billing", &[2]).await, 0);
        // Of another tenant, although its place is the same.
        commit(database, vec![submission("u", vec![plain_event("billing.paid")])]).await;
        assert_eq!(given(database, "billing", "a", 10, NOW).await, [(7, 1), (8, 1)]);
        assert_eq!(given(database, "billing", "a", 10, NOW).await, []);
        let standing = show(database, "billing").await;
        assert_eq!((standing.position, standing.lag), (8, 0));
        assert_eq!((standing.pending, standing.dead, standing.missed), (5, 0, 0));
        let test = test.reopen().await;
        // Nothing is forgotten, and nothing given twice.
        assert_eq!(given(&test.database, "billing", "a", 10, NOW).await, []);
        assert_eq!(show(&test.database, "billing").await, standing);
        test.database.close().await;
    }

    async fn what_is_not_acknowledged_in_time_goes_to_another_and_then_to_the_dead(test) {
        let database = &test.database;
        put(database, "g", &[], Since::Now).await.unwrap();
        publish(database, &["billing.paid", "billing.due"]).await;
        assert_eq!(given(database, "g", "a", 10, NOW).await, [(1, 1), (2, 1)]);
        assert_eq!(given(database, "g", "b", 10, NOW + IDLE_MS - 1).await, []);
        assert_eq!(given(database, "g", "b", 1, NOW + IDLE_MS).await, [(1, 2)]);
        assert_eq!(acknowledge(database, "g", &[2]).await, 1);
        // Old entries come before new ones.
        publish(database, &["billing.closed"]).await;
        assert_eq!(given(database, "g", "b", 10, NOW + 2 * IDLE_MS).await, [(1, 3), (3, 1)]);
        assert_eq!(acknowledge(database, "g", &[3]).await, 1);
        assert_eq!(given(database, "g", "c", 10, NOW + 3 * IDLE_MS).await, [(1, 4)]);
        assert_eq!(given(database, "g", "c", 10, NOW + 4 * IDLE_MS).await, [(1, MOST_ATTEMPTS as u64)]);
        assert_eq!(dead(database, "g").await, []);
        let batch = read_at(database, "g", "c", 10, NOW + 5 * IDLE_MS).await.unwrap();
        assert_eq!((batch.entries.len(), batch.died), (0, 1));
        let letters = dead(database, "g").await;
        let [letter] = &letters[..] else {
            panic!("one dead letter: {letters:?}");
        };
        assert_eq!((letter.place, letter.attempts, &*letter.consumer), (1, 5, "c"));
        assert_eq!((&*letter.name, &*letter.error), ("billing.paid", "it was not acknowledged in time"));
        assert_eq!(letter.died_at, u64::try_from(NOW + 5 * IDLE_MS).unwrap());
        assert!(letter.payload.contains(r#""event":"billing.paid""#));
        assert_eq!(acknowledge(database, "g", &[1]).await, 0, "it is not handed out");
        assert_eq!(given(database, "g", "c", 10, NOW + 9 * IDLE_MS).await, []);
        test.database.close().await;
    }

    async fn what_is_given_back_is_handed_out_at_once_until_it_is_dead(test) {
        let database = &test.database;
        put(database, "g", &[], Since::Now).await.unwrap();
        publish(database, &["billing.paid", "billing.due"]).await;
        assert_eq!(given(database, "g", "a", 10, NOW).await, [(1, 1), (2, 1)]);
        assert_eq!(fail(database, "g", "b", &[1, 2]).await, (0, 0), "they are a's");
        for attempt in 1..5 {
            assert_eq!(fail(database, "g", "a", &[1, 1, 7]).await, (1, 0), "{attempt}");
            assert_eq!(fail(database, "g", "a", &[1]).await, (0, 0), "it was given back already");
            assert_eq!(given(database, "g", "a", 10, NOW).await, [(1, attempt + 1)]);
        }
        assert_eq!(fail(database, "g", "a", &[1]).await, (0, 1));
        let letters = dead(database, "g").await;
        assert_eq!((letters.len(), &*letters[0].error), (1, "no such account"));
        // Tried again, with all attempts, after a restart; then discarded.
        let test = test.reopen().await;
        let database = &test.database;
        let revive = database.write(async |tx| settling::retry(tx, &key("g"), &[1, 2]).await);
        assert_eq!(revive.await.unwrap(), 1);
        assert_eq!(dead(database, "g").await, []);
        assert_eq!(given(database, "g", "b", 10, NOW).await, [(1, 1)]);
        for _ in 1..5 {
            fail(database, "g", "b", &[1]).await;
            assert_eq!(given(database, "g", "b", 10, NOW).await.len(), 1);
        }
        fail(database, "g", "b", &[1]).await;
        let discard = database.write(async |tx| settling::discard(tx, &key("g"), &[1, 2]).await);
        assert_eq!(discard.await.unwrap(), 1);
        assert_eq!(dead(database, "g").await, []);
        assert_eq!(show(database, "g").await.pending, 1, "2 is still a's");
        test.database.close().await;
    }

    async fn only_the_groups_channels_are_handed_out_and_the_others_are_passed(test) {
        let database = &test.database;
        put(database, "g", &["billing.paid", "recording.*"], Since::Now).await.unwrap();
        let others = vec!["billing.due"; 300];
        publish(database, &others).await;
        publish(database, &["billing.paid", "billing.paid.late", "recording.ready"]).await;
        let first = read_at(database, "g", "a", 10, NOW).await.unwrap();
        assert!(first.entries.is_empty() && first.is_behind, "{first:?}");
        assert_eq!(given(database, "g", "a", 10, NOW).await, [(301, 1), (303, 1)]);
        assert_eq!(show(database, "g").await.lag, 0);
        // Other channels count from now on.
        assert!(!put(database, "g", &["billing.due"], Since::After(0)).await.unwrap());
        publish(database, &["billing.paid", "billing.due"]).await;
        assert_eq!(given(database, "g", "a", 10, NOW).await, [(305, 1)]);
        test.database.close().await;
    }

    async fn what_leaves_the_log_first_is_counted_and_what_is_handed_out_stays(test) {
        let database = &test.database;
        put(database, "g", &[], Since::Now).await.unwrap();
        publish(database, &["billing.paid"; 4]).await;
        assert_eq!(given(database, "g", "a", 1, NOW).await, [(1, 1)]);
        let trim = database.write(async |tx| {
            sqlx::query("DELETE FROM event_log WHERE place <= 3").execute(tx.connection()).await?;
            Ok::<_, DatabaseError>(())
        });
        trim.await.unwrap();
        let batch = read_at(database, "g", "b", 10, NOW + IDLE_MS).await.unwrap();
        let places: Vec<(u64, u64)> =
            batch.entries.iter().map(|entry| (entry.place, entry.attempt)).collect();
        assert_eq!(places, [(1, 2), (4, 1)], "1 is out of the log, and still to be done");
        assert!(batch.entries[0].payload.contains("billing.paid"));
        assert_eq!(batch.missed, 2);
        // An empty log: everything behind the position is gone.
        publish(database, &["billing.paid"; 2]).await;
        let trim = database.write(async |tx| {
            sqlx::query("DELETE FROM event_log").execute(tx.connection()).await?;
            Ok::<_, DatabaseError>(())
        });
        trim.await.unwrap();
        let batch = read_at(database, "g", "b", 10, NOW + IDLE_MS).await.unwrap();
        assert_eq!((batch.entries.len(), batch.missed), (0, 4));
        publish(database, &["billing.paid"]).await;
        assert_eq!(given(database, "g", "b", 10, NOW + IDLE_MS).await, [(7, 1)]);
        // A group that is made now misses nothing of before.
        put(database, "h", &[], Since::After(0)).await.unwrap();
        let batch = read_at(database, "h", "a", 10, NOW).await.unwrap();
        assert_eq!((batch.entries.len(), batch.missed), (1, 0));
        test.database.close().await;
    }

    async fn a_clock_that_steps_back_holds_no_entry_up(test) {
        let database = &test.database;
        put(database, "g", &[], Since::Now).await.unwrap();
        publish(database, &["billing.paid"]).await;
        assert_eq!(given(database, "g", "a", 10, NOW).await, [(1, 1)]);
        let earlier = NOW - 3_600_000;
        assert_eq!(given(database, "g", "b", 10, earlier).await, []);
        assert_eq!(given(database, "g", "b", 10, earlier + IDLE_MS - 1).await, []);
        assert_eq!(given(database, "g", "b", 10, earlier + IDLE_MS).await, [(1, 2)]);
        test.database.close().await;
    }

    async fn workers_at_once_get_every_entry_once(test) {
        let database = &test.database;
        put(database, "g", &[], Since::Now).await.unwrap();
        publish(database, &["billing.paid"; 200]).await;
        let reads = (0..40).map(|worker| {
            let consumer = format!("w{worker}");
            async move { given(database, "g", &consumer, 7, NOW).await }
        });
        let all = futures_util::future::join_all(reads).await;
        let places: Vec<u64> = all.into_iter().flatten().map(|(place, _)| place).collect();
        let distinct: BTreeSet<u64> = places.iter().copied().collect();
        assert_eq!((places.len(), distinct.len()), (200, 200));
        test.database.close().await;
    }

    async fn groups_are_bounded_and_what_is_not_there_is_told(test) {
        let database = &test.database;
        let missing = read_at(database, "g", "a", 1, NOW).await.unwrap_err();
        assert!(matches!(missing, GroupError::Unknown), "{missing}");
        let ahead = put(database, "g", &[], Since::After(1)).await.unwrap_err();
        assert!(matches!(ahead, GroupError::Ahead), "{ahead}");
        for number in 0..MOST_GROUPS {
            assert!(put(database, &format!("g{number}"), &[], Since::Now).await.unwrap());
        }
        let full = put(database, "one-more", &[], Since::Now).await.unwrap_err();
        assert!(matches!(full, GroupError::TooMany), "{full}");
        let list = database.read(async |reader| store::list(reader, "t").await).await.unwrap();
        assert_eq!(list.len(), MOST_GROUPS);
        publish(database, &["billing.paid"; 3]).await;
        assert_eq!(given(database, "g0", "a", 2, NOW).await.len(), 2);
        let remove = database.write(async |tx| store::remove(tx, &key("g0")).await);
        remove.await.unwrap();
        assert_eq!(number(database, "SELECT COUNT(*) FROM event_deliveries").await, 0);
        let again = database.write(async |tx| store::remove(tx, &key("g0")).await).await;
        assert!(matches!(again, Err(GroupError::Unknown)));
        test.database.close().await;
    }

    async fn a_group_that_acknowledges_nothing_gets_nothing_new_in_the_end(test) {
        let database = &test.database;
        put(database, "g", &[], Since::Now).await.unwrap();
        for _ in 0..MOST_PENDING / 1000 {
            publish(database, &["billing.paid"; 1000]).await;
        }
        publish(database, &["billing.last"]).await;
        for _ in 0..MOST_PENDING / 250 {
            assert_eq!(given(database, "g", "a", 250, NOW).await.len(), 250);
        }
        let full = read_at(database, "g", "a", 10, NOW).await.unwrap_err();
        assert!(matches!(full, GroupError::Full), "{full}");
        assert_eq!(given(database, "g", "b", 10, NOW + IDLE_MS).await.len(), 10);
        assert_eq!(acknowledge(database, "g", &[1]).await, 1);
        let next = given(database, "g", "b", 10, NOW).await;
        assert_eq!(next, [(MOST_PENDING as u64 + 1, 1)]);
        test.database.close().await;
    }

    async fn the_newest_of_the_log_is_shown_oldest_first(test) {
        let database = &test.database;
        publish(database, &["billing.paid", "billing.due", "billing.paid.late", "recording.ready"]).await;
        publish(database, &["billing.paid"]).await;
        let excerpt = async |channels: &[&str], after, most| {
            let channels: Vec<Pattern> =
                channels.iter().map(|text| Pattern::parse(text).unwrap()).collect();
            let reading = database.read_snapshot(async move |reader| {
                stored_events::excerpt(reader, "t", &channels, after, most).await
            });
            let page = reading.await.unwrap();
            assert_eq!(page.head, 5);
            page.events.iter().map(|event| event.cursor).collect::<Vec<u64>>()
        };
        assert_eq!(excerpt(&[], None, 3).await, [3, 4, 5]);
        assert_eq!(excerpt(&[], Some(1), 2).await, [2, 3]);
        assert_eq!(excerpt(&["billing.paid"], None, 10).await, [1, 5]);
        assert_eq!(excerpt(&["billing.paid.*", "recording.*"], None, 10).await, [3, 4]);
        assert_eq!(excerpt(&["billing.*"], Some(2), 10).await, [3, 5]);
        assert_eq!(excerpt(&["call.*"], None, 10).await, [0_u64; 0]);
        test.database.close().await;
    }
}
