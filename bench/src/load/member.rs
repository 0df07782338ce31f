//! One connection of a load run: its share of the events, and everything that it receives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::LoadPlan;
use super::board::Board;
use super::connection::Connection;
use super::transport::Heard;
use crate::receipts::{Published, Receipts};
use crate::stop::Stop;

/// What one connection needs to know.
#[derive(Debug)]
pub(super) struct Member {
    /// Its place among the connections.
    pub(super) place: usize,
    /// How many there are; event `n` is sent by connection `n` modulo this.
    pub(super) senders: usize,
    /// When the first event is due.
    pub(super) began: Instant,
    pub(super) label: String,
    pub(super) plan: Arc<LoadPlan>,
    pub(super) board: Arc<Board>,
}

impl Member {
    /// Sends and receives until told to finish, or until the server ends the connection.
    pub(super) async fn live(self, mut connection: Connection, mut finish: Stop) -> Receipts {
        let mut receipts = Receipts::new(self.began);
        let mut next = self.place;
        let events = self.plan.events();
        // Sent and not answered: when due and when sent.
        let mut waiting: HashMap<usize, (Instant, Instant)> = HashMap::new();
        let finished = loop {
            let sending = next < events && !self.board.has_stopped();
            let due = self.began + self.plan.due(next.min(events));
            tokio::select! {
                () = finish.requested() => break true,
                () = tokio::time::sleep_until(due.into()), if sending => {
                    waiting.insert(next, (due, Instant::now()));
                    self.board.sent();
                    let event = self.plan.transport.event(&self.label, next, true);
                    if !connection.send(event).await {
                        break false;
                    }
                    next += self.senders;
                }
                heard = connection.next() => match heard {
                    Some(Heard::Beat(answer)) => if !connection.send(answer.to_owned()).await {
                        break false;
                    },
                    Some(Heard::Closed) | None => break false,
                    Some(heard) => self.take(heard, &mut waiting, &mut receipts),
                }
            }
        };
        receipts.until = Instant::now();
        for number in waiting.into_keys() {
            self.board.answered(number, Published::Unanswered);
        }
        {
            let mut metrics = self.board.metrics();
            metrics.open -= 1;
            metrics.disconnection_rate.add(!finished);
        }
        if finished {
            connection.close().await;
        }
        receipts
    }

    fn take(
        &self,
        heard: Heard,
        waiting: &mut HashMap<usize, (Instant, Instant)>,
        receipts: &mut Receipts,
    ) {
        let now = Instant::now();
        match heard {
            Heard::Answer(number, answer) => {
                let Some((due, sent)) = waiting.remove(&number) else {
                    return;
                };
                self.board.metrics().ack_latency.record(now - due);
                match answer {
                    Ok(task) => {
                        if let Some(task) = task {
                            self.board.own_task(task, due);
                        }
                        self.board.answered(number, Published::Accepted(sent, now));
                    }
                    Err(words) => {
                        let words = crate::failure::Answer::new(&words);
                        self.board.note(format!("an event was refused{words}"));
                        self.board.answered(number, Published::Refused);
                    }
                }
            }
            Heard::Numbered(number) if receipts.take(number) => {
                let after = self.plan.due(number);
                let took = now.saturating_duration_since(self.began + after);
                let mut metrics = self.board.metrics();
                metrics.events_received.add(1);
                if after >= self.plan.warmup {
                    metrics.event_latency.record(took);
                }
            }
            Heard::OfTask(task, kind, emitted) => {
                let place = self.board.task_event(&task, kind, now);
                if receipts.take(place) {
                    let mut metrics = self.board.metrics();
                    metrics.events_received.add(1);
                    if let Some(emitted) = emitted
                        && now.saturating_duration_since(self.began) >= self.plan.warmup
                    {
                        metrics.event_latency.record(since(emitted));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Time since a moment in Unix milliseconds; zero for one that is still to come.
fn since(millis: f64) -> Duration {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let then = Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default();
    now.saturating_sub(then)
}
