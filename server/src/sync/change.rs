//! One change of an account's entities: the transaction, its share of the account's sequence, and
//! the frames that it will lead to.

use std::sync::Arc;

use dormouse_protocol::{ConnectionId, Filter};
use dormouse_shard::application::Delivery;
use dormouse_shard::publication::{Ack, Publication};
use serde::Serialize;
use sqlx::{AnyConnection, Row as _};

use super::bodies::{ephemeral_frame, update_frame};
use super::error::SyncError;
use crate::database::Tx;

/// A change in the making. What it sends leaves when it is committed; dropped, it sends nothing.
#[derive(Debug)]
pub struct Change<'t> {
    tx: &'t mut Tx,
    account: Arc<str>,
    deliveries: Vec<Delivery>,
}

impl<'t> Change<'t> {
    /// A change of this account.
    pub fn new(tx: &'t mut Tx, account: Arc<str>) -> Self {
        Self {
            tx,
            account,
            deliveries: Vec::new(),
        }
    }

    /// Whose entities these are.
    pub fn account(&self) -> Arc<str> {
        self.account.clone()
    }

    /// The time of the change, Unix ms.
    pub fn now(&self) -> i64 {
        self.tx.now()
    }

    /// The connection, to run queries on.
    pub fn connection(&mut self) -> &mut AnyConnection {
        self.tx.connection()
    }

    /// The next number of the account's sequence. Makes the account's row, if a token's subject
    /// has none yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_seq(&mut self) -> Result<i64, SyncError> {
        let (account, now) = (self.account.to_string(), self.now());
        let row = sqlx::query(
            "INSERT INTO accounts (id, seq, created_at, updated_at) VALUES ($1, 1, $2, $2) \
             ON CONFLICT (id) DO UPDATE SET seq = accounts.seq + 1 RETURNING seq",
        )
        .bind(account)
        .bind(now)
        .fetch_one(self.connection())
        .await?;
        Ok(row.try_get(0)?)
    }

    /// Makes the account's row, if it has none, without consuming a number.
    ///
    /// # Errors
    /// The database's.
    pub async fn ensure_account(&mut self) -> Result<(), SyncError> {
        let (account, now) = (self.account.to_string(), self.now());
        sqlx::query(
            "INSERT INTO accounts (id, created_at, updated_at) VALUES ($1, $2, $2) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(account)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Sends an update with a number of [`Self::next_seq`].
    pub fn update(&mut self, seq: i64, filter: Filter, body: &impl Serialize) {
        self.update_except(seq, filter, None, body);
    }

    /// As [`Self::update`], leaving one connection out.
    pub fn update_except(
        &mut self,
        seq: i64,
        filter: Filter,
        except: Option<ConnectionId>,
        body: &impl Serialize,
    ) {
        self.deliveries.push(Delivery {
            filter,
            except,
            json: update_frame(seq, self.now(), body),
            is_ephemeral: false,
        });
    }

    /// Sends an ephemeral.
    pub fn ephemeral(&mut self, filter: Filter, body: &impl Serialize) {
        self.ephemeral_except(filter, None, body);
    }

    /// As [`Self::ephemeral`], leaving one connection out.
    pub fn ephemeral_except(
        &mut self,
        filter: Filter,
        except: Option<ConnectionId>,
        body: &impl Serialize,
    ) {
        self.deliveries.push(Delivery {
            filter,
            except,
            json: ephemeral_frame(body),
            is_ephemeral: true,
        });
    }

    /// Ends the change: what it sends leaves after the commit, the acknowledgement first.
    pub fn finish(self, ack: Option<Ack>) {
        if ack.is_some() || !self.deliveries.is_empty() {
            let publication = Publication {
                ack,
                deliveries: self.deliveries,
            };
            self.tx.publish(self.account, publication);
        }
    }
}
