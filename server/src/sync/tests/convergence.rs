//! Clients end up with what is stored, however their connections come and go.
//!
//! Accounts are changed by operations that run at the same time, while a client's connection is lost
//! and made again at random places among them, also before the delta that it asked for has come. It
//! applies what it is sent in the order in which it is sent; at the end it must know every row.

use std::collections::BTreeMap;

use futures_util::future::{LocalBoxFuture, join_all};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::sync::artifacts::PartWrite;
use crate::sync::machines::Status;

/// How many accounts are tried.
const CASES: usize = 48;

/// Operations that are queued together, and what becomes of the client's connection meanwhile.
#[derive(Clone, Debug)]
struct Batch {
    operations: Vec<(u8, usize)>,
    /// A client that is away comes back before it, and asks behind this many operations.
    comes_back: Option<usize>,
    /// The connection is lost when this many frames have come.
    lost_after: Option<usize>,
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let batch = (
        prop::collection::vec((0_u8..17, 0_usize..4), 0..8),
        prop::option::of(0_usize..8),
        prop::option::weighted(0.4, 0_usize..8),
    );
    let batch = batch.prop_map(|(operations, comes_back, lost_after)| Batch {
        operations,
        comes_back,
        lost_after,
    });
    prop::collection::vec(batch, 1..24)
}

on_both_databases! {
    async fn a_client_ends_up_with_what_is_stored(test) {
        let api = Api::new(test);
        // Seeded by the library, so that a failure can be run again.
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let strategy = batches();
        for case in 0..CASES {
            let batches = strategy.new_tree(&mut runner).unwrap().current();
            let account = format!("account-{case}");
            let (mut client, mut world) = (Client::default(), World::default());
            for batch in &batches {
                world.run(&api, &account, batch, &mut client).await;
            }
            let last = Batch { operations: Vec::new(), comes_back: Some(0), lost_after: None };
            client.is_connected = false;
            world.run(&api, &account, &last, &mut client).await;
            assert_eq!(client.entities, stored(&api, &account).await, "{batches:#?}");
        }
        api.close().await;
    }
}

/// What an operation has answered, beside what was published.
enum Answered {
    /// A new session's id.
    Session(String),
    /// A session that there is no more.
    Gone(String),
    /// An acknowledgement that came by no publication.
    Ack(String),
    Nothing,
}

/// Those who change entities, and know their versions.
#[derive(Default)]
struct World {
    /// Ids and versions of metadata and state.
    sessions: Vec<(String, [i64; 2])>,
    made: usize,
}

impl World {
    /// Queues a batch, waits for all of it, and has the client receive its part.
    async fn run(&mut self, api: &Api, account: &str, batch: &Batch, client: &mut Client) {
        api.test.published.take();
        let returns = batch.comes_back.filter(|_| !client.is_connected);
        if returns.is_some() {
            client.is_connected = true;
            client.is_behind = true;
        }
        let mut running: Vec<LocalBoxFuture<'_, Answered>> = Vec::new();
        for (place, operation) in batch.operations.iter().enumerate() {
            if returns == Some(place) {
                running.push(client.ask(api, account));
            }
            running.push(self.act(api, account, *operation));
        }
        if returns.is_some_and(|place| place >= batch.operations.len()) {
            running.push(client.ask(api, account));
        }
        let answered = join_all(running).await;
        let mut frames = Vec::new();
        for (_, publication) in api.test.published.take() {
            frames.extend(publication.ack.map(|ack| Received::Ack(ack.value)));
            let sent = publication.deliveries.into_iter().map(Sent::from);
            frames.extend(sent.filter(|sent| !sent.is_ephemeral).map(Received::Update));
        }
        for answered in answered {
            match answered {
                Answered::Session(id) => self.sessions.push((id, [1, 0])),
                Answered::Gone(gone) => self.sessions.retain(|(id, _)| *id != gone),
                Answered::Ack(ack) => frames.push(Received::Ack(ack)),
                Answered::Nothing => {}
            }
        }
        if client.is_connected {
            let most = batch.lost_after.unwrap_or(usize::MAX);
            frames
                .into_iter()
                .take(most)
                .for_each(|frame| client.receive(frame));
            client.is_connected = batch.lost_after.is_none();
        }
    }

