//! The state of a call, and what events do to it (contract events.md section 3).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest id of a call, bytes.
pub const MAX_CALL_ID_BYTES: usize = 128;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallStatus {
    /// Made, nothing has rung yet.
    Initiated,
    /// Ringing.
    Ringing,
    /// Two are talking.
    Answered,
    /// Over, as it should.
    Completed,
    /// Over, for another reason.
    Failed,
}

impl CallStatus {
    /// All, in the order of a call's life.
    pub const ALL: [Self; 5] = [
        Self::Initiated,
        Self::Ringing,
        Self::Answered,
        Self::Completed,
        Self::Failed,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether the call is over.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// The status that an event leads to; `None` for events that change none.
    pub fn after(event: &str) -> Option<Self> {
        match event {
            "call.started" => Some(Self::Ringing),
            "call.answered" => Some(Self::Answered),
            "call.completed" => Some(Self::Completed),
            "call.failed" => Some(Self::Failed),
            _ => None,
        }
    }

    /// Whether a call may go from here to there. Staying is allowed, going back is not, and the
    /// two ends exclude each other.
    pub fn may_become(self, next: Self) -> bool {
        self == next || (next > self && !self.is_terminal())
    }
}

/// What part somebody has in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who calls.
    Caller,
    /// Who is called.
    Callee,
    /// Who answers for the callee.
    Agent,
}

/// Somebody in a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// The id within the call.
    pub id: String,
    /// The telephone number.
    pub number: String,
    /// The part.
    pub role: Role,
    /// Never `initiated`.
    pub status: CallStatus,
    /// When they came, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<String>,
    /// When they went, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<String>,
}

/// A timer of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timer {
    /// The id within the call.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// When it began, ISO 8601.
    pub started_at: String,
    /// Its length, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// When it ended, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
}

/// The state of a call as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallState {
    /// The call's id.
    pub id: String,
    /// Whose call it is.
    pub tenant_id: String,
    /// Where it stands.
    pub status: CallStatus,
    /// Where it is in its flow.
    #[serde(
        default,
        rename = "current_node",
        skip_serializing_if = "Option::is_none"
    )]
    pub current_node: Option<String>,
    /// Who takes part.
    #[serde(default)]
    pub participants: Vec<Participant>,
    /// Its timers.
    #[serde(default)]
    pub timers: Vec<Timer>,
    /// Numbers, direction and what else is known of it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made, ISO 8601.
    pub created_at: String,
    /// When an event last touched it, ISO 8601.
    pub updated_at: String,
}

/// What an event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It is to be published; the status before it.
    Applied {
        /// As it was.
        from: CallStatus,
    },
    /// It would have led back: nothing has changed, nothing is published.
    Refused,
}

impl CallState {
    /// A call of which nothing is known yet.
    pub fn new(id: &str, tenant: &str, now: &str) -> Self {
        Self {
            id: id.to_owned(),
            tenant_id: tenant.to_owned(),
            status: CallStatus::Initiated,
            current_node: None,
            participants: Vec::new(),
            timers: Vec::new(),
            metadata: Map::new(),
            created_at: now.to_owned(),
            updated_at: now.to_owned(),
        }
    }

    /// Applies an event of this name.
    pub fn apply(&mut self, event: &str, now: &str) -> Transition {
        let from = self.status;
        if let Some(next) = CallStatus::after(event) {
            if !from.may_become(next) {
                return Transition::Refused;
            }
            self.status = next;
            self.take_participants_along(next, now);
        }
        now.clone_into(&mut self.updated_at);
        Transition::Applied { from }
    }

    /// Those who are still in the call go where it goes.
    fn take_participants_along(&mut self, next: CallStatus, now: &str) {
        for participant in &mut self.participants {
            if participant.status == next || !participant.status.may_become(next) {
                continue;
            }
            participant.status = next;
            let at = if next.is_terminal() {
                &mut participant.left_at
            } else {
                &mut participant.joined_at
            };
            at.get_or_insert_with(|| now.to_owned());
        }
    }
}

