//! Section 5.12: what a client has missed, and that it ends up with what is stored.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::sync::artifacts::PartWrite;
use crate::sync::machines::Status;

impl Api {
    async fn delta(&self, account: &str, sessions: i64, machines: i64, artifacts: i64) -> Value {
        let seen = json!({ "sessions": sessions, "machines": machines, "artifacts": artifacts });
        let answer = self.send(account, "request-updates-since", seen).await;
        assert!(answer.sent.is_empty());
        answer.ack
    }
}

/// The types of a delta's updates, which are those of their data.
fn types(delta: &Value) -> Vec<&str> {
    let updates = delta["updates"].as_array().unwrap();
    let types = updates.iter().map(|update| {
        assert_eq!(update["type"], update["data"]["t"]);
        assert!(update["createdAt"].is_i64());
        update["type"].as_str().unwrap()
    });
    types.collect()
}

on_both_databases! {
    async fn everything_is_new_to_whoever_has_seen_nothing(test) {
        let api = Api::new(test);
        let empty = json!({
            "success": true, "updates": [],
            "counts": { "sessions": 0, "deletedSessions": 0, "machines": 0, "artifacts": 0 },
        });
        assert_eq!(api.delta(ALICE, 0, 0, 0).await, empty);
        let sid = api.session(ALICE, "t").await.id;
        api.machine(ALICE, "m").await;
        api.artifact(ALICE, "a").await;
        let gone = api.session(ALICE, "u").await.id;
        api.send(ALICE, "session-end", json!({ "sid": gone, "time": now() })).await;
        api.session(BOB, "t").await;
        let delta = api.delta(ALICE, 0, 0, 0).await;
        // Given 0, nobody needs to hear of what is gone.
        assert_eq!(types(&delta), ["new-session", "new-machine", "new-artifact"]);
        let seqs: Vec<_> = (0..3).map(|item| delta["updates"][item]["seq"].clone()).collect();
        assert_eq!(seqs, [1, 2, 3]);
        assert_eq!(delta["updates"][0]["data"]["sid"], json!(sid));
        assert_eq!(
            delta["counts"],
            json!({ "sessions": 1, "deletedSessions": 0, "machines": 1, "artifacts": 1 })
        );
        assert_eq!(api.delta(ALICE, 5, 5, 5).await, empty);
        api.close().await;
    }

    async fn changes_come_in_order_with_what_is_stored_now(test) {
        let api = Api::new(test);
        let (sid, ended) = (api.session(ALICE, "t").await.id, api.session(ALICE, "u").await.id);
        let deleted = api.session(ALICE, "v").await.id;
        api.machine(ALICE, "m").await;
        api.artifact(ALICE, "a").await;
        api.artifact(ALICE, "b").await;
        let seen = api.seq(ALICE).await;
        let write = json!({ "sid": sid, "agentState": "s1", "expectedVersion": 0 });
        api.send(ALICE, "update-state", write).await;
        api.send(ALICE, "message", json!({ "sid": ended, "message": "c" })).await;
        api.send(ALICE, "session-end", json!({ "sid": ended, "time": now() })).await;
        api.send(ALICE, "session-end", json!({ "sid": deleted, "time": now() })).await;
        let write = json!({ "machineId": "m", "daemonState": "d2", "expectedVersion": 1 });
        api.send(ALICE, "machine-update-state", write).await;
        api.send(ALICE, "artifact-delete", json!({ "artifactId": "a" })).await;
        let write = json!({
            "artifactId": "b", "body": { "data": "YjI=", "expectedVersion": 1 },
        });
        api.send(ALICE, "artifact-update", write).await;
        let delta = api.delta(ALICE, seen, seen, seen).await;
        // A session that merely ended is an ordinary change.
        assert_eq!(
            types(&delta),
            [
                "update-session", "update-session", "delete-session", "update-machine",
                "delete-artifact", "update-artifact",
            ]
        );
        let data = |item: usize| delta["updates"][item]["data"].clone();
        assert_eq!(
            data(0),
            json!({
                "t": "update-session", "sid": sid, "id": sid,
                "metadata": { "value": "m1", "version": 1 },
                "agentState": { "value": "s1", "version": 1 },
            })
        );
        assert_eq!(
            data(1),
            json!({
                "t": "update-session", "sid": ended, "id": ended,
                "metadata": { "value": "m1", "version": 1 },
            })
        );
        assert_eq!(data(2), json!({ "t": "delete-session", "sid": deleted }));
        let machine = data(3);
        assert_eq!(machine["active"], true);
        assert_eq!(machine["metadata"], json!({ "value": "m1", "version": 1 }));
        assert_eq!(machine["daemonState"], json!({ "value": "d2", "version": 2 }));
        assert_eq!(
            data(5),
            json!({
                "t": "update-artifact", "artifactId": "b",
                "header": { "value": "aDE=", "version": 1 },
                "body": { "value": "YjI=", "version": 2 },
            })
        );
        assert_eq!(
            delta["counts"],
            json!({ "sessions": 2, "deletedSessions": 1, "machines": 1, "artifacts": 2 })
        );
        api.close().await;
    }

    async fn limits_are_told_by_counts(test) {
        let api = Api::new(test);
        for number in 0..101 {
            api.session(ALICE, &number.to_string()).await;
            api.artifact(ALICE, &number.to_string()).await;
        }
        for number in 0..51 {
            api.machine(ALICE, &number.to_string()).await;
        }
        let counts = |delta: Value| delta["counts"].clone();
        assert_eq!(
            counts(api.delta(ALICE, 0, 0, 0).await),
            json!({ "sessions": 100, "deletedSessions": 0, "machines": 50, "artifacts": 100 })
        );
        let seen = api.seq(ALICE).await;
        for number in 0..101 {
            let id = json!({ "artifactId": number.to_string() });
            api.send(ALICE, "artifact-delete", id).await;
        }
        let delta = api.delta(ALICE, seen, seen, seen).await;
        assert_eq!(delta["updates"][0]["data"]["artifactId"], "0", "the oldest come first");
        assert_eq!(counts(delta)["artifacts"], 100);
        api.close().await;
    }

    async fn large_artifacts_come_without_their_bodies(test) {
        let api = Api::new(test);
        for id in ["a", "b", "c"] {
            let new = NewArtifact {
                id: id.to_owned(),
                header: b"h".to_vec(),
                body: vec![7; 600_000],
                data_encryption_key: b"k".to_vec(),
            };
            let made = api.change(ALICE, async |change| artifacts::create(change, new).await);
            made.await.0.unwrap();
        }
        let delta = api.delta(ALICE, 0, 0, 0).await;
        let has_body: Vec<bool> = delta["updates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|update| !update["data"]["body"].is_null())
            .collect();
        assert_eq!(has_body, [true, true, false]);
        assert_eq!(delta["counts"]["artifacts"], 3);
        api.close().await;
    }

    async fn an_answer_that_no_connection_takes_asks_to_fetch_everything(test) {
        let api = Api::new(test);
        for tag in ["a", "b", "c", "d", "e"] {
            let new = NewSession {
                tag: tag.to_owned(),
                metadata: "x".repeat(500_000),
                agent_state: None,
                data_encryption_key: None,
            };
            let made = api.change(ALICE, async |change| sessions::create(change, new).await);
            made.await.0.unwrap();
        }
        assert_eq!(api.delta(ALICE, 0, 0, 0).await["success"], false);
        api.close().await;
    }

    async fn who_is_older_than_the_tombstones_fetches_everything(test) {
        let api = Api::new(test);
        api.session(ALICE, "t").await;
        let purge = api.test.database.write(async |tx| {
            let purge = sqlx::query("UPDATE accounts SET purged_seq = 10 WHERE id = $1");
            purge.bind(ALICE).execute(tx.connection()).await?;
            Ok::<_, DatabaseError>(())
        });
        purge.await.unwrap();
        for (seen, success) in [([0, 0, 0], true), ([10, 11, 0], true), ([9, 10, 10], false)] {
            let [sessions, machines, artifacts] = seen;
            let delta = api.delta(ALICE, sessions, machines, artifacts).await;
            assert_eq!(delta["success"], success, "{seen:?}");
        }
        for bad in [
            json!({}),
            json!({ "sessions": 1, "machines": 1 }),
            json!({ "sessions": "1", "machines": 1, "artifacts": 1 }),
            json!({ "sessions": -1, "machines": 1, "artifacts": 1 }),
        ] {
            api.send(ALICE, "request-updates-since", bad).await.is_refused("success");
        }
        api.close().await;
    }

    async fn a_client_ends_up_with_what_is_stored(test) {
        let api = Api::new(test);
        // Seeded by the library, so that a failure can be run again.
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            proptest::test_runner::TestRng::deterministic_rng(
                proptest::test_runner::RngAlgorithm::ChaCha,
            ),
        );
        let strategy = prop::collection::vec((0_u8..16, 0_usize..4), 1..60);
        for case in 0..24 {
            let steps = strategy.new_tree(&mut runner).unwrap().current();
            let account = format!("account-{case}");
            let mut client = Model::default();
            let mut is_connected = true;
            let mut world = World::default();
            for step in &steps {
                if step.0 == 0 {
                    is_connected = !is_connected;
                    if is_connected {
                        client.catch_up(&api, &account).await;
                    }
                    continue;
                }
                let sent = world.act(&api, &account, *step).await;
                for sent in sent.iter().filter(|sent| is_connected && !sent.is_ephemeral) {
                    client.apply(sent.seq.unwrap(), &sent.body);
                }
            }
            client.catch_up(&api, &account).await;
            let mut fresh = Model::default();
            fresh.catch_up(&api, &account).await;
            assert_eq!(client.entities, fresh.entities, "{steps:?}");
        }
        api.close().await;
    }
}

