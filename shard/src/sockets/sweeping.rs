//! Pings and idle checks without a timer per connection: the table itself is the wheel.
//!
//! Every tick a quarter of the table is looked at, so each slot is seen once a second. 15,000
//! slots are a megabyte to read.

use dormouse_protocol::CloseCode;

use super::{Lane, Sockets};
use crate::mount::Wire;
use crate::table::Owner;

/// Ticks until the whole table has been looked at.
const SLICES: u32 = 4;

impl Sockets {
    /// Moves the clock by one tick and looks at the next slice of the table.
    pub fn sweep(&mut self) {
        self.tick = self.tick.wrapping_add(1);
        let end = self.table.end();
        let slice = end.div_ceil(SLICES).max(1);
        let from = if self.sweep_next >= end {
            0
        } else {
            self.sweep_next
        };
        let to = (from + slice).min(end);
        self.sweep_next = to;
        let ping = self.turn.hold(self.ping.clone());
        let heartbeat = self.turn.hold(self.heartbeat.clone());
        for index in from..to {
            let Some(token) = self.table.token_at(index) else {
                continue;
            };
            let tick = self.tick;
            let Some(slot) = self.table.get(token) else {
                continue;
            };
            if let Wire::SocketIo(mount) = slot.wire() {
                self.sweep_socket_io(token, mount, heartbeat);
                continue;
            }
            let owner = slot.owner();
            // The lobby has a deadline of its own, and a leaving connection another.
            if matches!(owner, Owner::Lobby | Owner::Leaving) {
                continue;
            }
            let bounds = *self.bounds(owner);
            let waiting = slot.outbox.as_ref().and_then(|outbox| outbox.oldest());
            let Some(slot) = self.table.get_mut(token) else {
                continue;
            };
            if tick.wrapping_sub(slot.last_seen) >= bounds.idle_ticks {
                self.io.idle_closed += 1;
                self.close(token, CloseCode::GOING_AWAY, "idle timeout");
            } else if let (Some(since), Some(most)) = (waiting, bounds.outbox_ticks)
                && tick.wrapping_sub(since) >= most
            {
                self.close_slow_consumer(token);
            } else if (tick.wrapping_sub(slot.ping_due) as i16) >= 0 {
                slot.ping_due = tick.wrapping_add(bounds.ping_ticks);
                self.post(token, ping, Lane::Fanout);
            }
        }
        self.turn.release(ping);
        self.turn.release(heartbeat);
    }
}
