//! The sync API as the shards see it: events of clients, and machines that come and go.

use std::sync::Arc;

use dormouse_shard::application::{Application, Delivery, EventOutcome, EventReply, EventRequest};
use dormouse_shard::publication::Ack;

use super::acks::{self, Shape};
use super::change::Change;
use super::error::SyncError;
use super::events::{self, Event, Reading};
use super::heartbeats::{Heartbeats, Source};
use super::machines;
use crate::clock::unix_ms;
use crate::database::Database;

/// Handlers of the sync API's events.
#[derive(Clone, Debug)]
pub struct SyncApplication {
    database: Database,
    heartbeats: Arc<Heartbeats>,
    /// The longest answer that connections take, bytes.
    longest_answer: usize,
}

impl SyncApplication {
    /// Handlers on this database.
    #[must_use]
    pub fn new(database: Database, heartbeats: Arc<Heartbeats>, longest_answer: usize) -> Self {
        Self {
            database,
            heartbeats,
            longest_answer,
        }
    }

    /// Has a session's next sign of life taken and written: what is stored of it may be another now.
    pub fn forget_session(&self, account: &str, id: &str) {
        let source = Source::session(account.into(), id);
        self.heartbeats.forget(&source);
        self.heartbeats.resumed(&source);
    }

    /// What is read, once it is.
    fn read(&self, request: EventRequest, shape: Shape) -> EventReply {
        let event = Event {
            name: &request.event,
            data: request.payload.as_deref(),
            sender: request.connection,
            wire: request.wire,
        };
        let reading = match Reading::of(event) {
            Ok(reading) => reading,
            Err(err) => return EventReply::Now(refused(shape, &err)),
        };
        let Some(to) = request.reply_to else {
            return EventReply::Now(EventOutcome::default());
        };
        let (database, most) = (self.database.clone(), self.longest_answer);
        EventReply::Later(Box::pin(async move {
            match reading.answer(database, request.user, most, to).await {
                Ok(ack) => EventOutcome {
                    ack,
                    ..EventOutcome::default()
                },
                Err(err) => refused(shape, &err),
            }
        }))
    }

    /// Writes; the acknowledgement of what is written is published with what it causes.
    fn write(&self, request: EventRequest, shape: Shape) -> EventReply {
        let heartbeats = self.heartbeats.clone();
        let writing = self.database.write(async move |tx| {
            let mut change = Change::new(tx, request.user);
            let event = Event {
                name: &request.event,
                data: request.payload.as_deref(),
                sender: request.connection,
                wire: request.wire,
            };
            let value = events::handle(&mut change, &heartbeats, event).await?;
            change.finish(request.reply_to.map(|to| Ack { to, value }));
            Ok::<_, SyncError>(())
        });
        EventReply::Later(Box::pin(async move {
            match writing.await {
                Ok(()) => EventOutcome::default(),
                Err(err) => refused(shape, &err),
            }
        }))
    }
}

fn refused(shape: Shape, err: &SyncError) -> EventOutcome {
    if let SyncError::Database(err) = err
        && !err.is_unavailable()
    {
        tracing::error!(%err, "an event failed");
    }
    EventOutcome {
        ack: Some(shape.error(&err.client_text())),
        ..EventOutcome::default()
    }
}

impl Application for SyncApplication {
    fn handles(&self, _: &str, event: &str) -> bool {
        acks::shape(event).is_some()
    }

    fn handle(&self, request: EventRequest) -> EventReply {
        let Some(shape) = acks::shape(&request.event) else {
            return EventReply::Now(EventOutcome::default());
        };
        if events::is_read(&request.event) {
            return self.read(request, shape);
        }
        let event = Event {
            name: &request.event,
            data: request.payload.as_deref(),
            sender: request.connection,
            wire: request.wire,
        };
        let now = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        match events::immediate(&request.user, &self.heartbeats, event, now) {
            None => self.write(request, shape),
            Some(outcome) => EventReply::Now(EventOutcome {
                ack: Some(outcome.ack),
                rooms: Vec::new(),
                deliveries: outcome
                    .ephemeral
                    .into_iter()
                    .map(|(filter, json)| Delivery {
                        filter,
                        except: None,
                        json,
                        is_ephemeral: true,
                    })
                    .collect(),
            }),
        }
    }

    fn machine_presence(&self, user: &str, machine: &str, is_online: bool) {
        let account: Arc<str> = user.into();
        let (heartbeats, machine) = (self.heartbeats.clone(), machine.to_owned());
        heartbeats.connected(Source::machine(account.clone(), &machine), is_online);
        // Nobody waits for it: frames to clients do not depend on it.
        drop(self.database.write(async move |tx| {
            let mut change = Change::new(tx, account.clone());
            let now = change.now();
            machines::set_presence(&mut change, &machine, is_online, now).await?;
            heartbeats.forget(&Source::machine(account, &machine));
            Ok::<_, SyncError>(())
        }));
    }
}
