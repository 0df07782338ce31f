//! Messages for shards that are asleep.
//!
//! A worker wakes a few shards in each of its turns, so that thousands who are woken in one moment
//! do not keep those waiting who are awake. Owns the order of what waits, which is the order in
//! which it came; it never wakes anybody itself.

use std::collections::VecDeque;

use crate::message::ShardMessage;

/// Bytes that may wait before a worker stops reading its sockets; the kernel keeps the rest.
const MOST_BYTES: usize = 8 << 20;
/// Places that are kept when nothing waits.
const KEPT_PLACES: usize = 1024;

/// What waits for sleeping shards of one worker.
#[derive(Debug, Default)]
pub struct WakeQueue {
    messages: VecDeque<(u32, ShardMessage)>,
    bytes: usize,
}

impl WakeQueue {
    /// Takes a message for the shard at an index.
    pub fn push(&mut self, shard: u32, message: ShardMessage) {
        self.bytes += size_of(&message);
        self.messages.push_back((shard, message));
    }

    /// The message that has waited longest.
    pub fn pop(&mut self) -> Option<(u32, ShardMessage)> {
        let (shard, message) = self.messages.pop_front()?;
        self.bytes -= size_of(&message);
        if self.messages.is_empty() && self.messages.capacity() > KEPT_PLACES {
            self.messages = VecDeque::new();
        }
        Some((shard, message))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether clients should not be heard before some of it is gone.
    pub fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES
    }
}

/// What a message takes while it waits. Frames are shared, and so not counted.
fn size_of(message: &ShardMessage) -> usize {
    let text = match message {
        ShardMessage::Inbound { text, .. } => text.len(),
        _ => 0,
    };
    std::mem::size_of::<(u32, ShardMessage)>() + text
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::mount::Wire;
    use crate::table::SlotToken;

    fn inbound(text: String) -> ShardMessage {
        ShardMessage::Inbound {
            token: SlotToken::from_bits(7),
            wire: Wire::Plain,
            text: text.into(),
            read_at: Instant::now(),
        }
    }

    #[test]
    fn what_waits_keeps_its_order_and_gives_its_memory_back() {
        let mut queue = WakeQueue::default();
        for shard in 0..5000 {
            queue.push(shard, ShardMessage::Ended(SlotToken::from_bits(7)));
        }
        let order: Vec<u32> = std::iter::from_fn(|| Some(queue.pop()?.0)).collect();
        assert!(order.into_iter().eq(0..5000));
        assert!(queue.is_empty() && queue.bytes == 0);
        assert!(queue.messages.capacity() <= KEPT_PLACES);
    }

    #[test]
    fn large_messages_fill_it_and_room_is_made_when_they_go() {
        let mut queue = WakeQueue::default();
        let mut taken = 0;
        while !queue.is_full() {
            queue.push(0, inbound("x".repeat(1 << 20)));
            taken += 1;
        }
        assert_eq!(taken, 8);
        queue.pop();
        assert!(!queue.is_full());
    }
}
