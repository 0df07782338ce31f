//! The ledger: takes submissions from all threads, has them committed in groups, then tells
//! subscribers and whoever asked.
//!
//! One task does this, so that events of a tenant are told in the order of their places. While a
//! group is on its way to the disk the next one gathers: the busier it is, the larger the groups.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::backbone::Backbone;
use super::counters::EventCounters;
use super::submission::{Outcome, Submission};
use crate::database::DatabaseError;

/// Most submissions of one group.
const GROUP: usize = 512;
/// Submissions that may wait; more are refused, since each waits in a request's memory.
const QUEUE: usize = 4096;
/// Events that workers may still have to hand out before the ledger waits for them.
const MOST_UNTOLD: usize = 8192;

/// Why a submission is not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// More is published than can be stored: worth another try.
    #[error("too much is being published; try again in a second")]
    Busy,
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

struct Order {
    submission: Submission,
    reply: oneshot::Sender<Result<Outcome, PublishError>>,
}

/// Handle to the ledger; cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    orders: mpsc::Sender<Order>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

/// The ledger's task, to be run by somebody.
pub struct LedgerTask {
    orders: mpsc::Receiver<Order>,
    backbone: Arc<dyn Backbone>,
    counters: Arc<EventCounters>,
}

impl std::fmt::Debug for LedgerTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerTask").finish_non_exhaustive()
    }
}

impl Ledger {
    /// A ledger and its task.
    pub fn new(backbone: Arc<dyn Backbone>, counters: Arc<EventCounters>) -> (Self, LedgerTask) {
        let (orders, receiver) = mpsc::channel(QUEUE);
        let task = LedgerTask {
            orders: receiver,
            backbone,
            counters,
        };
        (Self { orders }, task)
    }

    /// Publishes: returns when everything is stored and on its way to subscribers. Goes on when
    /// the caller goes away.
    ///
    /// # Errors
    /// [`PublishError`]; then nothing is stored and nobody is told.
    pub async fn publish(&self, submission: Submission) -> Result<Outcome, PublishError> {
        let (reply, answer) = oneshot::channel();
        self.orders
            .try_send(Order { submission, reply })
            .map_err(|err| match err {
                mpsc::error::TrySendError::Full(_) => PublishError::Busy,
                mpsc::error::TrySendError::Closed(_) => stopped(),
            })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> PublishError {
    DatabaseError::Unavailable("the server is stopping".to_owned()).into()
}

impl LedgerTask {
    /// Runs until every [`Ledger`] is dropped.
    pub async fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP);
        while self.orders.recv_many(&mut group, GROUP).await > 0 {
            while self.backbone.waiting() > MOST_UNTOLD {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            self.commit(std::mem::take(&mut group)).await;
        }
    }

    async fn commit(&self, group: Vec<Order>) {
        let submissions: Vec<Submission> =
            group.iter().map(|order| order.submission.clone()).collect();
        match self.backbone.commit(submissions).await {
            Ok((outcomes, events)) => {
                self.backbone.tell(events);
                for (order, outcome) in group.into_iter().zip(outcomes) {
                    self.answer(order, Ok(outcome));
                }
            }
            // One that cannot be stored must not take the others with it.
            Err(DatabaseError::Internal(_)) if group.len() > 1 => {
                for order in group {
                    Box::pin(self.commit(vec![order])).await;
                }
            }
            Err(err) => {
                for order in group {
                    self.answer(order, Err(err.clone().into()));
                }
            }
        }
    }

    fn answer(&self, order: Order, result: Result<Outcome, PublishError>) {
        if let Ok(Outcome::Stored(published)) = &result {
            let applied = published.iter().filter(|event| event.is_applied());
            self.counters.published(
                applied.count() as u64,
                order.submission.accepted_at.elapsed(),
            );
        }
        // Whoever asked may be gone; what is stored stays.
        let _ = order.reply.send(result);
    }
}
