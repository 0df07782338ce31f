//! What a socket did not take yet: a bounded queue, present only while it is not empty.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::frame::Frame;

/// Bounds of one connection's outbox.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Most frames that wait.
    pub frames: usize,
    /// Most bytes that wait.
    pub bytes: usize,
}

/// The queue is over a bound and nothing more can be dropped: the reader is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox is over its bound")]
pub struct Overflow;

/// Frames waiting for one socket, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that are already written.
    written: usize,
    bytes: usize,
    dropped: u32,
}

impl Outbox {
    /// A queue whose first frame is already written up to `written` bytes.
    pub fn starting_with(frame: Frame, written: usize) -> Self {
        let bytes = frame.len().saturating_sub(written);
        Self {
            frames: VecDeque::from([frame]),
            written,
            bytes,
            dropped: 0,
        }
    }

    /// Adds a frame. Over a bound, frames that may be dropped make room first.
    ///
    /// # Errors
    /// [`Overflow`] when that was not enough; the frame is not queued.
    pub fn push(&mut self, frame: Frame, limits: OutboxLimits) -> Result<(), Overflow> {
        if self.over(limits, &frame) {
            self.drop_ephemerals();
            if self.over(limits, &frame) {
                if frame.is_droppable() {
                    self.dropped += 1;
                    return Ok(());
                }
                return Err(Overflow);
            }
        }
        self.push_unbounded(frame);
        Ok(())
    }

    /// Adds a frame whatever the bounds: the close frame, which ends the queue.
    pub fn push_unbounded(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn over(&self, limits: OutboxLimits, frame: &Frame) -> bool {
        self.frames.len() >= limits.frames || self.bytes + frame.len() > limits.bytes
    }

    /// The first frame stays once a byte of it is written: half a frame would break the stream.
    fn drop_ephemerals(&mut self) {
        let keep_first = self.written > 0;
        let (before, mut index) = (self.frames.len(), 0);
        let bytes = &mut self.bytes;
        self.frames.retain(|frame| {
            let keep = (index == 0 && keep_first) || !frame.is_droppable();
            index += 1;
            if !keep {
                *bytes -= frame.len();
            }
            keep
        });
        self.dropped += (before - self.frames.len()) as u32;
    }

    /// Drops everything but a first frame that is partly written, to make way for a close frame;
    /// returns how many frames that were.
    pub fn keep_begun(&mut self) -> usize {
        let before = self.frames.len();
        self.frames.truncate(usize::from(self.written > 0));
        self.bytes = self
            .frames
            .front()
            .map_or(0, |frame| frame.len() - self.written);
        before - self.frames.len()
    }

    /// When the first of the waiting frames was queued, in ticks.
    pub fn oldest(&self) -> Option<u16> {
        self.frames.front().map(Frame::queued_at)
    }

    /// The unwritten bytes as slices for one vectored write, at most as many as `slices` holds.
    pub fn fill<'a>(&'a self, slices: &mut Vec<IoSlice<'a>>, most: usize) {
        for (index, frame) in self.frames.iter().take(most).enumerate() {
            let bytes = frame.bytes();
            let start = if index == 0 { self.written } else { 0 };
            slices.push(IoSlice::new(bytes.get(start..).unwrap_or_default()));
        }
    }

    /// Takes note that `count` more bytes are written.
    pub fn consume(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while let Some(first) = self.frames.front() {
            let left = first.len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.frames.pop_front();
        }
    }

    /// The frames, in order.
    pub fn into_frames(self) -> impl Iterator<Item = Frame> {
        self.frames.into_iter()
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames that wait.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames dropped since the last call.
    pub fn take_dropped(&mut self) -> u32 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(slices: &[IoSlice<'_>]) -> Vec<u8> {
        slices.iter().flat_map(|slice| slice.to_vec()).collect()
    }

    const LIMITS: OutboxLimits = OutboxLimits {
        frames: 3,
        bytes: 40,
    };

    #[test]
    fn ephemerals_make_room_and_then_the_reader_is_too_slow() {
        let mut outbox = Outbox::starting_with(Frame::text("first"), 2);
        outbox.push(Frame::ephemeral("gone"), LIMITS).unwrap();
        outbox.push(Frame::text("second"), LIMITS).unwrap();
        outbox.push(Frame::text("third"), LIMITS).unwrap();
        assert_eq!(outbox.take_dropped(), 1);
        assert_eq!(
            outbox.push(Frame::ephemeral("late"), LIMITS),
            Ok(()),
            "dropped, not fatal"
        );
        assert_eq!(outbox.push(Frame::text("fourth"), LIMITS), Err(Overflow));
        assert_eq!(outbox.frames(), 3);
        let mut slices = Vec::new();
        outbox.fill(&mut slices, 64);
        assert_eq!(joined(&slices), b"first\x81\x06second\x81\x05third");
    }

    #[test]
    fn a_half_written_ephemeral_stays() {
        let mut outbox = Outbox::starting_with(Frame::ephemeral("begun"), 1);
        outbox.push(Frame::text("b"), LIMITS).unwrap();
        outbox.push(Frame::text("c"), LIMITS).unwrap();
        assert_eq!(outbox.push(Frame::text("d"), LIMITS), Err(Overflow));
        assert_eq!(outbox.take_dropped(), 0);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut outbox = Outbox::default();
        outbox.push(Frame::text(&"x".repeat(30)), LIMITS).unwrap();
        assert_eq!(
            outbox.push(Frame::text(&"x".repeat(9)), LIMITS),
            Err(Overflow)
        );
    }

    proptest! {
        #[test]
        fn any_sequence_of_writes_yields_the_frames_in_order(
            sizes in prop::collection::vec(0_usize..20, 1..10),
            steps in prop::collection::vec(1_usize..15, 1..100),
        ) {
            let limits = OutboxLimits { frames: 1000, bytes: 1 << 20 };
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for (index, size) in sizes.iter().enumerate() {
                let frame = Frame::text(&index.to_string().repeat(*size));
                expected.extend_from_slice(frame.bytes());
                outbox.push(frame, limits).unwrap();
            }
            let mut written = Vec::new();
            for step in steps.into_iter().cycle() {
                if outbox.is_empty() {
                    break;
                }
                let bytes = {
                    let mut slices = Vec::new();
                    outbox.fill(&mut slices, 2);
                    joined(&slices)
                };
                let count = step.min(bytes.len());
                written.extend_from_slice(&bytes[..count]);
                outbox.consume(count);
                prop_assert_eq!(outbox.bytes(), expected.len() - written.len());
            }
            prop_assert_eq!(written, expected);
        }
    }
}
