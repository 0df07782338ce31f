//! Which of a user's connections a frame is for (realtime contract, section 10).

use serde_json::Value;

use crate::{ClientType, ConnectionId, Labels, Rooms};

/// A choice among one user's authenticated connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Every connection.
    All,
    /// `user-scoped` connections.
    UserScopedOnly,
    /// Any client type whose session label equals it.
    Session(Box<str>),
    /// Any client type whose machine label equals it.
    Machine(Box<str>),
    /// Every `user-scoped`, plus `machine-scoped` with that machine.
    MachineScopedOnly(Box<str>),
    /// Every `user-scoped`, plus `session-scoped` with that session; never `machine-scoped`.
    AllInterestedInSession(Box<str>),
    /// Every connection but that one.
    Exclude(ConnectionId),
    /// That connection.
    Connection(ConnectionId),
    /// Every connection that an application has put into this room.
    Room(Box<str>),
}

/// Why a filter is refused: 400 on the broadcast endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not an object with a string `type`.
    #[error("filter must be an object with a string \"type\"")]
    Shape,
    /// Not one of them.
    #[error(
        "unknown filter type; use all, user-scoped-only, session, machine, machine-scoped-only, \
         all-interested-in-session, exclude, connection or room"
    )]
    UnknownType,
    /// The filter's id is absent, empty or not a string.
    #[error("this filter type needs a non-empty string \"{0}\"")]
    MissingId(&'static str),
}

