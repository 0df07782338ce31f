//! The database's thread, and the handle that the rest of the server has.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, AnyPool};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::connection::{self, Role};
use super::counters::DatabaseCounters;
use super::error::{DatabaseError, OpenError};
use super::health::Health;
use super::location::{Dialect, Location};
use super::migrations;
use super::publisher::Publisher;
use super::readers::{self, Question, Read};
use super::writer::{Operation, Order, Tx, Write, WriteError, Writer};

/// How the database is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub location: Location,
    /// How many connections read at most; one more writes.
    pub read_connections: u32,
    /// How many writes may wait; more are refused with [`DatabaseError::Busy`].
    pub write_queue: usize,
    /// How long a lock of another process is waited for.
    pub lock_timeout: Duration,
    /// How long a transaction takes more writes in: [`super::BATCH_TIME`], but for tests.
    pub batch_time: Duration,
}

/// Handle to the database; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Database {
    writes: mpsc::Sender<Order>,
    reads: mpsc::UnboundedSender<Box<dyn Question>>,
    dialect: Dialect,
    counters: Arc<DatabaseCounters>,
    health: Arc<Health>,
    ended: Arc<tokio::sync::Mutex<Option<oneshot::Receiver<()>>>>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database on a thread of its own and brings it up to date. Blocks until that is
    /// done.
    ///
    /// # Errors
    /// [`OpenError`], with its remedy.
    pub fn open(options: Options, publisher: Arc<dyn Publisher>) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let location = options.location.clone();
        let (write, queue) = mpsc::channel(options.write_queue.max(1));
        let (reads, questions) = mpsc::unbounded_channel();
        let (opened, is_opened) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel();
        let counters = Arc::new(DatabaseCounters::default());
        let shared = counters.clone();
        std::thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || {
                serve(&options, queue, questions, publisher, &shared, &opened);
                let _ = end.send(());
            })
            .map_err(|err| location.unusable(&err))?;
        match is_opened.recv() {
            Ok(result) => result?,
            Err(_) => return Err(location.unusable(&"its thread ended")),
        }
        Ok(Self {
            writes: write,
            reads,
            dialect: location.dialect(),
            counters,
            health: Arc::default(),
            ended: Arc::new(tokio::sync::Mutex::new(Some(ended))),
        })
    }

    /// The kind of database.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> &DatabaseCounters {
        &self.counters
    }

    /// Writes: runs the work in a transaction, which it may share with others, and ends when that
    /// is committed and on disk. With an error of its own it takes back what it did, alone. What it
    /// published is then queued to clients before this ends.
    ///
    /// The write is queued by the call, not by awaiting: writes run in the order of the calls, and
    /// go on when the caller goes away.
    ///
    /// # Errors
    /// The work's own, or a [`DatabaseError`]: then nothing is stored.
    pub fn write<F, T, E>(&self, work: F) -> impl Future<Output = Result<T, E>> + use<F, T, E>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: WriteError,
    {
        let (reply, answer) = oneshot::channel();
        let operation: Box<dyn Operation> = Box::new(Write::new(work, reply));
        let queued = self.writes.try_send(Order::Write(operation));
        async move {
            queued.map_err(|err| match err {
                mpsc::error::TrySendError::Full(_) => DatabaseError::Busy,
                mpsc::error::TrySendError::Closed(_) => DatabaseError::closed(),
            })?;
            answer.await.map_err(|_| DatabaseError::closed())?
        }
    }

    /// Reads what is committed.
    ///
    /// # Errors
    /// The work's own, or a [`DatabaseError`].
    pub async fn read<F, T, E>(&self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        self.ask(work, None).await
    }

    /// As [`Self::read`], with all queries of the work seeing the same state.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_snapshot<F, T, E>(&self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        self.ask(work, Some(self.dialect)).await
    }

    async fn ask<F, T, E>(&self, work: F, in_snapshot: Option<Dialect>) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let question = Box::new(Read {
            work,
            in_snapshot,
            reply,
        });
        self.reads
            .send(question)
            .map_err(|_| DatabaseError::closed())?;
        answer.await.map_err(|_| DatabaseError::closed())?
    }

    /// Whether a write gets through, found out by writing; an answer serves a second.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn check(&self) -> Result<(), DatabaseError> {
        self.health.check(self).await
    }

    /// Ends the thread once everything that was asked for is written. Later writes are refused.
    pub async fn close(&self) {
        // Waits for room, so that what is queued is written.
        let _ = self.writes.send(Order::Close).await;
        if let Some(ended) = self.ended.lock().await.take() {
            let _ = ended.await;
        }
    }
}

/// Runs the thread: opens, then writes and reads until the end.
fn serve(
    options: &Options,
    queue: mpsc::Receiver<Order>,
    questions: mpsc::UnboundedReceiver<Box<dyn Question>>,
    publisher: Arc<dyn Publisher>,
    counters: &Arc<DatabaseCounters>,
    opened: &std::sync::mpsc::Sender<Result<(), OpenError>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(err) => {
            let _ = opened.send(Err(options.location.unusable(&err)));
            return;
        }
    };
    let tasks = LocalSet::new();
    let all = async {
        let (connection, pool) = match open(options).await {
            Ok(open) => open,
            Err(err) => {
                let _ = opened.send(Err(err));
                return;
            }
        };
        let _ = opened.send(Ok(()));
        let writer = Writer {
            location: options.location.clone(),
            lock_timeout: options.lock_timeout,
            batch_time: options.batch_time,
            connection: Some(connection),
            queue,
            publisher,
            counters: counters.clone(),
        };
        tokio::select! {
            () = writer.run() => {}
            () = answer(questions, &pool, counters) => {}
        }
        pool.close().await;
    };
    tasks.block_on(&runtime, all);
}

async fn open(options: &Options) -> Result<(AnyConnection, AnyPool), OpenError> {
    let location = &options.location;
    connection::make_file(location).map_err(|err| location.unusable(&err))?;
    let unusable = |err| location.unusable(&err);
    let mut connection = connection::connect(location).await.map_err(unusable)?;
    // Without a limit to waiting for locks: another server may be at the same steps.
    migrations::run(&mut connection, location).await?;
    let (dialect, wait) = (location.dialect(), options.lock_timeout);
    connection::prepare(&mut connection, dialect, Role::Writer, wait)
        .await
        .map_err(unusable)?;
    let pool = readers::pool(location, options.read_connections, options.lock_timeout)?;
    Ok((connection, pool))
}

/// Starts each read as it comes; the pool bounds how many run.
async fn answer(
    mut questions: mpsc::UnboundedReceiver<Box<dyn Question>>,
    pool: &AnyPool,
    counters: &Arc<DatabaseCounters>,
) {
    while let Some(question) = questions.recv().await {
        tokio::task::spawn_local(question.run(pool.clone(), counters.clone()));
    }
}
