//! The way out of a shard's state: what it may do to the world.

use dormouse_protocol::CloseCode;

use crate::frame::Frame;
use crate::message::HubMessage;
use crate::mount::Wire;
use crate::sockets::Lane;
use crate::table::SlotToken;
use crate::turn::FrameRef;

/// Effects of a shard's rules. The worker is one; tests have another that writes down.
pub trait Outlet {
    /// Unix time, ms.
    fn now(&self) -> u64;
    /// Holds a frame to be posted to any number of connections.
    fn hold(&mut self, frame: Frame) -> FrameRef;
    /// Ends a hold.
    fn release(&mut self, frame: FrameRef);
    /// Hands a held frame to a connection; `false` when it is closing or gone.
    fn post(&mut self, to: SlotToken, frame: FrameRef, lane: Lane) -> bool;
    /// Begins to close a connection.
    fn close(&mut self, connection: SlotToken, code: CloseCode, reason: &str);
    /// Closes a connection that is not to come back by itself.
    fn kick(&mut self, connection: SlotToken, code: CloseCode, reason: &str) {
        self.close(connection, code, reason);
    }
    /// How a connection speaks.
    fn wire(&self, connection: SlotToken) -> Wire;
    /// Counts a message that was no envelope; returns how many came in a row.
    fn count_bad_frame(&mut self, from: SlotToken) -> u8;
    /// Ends a row of bad messages.
    fn forgive_bad_frames(&mut self, from: SlotToken);
    /// Milliseconds since the connection last sent a frame, in steps of the worker's clock.
    fn silence(&self, connection: SlotToken) -> u64;
    /// Whether the user has other shards.
    fn has_siblings(&self) -> bool;
    /// Tells the user's other shards.
    fn tell_siblings(&mut self, message: HubMessage);
    /// Tells one other shard of the user.
    fn tell_sibling(&mut self, number: u16, message: HubMessage);

    /// Hands one message to one connection.
    fn send(&mut self, to: SlotToken, json: &str) -> bool {
        let frame = self.hold(Frame::text(json));
        let sent = self.post(to, frame, Lane::Reply);
        self.release(frame);
        sent
    }
}
