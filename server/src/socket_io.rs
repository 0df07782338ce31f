//! Socket.IO over HTTP: which requests are meant, what they are refused for, who may connect
//! (Socket.IO contract, sections 1, 2 and 5).
//!
//! Owns the handshakes of both transports and the answers to long polling. What a connection says
//! afterwards is read by its worker, in the shard crate.

pub mod happy_gate;
pub mod polling;
pub mod refusal;
pub mod request;

use std::sync::Arc;

use bytes::Bytes;
use dormouse_config::CorsOrigin;
use dormouse_protocol::socket_io::{Opening, open};
use dormouse_shard::mount::{Mount, MountId};

use crate::listeners::Surface;
use crate::pending::PendingPlaces;

/// The path that has both transports of `/v1/updates`.
const HAPPY_PATH: &str = "/v1/updates";
/// The dashboard's.
const DASHBOARD_PATH: &str = "/socket.io";

/// Where Socket.IO is served.
#[derive(Debug)]
pub struct SocketIo {
    /// `/v1/updates`.
    pub happy: MountId,
    /// `/socket.io`, if there is a dashboard.
    pub dashboard: Option<DashboardMount>,
    /// Places for connections before their CONNECT.
    pub pending: Arc<PendingPlaces>,
}

/// Where the dashboard is served, and for which pages.
#[derive(Debug)]
pub struct DashboardMount {
    /// `/socket.io`.
    pub id: MountId,
    /// The origins of pages that may connect.
    pub origins: Vec<CorsOrigin>,
}

/// Who may read the answers of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages<'a> {
    /// Pages of every origin: what they send as credentials is in their packets.
    Any,
    /// Pages of this origin, which is one of those that are configured.
    Of(&'a str),
    /// No page.
    None,
}

impl SocketIo {
    /// The pages that a mount answers to, for a request that names an origin or none.
    pub fn pages<'a>(&self, mount: MountId, origin: Option<&'a str>) -> Pages<'a> {
        let dashboard = self.dashboard.as_ref();
        match (dashboard.filter(|dashboard| dashboard.id == mount), origin) {
            (None, _) => Pages::Any,
            (Some(dashboard), Some(origin)) => {
                let mut listed = dashboard.origins.iter();
                match listed.any(|listed| listed.as_str() == origin) {
                    true => Pages::Of(origin),
                    false => Pages::None,
                }
            }
            (Some(_), None) => Pages::None,
        }
    }

    /// Whether a request comes from a page that may not connect. Browsers do not keep pages from
    /// opening WebSockets to anywhere, so the server must, where no token is asked for.
    pub fn is_foreign(&self, mount: MountId, origin: Option<&str>) -> bool {
        origin.is_some() && self.pages(mount, origin) == Pages::None
    }

    /// The mount that a request is for; `None` when it is not for Socket.IO.
    pub fn mount_of(&self, surface: Surface, path: &str, query: &str) -> Option<MountId> {
        let has_version =
            || form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "EIO");
        if surface != Surface::Main {
            return None;
        }
        match path.trim_end_matches('/') {
            HAPPY_PATH => has_version().then_some(self.happy),
            DASHBOARD_PATH => self.dashboard.as_ref().map(|dashboard| dashboard.id),
            _ => None,
        }
    }
}

/// The first packet of a transport.
pub fn opening(mount: &Mount, sid: &str, upgrades: &[&str]) -> String {
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    open(&Opening {
        sid,
        upgrades,
        ping_interval: ms(mount.ping_interval),
        ping_timeout: ms(mount.ping_timeout),
        max_payload: mount.advertised_bytes,
    })
}

/// A `101` with the first packet behind it.
pub fn accept(key: &str, mount: &Mount) -> Bytes {
    let sid = dormouse_shard::polling::SessionId::random().to_string();
    let first = dormouse_shard::frame::Frame::packet(&opening(mount, &sid, &[]));
    let response = crate::handshake::accept(key);
    [&response[..], first.bytes()].concat().into()
}
