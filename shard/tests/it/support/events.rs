//! Subscribers, and a log whose answers a test may hold back.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dormouse_shard::arrival::fresh_slot;
use dormouse_shard::event::Event;
use dormouse_shard::event_log::{EventLog, LogPage, LogReader, LogUnavailable, LoggedEvent};
use dormouse_shard::subscriber::{Access, AccessRefused, NewSubscriber, Verdict};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Client;
use super::client::ACCEPT;
use super::server::Server;

/// An answer that waits.
type Answer = Box<dyn FnOnce() + Send>;

/// A log in memory.
#[derive(Default)]
pub struct MemoryLog {
    events: Mutex<Vec<(String, LoggedEvent)>>,
    held: Mutex<Option<Vec<Answer>>>,
    is_broken: Mutex<bool>,
}

impl MemoryLog {
    /// Keeps what is asked from now on until it is released; the answer is that of the time of the
    /// question.
    pub fn hold(&self) {
        self.held.lock().unwrap().get_or_insert_default();
    }

    /// Whether questions wait.
    pub fn is_asked(&self) -> bool {
        self.held
            .lock()
            .unwrap()
            .as_ref()
            .is_some_and(|held| !held.is_empty())
    }

    /// Answers what waits, and holds on.
    pub fn release(&self) {
        let held = std::mem::take(self.held.lock().unwrap().as_mut().unwrap());
        held.into_iter().for_each(|answer| answer());
    }

    /// Answers everything at once from now on.
    pub fn open(&self) {
        let held = self.held.lock().unwrap().take();
        held.into_iter().flatten().for_each(|answer| answer());
    }

    /// Fails from now on.
    pub fn break_down(&self) {
        *self.is_broken.lock().unwrap() = true;
    }

    /// Forgets a tenant's events before this place.
    pub fn trim(&self, tenant: &str, first: u64) {
        let mut events = self.events.lock().unwrap();
        events.retain(|(of, event)| of != tenant || event.cursor >= first);
    }

    fn page(&self, tenant: &str, after: u64, most: usize) -> Result<LogPage, LogUnavailable> {
        if *self.is_broken.lock().unwrap() {
            return Err(LogUnavailable);
        }
        let events = self.events.lock().unwrap();
        let of_tenant = || {
            events
                .iter()
                .filter(move |(of, _)| of == tenant)
                .map(|(_, event)| event)
        };
        let found = of_tenant().filter(|event| event.cursor > after).take(most);
        Ok(LogPage {
            events: found.cloned().collect(),
            head: of_tenant().next_back().map_or(0, |event| event.cursor),
        })
    }
}

impl EventLog for MemoryLog {
    fn read(&self, tenant: &Arc<str>, after: u64, most: usize, done: LogReader) {
        let page = self.page(tenant, after, most);
        match &mut *self.held.lock().unwrap() {
            Some(held) => held.push(Box::new(move || done(page))),
            None => done(page),
        }
    }
}

/// Publishes as the application does: stored first, then told.
#[derive(Default)]
pub struct Publisher {
    /// The log.
    pub log: Arc<MemoryLog>,
}

impl Publisher {
    /// Publishes an event of a tenant; returns its cursor.
    pub fn publish(&self, server: &Server, tenant: &str, name: &str) -> u64 {
        let event = self.store(tenant, name);
        let cursor = event.cursor();
        server.workers.publish_events(vec![event]);
        cursor
    }

    /// Stores an event without telling anybody.
    pub fn store(&self, tenant: &str, name: &str) -> Event {
        let mut events = self.log.events.lock().unwrap();
        let last = events.iter().rev().find(|(of, _)| of == tenant);
        let cursor = last.map_or(0, |(_, event)| event.cursor) + 1;
        let payload = json!({"event": name, "number": cursor}).to_string();
        let logged = LoggedEvent {
            cursor,
            name: name.into(),
            payload: payload.as_str().into(),
        };
        events.push((tenant.to_owned(), logged));
        Event::new(tenant.into(), name, cursor, payload, Instant::now())
    }

    /// What a good key of a tenant opens.
    pub fn access(&self, tenant: &str) -> Access {
        Access {
            tenant: tenant.into(),
            key: format!("key-of-{tenant}").into(),
            log: self.log.clone(),
        }
    }

    /// A subscriber of a tenant that is greeted.
    pub async fn subscriber(&self, server: &Server, tenant: &str) -> Client {
        let (mut client, verdict, _) = arrive(server, &[]);
        verdict.tell(Ok(self.access(tenant)));
        client.accepted().await;
        let connected = client.json().await;
        assert_eq!(connected["type"], "connected");
        assert_eq!(connected["tenantId"], tenant);
        client
    }

    /// One that subscribes to these channels.
    pub async fn subscribed(&self, server: &Server, tenant: &str, channels: &[&str]) -> Client {
        let mut client = self.subscriber(server, tenant).await;
        client
            .send(&json!({"type": "subscribe", "channels": channels}).to_string())
            .await;
        let answer = client.json().await;
        assert_eq!(answer, json!({"type": "subscribed", "channels": channels}));
        client
    }
}

/// The verdict on a key, told now or later.
pub struct PendingVerdict(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    asked: Option<Verdict>,
    verdict: Option<Result<Access, AccessRefused>>,
}

impl PendingVerdict {
    /// Tells it.
    pub fn tell(self, verdict: Result<Access, AccessRefused>) {
        let mut told = self.0.lock().unwrap();
        match told.asked.take() {
            Some(asked) => asked(verdict),
            None => told.verdict = Some(verdict),
        }
    }
}

/// A subscriber whose key is not verified yet; the receiver tells when its place is given back.
pub fn arrive(server: &Server, early: &[u8]) -> (Client, PendingVerdict, oneshot::Receiver<()>) {
    let (client, socket) = Client::pair();
    let (verdict, given_back) = arrive_on(server, socket, early);
    (client, verdict, given_back)
}

/// As [`arrive`], on this socket.
pub fn arrive_on(
    server: &Server,
    socket: std::os::fd::OwnedFd,
    early: &[u8],
) -> (PendingVerdict, oneshot::Receiver<()>) {
    let (permit, given_back) = oneshot::channel::<()>();
    let told = Arc::<Mutex<Told>>::default();
    let shared = told.clone();
    server.workers.subscribe(NewSubscriber {
        slot: fresh_slot(socket, early),
        accept: Bytes::from_static(ACCEPT),
        verify: Box::new(move |asked| {
            let mut told = shared.lock().unwrap();
            match told.verdict.take() {
                Some(verdict) => asked(verdict),
                None => told.asked = Some(asked),
            }
        }),
        permit: Box::new(permit),
    });
    (PendingVerdict(told), given_back)
}
