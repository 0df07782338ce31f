//! The one connection that changes anything, and the grouping of writes into transactions.
//!
//! A transaction takes whatever waits: each write runs in a savepoint of its own, so that one that
//! fails takes back its own changes alone. One commit, one wait for the disk, serves all of them;
//! only then are they acknowledged and published, in the order in which they ran.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_shard::publication::Publication;
use futures_util::FutureExt as _;
use sqlx::{AnyConnection, Connection as _, Executor as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::connection::{self, Role};
use super::counters::{DatabaseCounters, Ended};
use super::error::DatabaseError;
use super::location::{Dialect, Location};
use super::publisher::Publisher;
use crate::clock::unix_ms;

/// Most writes of one transaction.
const BATCH: usize = 256;
/// Longest time in which a transaction takes more writes in: those that came first wait for it.
pub const BATCH_TIME: Duration = Duration::from_millis(20);
/// Longest time for one write, or one commit. What takes longer is taken for a database that is
/// gone without a word.
const STEP_TIME: Duration = Duration::from_secs(10);

/// A transaction, as a write sees it: its share of one that others may share.
pub struct Tx {
    connection: AnyConnection,
    publications: Publications,
    now: i64,
    /// Set when a write found the database unavailable: the connection is given up afterwards.
    is_suspect: bool,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Tx {
    /// The connection, to run queries on. Begin and end no transaction on it.
    pub fn connection(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }

    /// The time of this write, Unix ms.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Has this told to clients once the write is committed; never, if it is not.
    pub fn publish(&mut self, user: Arc<str>, publication: Publication) {
        self.publications.push((user, publication));
    }

    /// Runs an operation in a savepoint. An error is the transaction's: it has to be given up.
    async fn run(&mut self, operation: &mut dyn Operation) -> Result<(), sqlx::Error> {
        self.now = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        self.connection.execute("SAVEPOINT one_write").await?;
        let verdict = operation.run(self).await;
        if verdict != Verdict::Keep {
            self.is_suspect |= verdict == Verdict::Unavailable;
            self.publications.clear();
            self.connection
                .execute("ROLLBACK TO SAVEPOINT one_write")
                .await?;
        }
        self.connection
            .execute("RELEASE SAVEPOINT one_write")
            .await?;
        Ok(())
    }
}

/// What a write has published, and for whom.
type Publications = Vec<(Arc<str>, Publication)>;

/// A future that stays on the database's thread.
pub(super) type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The error of a write: its own refusals, and what the database may answer.
pub trait WriteError: From<DatabaseError> + Send + 'static {
    /// The failure of the database, if that is what it is.
    fn database(&self) -> Option<&DatabaseError>;
}

impl WriteError for DatabaseError {
    fn database(&self) -> Option<&DatabaseError> {
        Some(self)
    }
}

/// What is to become of what a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is kept.
    Keep,
    /// It is taken back.
    TakeBack,
    /// It is taken back, and the next transaction needs another connection.
    Unavailable,
}

/// A write on its way through the queue.
pub(super) trait Operation: Send {
    /// Does its work.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Local<'a, Verdict>;
    /// Tells whoever waits how it ended, once the transaction has.
    fn conclude(
        self: Box<Self>,
        transaction: Result<(), DatabaseError>,
        counters: &DatabaseCounters,
    );
}

/// A write of the given work.
pub(super) struct Write<F, T, E> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
    asked_at: Instant,
}

impl<F, T, E> Write<F, T, E> {
    pub(super) fn new(work: F, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self {
            work: Some(work),
            result: None,
            reply,
            asked_at: Instant::now(),
        }
    }
}

impl<F, T, E> Operation for Write<F, T, E>
where
    F: AsyncFnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: WriteError,
{
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Local<'a, Verdict> {
        Box::pin(async move {
            let Some(work) = self.work.take() else {
                return Verdict::TakeBack;
            };
            let result = AssertUnwindSafe(work(tx)).catch_unwind().await;
            let result = result.unwrap_or_else(|_| {
                let fault = "a write ended in a panic, which is a fault of this version";
                Err(DatabaseError::Internal(fault.to_owned()).into())
            });
            let verdict = match &result {
                Ok(_) => Verdict::Keep,
                Err(err) if err.database().is_some_and(DatabaseError::is_unavailable) => {
                    Verdict::Unavailable
                }
                Err(_) => Verdict::TakeBack,
            };
            self.result = Some(result);
            verdict
        })
    }

    fn conclude(
        self: Box<Self>,
        transaction: Result<(), DatabaseError>,
        counters: &DatabaseCounters,
    ) {
        let (result, ended) = match (self.result, transaction) {
            (Some(Ok(value)), Ok(())) => (Ok(value), Ended::Done),
            // It has written nothing, whatever became of the transaction.
            (Some(Err(err)), _) => {
                let is_own = err.database().is_none();
                let ended = if is_own {
                    Ended::Refused
                } else {
                    Ended::Failed
                };
                (Err(err), ended)
            }
            (_, Err(err)) => (Err(err.into()), Ended::Failed),
            (None, Ok(())) => (Err(DatabaseError::closed().into()), Ended::Failed),
        };
        counters.wrote(ended, self.asked_at.elapsed());
        // Whoever asked may be gone; what was written stays.
        let _ = self.reply.send(result);
    }
}