/// Whether a text may be a call's id: 1 to [`MAX_CALL_ID_BYTES`] bytes without control characters.
pub fn is_call_id(id: &str) -> bool {
    (1..=MAX_CALL_ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2025-01-31T09:15:00.123Z";

    #[test]
    fn every_step_is_allowed_or_refused_as_the_table_says() {
        use CallStatus::{Answered, Completed, Failed, Initiated, Ringing};
        let allowed: [(&str, &[CallStatus]); 4] = [
            ("call.started", &[Initiated, Ringing]),
            ("call.answered", &[Initiated, Ringing, Answered]),
            ("call.completed", &[Initiated, Ringing, Answered, Completed]),
            ("call.failed", &[Initiated, Ringing, Answered, Failed]),
        ];
        for (event, from) in allowed {
            for status in CallStatus::ALL {
                let mut call = CallState::new("c", "t", NOW);
                call.status = status;
                let before = call.clone();
                let later = "2025-01-31T09:15:01.000Z";
                if from.contains(&status) {
                    assert_eq!(
                        call.apply(event, later),
                        Transition::Applied { from: status }
                    );
                    assert_eq!(Some(call.status), CallStatus::after(event));
                    assert_eq!(call.updated_at, later);
                } else {
                    assert_eq!(call.apply(event, later), Transition::Refused);
                    assert_eq!(call, before);
                }
            }
        }
    }

    #[test]
    fn other_events_change_no_status() {
        for status in CallStatus::ALL {
            let mut call = CallState::new("c", "t", NOW);
            call.status = status;
            let applied = Transition::Applied { from: status };
            assert_eq!(call.apply("call.queue.join", NOW), applied);
            assert_eq!(call.status, status);
        }
    }

    #[test]
    fn a_state_has_the_fields_of_the_contract() {
        let mut call = CallState::new("c", "t", NOW);
        call.participants.push(Participant {
            id: "participant_1".into(),
            number: "+15551234567".into(),
            role: Role::Caller,
            status: CallStatus::Ringing,
            joined_at: None,
            left_at: None,
        });
        let expected = json!({
            "id": "c", "tenantId": "t", "status": "initiated",
            "participants": [{"id": "participant_1", "number": "+15551234567", "role": "caller",
                "status": "ringing"}],
            "timers": [], "metadata": {}, "createdAt": NOW, "updatedAt": NOW,
        });
        assert_eq!(serde_json::to_value(&call).unwrap(), expected);
        call.current_node = Some("menu-1".into());
        let text = serde_json::to_string(&call).unwrap();
        assert!(text.contains(r#""current_node":"menu-1""#), "{text}");
        assert_eq!(serde_json::from_str::<CallState>(&text).unwrap(), call);
        call.apply("call.answered", NOW);
        call.apply("call.completed", NOW);
        let [participant] = &call.participants[..] else {
            panic!("one participant");
        };
        assert_eq!(participant.status, CallStatus::Completed);
        assert!(participant.joined_at.is_some() && participant.left_at.is_some());
    }

    #[test]
    fn ids_are_short_and_visible() {
        let longest = "x".repeat(MAX_CALL_ID_BYTES);
        assert!(is_call_id("call-7-0-1738314900123") && is_call_id(&longest));
        for bad in ["", "a\0b", "a\nb", &format!("{longest}x")] {
            assert!(!is_call_id(bad), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_call_that_is_over_stays_over(steps in proptest::collection::vec(0_usize..5, 1..20)) {
            let names =
                ["call.started", "call.answered", "call.completed", "call.failed", "call.play"];
            let mut call = CallState::new("c", "t", NOW);
            for step in steps {
                let before = call.status;
                call.apply(names[step], NOW);
                proptest::prop_assert!(call.status >= before || call.status == before);
                if before.is_terminal() {
                    proptest::prop_assert_eq!(call.status, before);
                }
            }
        }
    }
}
