//! Answers to admins and to users who ask for statistics. Reading wakes nobody.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use dormouse_protocol::stats::{ByType, ShardState, ShardStats};
use dormouse_protocol::{ClientType, CloseCode, ConnectionId, Filter};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Worker;
use crate::command::{Audience, Command, HubShare, ShardQuery};
use crate::frame::Frame;
use crate::message::{HubMessage, Replies, ShardDelivery, ShardMessage};
use crate::report::{TierUse, WorkerReport};
use crate::shards::ShardRecord;
use crate::table::Owner;

/// What clients read when the server stops.
pub(super) const STOPPING: &str = "the server is stopping; reconnect";
/// Shards that are told of a broadcast before others get their turn.
const SHARDS_PER_TURN: usize = 16;
/// Shortest time between two rounds of closing connections while draining.
const DRAIN_STEP: Duration = Duration::from_millis(50);

impl Worker {
    fn stats_of(&self, record: &ShardRecord, queued: (u64, u64)) -> ShardStats {
        let [user_scoped, session_scoped, machine_scoped] = record.by_type.map(u64::from);
        ShardStats {
            shard: record.name().to_string(),
            user: record.user.to_string(),
            tier: self.common.tiers.get(record.tier).name.to_string(),
            state: if record.is_asleep {
                ShardState::Asleep
            } else {
                ShardState::Awake
            },
            worker: self.index,
            connections: u64::from(record.connections()),
            by_type: ByType {
                user_scoped,
                session_scoped,
                machine_scoped,
            },
            oldest_connection: (record.oldest != u64::MAX).then_some(record.oldest),
            last_activity_at: record.last_activity,
            queued_frames: queued.0,
            queued_bytes: queued.1,
            rejected: u64::from(record.rejected),
            sleeps: u64::from(record.sleeps),
            wakes: u64::from(record.wakes),
        }
    }

    /// Frames and bytes that wait, by shard.
    fn backlogs(&self) -> AHashMap<u32, (u64, u64)> {
        let mut queued: AHashMap<u32, (u64, u64)> = AHashMap::new();
        self.sockets.borrow().backlogs(|owner, frames, bytes| {
            if let Owner::Shard(index) = owner {
                let entry = queued.entry(index).or_default();
                entry.0 += frames as u64;
                entry.1 += bytes as u64;
            }
        });
        queued
    }

    /// Statistics of a hub. The first shard's worker passes the question on to the others.
    pub(super) fn tell_stats(
        &self,
        user: &Arc<str>,
        number: Option<u16>,
        reply: Replies<HubShare>,
    ) {
        let shards = self.shards.borrow();
        let own = number.unwrap_or(0);
        let Some((index, record)) = shards
            .find(user, own)
            .and_then(|index| Some((index, shards.get(index)?)))
        else {
            return;
        };
        let queued = self.backlogs().get(&index).copied().unwrap_or_default();
        let (mut labels, mut tier) = (None, None);
        if number.is_none() {
            let counts = record.hub.as_ref();
            labels =
                Some(counts.map_or((0, 0), |hub| (hub.active_sessions(), hub.active_machines())));
            tier = Some((
                record.tier_source,
                self.common.tiers.get(record.tier).limit(),
            ));
            for sibling in self.active_shards(user).into_iter().flatten().skip(1) {
                let (user_, reply) = (user.clone(), reply.clone());
                let command = Command::Stats {
                    user: user_,
                    number: Some(sibling),
                    reply,
                };
                self.send_to_shard(user, sibling, command);
            }
        }
        // The asker may have given up.
        let _ = reply.send(HubShare {
            shard: self.stats_of(record, queued),
            labels,
            tier,
        });
    }

    /// Everything about this worker.
    pub(super) fn report(&self, busiest: usize) -> WorkerReport {
        let shards = self.shards.borrow();
        let sockets = self.sockets.borrow();
        let mut report = WorkerReport {
            id: self.index,
            shards: shards.len() as u64,
            pending: self.lobby.borrow().len() as u64,
            subscribers: self.subscribers.borrow().len() as u64,
            processor_time: processor_time(),
            tiers: vec![TierUse::default(); self.common.tiers.iter().count()],
            io: sockets.io.clone(),
            counters: self.counters.borrow().clone(),
            ..WorkerReport::default()
        };
        sockets.backlogs(|_, frames, bytes| {
            report.queued_frames += frames as u64;
            report.queued_bytes += bytes as u64;
        });
        let mut users: Vec<(u64, u32)> = Vec::with_capacity(shards.len());
        for (index, record) in shards.iter() {
            let connections = u64::from(record.connections());
            let [user_scoped, session_scoped, machine_scoped] = record.by_type.map(u64::from);
            report.awake += u64::from(!record.is_asleep);
            report.connections += connections;
            report.by_type.add(&ByType {
                user_scoped,
                session_scoped,
                machine_scoped,
            });
            if record.oldest != u64::MAX {
                report.oldest = Some(report.oldest.unwrap_or(u64::MAX).min(record.oldest));
            }
            if let Some(tier) = report.tiers.get_mut(record.tier.index()) {
                tier.connections += connections;
                tier.users += u64::from(record.number == 0);
            }
            report.users += u64::from(record.number == 0);
            if record.number == 0 {
                users.push((record.user_connections(), index));
            }
        }
        let named = busiest.min(users.len());
        if named > 0 && named < users.len() {
            users.select_nth_unstable_by(named - 1, |a, b| b.cmp(a));
        }
        users.truncate(named);
        report.busiest = users
            .into_iter()
            .filter_map(|(count, index)| Some((shards.get(index)?.user.to_string(), count)))
            .collect();
        report
    }

