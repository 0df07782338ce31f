//! The server around the shards: who verifies tokens, and what the application hears.

use std::sync::Mutex;

use dormouse_protocol::Attachment;
use dormouse_shard::application::{
    Application, Delivery, EventOutcome, EventReply, EventRequest, RoomChange, Welcome,
};
use dormouse_shard::arrival::{Claim, Gate, TokenHash};
use dormouse_shard::frame::Frame;
use dormouse_shard::mount::Wire;

type Done = Box<dyn FnOnce(Option<Claim>) + Send>;

/// A gate that answers when it is told to: `user:<name>` is a good token of that user.
#[derive(Default)]
pub struct Door {
    waiting: Mutex<Option<Vec<(String, Done)>>>,
    /// Tokens that are refused where a connection is placed.
    pub revoked: Mutex<Vec<TokenHash>>,
}

impl Door {
    /// Keeps verifications waiting from now on.
    pub fn hold(&self) {
        *self.waiting.lock().unwrap() = Some(Vec::new());
    }

    /// Tokens that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.lock().unwrap().as_ref().map_or(0, Vec::len)
    }

    /// Answers all that wait, and from now on at once.
    pub fn open(&self) {
        for (token, done) in self.waiting.lock().unwrap().take().into_iter().flatten() {
            done(judge(&token));
        }
    }
}

fn judge(token: &str) -> Option<Claim> {
    let user = token.strip_prefix("user:")?;
    Some(Claim {
        user: user.into(),
        tier: None,
        token_hash: None,
    })
}

impl Gate for Door {
    fn verify(&self, token: &str, done: Done) {
        match &mut *self.waiting.lock().unwrap() {
            Some(waiting) => waiting.push((token.to_owned(), done)),
            None => done(judge(token)),
        }
    }

    fn still_admits(&self, claim: &Claim) -> bool {
        let revoked = self.revoked.lock().unwrap();
        !claim.token_hash.is_some_and(|hash| revoked.contains(&hash))
    }
}

/// An application that writes down what it hears and handles `app-…` events.
#[derive(Default)]
pub struct Recorder {
    /// Machines that came online or went offline.
    pub presence: Mutex<Vec<(String, String, bool)>>,
    /// Events it was given.
    pub events: Mutex<Vec<String>>,
    /// Events of `app-later` end when these are dropped.
    pub later: Mutex<Vec<tokio::sync::oneshot::Sender<()>>>,
    /// Events of `app-published`, whose outcome the test publishes.
    pub asked: Mutex<Vec<EventRequest>>,
}

impl Recorder {
    /// What it heard of machines since the last call.
    pub fn take_presence(&self) -> Vec<(String, String, bool)> {
        std::mem::take(&mut *self.presence.lock().unwrap())
    }
}

impl Application for Recorder {
    fn handles(&self, _: &str, event: &str) -> bool {
        event.starts_with("app-")
    }

    fn handle(&self, request: EventRequest) -> EventReply {
        self.events.lock().unwrap().push(request.event.to_string());
        let leaves = match &*request.event {
            "app-leave" => vec![RoomChange::Leave("lobby".into())],
            _ => Vec::new(),
        };
        let outcome = move || EventOutcome {
            ack: Some(r#"{"done":true}"#.to_owned()),
            rooms: leaves.clone(),
            deliveries: vec![Delivery {
                filter: dormouse_protocol::Filter::All,
                except: None,
                json: r#"{"event":"update","data":{"seq":1}}"#.to_owned(),
                is_ephemeral: false,
            }],
        };
        if &*request.event == "app-published" {
            self.asked.lock().unwrap().push(request);
            return EventReply::Published;
        }
        if &*request.event == "app-later" {
            let (end, ended) = tokio::sync::oneshot::channel();
            self.later.lock().unwrap().push(end);
            return EventReply::Later(Box::pin(async move {
                let _ = ended.await;
                outcome()
            }));
        }
        EventReply::Now(outcome())
    }

    fn welcome(&self, attachment: &Attachment, _: Wire) -> Welcome {
        match &*attachment.user_id {
            "welcomed" => Welcome {
                rooms: vec!["lobby".into()],
                frames: vec![Frame::text(r#"{"event":"init","data":1}"#)],
            },
            _ => Welcome::default(),
        }
    }

    fn is_enclosed(&self, user: &str, _: Wire) -> bool {
        user == "enclosed"
    }

    fn machine_presence(&self, user: &str, machine: &str, is_online: bool) {
        let heard = (user.to_owned(), machine.to_owned(), is_online);
        self.presence.lock().unwrap().push(heard);
    }
}
