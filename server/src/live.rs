//! The live feed of the admin page: what the server does, once a second, and the last 15 minutes
//! of it.
//!
//! One task takes a `Snapshot` of all counters: each second while a page is open, else every
//! five. Pages are actors (`page::LivePage`) on sockets of their own; they share what is sent,
//! and a page that reads slowly gets the newest update next, never a queue of them. Nothing here
//! wakes a shard or is on the path of a message.

mod history;
mod page;
mod snapshot;
mod update;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

pub use page::open;

use self::history::History;
use self::snapshot::Snapshot;
use crate::app_state::AppState;
use crate::listeners::Surface;

/// Where the feed is.
pub const PATH: &str = "/admin/v1/live";

/// Shortest time between two updates of a page.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// What an open page is told next.
#[derive(Clone, Debug, Default)]
enum Feed {
    /// Nothing yet.
    #[default]
    Silent,
    /// A frame's text.
    Update(ByteString),
    /// The server stops.
    Stopping,
}

/// What all open pages share.
#[derive(Debug, Default)]
pub struct Live {
    history: Mutex<History>,
    feed: watch::Sender<Feed>,
}

impl Live {
    /// Tells open pages that the server stops.
    pub fn stop(&self) {
        self.feed.send_replace(Feed::Stopping);
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request is for the feed, on an address that serves admins.
pub fn is_at(state: &AppState, surface: Surface, path: &str) -> bool {
    let serves_admins = surface == Surface::Admin || state.settings.admin.listen.is_empty();
    serves_admins && path == PATH
}

/// Takes snapshots until it is aborted: the one task of a server that does.
pub async fn sample(state: Arc<AppState>) {
    let mut tick = tokio::time::interval(UPDATE_INTERVAL);
    // A late update must not be followed by another at once.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let is_watched = state.live.feed.receiver_count() > 0;
        if !is_watched && !state.live.history().is_due(crate::clock::unix_ms()) {
            continue;
        }
        let snapshot = Snapshot::take(&state).await;
        let update = {
            let mut history = state.live.history();
            let update = is_watched.then(|| update::update(&state, &snapshot, &history));
            history.take_in(snapshot);
            update
        };
        if let Some(update) = update {
            state.live.feed.send_replace(Feed::Update(update));
        }
    }
}
