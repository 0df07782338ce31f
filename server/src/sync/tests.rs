//! The sync API's rules, on both databases: what each event answers and sends.

use std::sync::Arc;

use dormouse_protocol::{ClientType, ConnectionId, Filter, Labels};
use dormouse_shard::application::{Application as _, Delivery, EventReply, EventRequest};
use dormouse_shard::mount::Wire;
use dormouse_shard::publication::ReplyTo;
use dormouse_shard::table::SlotToken;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::artifacts::NewArtifact;
use super::change::Change;
use super::heartbeats::Heartbeats;
use super::machines::NewMachine;
use super::sessions::{NewSession, Session};
use super::{SyncApplication, SyncError, artifacts, machines, sessions};
use crate::clock::unix_ms;
use crate::database::testing::{TestDatabase, on_both_databases};
use crate::database::{DatabaseError, Reader};

mod artifact_events;
mod artifact_lists;
mod convergence;
mod delta;
mod idle;
mod machine_events;
mod maintenance;
mod message_events;
mod other_events;
mod plans;
mod session_events;

const ALICE: &str = "alice";
const BOB: &str = "bob";

/// What an event led to.
#[derive(Debug)]
struct Answer {
    /// The acknowledgement; `null` when there was none.
    ack: Value,
    sent: Vec<Sent>,
}

/// A frame that was sent.
#[derive(Debug)]
struct Sent {
    filter: Filter,
    except: Option<ConnectionId>,
    is_ephemeral: bool,
    /// Of updates: the number.
    seq: Option<i64>,
    /// The body of an update, or of an ephemeral.
    body: Value,
}

impl From<Delivery> for Sent {
    fn from(delivery: Delivery) -> Self {
        let frame: Value = serde_json::from_str(&delivery.json).unwrap();
        let is_ephemeral = delivery.is_ephemeral;
        let data = &frame["data"];
        let (seq, body) = if is_ephemeral {
            assert_eq!(frame["event"], "ephemeral");
            (None, data.clone())
        } else {
            assert_eq!(frame["event"], "update");
            assert_eq!(data["id"].as_str().unwrap().len(), 32, "{frame}");
            assert!(data["createdAt"].is_i64(), "{frame}");
            (data["seq"].as_i64(), data["body"].clone())
        };
        Self {
            filter: delivery.filter,
            except: delivery.except,
            is_ephemeral,
            seq,
            body,
        }
    }
}

impl Answer {
    /// The only frame that was sent.
    #[track_caller]
    fn only(&self) -> &Sent {
        assert_eq!(self.sent.len(), 1, "{self:?}");
        &self.sent[0]
    }

    /// Requires an error in this form, and that nothing was sent.
    #[track_caller]
    fn is_refused(&self, form: &str) {
        assert!(self.sent.is_empty(), "{self:?}");
        let (flag, text) = match form {
            "result" => (self.ack["result"] == "error", &self.ack["message"]),
            "success" => (self.ack["success"] == false, &self.ack["error"]),
            "ok" => (self.ack["ok"] == false, &self.ack["error"]),
            _ => unreachable!(),
        };
        assert!(flag && text.is_string(), "{self:?}");
    }
}

/// A sync API on a database, and somebody who sends events to it.
struct Api {
    application: SyncApplication,
    test: TestDatabase,
    sender: ConnectionId,
    wire: Wire,
}

impl Api {
    fn new(test: TestDatabase) -> Self {
        let heartbeats = Arc::new(Heartbeats::default());
        let database = test.database.clone();
        Self {
            application: SyncApplication::new(database, heartbeats, 2 << 20),
            test,
            sender: ConnectionId::random(),
            wire: Wire::Plain,
        }
    }

    fn request(&self, account: &str, event: &str, data: Option<Box<RawValue>>) -> EventRequest {
        EventRequest {
            rooms: Default::default(),
            user: account.into(),
            connection: self.sender,
            labels: Labels {
                client_type: ClientType::UserScoped,
                session_id: None,
                machine_id: None,
            },
            event: event.into(),
            payload: data,
            wire: self.wire,
            reply_to: Some(ReplyTo {
                connection: self.sender,
                shard: 0,
                token: SlotToken::from_bits(0),
                correlation: to_raw_value("a").unwrap().into(),
            }),
        }
    }

    /// Sends an event and waits for what it leads to.
    async fn send(&self, account: &str, event: &str, data: Value) -> Answer {
        let data = Some(to_raw_value(&data).unwrap());
        self.send_raw(account, event, data).await
    }