    /// Shards that a query chooses, unsorted.
    pub(super) fn list(&self, query: &ShardQuery) -> Vec<ShardStats> {
        let queued = self.backlogs();
        let shards = self.shards.borrow();
        let is_meant = |record: &ShardRecord| {
            let tier = &self.common.tiers.get(record.tier).name;
            let state = if record.is_asleep {
                ShardState::Asleep
            } else {
                ShardState::Awake
            };
            query
                .user
                .as_deref()
                .is_none_or(|user| record.user.contains(user))
                && query.tier.as_deref().is_none_or(|name| **tier == *name)
                && query.state.is_none_or(|wanted| wanted == state)
        };
        shards
            .iter()
            .filter(|(_, record)| is_meant(record))
            .map(|(index, record)| {
                self.stats_of(record, queued.get(&index).copied().unwrap_or_default())
            })
            .collect()
    }

    /// Hands a frame to the connections of many users, a few shards per turn.
    pub(super) fn broadcast(
        self: &Rc<Self>,
        audience: Audience,
        filter: Arc<Filter>,
        frame: Frame,
        reply: Replies<ShardDelivery>,
    ) {
        let tier = match audience {
            Audience::Tier(tier) => Some(tier),
            Audience::ClientType(_) | Audience::Everyone => None,
        };
        let chosen: Vec<(Arc<str>, u16)> = {
            let shards = self.shards.borrow();
            let is_meant = |record: &ShardRecord| {
                let [user, session, machine] = record.by_type;
                let has_type = match audience {
                    Audience::ClientType(kind) => [user, session, machine][kind.index()] > 0,
                    _ => record.connections() > 0,
                };
                has_type && tier.is_none_or(|tier| record.tier == tier)
            };
            let meant = shards.iter().filter(|(_, record)| is_meant(record));
            meant
                .map(|(_, record)| (record.user.clone(), record.number))
                .collect()
        };
        let worker = self.clone();
        let asked_at = Instant::now();
        actix_rt::spawn(async move {
            for some in chosen.chunks(SHARDS_PER_TURN) {
                for (user, number) in some {
                    let (filter, frame, reply) = (filter.clone(), frame.clone(), reply.clone());
                    let message = match audience {
                        Audience::ClientType(client_type) => HubMessage::DeliverToType {
                            client_type,
                            filter,
                            frame,
                            asked_at,
                            reply,
                        },
                        Audience::Tier(_) | Audience::Everyone => HubMessage::Deliver {
                            filter,
                            frame,
                            asked_at,
                            reply: Some(reply),
                        },
                    };
                    // By name: the index may belong to another shard by now.
                    worker.tell_if_known(user, *number, message);
                }
                tokio::task::yield_now().await;
            }
        });
    }

    /// Counts the connections that a broadcast would be for. Shards wake only where their record
    /// cannot tell, and nobody is handed anything.
    pub(super) fn count_audience(
        self: &Rc<Self>,
        audience: Audience,
        filter: &Arc<Filter>,
        reply: &Replies<u64>,
    ) {
        let client_type = match audience {
            Audience::ClientType(kind) => Some(kind),
            Audience::Tier(_) | Audience::Everyone => None,
        };
        let mut known = 0;
        let mut unknown: Vec<(Arc<str>, u16)> = Vec::new();
        for (_, record) in self.shards.borrow().iter() {
            let of_type = |kind: ClientType| u64::from(record.by_type[kind.index()]);
            if matches!(audience, Audience::Tier(tier) if record.tier != tier) {
                continue;
            }
            match (&**filter, client_type) {
                (Filter::All, None) => known += u64::from(record.connections()),
                (Filter::All, Some(kind)) => known += of_type(kind),
                (Filter::UserScopedOnly, None | Some(ClientType::UserScoped)) => {
                    known += of_type(ClientType::UserScoped);
                }
                (Filter::UserScopedOnly, Some(_)) => {}
                _ if record.connections() > 0 => {
                    unknown.push((record.user.clone(), record.number));
                }
                _ => {}
            }
        }
        // The asker may have given up.
        let _ = reply.send(known);
        let (worker, filter, reply) = (self.clone(), filter.clone(), reply.clone());
        actix_rt::spawn(async move {
            for some in unknown.chunks(SHARDS_PER_TURN) {
                for (user, number) in some {
                    let message = HubMessage::Count {
                        client_type,
                        filter: filter.clone(),
                        reply: reply.clone(),
                    };
                    worker.tell_if_known(user, *number, message);
                }
                tokio::task::yield_now().await;
            }
        });
    }

