//! Connections that have yet to say who they are (realtime contract, section 2.4).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use ahash::AHashMap;
use bytestring::ByteString;
use dormouse_protocol::attachment::LabelsError;
use dormouse_protocol::envelope::{Envelope, string};
use dormouse_protocol::{CloseCode, Labels, event};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::polling::PollSession;
use crate::table::SlotToken;

/// Messages that may wait for a token to be verified.
pub const MOST_WAITING: usize = 16;

/// A connection in the lobby.
pub struct Guest {
    /// When it was accepted, Unix ms.
    pub connected_at: u64,
    /// The same on the clock of timers.
    pub started: Instant,
    /// When it has to be in.
    pub deadline: Instant,
    /// Of a Socket.IO connection: where its CONNECT stands.
    pub connecting: Option<Connecting>,
    /// Client type and ids of its handshake.
    pub labels: Labels,
    /// What it asked to be, once its token is being verified.
    pub wish: Option<Result<Labels, LabelsError>>,
    /// What it sent since.
    pub waiting: Vec<ByteString>,
    /// Its place among the unauthenticated.
    pub permit: Box<dyn std::any::Any + Send>,
}

/// A Socket.IO connection on its way into the root namespace.
#[derive(Debug)]
pub struct Connecting {
    /// The query of its handshake.
    pub query: Box<str>,
    /// Whether its CONNECT is being judged.
    pub is_judged: bool,
}

/// All guests of one worker, and the WebSockets that are tried for sessions that poll.
#[derive(Default)]
pub struct Lobby {
    guests: AHashMap<SlotToken, Guest>,
    probes: AHashMap<SlotToken, Arc<PollSession>>,
    /// Some may be of guests that have left.
    deadlines: BinaryHeap<Reverse<(Instant, u64)>>,
}

impl Lobby {
    /// Lets a guest in until its deadline.
    pub fn enter(&mut self, token: SlotToken, guest: Guest) {
        self.deadlines
            .push(Reverse((guest.deadline, token.to_bits())));
        self.guests.insert(token, guest);
    }

    /// Takes in a WebSocket that is tried for a session that polls.
    pub fn enter_probe(&mut self, token: SlotToken, session: Arc<PollSession>, deadline: Instant) {
        self.deadlines.push(Reverse((deadline, token.to_bits())));
        self.probes.insert(token, session);
    }

    /// The session that a WebSocket is tried for.
    pub fn probe(&self, token: SlotToken) -> Option<&Arc<PollSession>> {
        self.probes.get(&token)
    }

    /// Lets such a WebSocket out.
    pub fn leave_probe(&mut self, token: SlotToken) -> Option<Arc<PollSession>> {
        self.probes.remove(&token)
    }

    /// Lets a guest out.
    pub fn leave(&mut self, token: SlotToken) -> Option<Guest> {
        self.guests.remove(&token)
    }

    /// A guest.
    pub fn get_mut(&mut self, token: SlotToken) -> Option<&mut Guest> {
        self.guests.get_mut(&token)
    }

    /// When the next deadline is.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        while let Some(Reverse((deadline, bits))) = self.deadlines.peek() {
            let token = SlotToken::from_bits(*bits);
            if self.guests.contains_key(&token) || self.probes.contains_key(&token) {
                return Some(*deadline);
            }
            self.deadlines.pop();
        }
        None
    }

    /// Who is here though the deadline has passed.
    pub fn overdue(&mut self, now: Instant) -> Option<SlotToken> {
        if self.next_deadline()? > now {
            return None;
        }
        let Reverse((_, bits)) = self.deadlines.pop()?;
        Some(SlotToken::from_bits(bits))
    }

    /// Number of guests.
    pub fn len(&self) -> usize {
        self.guests.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }
}

/// A first message, judged.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstMessage {
    /// A token to verify, and what the connection wants to be.
    Auth {
        /// The token.
        token: String,
        /// The labels, or why they are refused if the token is good.
        wish: Result<Labels, LabelsError>,
    },
    /// `auth` without a token, or another event: refused, but the connection stays.
    NotAuth(&'static str),
    /// No envelope: an `error` frame.
    NoEnvelope(dormouse_protocol::EnvelopeError),
}

