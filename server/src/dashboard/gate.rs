//! Who may connect to the dashboard, and what they may look at.

use std::collections::BTreeSet;
use std::sync::Arc;

use dormouse_config::{DashboardAccess, Organisation, Settings};
use dormouse_protocol::envelope::string;
use dormouse_protocol::{AuthState, ClientType, Labels, Rooms};
use dormouse_shard::arrival::Claim;
use dormouse_shard::mount::{ConnectGate, ConnectRefusal, Entrant};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::rooms;
use crate::auth::Verifier;
use crate::clock::unix_ms;

/// The organisation of connections that name none.
const DEFAULT_ORGANISATION: &str = "default";

/// Which organisations a visitor may look at.
#[derive(Debug)]
pub struct Organisations {
    public: BTreeSet<String>,
    members: BTreeSet<(String, String)>,
}

impl Organisations {
    /// As configured.
    pub fn of(settings: &Settings) -> Self {
        let dashboard = &settings.dashboard;
        let public = dashboard.organisations.iter();
        let members = dashboard.members.iter();
        Self {
            public: public.map(|slug| slug.as_str().to_owned()).collect(),
            members: members
                .map(|member| (member.organisation.clone(), member.user.clone()))
                .collect(),
        }
    }

    /// Whether whoever sent a token of this user, or none, may look at an organisation.
    pub fn admits(&self, slug: &str, visitor: Option<&str>) -> bool {
        let is_member = |user: &str| {
            let wanted = (slug.to_owned(), user.to_owned());
            self.members.contains(&wanted)
        };
        self.public.contains(slug) || visitor.is_some_and(is_member)
    }
}

/// Lets connections in.
pub struct DashboardGate {
    /// Tokens.
    pub verifier: Verifier,
    /// Who may come without one: never [`DashboardAccess::Auto`].
    pub access: DashboardAccess,
    /// The user that all of them belong to.
    pub user: Arc<str>,
    /// That user's tier.
    pub tier: Box<str>,
    /// What they may look at.
    pub organisations: Arc<Organisations>,
}

impl DashboardGate {
    fn judge(&self, auth: Option<&str>, query: &str) -> Result<Entrant, String> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Auth<'a> {
            #[serde(borrow)]
            token: Option<&'a RawValue>,
        }
        let auth: Auth<'_> = auth
            .and_then(|auth| serde_json::from_str(auth).ok())
            .unwrap_or_default();
        let token = auth.token.filter(|token| token.get() != "null");
        let token = token.map(|token| string(token).unwrap_or_default());
        let identity = match token.as_deref() {
            None if self.access == DashboardAccess::Anonymous => None,
            None => return Err("Missing authentication token".to_owned()),
            Some(token) => {
                let verified = self.verifier.verify_user(token, unix_ms());
                Some(verified.map_err(|err| {
                    tracing::debug!(%err, "the token of a CONNECT is refused");
                    "Invalid authentication token".to_owned()
                })?)
            }
        };
        let visitor = identity.as_ref().map(|identity| &*identity.user);
        let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "orgSlug");
        let slug = asked
            .as_ref()
            .map_or(DEFAULT_ORGANISATION, |(_, slug)| &**slug);
        if !Organisation::is_slug(slug) || !self.organisations.admits(slug, visitor) {
            return Err("Not a member of this organisation".to_owned());
        }
        let mut joined = Rooms::default();
        let whole = asked.is_none().then(|| rooms::WHOLE.to_owned());
        let names = [
            Some(rooms::organisation(slug)),
            whole,
            visitor.map(rooms::visitor),
        ];
        for room in names.into_iter().flatten() {
            joined.join(&room).map_err(|err| err.to_string())?;
        }
        Ok(Entrant {
            claim: Claim {
                user: self.user.clone(),
                tier: Some(self.tier.clone()),
                token_hash: identity.as_ref().map(|identity| identity.token_hash),
            },
            labels: Labels {
                client_type: ClientType::UserScoped,
                session_id: None,
                machine_id: None,
            },
            rooms: joined,
            is_foreground: false,
            auth_state: match identity {
                Some(_) => AuthState::Authenticated,
                None => AuthState::Anonymous,
            },
        })
    }
}

impl ConnectGate for DashboardGate {
    fn connect(
        &self,
        auth: Option<&str>,
        query: &str,
        done: Box<dyn FnOnce(Result<Entrant, ConnectRefusal>) + Send>,
    ) {
        done(self.judge(auth, query).map_err(ConnectRefusal::Refused));
    }
}
