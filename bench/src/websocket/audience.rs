//! Whom a broadcast is for: the four audiences that the scenario proves.
//!
//! The reading of realtime contract section 10 here is the bench's own and deliberately shares no
//! code with the server: it is the oracle that the server is judged by.

use dormouse_protocol::ClientType;
use serde_json::{Value, json};

use crate::mix::Role;

/// The connections that a broadcast must reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Everyone; sent without a filter.
    All,
    /// Client type user-scoped.
    UserScopedOnly,
    /// Any client type with this session label.
    Session(String),
    /// Any client type with this machine label.
    Machine(String),
}

impl Audience {
    /// The names of all audiences, as they appear in reports.
    pub(super) const NAMES: [&'static str; 4] = ["all", "user-scoped-only", "session", "machine"];

    /// Its name in reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::UserScopedOnly => "user-scoped-only",
            Self::Session(_) => "session",
            Self::Machine(_) => "machine",
        }
    }

    /// The `filter` of the broadcast endpoint; `None` for everyone.
    pub(super) fn filter(&self) -> Option<Value> {
        match self {
            Self::All => None,
            Self::UserScopedOnly => Some(json!({"type": "user-scoped-only"})),
            Self::Session(id) => Some(json!({"type": "session", "sessionId": id})),
            Self::Machine(id) => Some(json!({"type": "machine", "machineId": id})),
        }
    }

    /// Whether a connection with this role must receive it.
    pub(super) fn reaches(&self, role: &Role) -> bool {
        match self {
            Self::All => true,
            Self::UserScopedOnly => role.client_type == ClientType::UserScoped,
            Self::Session(id) => role.session.as_ref() == Some(id),
            Self::Machine(id) => role.machine.as_ref() == Some(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_audience_reaches_its_row_of_the_contract() {
        let role = |client_type, session: Option<&str>, machine: Option<&str>| Role {
            client_type,
            session: session.map(str::to_owned),
            machine: machine.map(str::to_owned),
        };
        let roles = [
            role(ClientType::UserScoped, None, None),
            role(ClientType::UserScoped, Some("s1"), Some("m1")),
            role(ClientType::SessionScoped, Some("s1"), None),
            role(ClientType::SessionScoped, Some("s2"), None),
            role(ClientType::MachineScoped, None, Some("m1")),
        ];
        let cases = [
            (Audience::All, [true, true, true, true, true]),
            (Audience::UserScopedOnly, [true, true, false, false, false]),
            (
                Audience::Session("s1".into()),
                [false, true, true, false, false],
            ),
            (
                Audience::Machine("m1".into()),
                [false, true, false, false, true],
            ),
        ];
        for ((audience, expected), name) in cases.into_iter().zip(Audience::NAMES) {
            assert_eq!(
                roles.each_ref().map(|role| audience.reaches(role)),
                expected
            );
            assert_eq!(audience.name(), name);
            let filter = audience.filter().map(|filter| filter["type"].clone());
            let named = (name != "all").then(|| Value::from(name));
            assert_eq!(filter, named);
        }
    }
}