/// Reads a message of a connection that is not authenticated. What it does not name is as the
/// handshake named it, so that whoever only uses headers is not taken for an app.
pub fn read(message: &str, handshake: &Labels) -> FirstMessage {
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
    }
    let message = match Envelope::parse(message) {
        Ok(message) => message,
        Err(err) => return FirstMessage::NoEnvelope(err),
    };
    if message.event != event::AUTH {
        return FirstMessage::NotAuth("authenticate first: send an auth event with your token");
    }
    let data: Auth<'_> = message
        .payload
        .and_then(|payload| serde_json::from_str(payload.get()).ok())
        .unwrap_or_default();
    fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
        raw.and_then(string).filter(|text| !text.is_empty())
    }
    let Some(token) = text(data.token) else {
        return FirstMessage::NotAuth("auth needs a token");
    };
    // A client type that is no string is as unknown as a wrong one.
    let client_type = match data.client_type {
        Some(raw) if raw.get() != "null" => Some(string(raw).unwrap_or("?".into())),
        _ => None,
    };
    let client_type = client_type.filter(|text| !text.is_empty());
    let (session, machine) = (text(data.session_id), text(data.machine_id));
    FirstMessage::Auth {
        token: token.into_owned(),
        wish: Labels::new(
            client_type
                .as_deref()
                .or(Some(handshake.client_type.as_str())),
            session.as_deref().or(handshake.session_id.as_deref()),
            machine.as_deref().or(handshake.machine_id.as_deref()),
        ),
    }
}

/// The code with which refused labels close a connection.
pub fn close_code(err: LabelsError) -> CloseCode {
    match err {
        LabelsError::UnknownClientType | LabelsError::IdTooLong => CloseCode::INVALID_HANDSHAKE,
        LabelsError::SessionIdMissing => CloseCode::SESSION_ID_MISSING,
        LabelsError::MachineIdMissing => CloseCode::MACHINE_ID_MISSING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages_are_judged_as_the_contract_says() {
        let plain = Labels::new(None, None, None).unwrap();
        let read = |text| read(text, &plain);
        let good = r#"{"event":"auth","data":{"token":"t","clientType":"session-scoped","sessionId":"s"}}"#;
        let labels = Labels::new(Some("session-scoped"), Some("s"), None);
        assert_eq!(
            read(good),
            FirstMessage::Auth {
                token: "t".into(),
                wish: labels
            }
        );
        let server_form = r#"{"type":"auth","payload":{"token":"t"}}"#;
        let labels = Labels::new(None, None, None);
        assert_eq!(
            read(server_form),
            FirstMessage::Auth {
                token: "t".into(),
                wish: labels
            }
        );
        for text in [
            r#"{"event":"auth"}"#,
            r#"{"event":"auth","data":{"token":""}}"#,
            r#"{"event":"auth","data":{"token":5}}"#,
            r#"{"event":"auth","data":[]}"#,
            r#"{"event":"ping"}"#,
        ] {
            assert!(matches!(read(text), FirstMessage::NotAuth(_)), "{text}");
        }
        assert!(matches!(read("x"), FirstMessage::NoEnvelope(_)));
        let odd = r#"{"event":"auth","data":{"token":"t","clientType":7}}"#;
        let refused = Err(LabelsError::UnknownClientType);
        assert_eq!(
            read(odd),
            FirstMessage::Auth {
                token: "t".into(),
                wish: refused
            }
        );
    }

    #[test]
    fn what_a_message_does_not_name_is_as_the_handshake_named_it() {
        let handshake = Labels::new(Some("machine-scoped"), Some("s1"), Some("m1")).unwrap();
        let wish = |data: &str| match read(
            &format!(r#"{{"event":"auth","data":{{"token":"t"{data}}}}}"#),
            &handshake,
        ) {
            FirstMessage::Auth { wish, .. } => wish,
            other => panic!("{other:?}"),
        };
        for nothing in ["", r#","clientType":"","machineId":null,"sessionId":"""#] {
            assert_eq!(wish(nothing), Ok(handshake.clone()), "{nothing}");
        }
        let other = Labels::new(Some("session-scoped"), Some("s2"), Some("m1"));
        assert_eq!(
            wish(r#","clientType":"session-scoped","sessionId":"s2""#),
            other
        );
        assert_eq!(
            wish(r#","clientType":"phone""#),
            Err(LabelsError::UnknownClientType)
        );
    }
}
