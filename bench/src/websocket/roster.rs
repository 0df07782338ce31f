//! Who is connected: the open connections with their roles.
//!
//! `conductor` and `client` keep it up to date; `observers` read from it whom a broadcast must
//! reach and what the statistics must say.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_protocol::ClientType;
use tokio::sync::mpsc;

use super::audience::Audience;
use super::client::Leave;
use crate::mix::Role;

/// The open connections by number.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: BTreeMap<usize, Member>,
}

#[derive(Debug)]
struct Member {
    role: Role,
    orders: mpsc::Sender<Leave>,
}

/// What the statistics endpoint must say of the open connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// All connections.
    pub(super) total: u64,
    /// By [`ClientType::index`].
    pub(super) by_type: [u64; 3],
    /// Distinct session labels.
    pub(super) sessions: u64,
    /// Distinct machine labels.
    pub(super) machines: u64,
}

impl Roster {
    /// A connection has opened; `orders` is how it is told to leave.
    pub(super) fn join(&mut self, connection: usize, role: Role, orders: mpsc::Sender<Leave>) {
        self.members.insert(connection, Member { role, orders });
    }

    /// A connection is gone, by whoever's wish. Returns how to tell it to leave, if it was here.
    pub(super) fn remove(&mut self, connection: usize) -> Option<mpsc::Sender<Leave>> {
        self.members.remove(&connection).map(|member| member.orders)
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The numbers of all open connections.
    pub(super) fn connections(&self) -> Vec<usize> {
        self.members.keys().copied().collect()
    }

    /// The connections that a broadcast must reach.
    pub(super) fn reached_by(&self, audience: &Audience) -> BTreeSet<usize> {
        let reached = self
            .members
            .iter()
            .filter(|(_, member)| audience.reaches(&member.role));
        reached.map(|(connection, _)| *connection).collect()
    }

    /// The audience of the `turn`th broadcast: the four kinds in rotation, each time with the next
    /// label that is in use. Without any label in use, a label that nobody has: reaching nobody
    /// is then the right answer.
    pub(super) fn audience(&self, turn: usize) -> Audience {
        let label = |of: fn(&Role) -> &Option<String>| {
            let labels = self.labels(of);
            let chosen = (turn / 4)
                .checked_rem(labels.len())
                .and_then(|n| labels.iter().nth(n));
            chosen.map_or("nobody", |label| label).to_owned()
        };
        match turn % 4 {
            0 => Audience::All,
            1 => Audience::UserScopedOnly,
            2 => Audience::Session(label(|role| &role.session)),
            _ => Audience::Machine(label(|role| &role.machine)),
        }
    }

    /// What the statistics must say.
    pub(super) fn census(&self) -> Census {
        let mut census = Census {
            total: self.members.len() as u64,
            sessions: self.labels(|role| &role.session).len() as u64,
            machines: self.labels(|role| &role.machine).len() as u64,
            ..Census::default()
        };
        for (kind, count) in ClientType::ALL.into_iter().zip(&mut census.by_type) {
            let members = self
                .members
                .values()
                .filter(|member| member.role.client_type == kind);
            *count = members.count() as u64;
        }
        census
    }

    fn labels(&self, of: fn(&Role) -> &Option<String>) -> BTreeSet<&str> {
        self.members
            .values()
            .filter_map(|member| of(&member.role).as_deref())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(roles: &[(ClientType, Option<&str>, Option<&str>)]) -> Roster {
        let mut roster = Roster::default();
        for (connection, (client_type, session, machine)) in roles.iter().enumerate() {
            let role = Role {
                client_type: *client_type,
                session: session.map(str::to_owned),
                machine: machine.map(str::to_owned),
            };
            roster.join(connection, role, mpsc::channel(1).0);
        }
        roster
    }

    #[test]
    fn the_census_counts_types_and_distinct_labels() {
        use ClientType::{MachineScoped, SessionScoped, UserScoped};
        let mut roster = roster(&[
            (UserScoped, None, None),
            (UserScoped, Some("s1"), None),
            (SessionScoped, Some("s1"), None),
            (SessionScoped, Some("s2"), None),
            (MachineScoped, None, Some("m1")),
        ]);
        let census = Census {
            total: 5,
            by_type: [2, 2, 1],
            sessions: 2,
            machines: 1,
        };
        assert_eq!(roster.census(), census);
        assert!(roster.remove(3).is_some() && roster.remove(3).is_none());
        let census = Census {
            total: 4,
            by_type: [2, 1, 1],
            sessions: 1,
            machines: 1,
        };
        assert_eq!(roster.census(), census);
        assert_eq!(roster.connections(), [0, 1, 2, 4]);
        assert_eq!(
            roster.reached_by(&Audience::Session("s1".into())),
            [1, 2].into()
        );
    }

    #[test]
    fn audiences_rotate_through_kinds_and_labels() {
        use ClientType::{MachineScoped, SessionScoped};
        let roster = roster(&[
            (SessionScoped, Some("s1"), None),
            (SessionScoped, Some("s2"), None),
            (MachineScoped, None, Some("m1")),
        ]);
        let turns: Vec<Audience> = (0..8).map(|turn| roster.audience(turn)).collect();
        let session = |id: &str| Audience::Session(id.into());
        let machine = || Audience::Machine("m1".into());
        let (all, users) = (Audience::All, Audience::UserScopedOnly);
        assert_eq!(
            turns[..4],
            [all.clone(), users.clone(), session("s1"), machine()]
        );
        assert_eq!(turns[4..], [all, users, session("s2"), machine()]);
        assert_eq!(Roster::default().audience(2), session("nobody"));
    }
}
