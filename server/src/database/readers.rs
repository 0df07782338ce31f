//! The connections that read.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, Executor as _};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connection::{self, Role};
use super::counters::{DatabaseCounters, Ended};
use super::error::{DatabaseError, OpenError};
use super::location::{Dialect, Location};
use super::writer::Local;

/// Longest wait for a connection.
const WAIT: Duration = Duration::from_secs(5);
/// Longest time for one read.
const READ_TIME: Duration = Duration::from_secs(10);

/// The pool. Connections are opened when they are needed, and opened again when they broke.
pub(super) fn pool(
    location: &Location,
    most: u32,
    lock_timeout: Duration,
) -> Result<AnyPool, OpenError> {
    let dialect = location.dialect();
    let options = AnyPoolOptions::new()
        .max_connections(most)
        .min_connections(0)
        .acquire_timeout(WAIT)
        // A file needs no asking whether it is still there.
        .test_before_acquire(dialect == Dialect::Postgres)
        .after_connect(move |connection, _| {
            Box::pin(connection::prepare(
                connection,
                dialect,
                Role::Reader,
                lock_timeout,
            ))
        });
    Ok(options.connect_lazy_with(location.options()?))
}

/// A read on its way to the database's thread.
pub(super) trait Question: Send {
    /// Reads, and answers whoever asked.
    fn run(self: Box<Self>, pool: AnyPool, counters: Arc<DatabaseCounters>) -> Local<'static, ()>;
}

/// A read of the given work.
pub(super) struct Read<F, T, E> {
    pub(super) work: F,
    /// Whether all of its queries see the same state.
    pub(super) in_snapshot: Option<Dialect>,
    pub(super) reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Question for Read<F, T, E>
where
    F: AsyncFnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<DatabaseError> + Send + 'static,
{
    fn run(self: Box<Self>, pool: AnyPool, counters: Arc<DatabaseCounters>) -> Local<'static, ()> {
        Box::pin(async move {
            let Self {
                work,
                in_snapshot,
                reply,
            } = *self;
            if reply.is_closed() {
                return;
            }
            let reading = async {
                let mut connection = pool.acquire().await.map_err(DatabaseError::from)?;
                let Some(dialect) = in_snapshot else {
                    return work(&mut connection).await;
                };
                let begin = match dialect {
                    Dialect::Sqlite => "BEGIN",
                    Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ",
                };
                let begun = connection.execute(begin).await;
                begun.map_err(DatabaseError::from)?;
                let result = work(&mut connection).await;
                if let Err(err) = connection.execute("ROLLBACK").await {
                    // It may still be in the transaction: not for the next one.
                    drop(connection.detach());
                    tracing::debug!(%err, "a snapshot did not end well");
                }
                result
            };
            let guarded = std::panic::AssertUnwindSafe(timeout(READ_TIME, reading)).catch_unwind();
            let (result, ended) = match guarded.await {
                Ok(Ok(Ok(value))) => (Ok(value), Ended::Done),
                Ok(Ok(Err(err))) => (Err(err), Ended::Failed),
                Ok(Err(_)) => {
                    let text = format!("a read took more than {} s", READ_TIME.as_secs());
                    (Err(DatabaseError::Unavailable(text).into()), Ended::Failed)
                }
                Err(_) => {
                    let fault = "a read ended in a panic, which is a fault of this version";
                    (
                        Err(DatabaseError::Internal(fault.to_owned()).into()),
                        Ended::Failed,
                    )
                }
            };
            counters.read(ended);
            let _ = reply.send(result);
        })
    }
}
