//! Sessions that poll, as HTTP reaches them.

use std::sync::Arc;

use dormouse_protocol::{ClientType, ConnectionId, Labels};
use tokio::time::Instant;

use super::Workers;
use crate::arrival::Newcomer;
use crate::command::Command;
use crate::mount::MountId;
use crate::polling::PollSession;
use crate::table::Slot;

impl Workers {
    /// Opens a session that polls, and its connection, which has yet to send CONNECT.
    pub fn open_polling(
        &self,
        mount: MountId,
        query: &str,
        connected_at: u64,
        permit: Box<dyn std::any::Any + Send>,
    ) -> Arc<PollSession> {
        let session = self.polling.open(mount);
        self.wait(Newcomer {
            slot: Slot::polling(session.clone(), ConnectionId::random()),
            labels: Labels {
                client_type: ClientType::UserScoped,
                session_id: None,
                machine_id: None,
            },
            accept: bytes::Bytes::new(),
            connected_at,
            started: Instant::now(),
            permit,
            socket_io: Some((mount, query.into())),
        });
        session
    }

    /// The session of this id, if it polls.
    pub fn find_polling(&self, id: &str) -> Option<Arc<PollSession>> {
        self.polling.find(id)
    }

    /// Tells a session's worker that it has something.
    pub fn polled(&self, session: Arc<PollSession>) {
        // On its way between workers, the next takes what it has.
        if let Some((worker, _)) = session.place() {
            self.send(worker, Command::Polled(session));
        }
    }

    /// Takes in a WebSocket that a session that polls wants to change to.
    pub fn probe(&self, session: Arc<PollSession>, slot: Slot, accept: bytes::Bytes) {
        let [first, ..] = *slot.id.as_bytes();
        let worker = usize::from(first) % self.count();
        let slot = Box::new(slot);
        self.send(
            worker,
            Command::Probe {
                session,
                slot,
                accept,
            },
        );
    }
}
