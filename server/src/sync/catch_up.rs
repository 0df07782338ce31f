//! Answers a client that was away (contract realtime.md 5.12) at its place among the account's
//! updates: behind all that the answer knows of, in front of all that it does not.
//!
//! An answer that came later than an update which it does not know of would undo that update at the
//! client: bring back what was deleted, say. So it is read beside the writer, as it may be large, and
//! published by the writer, as updates are, if nothing has changed in between.

use std::sync::Arc;

use dormouse_shard::publication::{Ack, ReplyTo};

use super::change::Change;
use super::delta::{self, Delta, Seen};
use super::error::SyncError;
use crate::database::{Database, Reader};

/// How often it is read beside the writer, before an account that changes all the time has it read by
/// the writer itself.
const TRIES: usize = 3;

/// Publishes the answer, of at most `most` bytes. It is returned instead when the database cannot be
/// written to: then there are no updates that it could come too late for.
///
/// # Errors
/// The database's.
pub async fn answer(
    database: &Database,
    user: Arc<str>,
    seen: Seen,
    most: usize,
    to: ReplyTo,
) -> Result<Option<String>, SyncError> {
    for _ in 0..TRIES {
        let account = user.to_string();
        // Its queries must agree with each other.
        let read =
            async move |reader: &mut Reader| delta::since(reader, &account, seen, most).await;
        let found: Delta = database.read_snapshot(read).await?;
        let (user, to, ack) = (user.clone(), to.clone(), found.ack.clone());
        let published = database.write(async move |tx| {
            let mut change = Change::new(tx, user);
            let account = change.account();
            let is_current =
                delta::current_seq(change.connection(), &account).await? == found.as_of;
            if is_current {
                change.finish(Some(Ack { to, value: ack }));
            }
            Ok::<_, SyncError>(is_current)
        });
        match published.await {
            Ok(true) => return Ok(None),
            Ok(false) => {}
            Err(SyncError::Database(err)) if err.is_unavailable() => return Ok(Some(found.ack)),
            Err(err) => return Err(err),
        }
    }
    let published = database.write(async move |tx| {
        let mut change = Change::new(tx, user);
        let account = change.account();
        let found = delta::since(change.connection(), &account, seen, most).await?;
        let value = found.ack;
        change.finish(Some(Ack { to, value }));
        Ok::<_, SyncError>(())
    });
    published.await?;
    Ok(None)
}
