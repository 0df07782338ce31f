//! The rules of writes and reads, on both databases.

use std::sync::Arc;

use dormouse_protocol::Filter;
use dormouse_shard::application::Delivery;
use dormouse_shard::publication::Publication;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use sqlx::Row as _;
use tokio::sync::oneshot;

use super::connection::Role;
use super::publisher::NoPublisher;
use super::testing::{TestDatabase, on_both_databases};
use super::{Database, DatabaseError, OpenError, Tx, WriteError, connection, migrations};

/// Adds a row to the table of probes, which no other test looks at.
async fn insert(tx: &mut Tx, id: i64) -> Result<(), DatabaseError> {
    sqlx::query("INSERT INTO probe (id, checked_at) VALUES ($1, 0)")
        .bind(id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

async fn rows(database: &Database) -> Vec<i64> {
    let read = database.read(async |reader| {
        let rows = sqlx::query("SELECT id FROM probe ORDER BY id")
            .fetch_all(reader)
            .await?;
        Ok::<_, DatabaseError>(rows.iter().map(|row| row.get(0)).collect())
    });
    read.await.unwrap()
}

fn publish(tx: &mut Tx, text: String) {
    let delivery = Delivery {
        filter: Filter::All,
        except: None,
        json: text,
        is_ephemeral: false,
    };
    let publication = Publication {
        ack: None,
        deliveries: vec![delivery],
    };
    tx.publish(Arc::from("alice"), publication);
}

fn texts(publications: Vec<(Arc<str>, Publication)>) -> Vec<String> {
    let deliveries = publications
        .into_iter()
        .flat_map(|(_, publication)| publication.deliveries);
    deliveries.map(|delivery| delivery.json).collect()
}

/// An error of a write's own.
#[derive(Debug)]
enum Refusal {
    Own,
    Database(DatabaseError),
}

impl From<DatabaseError> for Refusal {
    fn from(err: DatabaseError) -> Self {
        Self::Database(err)
    }
}

impl WriteError for Refusal {
    fn database(&self) -> Option<&DatabaseError> {
        match self {
            Self::Own => None,
            Self::Database(err) => Some(err),
        }
    }
}

on_both_databases! {
    async fn what_is_written_can_be_read_and_survives(test) {
        test.database.write(async |tx| insert(tx, 1).await).await.unwrap();
        assert_eq!(rows(&test.database).await, [1]);
        let test = test.reopen().await;
        assert_eq!(rows(&test.database).await, [1]);
        test.database.close().await;
    }

    async fn a_write_that_fails_takes_back_its_own_changes_alone(test) {
        // One holds the transaction open until all wait, so that they share it.
        let (go, wait) = oneshot::channel::<()>();
        let first = test.database.write(async move |tx| {
            wait.await.unwrap();
            insert(tx, 1).await
        });
        let writes = (2..=9).map(|id| {
            test.database.write(async move |tx| {
                insert(tx, id).await?;
                publish(tx, id.to_string());
                match id % 3 {
                    // Its own refusal, a statement that fails, and a fault.
                    0 => Err(Refusal::Own),
                    1 => Ok(insert(tx, id).await?),
                    _ if id == 5 => panic!("a write that panics"),
                    _ => Ok(()),
                }
            })
        });
        let all = async {
            let (first, rest, ()) = tokio::join!(first, join_all(writes), async {
                go.send(()).unwrap();
            });
            first.unwrap();
            rest
        };
        let ended: Vec<bool> = all.await.iter().map(Result::is_ok).collect();
        // 2 to 9; 5 panics, 3, 6 and 9 refuse, 4 and 7 insert twice.
        assert_eq!(ended, [true, false, false, false, false, false, true, false]);
        assert_eq!(rows(&test.database).await, [1, 2, 8]);
        assert_eq!(texts(test.published.take()), ["2", "8"]);
        let counters = test.database.counters();
        assert_eq!(counters.writes(), [3, 3, 3]);
        assert_eq!(counters.commits(), 1);
        test.database.close().await;
    }

    async fn publications_are_queued_in_commit_order_before_their_write_returns(test) {
        let writes = (0..200).map(|id| {
            let (database, published) = (test.database.clone(), test.published.clone());
            async move {
                let write = database.write(async move |tx| {
                    insert(tx, id).await?;
                    publish(tx, id.to_string());
                    Ok::<_, DatabaseError>(())
                });
                write.await.unwrap();
                texts(published.take())
            }
        });
        let mut all: Vec<i64> = Vec::new();
        for texts in join_all(writes).await {
            all.extend(texts.iter().map(|text| text.parse::<i64>().unwrap()));
        }
        assert_eq!(all, (0..200).collect::<Vec<_>>());
        let counters = test.database.counters();
        assert!(counters.commits() < 200, "writes that wait share a commit");
        test.database.close().await;
    }

    async fn closing_writes_what_is_queued_and_refuses_the_rest(test) {
        let writes = (0..50).map(|id| test.database.write(async move |tx| insert(tx, id).await));
        let (written, ()) = tokio::join!(join_all(writes), test.database.close());
        assert!(written.iter().all(Result::is_ok));
        let late = test.database.write(async |tx| insert(tx, 99).await).await;
        assert!(late.unwrap_err().is_unavailable());
        let late = test.database.read(async |_| Ok::<_, DatabaseError>(())).await;
        assert!(late.unwrap_err().is_unavailable());
        let test = test.reopen().await;
        assert_eq!(rows(&test.database).await.len(), 50);
        test.database.close().await;
    }

    async fn a_snapshot_sees_one_state(test) {
        let (looked, has_looked) = oneshot::channel();
        let (wrote, has_written) = oneshot::channel::<()>();
        let count = async |reader: &mut super::super::Reader| {
            let row = sqlx::query("SELECT COUNT(*) FROM probe").fetch_one(reader).await?;
            Ok::<i64, DatabaseError>(row.get(0))
        };
        let reading = test.database.read_snapshot(async move |reader| {
            let before = count(reader).await?;
            looked.send(()).unwrap();
            has_written.await.unwrap();
            Ok::<_, DatabaseError>((before, count(reader).await?))
        });
        let writing = async {
            has_looked.await.unwrap();
            test.database.write(async |tx| insert(tx, 1).await).await.unwrap();
            wrote.send(()).unwrap();
        };
        let (read, ()) = tokio::join!(reading, writing);
        assert_eq!(read.unwrap(), (0, 0));
        assert_eq!(rows(&test.database).await, [1]);
        test.database.close().await;
    }

    async fn readers_cannot_write(test) {
        let write = test.database.read(async |reader| {
            let query = sqlx::query("INSERT INTO probe (id, checked_at) VALUES (1, 1)");
            query.execute(reader).await?;
            Ok::<_, DatabaseError>(())
        });
        assert!(write.await.is_err());
        assert!(rows(&test.database).await.is_empty());
        test.database.close().await;
    }

    async fn a_database_of_a_newer_version_is_not_touched(test) {
        let write = test.database.write(async |tx| {
            let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
                         execution_time) VALUES (9999, 'newer', $1, $2, 0)";
            // The column's type is the library's: a boolean here, a number there.
            let newer = newer.replace("$1", "1 = 1");
            sqlx::query(sqlx::AssertSqlSafe(newer.replace("$2", "$1")))
                .bind(&b"x"[..])
                .execute(tx.connection())
                .await?;
            Ok::<_, DatabaseError>(())
        });
        write.await.unwrap();
        test.database.close().await;
        let err = Database::open(test.options.clone(), Arc::new(NoPublisher)).unwrap_err();
        assert!(matches!(err, OpenError::Newer { version: 9999, .. }), "{err}");
        assert!(err.to_string().contains("newer version of Dormouse"), "{err}");
    }

    async fn sums_of_before_are_in_the_totals(test) {
        test.database.close().await;
        let location = test.options.location.clone();
        // Migrations of other tests may be under way, for which PostgreSQL has one lock.
        let lock_timeout = std::time::Duration::from_secs(60);
        let mut connection = connection::open(&location, Role::Writer, lock_timeout).await.unwrap();
        for statement in [
            "DROP TABLE call_totals",
            "DROP TABLE dashboard_agents",
            "DROP TABLE dashboard_tasks",
            "DROP TABLE dashboard_messages",
            "DROP TABLE dashboard_game_states",
            "DELETE FROM _sqlx_migrations WHERE version >= 55",
            "INSERT INTO call_rollups VALUES ('t', 60000, 0, 'c', 'p', 'b', 'BUSY', 1, 2, 3, 4, 5, 6)",
            "INSERT INTO call_rollups VALUES ('t', 60000, 0, 'd', 'p', 'b', 'BUSY', 1, 2, 3, 4, 5, 6)",
            "INSERT INTO call_rollups VALUES ('t', 60000, 60000, 'd', '', '', 'BUSY', 1, 1, 1, 1, 1, 1)",
        ] {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        migrations::run(&mut connection, &location).await.unwrap();
        let found = sqlx::query("SELECT bucket, calls, handle_ms FROM call_totals ORDER BY bucket")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let found: Vec<[i64; 3]> = found.iter().map(|row| [0, 1, 2].map(|at| row.get(at))).collect();
        assert_eq!(found, [[0, 2, 12], [60000, 1, 1]]);
    }

    async fn a_full_queue_refuses_at_once_and_stores_nothing(test) {
        test.database.close().await;
        let mut options = test.options.clone();
        options.write_queue = 2;
        let database = Database::open(options, Arc::new(NoPublisher)).unwrap();
        let (go, wait) = oneshot::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let holding = database.write(async move |tx| {
            begun.send(()).unwrap();
            wait.await.unwrap();
            insert(tx, 0).await
        });
        let others = async {
            has_begun.await.unwrap();
            let writes = (1..=5).map(|id| database.write(async move |tx| insert(tx, id).await));
            let mut writes = Box::pin(join_all(writes));
            // Asks all of them once: what has room waits, the rest is refused.
            assert!((&mut writes).now_or_never().is_none());
            go.send(()).unwrap();
            writes.await
        };
        let (held, others) = tokio::join!(holding, others);
        held.unwrap();
        let busy = others.iter().filter(|result| matches!(result, Err(DatabaseError::Busy)));
        assert_eq!(busy.count(), 3);
        assert_eq!(rows(&database).await, [0, 1, 2]);
        database.close().await;
    }
}

#[tokio::test]
async fn what_sqlite_keeps_of_a_file_in_memory_is_bounded() {
    const SIZE: &str = "SELECT cache_size FROM pragma_cache_size";
    let test = TestDatabase::sqlite();
    let writer = test.database.write(async |tx| {
        let size = sqlx::query_scalar(SIZE).fetch_one(tx.connection());
        Ok::<i64, DatabaseError>(size.await?)
    });
    let reader = test.database.read(async |reader| {
        let size = sqlx::query_scalar(SIZE).fetch_one(reader);
        Ok::<i64, DatabaseError>(size.await?)
    });
    // KiB; positive ones would be pages.
    let sizes = (writer.await.unwrap(), reader.await.unwrap());
    assert_eq!(sizes, (-2_000, -512));
    test.database.close().await;
}

mod dump;
mod faults;
mod older;
