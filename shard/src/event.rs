//! A published event on its way to subscribers, framed once for all of them.

use std::sync::{Arc, OnceLock};

use dormouse_protocol::events::frames::{self, EventForm};
use tokio::time::Instant;

use crate::frame::Frame;

/// An event that is stored and may be told.
#[derive(Debug)]
pub struct Event {
    tenant: Arc<str>,
    name: Box<str>,
    cursor: u64,
    payload: Box<str>,
    accepted_at: Instant,
    plain: OnceLock<Frame>,
    with_cursor: OnceLock<Frame>,
}

impl Event {
    /// An event of a tenant at a place of the tenant's log; places ascend without a gap. `payload`
    /// is the JSON of contract events.md section 5, `accepted_at` the time that its `timestamp`
    /// tells.
    pub fn new(
        tenant: Arc<str>,
        name: &str,
        cursor: u64,
        payload: String,
        accepted_at: Instant,
    ) -> Self {
        Self {
            tenant,
            name: name.into(),
            cursor,
            payload: payload.into(),
            accepted_at,
            plain: OnceLock::new(),
            with_cursor: OnceLock::new(),
        }
    }

    /// Whose event it is.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// Its name, which is its channel.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its place in the tenant's log.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// When it was accepted for publication.
    pub fn accepted_at(&self) -> Instant {
        self.accepted_at
    }

    /// The frame that subscribers get, without or with the cursor. Each form is encoded by the
    /// first worker that needs it.
    pub fn frame(&self, with_cursor: bool) -> &Frame {
        let (place, form) = if with_cursor {
            (&self.with_cursor, EventForm::WithCursor(self.cursor))
        } else {
            (&self.plain, EventForm::Plain)
        };
        place.get_or_init(|| Frame::text(&frames::event(&self.name, &self.payload, form)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_need_a_form_at_the_same_time_get_the_same_one() {
        let now = Instant::now();
        let event = Arc::new(Event::new("t".into(), "a.b", 7, "{}".to_owned(), now));
        let workers = [true, true, false, false].map(|with_cursor| {
            let event = event.clone();
            std::thread::spawn(move || event.frame(with_cursor).clone())
        });
        let frames = workers.map(|worker| worker.join().unwrap());
        // The very bytes, not only equal ones.
        let places = frames.each_ref().map(|frame| frame.bytes().as_ptr());
        assert_eq!((places[0], places[2]), (places[1], places[3]));
        assert_ne!(frames[0].bytes(), frames[2].bytes());
    }
}
