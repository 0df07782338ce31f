//! The client mix: which connection plays which client type, with which made-up labels.
//!
//! Pure. The ids name no stored session or machine: the server treats them as labels (realtime
//! contract, section 1).

use dormouse_protocol::ClientType;
use serde::{Deserialize, Serialize};

/// Shares of the client types, in any unit; only their proportion counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mix {
    /// Share of apps and browsers.
    pub user_scoped: u32,
    /// Share of session viewers and agents.
    pub session_scoped: u32,
    /// Share of daemons.
    pub machine_scoped: u32,
    /// How many connections share a session or a machine.
    pub connections_per_label: usize,
}

/// What one connection says of itself in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its client type.
    pub client_type: ClientType,
    /// Its session label.
    pub session: Option<String>,
    /// Its machine label.
    pub machine: Option<String>,
}

impl Mix {
    /// Roles for `count` connections, spread evenly so that any first few already have the mix.
    ///
    /// `run` makes the labels different from those of other runs. The first user-scoped connection
    /// after the first of each label carries that label too: a filter by session or machine must
    /// reach it although its type is another (realtime contract, section 10).
    pub fn roles(&self, count: usize, run: &str) -> Vec<Role> {
        let shares = [self.user_scoped, self.session_scoped, self.machine_scoped];
        let total = shares.iter().sum::<u32>().max(1);
        let per_label = self.connections_per_label.max(1);
        let mut given = [0_usize; 3];
        let mut lent = (None, None);
        let mut roles = Vec::with_capacity(count);
        for index in 0..count {
            // Whoever is furthest below its share of the connections so far comes next.
            let lag = |kind: ClientType| {
                let due = f64::from(shares[kind.index()]) * (index + 1) as f64 / f64::from(total);
                due - given[kind.index()] as f64
            };
            let furthest =
                |left: ClientType, right| if lag(right) > lag(left) { right } else { left };
            let client_type = ClientType::ALL
                .into_iter()
                .reduce(furthest)
                .unwrap_or(ClientType::UserScoped);
            let label = |name: &str| {
                Some(format!(
                    "{name}-{run}-{}",
                    given[client_type.index()] / per_label
                ))
            };
            let (session, machine) = match client_type {
                ClientType::UserScoped => (lent.0.take(), lent.1.take()),
                ClientType::SessionScoped => (label("session"), None),
                ClientType::MachineScoped => (None, label("machine")),
            };
            if client_type != ClientType::UserScoped && given[client_type.index()] == 0 {
                lent.0 = lent.0.or_else(|| session.clone());
                lent.1 = lent.1.or_else(|| machine.clone());
            }
            given[client_type.index()] += 1;
            roles.push(Role {
                client_type,
                session,
                machine,
            });
        }
        roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIX: Mix = Mix {
        user_scoped: 70,
        session_scoped: 15,
        machine_scoped: 15,
        connections_per_label: 2,
    };

    fn counts(roles: &[Role]) -> [usize; 3] {
        let mut counts = [0; 3];
        for role in roles {
            counts[role.client_type.index()] += 1;
        }
        counts
    }

    #[test]
    fn the_mix_is_met_exactly_where_it_can_be() {
        assert_eq!(counts(&MIX.roles(100, "r")), [70, 15, 15]);
        assert_eq!(counts(&MIX.roles(20, "r")), [14, 3, 3]);
        let ten = counts(&MIX.roles(10, "r"));
        assert_eq!(ten[0], 7);
        assert!(ten[1] >= 1 && ten[2] >= 1, "{ten:?}");
    }

    #[test]
    fn scoped_connections_carry_their_label_and_share_it() {
        let roles = MIX.roles(100, "r7");
        let sessions: Vec<&str> = roles
            .iter()
            .filter(|role| role.client_type == ClientType::SessionScoped)
            .map(|role| role.session.as_deref().unwrap())
            .collect();
        assert_eq!(
            sessions[..3],
            ["session-r7-0", "session-r7-0", "session-r7-1"]
        );
        for role in &roles {
            match role.client_type {
                ClientType::SessionScoped => assert_eq!(role.machine, None),
                ClientType::MachineScoped => {
                    assert_eq!(role.session, None);
                    assert!(role.machine.is_some());
                }
                ClientType::UserScoped => {}
            }
        }
    }

    #[test]
    fn a_user_scoped_connection_carries_each_first_label_too() {
        let roles = MIX.roles(10, "r");
        let lent = |of: fn(&Role) -> &Option<String>| {
            let users = roles
                .iter()
                .filter(|role| role.client_type == ClientType::UserScoped);
            users
                .filter_map(|role| of(role).as_deref())
                .collect::<Vec<_>>()
        };
        assert_eq!(lent(|role| &role.session), ["session-r-0"]);
        assert_eq!(lent(|role| &role.machine), ["machine-r-0"]);
    }

    proptest! {
        #[test]
        fn no_type_strays_more_than_one_from_its_share(
            shares in (0_u32..100, 0_u32..100, 0_u32..100), count in 1_usize..300
        ) {
            let mix = Mix {
                user_scoped: shares.0, session_scoped: shares.1, machine_scoped: shares.2,
                connections_per_label: 1,
            };
            let total = shares.0 + shares.1 + shares.2;
            prop_assume!(total > 0);
            let counts = counts(&mix.roles(count, "r"));
            for (share, given) in [shares.0, shares.1, shares.2].into_iter().zip(counts) {
                let due = f64::from(share) * count as f64 / f64::from(total);
                prop_assert!((given as f64 - due).abs() <= 1.5, "{given} of {due}");
            }
        }
    }
}
