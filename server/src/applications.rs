//! The applications of the server, as the shards see one: each user has the events of one of them.

use std::sync::Arc;

use dormouse_protocol::Attachment;
use dormouse_shard::application::{Application, EventReply, EventRequest, Welcome};
use dormouse_shard::mount::Wire;

use crate::dashboard::DashboardApplication;
use crate::sync::SyncApplication;

/// The sync API for all users but the dashboard's.
#[derive(Clone, Debug)]
pub struct Applications {
    /// The sync API.
    pub sync: SyncApplication,
    /// The dashboard with its user, if there is one.
    pub dashboard: Option<(Arc<str>, DashboardApplication)>,
}

impl Applications {
    fn of(&self, user: &str) -> &dyn Application {
        match &self.dashboard {
            Some((own, dashboard)) if **own == *user => dashboard,
            _ => &self.sync,
        }
    }
}

impl Application for Applications {
    fn handles(&self, user: &str, event: &str) -> bool {
        self.of(user).handles(user, event)
    }

    fn handle(&self, request: EventRequest) -> EventReply {
        self.of(&request.user).handle(request)
    }

    fn welcome(&self, attachment: &Attachment, wire: Wire) -> Welcome {
        self.of(&attachment.user_id).welcome(attachment, wire)
    }

    fn is_enclosed(&self, user: &str, wire: Wire) -> bool {
        self.of(user).is_enclosed(user, wire)
    }

    fn left(&self, attachment: &Attachment) {
        self.of(&attachment.user_id).left(attachment);
    }

    fn machine_presence(&self, user: &str, machine: &str, is_online: bool) {
        self.of(user).machine_presence(user, machine, is_online);
    }
}
