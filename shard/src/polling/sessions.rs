//! The sessions that poll, by their ids.

use std::sync::Arc;

use ahash::AHashMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::{Mutex, PollSession, lock};
use crate::mount::MountId;

/// A session's id: 15 random bytes as 20 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 15]);

impl SessionId {
    /// A fresh one, unguessable.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Reads one; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE.encode(self.0))
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It is a credential.
        f.write_str("SessionId")
    }
}

/// All sessions that poll.
#[derive(Debug, Default)]
pub struct PollSessions {
    pub(super) sessions: Mutex<AHashMap<SessionId, Arc<PollSession>>>,
}

impl PollSessions {
    /// Opens a session.
    pub fn open(self: &Arc<Self>, mount: MountId) -> Arc<PollSession> {
        let id = SessionId::random();
        let session = Arc::new(PollSession {
            id,
            mount,
            home: Arc::downgrade(self),
            state: Mutex::default(),
        });
        lock(&self.sessions).insert(id, session.clone());
        session
    }

    /// The session of this id.
    pub fn find(&self, id: &str) -> Option<Arc<PollSession>> {
        let id = SessionId::parse(id)?;
        lock(&self.sessions).get(&id).cloned()
    }

    /// Sessions that are open.
    pub fn len(&self) -> usize {
        lock(&self.sessions).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