impl Filter {
    /// Reads `{"type", "sessionId"?, "machineId"?, "connectionId"?, "room"?}`; `null` and an absent filter
    /// are [`Filter::All`].
    ///
    /// A `connectionId` that is no connection's excludes nobody, and chooses nobody.
    ///
    /// # Errors
    /// [`FilterError`], whose text names the field.
    pub fn from_json(value: &Value) -> Result<Self, FilterError> {
        let fields = match value {
            Value::Null => return Ok(Self::All),
            Value::Object(fields) => fields,
            _ => return Err(FilterError::Shape),
        };
        let id = |name: &'static str| {
            let text = fields
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty());
            text.ok_or(FilterError::MissingId(name))
        };
        let connection = || {
            let id = ConnectionId::parse(id("connectionId")?);
            Ok(id.unwrap_or(ConnectionId::from_bytes([0; 16])))
        };
        Ok(
            match fields
                .get("type")
                .and_then(Value::as_str)
                .ok_or(FilterError::Shape)?
            {
                "all" => Self::All,
                "user-scoped-only" => Self::UserScopedOnly,
                "session" => Self::Session(id("sessionId")?.into()),
                "machine" => Self::Machine(id("machineId")?.into()),
                "machine-scoped-only" => Self::MachineScopedOnly(id("machineId")?.into()),
                "all-interested-in-session" => {
                    Self::AllInterestedInSession(id("sessionId")?.into())
                }
                "exclude" => Self::Exclude(connection()?),
                "connection" => Self::Connection(connection()?),
                "room" => Self::Room(id("room")?.into()),
                _ => return Err(FilterError::UnknownType),
            },
        )
    }

    /// Whether a connection is chosen. Ids are compared in full.
    pub fn matches(&self, connection: ConnectionId, labels: &Labels, rooms: &Rooms) -> bool {
        let names = |label: &Option<Box<str>>, id: &str| label.as_deref() == Some(id);
        match self {
            Self::All => true,
            Self::UserScopedOnly => labels.client_type == ClientType::UserScoped,
            Self::Session(id) => names(&labels.session_id, id),
            Self::Machine(id) => names(&labels.machine_id, id),
            Self::MachineScopedOnly(id) => match labels.client_type {
                ClientType::UserScoped => true,
                ClientType::MachineScoped => names(&labels.machine_id, id),
                ClientType::SessionScoped => false,
            },
            Self::AllInterestedInSession(id) => match labels.client_type {
                ClientType::UserScoped => true,
                ClientType::SessionScoped => names(&labels.session_id, id),
                ClientType::MachineScoped => false,
            },
            Self::Exclude(id) => connection != *id,
            Self::Connection(id) => connection == *id,
            Self::Room(room) => rooms.contains(room),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(kind: ClientType, session: Option<&str>, machine: Option<&str>) -> Labels {
        Labels::new(Some(kind.as_str()), session, machine).unwrap()
    }

    #[test]
    fn each_filter_matches_exactly_its_row_of_the_contract() {
        use ClientType::{MachineScoped as M, SessionScoped as S, UserScoped as U};
        let connections = [
            labels(U, None, None),
            labels(U, Some("s1"), Some("m1")),
            labels(S, Some("s1"), None),
            labels(S, Some("s2"), Some("m1")),
            labels(M, None, Some("m1")),
            labels(M, Some("s1"), Some("m2")),
        ];
        let excluded = ConnectionId::from_bytes([3; 16]);
        let rooms = [&[][..], &["r"], &["q", "r"], &["q"], &[], &["rr"]].map(|names: &[&str]| {
            let mut rooms = Rooms::default();
            for name in names {
                rooms.join(name).unwrap();
            }
            rooms
        });
        let cases = [
            (Filter::All, "111111"),
            (Filter::UserScopedOnly, "110000"),
            (Filter::Session("s1".into()), "011001"),
            (Filter::Machine("m1".into()), "010110"),
            (Filter::MachineScopedOnly("m1".into()), "110010"),
            (Filter::AllInterestedInSession("s1".into()), "111000"),
            (Filter::Exclude(excluded), "111011"),
            (Filter::Connection(excluded), "000100"),
            (Filter::Room("r".into()), "011000"),
        ];
        for (filter, expected) in cases {
            let matched: String = (0_u8..)
                .zip(connections.iter().zip(&rooms))
                .map(|(index, (labels, rooms))| {
                    let id = ConnectionId::from_bytes([index; 16]);
                    if filter.matches(id, labels, rooms) {
                        '1'
                    } else {
                        '0'
                    }
                })
                .collect();
            assert_eq!(matched, expected, "{filter:?}");
        }
    }

    #[test]
    fn ids_are_compared_in_full() {
        let long = "x".repeat(60);
        let filter = Filter::Session(format!("{long}a").into());
        let other = labels(ClientType::SessionScoped, Some(&format!("{long}b")), None);
        let rooms = Rooms::default();
        assert!(!filter.matches(ConnectionId::random(), &other, &rooms));
    }

    #[test]
    fn filters_are_read_or_refused() {
        let id = "01010101-0101-0101-0101-010101010101";
        let good = [
            (json!(null), Filter::All),
            (json!({"type": "all", "extra": 1}), Filter::All),
            (
                json!({"type": "session", "sessionId": "s"}),
                Filter::Session("s".into()),
            ),
            (
                json!({"type": "exclude", "connectionId": id}),
                Filter::Exclude(ConnectionId::from_bytes([1; 16])),
            ),
            (
                json!({"type": "connection", "connectionId": id}),
                Filter::Connection(ConnectionId::from_bytes([1; 16])),
            ),
            (
                json!({"type": "room", "room": "r"}),
                Filter::Room("r".into()),
            ),
        ];
        for (value, expected) in good {
            assert_eq!(Filter::from_json(&value), Ok(expected), "{value}");
        }
        let bad = [
            (json!("all"), FilterError::Shape),
            (json!({}), FilterError::Shape),
            (json!({"type": 1}), FilterError::Shape),
            (json!({"type": "everyone"}), FilterError::UnknownType),
            (
                json!({"type": "session"}),
                FilterError::MissingId("sessionId"),
            ),
            (
                json!({"type": "machine", "machineId": ""}),
                FilterError::MissingId("machineId"),
            ),
            (
                json!({"type": "machine-scoped-only", "machineId": 4}),
                FilterError::MissingId("machineId"),
            ),
            (
                json!({"type": "all-interested-in-session"}),
                FilterError::MissingId("sessionId"),
            ),
            (
                json!({"type": "exclude"}),
                FilterError::MissingId("connectionId"),
            ),
            (
                json!({"type": "connection"}),
                FilterError::MissingId("connectionId"),
            ),
            (
                json!({"type": "room", "room": ""}),
                FilterError::MissingId("room"),
            ),
        ];
        for (value, expected) in bad {
            assert_eq!(Filter::from_json(&value), Err(expected), "{value}");
        }
    }
}
