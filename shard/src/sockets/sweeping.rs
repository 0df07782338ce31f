//! Pings and idle checks without a timer per connection: the table itself is the wheel.
//!
//! Every tick a quarter of the table is looked at, so each slot is seen once a second. 15,000
//! slots are a megabyte to read.

use dormouse_protocol::CloseCode;

use super::{Lane, Sockets};
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
        for index in from..to {
            let Some(token) = self.table.token_at(index) else {
                continue;
            };
            let (tick, ping_ticks, idle_ticks) = (self.tick, self.ping_ticks, self.idle_ticks);
            let Some(slot) = self.table.get_mut(token) else {
                continue;
            };
            // The lobby has a deadline of its own, and a leaving connection another.
            if !matches!(slot.owner(), Owner::Shard(_)) {
                continue;
            }
            if tick.wrapping_sub(slot.last_seen) >= idle_ticks {
                self.io.idle_closed += 1;
                self.close(token, CloseCode::GOING_AWAY, "idle timeout");
            } else if (tick.wrapping_sub(slot.ping_due) as i16) >= 0 {
                slot.ping_due = tick.wrapping_add(ping_ticks);
                self.post(token, ping, Lane::Fanout);
            }
        }
        self.turn.release(ping);
    }
}