    /// Queues an operation. What it is refused is no matter: what it stores and tells of is.
    fn act<'a>(
        &mut self,
        api: &'a Api,
        account: &'a str,
        (action, which): (u8, usize),
    ) -> LocalBoxFuture<'a, Answered> {
        self.made += 1;
        let value = format!("v{}", self.made);
        let place = which % self.sessions.len().max(1);
        let session = self.sessions.get_mut(place);
        let id = format!("{account}-{which}");
        match (action, session) {
            (0..=2, _) | (3..=11, None) => {
                let new = NewSession {
                    tag: value,
                    metadata: "m1".to_owned(),
                    agent_state: None,
                    data_encryption_key: None,
                };
                let create = async |change: &mut Change<'_>| sessions::create(change, new).await;
                let made = api.start(account, create);
                Box::pin(async { Answered::Session(made.await.unwrap().id) })
            }
            (3 | 4, Some((sid, [version, _]))) => {
                let data = json!({ "sid": sid, "metadata": value, "expectedVersion": version });
                *version += 1;
                api.ask(account, "update-metadata", &data)
            }
            (5, Some((sid, [_, version]))) => {
                let state = self.made.is_multiple_of(2).then_some(value);
                let data = json!({ "sid": sid, "agentState": state, "expectedVersion": version });
                *version += 1;
                api.ask(account, "update-state", &data)
            }
            (6 | 7, Some((sid, _))) => {
                api.ask(account, "message", &json!({ "sid": sid, "message": value }))
            }
            (8, Some((sid, _))) => {
                // Deletes it, if it has no messages.
                api.ask(
                    account,
                    "session-end",
                    &json!({ "sid": sid, "time": now() }),
                )
            }
            (9, Some((sid, _))) => {
                let sid = sid.clone();
                let gone = Answered::Gone(sid.clone());
                let delete = api.start(account, async move |change| {
                    sessions::delete(change, &sid, Filter::All).await
                });
                Box::pin(async { delete.await.map_or(Answered::Nothing, |()| gone) })
            }
            (10 | 11, Some((sid, _))) => {
                let sid = sid.clone();
                api.go(account, async move |change| {
                    sessions::archive(change, &sid, "timeout", None)
                        .await
                        .map(drop)
                })
            }
            (12, _) => {
                let new = NewMachine {
                    id: which.to_string(),
                    metadata: value,
                    daemon_state: None,
                    data_encryption_key: None,
                };
                api.go(account, async |change| {
                    machines::register(change, new).await.map(drop)
                })
            }
            (13, _) => {
                let status = Status {
                    active: Some(which % 2 == 0),
                    metadata: Some(value.clone()),
                    daemon_state: (which > 1).then_some(value),
                };
                api.go(account, async move |change| {
                    let id = which.to_string();
                    machines::write_status(change, &id, status).await.map(drop)
                })
            }
            (14, _) => {
                let new = NewArtifact {
                    id,
                    header: value.clone().into_bytes(),
                    body: value.into_bytes(),
                    data_encryption_key: b"k".to_vec(),
                };
                api.go(account, async |change| {
                    artifacts::create(change, new).await.map(drop)
                })
            }
            (15, _) => api.go(account, async move |change| {
                let account = change.account();
                let stored = artifacts::find(change.connection(), &account, &id).await?;
                let part = PartWrite {
                    bytes: value.into_bytes(),
                    expected: stored.body_version,
                };
                artifacts::write(change, &id, None, Some(part))
                    .await
                    .map(drop)
            }),
            _ => api.go(account, async move |change| {
                artifacts::delete(change, &id).await
            }),
        }
    }
}

impl Api {
    /// Queues a change as HTTP would; its publications are left with the recorder.
    fn start<T: Send + 'static>(
        &self,
        account: &str,
        work: impl AsyncFnOnce(&mut Change<'_>) -> Result<T, SyncError> + Send + 'static,
    ) -> LocalBoxFuture<'static, Result<T, SyncError>> {
        let account: Arc<str> = account.into();
        let writing = self.test.database.write(async move |tx| {
            let mut change = Change::new(tx, account);
            let value = work(&mut change).await?;
            change.finish(None);
            Ok::<_, SyncError>(value)
        });
        Box::pin(writing)
    }

    /// As [`Self::start`], for changes whose result is no matter.
    fn go(
        &self,
        account: &str,
        work: impl AsyncFnOnce(&mut Change<'_>) -> Result<(), SyncError> + Send + 'static,
    ) -> LocalBoxFuture<'static, Answered> {
        let started = self.start(account, work);
        Box::pin(async move {
            let _ = started.await;
            Answered::Nothing
        })
    }

    /// Queues an event.
    fn ask(&self, account: &str, event: &str, data: &Value) -> LocalBoxFuture<'static, Answered> {
        let request = self.request(account, event, Some(to_raw_value(data).unwrap()));
        let outcome = match self.application.handle(request) {
            EventReply::Later(outcome) => outcome,
            _ => unreachable!("{event} needs the database"),
        };
        Box::pin(async move {
            let ack = outcome.await.ack;
            ack.map_or(Answered::Nothing, Answered::Ack)
        })
    }
}

/// What comes through a connection.
enum Received {
    Update(Sent),
    Ack(String),
}