    /// Closes a connection by its id, if it is here.
    pub(super) fn close_connection(&self, id: ConnectionId, code: CloseCode, reason: &str) -> bool {
        let mut sockets = self.sockets.borrow_mut();
        let Some(token) = sockets.find(id) else {
            return false;
        };
        sockets.kick(token, code, reason);
        true
    }

    /// A user's override has changed: newcomers are placed by it, statistics show it.
    pub(super) fn retier(self: &Rc<Self>, user: &Arc<str>) {
        let mut shards = self.shards.borrow_mut();
        let indices: Vec<u32> = shards
            .iter()
            .filter(|(_, record)| record.user == *user)
            .map(|(index, _)| index)
            .collect();
        for index in indices {
            if let Some(record) = shards.get_mut(index) {
                record.place_in_tier(self.common.overrides.get(user), &self.common.tiers);
            }
        }
    }

    /// Closes what is open, spread over a time, so that clients do not come back all at once.
    pub(super) fn drain(self: &Rc<Self>, over: Duration) {
        self.draining.set(true);
        let worker = self.clone();
        actix_rt::spawn(async move {
            let end = worker.sockets.borrow().end() as usize;
            let (per_step, pause) = drain_pace(end, over);
            for from in (0..end).step_by(per_step) {
                worker.close_range(from, (from + per_step).min(end));
                tokio::time::sleep(pause).await;
            }
        });
    }

    fn close_range(&self, from: usize, to: usize) {
        let mut sockets = self.sockets.borrow_mut();
        for index in from..to {
            if let Some(token) = sockets.token_at(index as u32) {
                sockets.close(token, CloseCode::GOING_AWAY, STOPPING);
            }
        }
        self.posted.notify_one();
    }

    /// Closes everything, and tells when all is flushed and gone or the time is over.
    pub(super) fn stop(self: &Rc<Self>, within: Duration, done: oneshot::Sender<()>) {
        self.draining.set(true);
        let end = self.sockets.borrow().end() as usize;
        self.close_range(0, end);
        let worker = self.clone();
        actix_rt::spawn(async move {
            let deadline = Instant::now() + within;
            // Shards hear of every end, so that the application knows which machines are offline.
            while !worker.is_deserted() && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            worker.sockets.borrow_mut().abort_all();
            // Whoever waited for this may be gone.
            let _ = done.send(());
        });
    }

    fn is_deserted(&self) -> bool {
        self.sockets.borrow().is_empty()
            && self
                .shards
                .borrow()
                .iter()
                .all(|(_, shard)| shard.is_over())
    }

    /// Wakes nothing and tells nobody: used when a message arrives for a shard that is gone.
    pub(super) fn deliver_stored(
        self: &Rc<Self>,
        index: u32,
        result: Result<(), crate::store::StoreError>,
    ) {
        let is_awake = self
            .shards
            .borrow()
            .get(index)
            .is_some_and(|record| record.actor.is_some());
        if is_awake {
            self.tell(index, ShardMessage::Stored(result));
        }
    }
}

/// Processor time of the calling thread since its start.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(used.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(used.tv_nsec).unwrap_or(0))
}

/// How many of `slots` to close at a time, and how long to wait after each time, so that all of it
/// takes `over`.
fn drain_pace(slots: usize, over: Duration) -> (usize, Duration) {
    let most_steps = usize::try_from(over.as_millis() / DRAIN_STEP.as_millis());
    let steps = most_steps.unwrap_or(usize::MAX).clamp(1, slots.max(1));
    let per_step = slots.div_ceil(steps).max(1);
    let steps = slots.div_ceil(per_step).max(1);
    (per_step, over / u32::try_from(steps).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_takes_the_given_time_and_leaves_nobody_out() {
        for slots in [0, 1, 7, 100, 9_999] {
            for over in [0, 1, 49, 50, 1_000, 3_600_000].map(Duration::from_millis) {
                let (per_step, pause) = drain_pace(slots, over);
                let steps = slots.div_ceil(per_step).max(1) as u32;
                let took = pause * steps;
                assert!(took <= over, "{slots} {over:?}: {took:?}");
                // Rounding loses under a nanosecond per step.
                assert!(
                    took + Duration::from_micros(10) >= over,
                    "{slots} {over:?}: {took:?}"
                );
                assert!(pause >= DRAIN_STEP || steps == 1, "{slots} {over:?}");
            }
        }
        assert_eq!(drain_pace(9_999, Duration::ZERO).0, 9_999, "all at once");
    }
}