/// What the queue holds.
pub(super) enum Order {
    /// A write.
    Write(Box<dyn Operation>),
    /// End, once what was queued before is written.
    Close,
}

/// The owner of the writing connection.
pub(super) struct Writer {
    pub(super) location: Location,
    pub(super) lock_timeout: Duration,
    pub(super) batch_time: Duration,
    pub(super) connection: Option<AnyConnection>,
    pub(super) queue: mpsc::Receiver<Order>,
    pub(super) publisher: Arc<dyn Publisher>,
    pub(super) counters: Arc<DatabaseCounters>,
}

impl Writer {
    /// Writes until it is told to end, or everybody is gone.
    pub(super) async fn run(mut self) {
        let mut is_closing = false;
        while !is_closing {
            match self.queue.recv().await {
                Some(Order::Write(first)) => is_closing = self.transaction(first).await,
                Some(Order::Close) | None => break,
            }
        }
        self.queue.close();
        while let Ok(order) = self.queue.try_recv() {
            if let Order::Write(operation) = order {
                operation.conclude(Err(DatabaseError::closed()), &self.counters);
            }
        }
        if let Some(connection) = self.connection.take() {
            // What is committed is safe without it; the file is tidier with it.
            let _ = timeout(STEP_TIME, connection.close()).await;
        }
    }

    /// Runs one transaction that begins with this write; whether the end was asked for meanwhile.
    async fn transaction(&mut self, first: Box<dyn Operation>) -> bool {
        let mut is_closing = false;
        let mut tx = match self.begin().await {
            Ok(tx) => tx,
            Err(err) => {
                self.failed(&err);
                // Those that wait would find the same, one after the other. Taken out before anybody
                // is told: what comes after an answer is a new try.
                let mut waiting = vec![first];
                while let Ok(order) = self.queue.try_recv() {
                    match order {
                        Order::Write(operation) => waiting.push(operation),
                        Order::Close => is_closing = true,
                    }
                }
                for operation in waiting {
                    operation.conclude(Err(err.clone()), &self.counters);
                }
                return is_closing;
            }
        };
        let began = Instant::now();
        let mut done: Vec<(Box<dyn Operation>, Publications)> = Vec::new();
        let mut next = Some(first);
        let mut outcome = Ok(());
        while let Some(mut operation) = next.take() {
            outcome = step(tx.run(&mut *operation)).await;
            done.push((operation, std::mem::take(&mut tx.publications)));
            if outcome.is_err() || done.len() >= BATCH || began.elapsed() >= self.batch_time {
                break;
            }
            match self.queue.try_recv() {
                Ok(Order::Write(operation)) => next = Some(operation),
                Ok(Order::Close) => is_closing = true,
                Err(_) => {}
            }
        }
        if outcome.is_ok() {
            let committing = async { tx.connection.execute("COMMIT").await.map(drop) };
            outcome = step(committing).await;
        }
        match outcome {
            Ok(()) => {
                self.counters.committed();
                if tx.is_suspect {
                    let what = "a write found it so".to_owned();
                    self.failed(&DatabaseError::Unavailable(what));
                } else {
                    self.worked();
                    self.connection = Some(tx.connection);
                }
                for (operation, publications) in done {
                    for (user, publication) in publications {
                        self.publisher.publish(&user, publication);
                    }
                    operation.conclude(Ok(()), &self.counters);
                }
            }
            Err(err) => {
                self.failed(&err);
                // Nobody can say what state it is in; closing it takes everything back.
                drop(tx);
                for (operation, _) in done {
                    operation.conclude(Err(err.clone()), &self.counters);
                }
            }
        }
        is_closing
    }

    async fn begin(&mut self) -> Result<Tx, DatabaseError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                step(connection::open(
                    &self.location,
                    Role::Writer,
                    self.lock_timeout,
                ))
                .await?
            }
        };
        let begin = match self.location.dialect() {
            // Takes the lock at once: a transaction that reads first could not get it later.
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        let beginning = async { connection.execute(begin).await.map(drop) };
        step(beginning).await?;
        Ok(Tx {
            connection,
            publications: Vec::new(),
            now: 0,
            is_suspect: false,
        })
    }

    /// Logs the first failure; those after it say nothing new.
    fn failed(&self, err: &DatabaseError) {
        if self.counters.set_down(true) {
            tracing::error!(%err, "the database fails; what fails is not stored");
        } else {
            tracing::debug!(%err, "a transaction failed; nothing of it is stored");
        }
    }

    fn worked(&self) {
        if self.counters.set_down(false) {
            tracing::info!("the database works again");
        }
    }
}

/// A step of a transaction, ended when it takes too long.
async fn step<T>(step: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, DatabaseError> {
    match timeout(STEP_TIME, step).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(DatabaseError::Unavailable(format!(
            "it did not answer within {} s",
            STEP_TIME.as_secs()
        ))),
    }
}
