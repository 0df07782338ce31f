//! The event side over a database of its own, of both kinds.

mod groups;
mod keys;
mod ledger;
mod publishing;
mod reports;

use std::sync::Arc;

use dormouse_protocol::events::EventName;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::embedded::{self, Group};
use super::{CallChange, NewEvent, Outcome, Published, Submission};
use crate::clock::unix_ms;
use crate::database::{Database, DatabaseError};

/// A day, ms: how long states are kept in these tests.
const TTL: u64 = 86_400_000;

/// An event of a call, with these fields in its data and, as far as they are texts, its metadata.
fn call_event(name: &str, call: &str, fields: Value) -> NewEvent {
    let Value::Object(mut data) = fields else {
        panic!("an object");
    };
    let texts = data.iter().filter(|(_, value)| value.is_string());
    let metadata = texts
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    data.insert("callId".to_owned(), json!(call));
    NewEvent {
        name: EventName::parse(name).unwrap(),
        data,
        call: Some(CallChange {
            id: call.to_owned(),
            metadata,
            participants: Vec::new(),
        }),
    }
}

/// An event of another family.
fn plain_event(name: &str) -> NewEvent {
    NewEvent {
        name: EventName::parse(name).unwrap(),
        data: [("amount".to_owned(), json!(7))].into_iter().collect(),
        call: None,
    }
}

fn submission_at(tenant: &str, at: u64, events: Vec<NewEvent>) -> Submission {
    Submission {
        tenant: tenant.into(),
        events,
        idempotency: None,
        accepted_ms: at,
        accepted_at: Instant::now(),
    }
}

fn submission(tenant: &str, events: Vec<NewEvent>) -> Submission {
    submission_at(tenant, unix_ms(), events)
}

async fn commit(database: &Database, submissions: Vec<Submission>) -> Group {
    embedded::commit(database, submissions, TTL, Arc::default())
        .await
        .unwrap()
}

fn stored(outcome: &Outcome) -> &[Published] {
    match outcome {
        Outcome::Stored(published) => published,
        other => panic!("not stored but {other:?}"),
    }
}

/// A number that a query finds.
async fn number(database: &Database, query: &'static str) -> i64 {
    let reading = database.read(async move |reader| {
        let found: i64 = sqlx::query_scalar(query).fetch_one(reader).await?;
        Ok::<_, DatabaseError>(found)
    });
    reading.await.unwrap()
}

/// Changes rows behind the server's back.
async fn change(database: &Database, statement: &'static str) {
    let writing = database.write(async move |tx| {
        sqlx::query(statement).execute(tx.connection()).await?;
        Ok::<_, DatabaseError>(())
    });
    writing.await.unwrap();
}

/// The names in a tenant's log after a place, and the head.
async fn log(database: &Database, tenant: &str, after: u64) -> (Vec<(u64, String)>, u64) {
    let tenant: Arc<str> = tenant.into();
    let page = super::stored_events::begin_read(database, tenant, after, 1000)
        .await
        .unwrap();
    let events = page
        .events
        .iter()
        .map(|event| (event.cursor, event.name.to_string()));
    (events.collect(), page.head)
}