    async fn send_raw(&self, account: &str, event: &str, data: Option<Box<RawValue>>) -> Answer {
        self.test.published.take();
        assert!(self.application.handles("alice", event), "{event}");
        let outcome = match self.application.handle(self.request(account, event, data)) {
            EventReply::Now(outcome) => outcome,
            EventReply::Later(outcome) => outcome.await,
            EventReply::Published => unreachable!(),
        };
        let mut acks: Vec<String> = outcome.ack.into_iter().collect();
        let mut sent: Vec<Sent> = outcome.deliveries.into_iter().map(Sent::from).collect();
        for (user, publication) in self.test.published.take() {
            assert_eq!(&*user, account);
            acks.extend(publication.ack.map(|ack| {
                assert_eq!(ack.to.connection, self.sender);
                ack.value
            }));
            sent.extend(publication.deliveries.into_iter().map(Sent::from));
        }
        assert_eq!(acks.len(), 1, "{event} is acknowledged once: {acks:?}");
        Answer {
            ack: serde_json::from_str(&acks[0]).unwrap(),
            sent,
        }
    }

    /// Makes a change as HTTP would.
    async fn change<T: Send + 'static>(
        &self,
        account: &str,
        work: impl AsyncFnOnce(&mut Change<'_>) -> Result<T, SyncError> + Send + 'static,
    ) -> (Result<T, SyncError>, Vec<Sent>) {
        self.test.published.take();
        let account: Arc<str> = account.into();
        let result = self.test.database.write(async move |tx| {
            let mut change = Change::new(tx, account);
            let value = work(&mut change).await?;
            change.finish(None);
            Ok::<_, SyncError>(value)
        });
        let result = result.await;
        let published = self.test.published.take().into_iter();
        let sent = published.flat_map(|(_, publication)| publication.deliveries);
        (result, sent.map(Sent::from).collect())
    }

    async fn session(&self, account: &str, tag: &str) -> Session {
        let new = NewSession {
            tag: tag.to_owned(),
            metadata: "m1".to_owned(),
            agent_state: None,
            data_encryption_key: None,
        };
        let made = self.change(account, async |change| sessions::create(change, new).await);
        made.await.0.unwrap()
    }

    async fn machine(&self, account: &str, id: &str) {
        let new = NewMachine {
            id: id.to_owned(),
            metadata: "m1".to_owned(),
            daemon_state: Some("d1".to_owned()),
            data_encryption_key: None,
        };
        let made = self.change(account, async |change| {
            machines::register(change, new).await
        });
        made.await.0.unwrap();
    }

    async fn artifact(&self, account: &str, id: &str) {
        let new = NewArtifact {
            id: id.to_owned(),
            header: b"h1".to_vec(),
            body: b"b1".to_vec(),
            data_encryption_key: b"k".to_vec(),
        };
        let made = self.change(account, async |change| artifacts::create(change, new).await);
        made.await.0.unwrap();
    }

    /// A session as it is stored, with its number of the last change.
    async fn stored_session(&self, account: &str, id: &str) -> Result<(Session, i64), SyncError> {
        let (account, id) = (account.to_owned(), id.to_owned());
        let read = self.test.database.read(async move |reader: &mut Reader| {
            let session = sessions::find(reader, &account, &id).await?;
            let row = sqlx::query("SELECT change_seq FROM sessions WHERE id = $1")
                .bind(id)
                .fetch_one(reader)
                .await?;
            Ok::<_, SyncError>((session, sqlx::Row::get(&row, 0)))
        });
        read.await
    }

    async fn stored_machine(&self, account: &str, id: &str) -> machines::Machine {
        let (account, id) = (account.to_owned(), id.to_owned());
        let read = async move |reader: &mut Reader| machines::find(reader, &account, &id).await;
        self.test.database.read(read).await.unwrap()
    }

    /// The account's sequence.
    async fn seq(&self, account: &str) -> i64 {
        let account = account.to_owned();
        let read = self.test.database.read(async move |reader: &mut Reader| {
            let row = sqlx::query("SELECT seq FROM accounts WHERE id = $1")
                .bind(account)
                .fetch_optional(reader)
                .await?;
            Ok::<i64, DatabaseError>(row.map_or(0, |row| sqlx::Row::get(&row, 0)))
        });
        read.await.unwrap()
    }

    /// How many rows a table has, of all accounts.
    async fn count(&self, table: &str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let read = self.test.database.read(async move |reader: &mut Reader| {
            let row = sqlx::query(count).fetch_one(reader).await?;
            Ok::<i64, DatabaseError>(sqlx::Row::get(&row, 0))
        });
        read.await.unwrap()
    }

    async fn close(self) {
        self.test.database.close().await;
    }
}

fn now() -> i64 {
    i64::try_from(unix_ms()).unwrap()
}
