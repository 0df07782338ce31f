//! Who may connect to `/v1/updates`: whoever sends a user's token with CONNECT (Socket.IO
//! contract, section 5).

use std::borrow::Cow;

use dormouse_protocol::attachment::LabelsError;
use dormouse_protocol::envelope::string;
use dormouse_protocol::event::APP_IN_FOREGROUND;
use dormouse_protocol::{AuthState, Labels, Rooms};
use dormouse_shard::mount::{ConnectGate, ConnectRefusal, Entrant};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::app_state::claim;
use crate::auth::Verifier;
use crate::clock::unix_ms;

/// Verifies the tokens of CONNECT packets.
pub struct HappyGate {
    /// Tokens.
    pub verifier: Verifier,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth<'a> {
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow, rename = "clientType")]
    client_type: Option<&'a RawValue>,
    #[serde(borrow, rename = "sessionId")]
    session_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "machineId")]
    machine_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "appState")]
    app_state: Option<&'a RawValue>,
}

fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    raw.and_then(string).filter(|text| !text.is_empty())
}

fn labels(auth: &Auth<'_>) -> Result<Labels, String> {
    // A client type that is no string is as unknown as a wrong one.
    let client_type = match auth.client_type {
        Some(raw) if raw.get() != "null" => Some(string(raw).unwrap_or("?".into())),
        _ => None,
    };
    Labels::new(
        client_type.as_deref(),
        text(auth.session_id).as_deref(),
        text(auth.machine_id).as_deref(),
    )
    .map_err(|err| match err {
        LabelsError::SessionIdMissing => {
            "Session ID required for session-scoped clients".to_owned()
        }
        LabelsError::MachineIdMissing => {
            "Machine ID required for machine-scoped clients".to_owned()
        }
        other => other.to_string(),
    })
}

impl HappyGate {
    fn judge(&self, auth: Option<&str>) -> Result<Entrant, String> {
        let auth: Auth<'_> = auth
            .and_then(|auth| serde_json::from_str(auth).ok())
            .unwrap_or_default();
        let token = text(auth.token).ok_or("Missing authentication token")?;
        let labels = labels(&auth)?;
        let identity = self.verifier.verify_user(&token, unix_ms());
        let identity = identity.map_err(|err| {
            tracing::debug!(%err, "the token of a CONNECT is refused");
            "Invalid authentication token"
        })?;
        Ok(Entrant {
            claim: claim(&identity),
            labels,
            rooms: Rooms::default(),
            auth_state: AuthState::Authenticated,
            is_foreground: text(auth.app_state).as_deref() == Some(APP_IN_FOREGROUND),
        })
    }
}

impl ConnectGate for HappyGate {
    fn connect(
        &self,
        auth: Option<&str>,
        _query: &str,
        done: Box<dyn FnOnce(Result<Entrant, ConnectRefusal>) + Send>,
    ) {
        done(self.judge(auth).map_err(ConnectRefusal::Refused));
    }
}