/// Those who change entities, and know their versions.
#[derive(Default)]
struct World {
    /// Ids and versions of metadata and state.
    sessions: Vec<(String, [i64; 2])>,
    made: usize,
}

impl World {
    async fn act(&mut self, api: &Api, account: &str, (action, which): (u8, usize)) -> Vec<Sent> {
        self.made += 1;
        let value = format!("v{}", self.made);
        let session = self
            .sessions
            .get(which % self.sessions.len().max(1))
            .cloned();
        let id = format!("{account}-{which}");
        match (action, session) {
            (1 | 2, _) | (3..=8, None) => {
                let new = NewSession {
                    tag: value,
                    metadata: "m1".to_owned(),
                    agent_state: None,
                    data_encryption_key: None,
                };
                let create = async |change: &mut Change<'_>| sessions::create(change, new).await;
                let (made, sent) = api.change(account, create).await;
                self.sessions.push((made.unwrap().id, [1, 0]));
                sent
            }
            (3 | 4, Some((sid, [version, _]))) => {
                let data = json!({ "sid": sid, "metadata": value, "expectedVersion": version });
                self.versions(&sid)[0] += 1;
                api.send(account, "update-metadata", data).await.sent
            }
            (5, Some((sid, [_, version]))) => {
                let state = self.made.is_multiple_of(2).then_some(value);
                let data = json!({ "sid": sid, "agentState": state, "expectedVersion": version });
                self.versions(&sid)[1] += 1;
                api.send(account, "update-state", data).await.sent
            }
            (6 | 7, Some((sid, _))) => {
                let data = json!({ "sid": sid, "message": value });
                api.send(account, "message", data).await.sent
            }
            (8, Some((sid, _))) => {
                let data = json!({ "sid": sid, "time": now() });
                let answer = api.send(account, "session-end", data).await;
                if answer.ack["deleted"] == true {
                    self.sessions.retain(|(id, _)| *id != sid);
                }
                answer.sent
            }
            (9 | 10, _) => {
                let new = NewMachine {
                    id: which.to_string(),
                    metadata: value,
                    daemon_state: None,
                    data_encryption_key: None,
                };
                let register =
                    async |change: &mut Change<'_>| machines::register(change, new).await;
                api.change(account, register).await.1
            }
            (11, _) => {
                let status = Status {
                    active: Some(which % 2 == 0),
                    metadata: Some(value.clone()),
                    daemon_state: (which > 1).then_some(value),
                };
                let write = async move |change: &mut Change<'_>| {
                    machines::write_status(change, &which.to_string(), status).await
                };
                api.change(account, write).await.1
            }
            (12 | 13, _) => {
                let new = NewArtifact {
                    id,
                    header: value.clone().into_bytes(),
                    body: value.into_bytes(),
                    data_encryption_key: b"k".to_vec(),
                };
                let create = async |change: &mut Change<'_>| artifacts::create(change, new).await;
                api.change(account, create).await.1
            }
            (14, _) => {
                // Of any version: what matters is what follows from a success.
                let write = async move |change: &mut Change<'_>| {
                    let account = change.account();
                    let stored = artifacts::find(change.connection(), &account, &id).await?;
                    let part = PartWrite {
                        bytes: value.into_bytes(),
                        expected: stored.body_version,
                    };
                    artifacts::write(change, &id, None, Some(part)).await
                };
                api.change(account, write).await.1
            }
            _ => {
                let delete =
                    async move |change: &mut Change<'_>| artifacts::delete(change, &id).await;
                api.change(account, delete).await.1
            }
        }
    }

    fn versions(&mut self, sid: &str) -> &mut [i64; 2] {
        let mut sessions = self.sessions.iter_mut();
        &mut sessions.find(|(id, _)| id == sid).unwrap().1
    }
}

