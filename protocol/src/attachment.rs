//! What is known of a connection: the record that a sleeping shard keeps (realtime contract,
//! section 1).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ClientType, Rooms};

/// Longest `sessionId`, `machineId` and user id, in characters (realtime contract, 2.2 and 13).
pub const MAX_ID_CHARS: usize = 128;

/// A connection's name: a random UUID made by the server when it accepts the socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(uuid::Uuid);

impl ConnectionId {
    /// The id with these 16 bytes, as they are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// A version 4 id made of 16 random bytes.
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// A fresh random id.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }

    /// The 16 bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Reads the hyphenated form; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return None;
        }
        uuid::Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a connection came to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AuthState {
    /// Waiting for its `auth` message; in no hub and in no statistics.
    PendingAuth,
    /// Authenticated by its first message or a ticket.
    Authenticated,
    /// Authenticated by a token presented at the upgrade; behaves as `authenticated`.
    Legacy,
    /// Let in without a token, where that is configured.
    Anonymous,
}

/// The part of an attachment that filters look at: fixed once the connection is authenticated.
///
/// The ids are labels and are not checked against any database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// What the connection is for.
    pub client_type: ClientType,
    /// The session it names, if any; kept whatever the client type.
    pub session_id: Option<Box<str>>,
    /// The machine it names, if any; kept whatever the client type.
    pub machine_id: Option<Box<str>>,
}

/// Why labels are refused (realtime contract, 2.3 and 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// Not one of the three client types.
    #[error("unknown client type; use user-scoped, session-scoped or machine-scoped")]
    UnknownClientType,
    /// `session-scoped` needs a session.
    #[error("a session-scoped connection needs a sessionId")]
    SessionIdMissing,
    /// `machine-scoped` needs a machine.
    #[error("a machine-scoped connection needs a machineId")]
    MachineIdMissing,
    /// An id over [`MAX_ID_CHARS`].
    #[error("sessionId and machineId have at most 128 characters")]
    IdTooLong,
}

impl Labels {
    /// Checks the fields in the contract's order. Empty strings count as absent; an absent client
    /// type is `user-scoped`.
    ///
    /// # Errors
    /// [`LabelsError`] names the first rule that is broken.
    pub fn new(
        client_type: Option<&str>,
        session_id: Option<&str>,
        machine_id: Option<&str>,
    ) -> Result<Self, LabelsError> {
        let present =
            |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Box::<str>::from);
        let client_type = match client_type.filter(|text| !text.is_empty()) {
            None => ClientType::UserScoped,
            Some(text) => ClientType::parse(text).ok_or(LabelsError::UnknownClientType)?,
        };
        let (session_id, machine_id) = (present(session_id), present(machine_id));
        if client_type == ClientType::SessionScoped && session_id.is_none() {
            return Err(LabelsError::SessionIdMissing);
        }
        if client_type == ClientType::MachineScoped && machine_id.is_none() {
            return Err(LabelsError::MachineIdMissing);
        }
        let too_long = |id: &Option<Box<str>>| {
            id.as_deref()
                .is_some_and(|id| id.chars().nth(MAX_ID_CHARS).is_some())
        };
        if too_long(&session_id) || too_long(&machine_id) {
            return Err(LabelsError::IdTooLong);
        }
        Ok(Self {
            client_type,
            session_id,
            machine_id,
        })
    }
}

/// The connection record: all that must be kept of an idle connection beside its socket.
///
/// As JSON it is what admins see; in the store it has a compact form of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The server's name for the connection.
    pub connection_id: ConnectionId,
    /// The owner; empty while the connection waits for authentication.
    pub user_id: Box<str>,
    /// Client type and ids.
    #[serde(flatten)]
    pub labels: Labels,
    /// When the socket was accepted, Unix ms.
    pub connected_at: u64,
    /// When the last inbound frame was handled, Unix ms.
    pub last_activity_at: u64,
    /// How the connection came to be trusted.
    pub auth_state: AuthState,
    /// The first half of the SHA-256 of the token that the connection was opened with, or that its
    /// ticket was asked for with: when that token is revoked, the connection is closed.
    #[serde(skip)]
    pub token_hash: Option<[u8; 16]>,
    /// The rooms that an application has put it into.
    #[serde(skip_serializing_if = "Rooms::is_empty")]
    pub rooms: Rooms,
    /// Whether its app says that it is in the foreground (Socket.IO contract, `app-state`).
    #[serde(skip)]
    pub is_foreground: bool,
}

impl Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("clientType", &self.client_type)?;
        if let Some(id) = &self.session_id {
            map.serialize_entry("sessionId", id)?;
        }
        if let Some(id) = &self.machine_id {
            map.serialize_entry("machineId", id)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_the_contract() {
        assert_eq!(
            Labels::new(None, Some(""), None),
            Ok(Labels {
                client_type: ClientType::UserScoped,
                session_id: None,
                machine_id: None
            })
        );
        assert_eq!(
            Labels::new(Some("phone"), None, None),
            Err(LabelsError::UnknownClientType)
        );
        assert_eq!(
            Labels::new(Some("session-scoped"), Some(""), None),
            Err(LabelsError::SessionIdMissing)
        );
        assert_eq!(
            Labels::new(Some("machine-scoped"), Some("s"), None),
            Err(LabelsError::MachineIdMissing)
        );
        let kept = Labels::new(Some("machine-scoped"), Some("s"), Some("m")).unwrap();
        assert_eq!(kept.session_id.as_deref(), Some("s"));
        let long = "é".repeat(129);
        assert_eq!(
            Labels::new(None, Some(&long), None),
            Err(LabelsError::IdTooLong)
        );
        assert!(
            Labels::new(None, Some(&long[..256]), None).is_ok(),
            "128 two-byte characters"
        );
    }

    #[test]
    fn connection_ids_are_hyphenated_version_4() {
        let id = ConnectionId::from_random([0xff; 16]);
        assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(ConnectionId::parse(&id.to_string()), Some(id));
        assert_eq!(
            ConnectionId::parse("ffffffffffff4fffbfffffffffffffff"),
            None
        );
    }

    #[test]
    fn an_attachment_is_flat_json_without_absent_ids() {
        let attachment = Attachment {
            connection_id: ConnectionId::from_bytes([1; 16]),
            user_id: "alice".into(),
            labels: Labels::new(None, None, Some("m1")).unwrap(),
            connected_at: 5,
            last_activity_at: 6,
            auth_state: AuthState::Legacy,
            token_hash: Some([1; 16]),
            rooms: Rooms::default(),
            is_foreground: true,
        };
        assert_eq!(
            serde_json::to_value(&attachment).unwrap(),
            serde_json::json!({
                "connectionId": "01010101-0101-0101-0101-010101010101", "userId": "alice",
                "clientType": "user-scoped", "machineId": "m1", "connectedAt": 5,
                "lastActivityAt": 6, "authState": "legacy"
            })
        );
    }
}
