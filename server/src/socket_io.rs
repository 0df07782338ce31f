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
use dormouse_protocol::socket_io::{Opening, open};
use dormouse_shard::mount::{Mount, MountId};

use crate::listeners::Surface;
use crate::pending::PendingPlaces;

/// The path that has both transports of `/v1/updates`.
const HAPPY_PATH: &str = "/v1/updates";

/// Where Socket.IO is served.
#[derive(Debug)]
pub struct SocketIo {
    /// `/v1/updates`.
    pub happy: MountId,
    /// Places for connections before their CONNECT.
    pub pending: Arc<PendingPlaces>,
}

impl SocketIo {
    /// The mount that a request is for; `None` when it is not for Socket.IO.
    pub fn mount_of(&self, surface: Surface, path: &str, query: &str) -> Option<MountId> {
        let has_version =
            || form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "EIO");
        let is_happy = path.trim_end_matches('/') == HAPPY_PATH;
        (surface == Surface::Main && is_happy && has_version()).then_some(self.happy)
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