/// By kind and id: each part with its version.
type Entities = BTreeMap<(&'static str, String), BTreeMap<&'static str, Value>>;

/// A client: what it knows of entities, and the highest numbers that it has seen.
#[derive(Default)]
struct Client {
    is_connected: bool,
    /// What it has missed was asked for and has not come.
    is_behind: bool,
    entities: Entities,
    /// By kind: it has missed nothing up to these.
    seen: BTreeMap<&'static str, i64>,
    /// What came since, while it is behind.
    seen_since: BTreeMap<&'static str, i64>,
}

impl Client {
    fn ask(&mut self, api: &Api, account: &str) -> LocalBoxFuture<'static, Answered> {
        self.seen_since.clear();
        let seen = |kind| self.seen.get(kind).copied().unwrap_or(0);
        let data = json!({
            "sessions": seen("session"), "machines": seen("machine"), "artifacts": seen("artifact"),
        });
        api.ask(account, "request-updates-since", &data)
    }

    fn receive(&mut self, frame: Received) {
        match frame {
            Received::Update(sent) => {
                let seq = sent.seq.unwrap();
                let kind = self.apply(&sent.body);
                let seen = if self.is_behind {
                    &mut self.seen_since
                } else {
                    &mut self.seen
                };
                let seen = seen.entry(kind).or_default();
                assert!(seq > *seen, "a number over those seen: {}", sent.body);
                *seen = seq;
            }
            Received::Ack(ack) => {
                let ack: Value = serde_json::from_str(&ack).unwrap();
                if ack.get("updates").is_some() {
                    self.catch_up(&ack);
                }
            }
        }
    }

    fn catch_up(&mut self, delta: &Value) {
        assert_eq!(delta["success"], true, "{delta}");
        // Who has seen nothing of a kind is told all that there is, and of no deletion.
        let seen = &self.seen;
        self.entities.retain(|(kind, _), _| seen.contains_key(kind));
        self.is_behind = false;
        let mut last = 0;
        for update in delta["updates"].as_array().unwrap() {
            let seq = update["seq"].as_i64().unwrap();
            assert!(seq >= last, "in order: {delta}");
            last = seq;
            let kind = self.apply(&update["data"]);
            self.see(kind, seq);
        }
        for (kind, seq) in std::mem::take(&mut self.seen_since) {
            self.see(kind, seq);
        }
    }

    fn see(&mut self, kind: &'static str, seq: i64) {
        let seen = self.seen.entry(kind).or_default();
        *seen = seq.max(*seen);
    }

    /// Applies an update; returns the kind of its entity.
    fn apply(&mut self, body: &Value) -> &'static str {
        let t = body["t"].as_str().unwrap();
        let (kind, id) = if t.ends_with("machine") {
            ("machine", &body["machineId"])
        } else if t.ends_with("artifact") {
            ("artifact", &body["artifactId"])
        } else {
            ("session", &body["sid"])
        };
        let key = (kind, id.as_str().unwrap().to_owned());
        let is_new = t.starts_with("new-") && t != "new-message";
        if is_new {
            self.entities.insert(key.clone(), BTreeMap::new());
        }
        if t.starts_with("delete-") {
            self.entities.remove(&key);
            return kind;
        }
        let Some(entity) = self.entities.get_mut(&key) else {
            assert!(self.is_behind, "an update of something unknown: {body}");
            return kind;
        };
        for part in ["metadata", "agentState", "daemonState", "header", "body"] {
            let (value, version) = if is_new {
                (&body[part], &body[format!("{part}Version")])
            } else {
                (&body[part]["value"], &body[part]["version"])
            };
            if version.is_i64() {
                entity.insert(part, json!([value, version]));
            }
        }
        if kind == "machine" && body["active"].is_boolean() {
            entity.insert("active", body["active"].clone());
        }
        if t == "archive-session" {
            entity.insert("archived", true.into());
        }
        kind
    }
}

/// The rows themselves, in the form in which a client keeps them.
async fn stored(api: &Api, account: &str) -> Entities {
    let account = account.to_owned();
    let read = api.test.database.read(async move |reader: &mut Reader| {
        let mut entities = Entities::new();
        for (kind, parts, query) in [
            (
                "session",
                ["metadata", "agentState"],
                "SELECT id, metadata, metadata_version, agent_state, agent_state_version, \
                 CASE WHEN archived_at IS NULL THEN 0 ELSE 1 END \
                 FROM sessions WHERE account_id = $1",
            ),
            (
                "machine",
                ["metadata", "daemonState"],
                "SELECT id, metadata, metadata_version, daemon_state, daemon_state_version, active \
                 FROM machines WHERE account_id = $1",
            ),
            (
                "artifact",
                ["header", "body"],
                "SELECT id, header, header_version, body, body_version, 0 \
                 FROM artifacts WHERE account_id = $1",
            ),
        ] {
            let rows = sqlx::query(query)
                .bind(account.as_str())
                .fetch_all(&mut *reader)
                .await?;
            for row in rows {
                let mut entity = BTreeMap::new();
                for (part, column) in parts.into_iter().zip([1, 3]) {
                    let value: Option<String> = if kind == "artifact" {
                        Some(crate::sync::binary::encode(sqlx::Row::get(&row, column)))
                    } else {
                        sqlx::Row::get(&row, column)
                    };
                    let version: i64 = sqlx::Row::get(&row, column + 1);
                    entity.insert(part, json!([value, version]));
                }
                let flag = sqlx::Row::get::<i64, _>(&row, 5) != 0;
                match kind {
                    "machine" => drop(entity.insert("active", flag.into())),
                    _ if flag => drop(entity.insert("archived", true.into())),
                    _ => {}
                }
                entities.insert((kind, sqlx::Row::get(&row, 0)), entity);
            }
        }
        Ok::<_, DatabaseError>(entities)
    });
    read.await.unwrap()
}