/// A client: what it knows of entities, and the highest numbers that it has seen.
#[derive(Default)]
struct Model {
    entities: BTreeMap<(&'static str, String), BTreeMap<&'static str, Value>>,
    seen: BTreeMap<&'static str, i64>,
}

impl Model {
    async fn catch_up(&mut self, api: &Api, account: &str) {
        let seen = |kind| self.seen.get(kind).copied().unwrap_or(0);
        let delta = api
            .delta(account, seen("session"), seen("machine"), seen("artifact"))
            .await;
        assert_eq!(delta["success"], true, "{delta}");
        let mut last = 0;
        for update in delta["updates"].as_array().unwrap() {
            let seq = update["seq"].as_i64().unwrap();
            assert!(seq > last, "ascending: {delta}");
            last = seq;
            self.apply(seq, &update["data"]);
        }
    }

    fn apply(&mut self, seq: i64, body: &Value) {
        let t = body["t"].as_str().unwrap();
        let (kind, id) = if t.ends_with("machine") {
            ("machine", &body["machineId"])
        } else if t.ends_with("artifact") {
            ("artifact", &body["artifactId"])
        } else {
            ("session", &body["sid"])
        };
        let seen = self.seen.entry(kind).or_default();
        assert!(seq > *seen, "a number over those seen: {body}");
        *seen = seq;
        let key = (kind, id.as_str().unwrap().to_owned());
        if t.starts_with("delete-") {
            assert!(self.entities.remove(&key).is_some() || seq > 0);
            return;
        }
        if t == "new-message" {
            return;
        }
        let is_new = t.starts_with("new-");
        let entity = self.entities.entry(key).or_insert_with(|| {
            assert!(is_new, "an update of something unknown: {body}");
            BTreeMap::new()
        });
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
    }
}
