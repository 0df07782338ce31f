//! A small server that speaks the realtime contract, with faults to order.
//!
//! It shares no code with the program: frames go through tungstenite, HTTP is written out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// What the server does wrong. The default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// One delivery of every nth broadcast is lost.
    pub lose_every: Option<u64>,
    /// One delivery of every nth broadcast comes twice.
    pub duplicate_every: Option<u64>,
    /// Filters are ignored.
    pub ignore_filters: bool,
    /// `delivered` is one too many.
    pub overstate_delivered: bool,
    /// Deliveries come this much later.
    pub delay_broadcasts: Duration,
    /// Pongs come this much later.
    pub delay_pongs: Duration,
    /// Every nth ping is not answered.
    pub lose_pong_every: Option<u64>,
    /// Pongs come twice.
    pub double_pongs: bool,
    /// Pongs carry the time zero.
    pub timeless_pongs: bool,
    /// The statistics count one connection too many.
    pub overstate_stats: bool,
    /// Upgrades past this many are answered with this status.
    pub refuse_upgrades: Option<(usize, u16)>,
    /// The broadcast endpoint answers this once connections are open.
    pub refuse_broadcasts: Option<u16>,
    /// Both HTTP endpoints answer this from the start.
    pub http_status: Option<u16>,
    /// The greeting names another client type.
    pub wrong_greeting: bool,
    /// A connection is cut at its nth ping.
    pub cut_at_ping: Option<u64>,
    /// A broadcast of nobody's is sent to each new connection.
    pub stray_broadcasts: bool,
    /// Every nth event that is published through HTTP is refused with 503.
    pub refuse_events: Option<u64>,
    /// Calls stay in their first state.
    pub stuck_calls: bool,
    /// Reports come without metrics.
    pub empty_reports: bool,
    /// Tasks are accepted and never heard of.
    pub silent_tasks: bool,
    /// The event side is not there.
    pub without_events: bool,
    /// The admin overview tells of one shard that sleeps from its nth answer on; without it there
    /// is no overview.
    pub sleep_at_look: Option<u64>,
}

/// A running server; ends with the test's runtime.
pub struct FakeServer {
    pub address: SocketAddr,
    hub: Arc<Hub>,
}

pub struct Hub {
    pub faults: Faults,
    members: Mutex<BTreeMap<u64, Member>>,
    /// Subscribers of the event side.
    pub subscribers: Mutex<BTreeMap<u64, Outbox>>,
    /// Sockets of the dashboard.
    pub dashboards: Mutex<BTreeMap<u64, Outbox>>,
    pub published: AtomicU64,
    pub next: AtomicU64,
    upgrades: AtomicU64,
    pub broadcasts: AtomicU64,
    looks: AtomicU64,
    broadcast_seen: Notify,
    /// An event has been published while someone had subscribed.
    pub event_seen: Notify,
}

/// Frames on their way to a client, each with its delay.
pub type Outbox = mpsc::UnboundedSender<(Duration, String)>;

struct Member {
    token: String,
    client_type: String,
    session: Option<String>,
    machine: Option<String>,
    connected_at: u64,
    outbox: Outbox,
}

/// The token of the account that the tests use.
pub const TOKEN: &str = "good.token";
/// The token of another account.
pub const SECOND_TOKEN: &str = "second.token";

impl FakeServer {
    pub async fn start(faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hub = Arc::new(Hub {
            faults,
            members: Mutex::default(),
            subscribers: Mutex::default(),
            dashboards: Mutex::default(),
            published: AtomicU64::new(0),
            next: AtomicU64::new(1),
            upgrades: AtomicU64::new(0),
            broadcasts: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            broadcast_seen: Notify::new(),
            event_seen: Notify::new(),
        });
        let accepting = Arc::clone(&hub);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let hub = Arc::clone(&accepting);
                tokio::spawn(async move { hub.serve(stream).await });
            }
        });
        Self { address, hub }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Completes once an event has been published while someone had subscribed.
    pub async fn event_seen(&self) {
        self.hub.event_seen.notified().await;
    }

    /// Completes once a broadcast has come in while connections were open.
    pub async fn broadcast_seen(&self) {
        self.hub.broadcast_seen.notified().await;
    }
}

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}

/// Tokens of any number of further users begin so.
pub const USER_TOKEN: &str = "user.token.";

fn known(token: &str) -> bool {
    [TOKEN, SECOND_TOKEN].contains(&token) || token.starts_with(USER_TOKEN)
}

/// A ping, in the form that every server answers or in the one that only a shard does.
fn is_ping(text: &str) -> bool {
    [r#"{"event":"ping"}"#, r#"{"event":"ping","data":{}}"#].contains(&text)
}

pub fn nth(every: Option<u64>, count: u64) -> bool {
    every.is_some_and(|every| count.is_multiple_of(every))
}

impl Hub {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut peeked = vec![0; 8192];
        loop {
            let Ok(count) = stream.peek(&mut peeked).await else {
                return;
            };
            if count == 0 {
                return;
            }
            if peeked[..count].windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&peeked[..count]).to_lowercase();
                if head.contains("upgrade: websocket") {
                    return self.websocket(stream).await;
                }
                break;
            }
            tokio::task::yield_now().await;
        }
        while self.http(&mut stream).await.is_some() {}
    }

    /// One request on a kept-alive connection.
    async fn http(&self, stream: &mut TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            })
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let token = header("authorization").and_then(|header| {
            let token = header.strip_prefix("Bearer ")?.to_owned();
            known(&token).then_some(token)
        });
        let line = head.lines().next().unwrap();
        let key = header("x-api-key");
        let (status, answer) = match (line, self.faults.http_status) {
            (_, Some(status)) => (status, json!({"error": "ordered"})),
            _ if line.contains(" /api/v1/") => self.events_http(line, key.as_deref(), &body),
            ("GET /health HTTP/1.1", _) => (200, json!({"status": "healthy"})),
            ("GET /ready HTTP/1.1", _) => (200, json!({"ready": true})),
            ("GET / HTTP/1.1", _) => (200, json!({"message": "Happy Server"})),
            ("GET /admin/v1/overview HTTP/1.1", _) => {
                let admin = header("authorization").as_deref() == Some("Bearer admin.token");
                match self.faults.sleep_at_look {
                    Some(look) if admin => {
                        let looks = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
                        let asleep = u64::from(looks >= look);
                        (200, json!({"shards": {"total": 1, "asleep": asleep}}))
                    }
                    Some(_) => (403, json!({"error": "not an admin"})),
                    None => (404, json!({"error": "no such endpoint"})),
                }
            }
            _ if token.is_none() => (401, json!({"error": "bad token"})),
            ("GET /v1/websocket/stats HTTP/1.1", _) => (200, self.stats(&token.unwrap())),
            ("POST /v1/websocket/broadcast HTTP/1.1", _) => self.broadcast(&token.unwrap(), &body),
            _ => (404, json!({"error": "no such endpoint"})),
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all((head + &answer).as_bytes()).await.ok()
    }

    fn stats(&self, token: &str) -> Value {
        let members = self.members.lock().unwrap();
        let members: BTreeMap<_, _> = members.iter().filter(|m| m.1.token == token).collect();
        let of_type = |name: &str| members.values().filter(|m| m.client_type == name).count();
        let labels = |of: fn(&Member) -> &Option<String>| {
            let labels = members.values().filter_map(|member| of(member).clone());
            labels.collect::<std::collections::BTreeSet<_>>().len()
        };
        let surplus = usize::from(self.faults.overstate_stats && !members.is_empty());
        json!({
            "totalConnections": members.len() + surplus,
            "byType": {
                "user-scoped": of_type("user-scoped"),
                "session-scoped": of_type("session-scoped"),
                "machine-scoped": of_type("machine-scoped"),
            },
            "activeSessions": labels(|member| &member.session),
            "activeMachines": labels(|member| &member.machine),
            "oldestConnection": members.values().map(|member| member.connected_at).min(),
            "memoryUsage": 12_345_678,
        })
    }

    fn broadcast(&self, token: &str, body: &[u8]) -> (u16, Value) {
        let body: Value = serde_json::from_slice(body).unwrap();
        let members = self.members.lock().unwrap();
        let members: BTreeMap<_, _> = members.iter().filter(|m| m.1.token == token).collect();
        if !members.is_empty() {
            self.broadcast_seen.notify_one();
            if let Some(status) = self.faults.refuse_broadcasts {
                return (status, json!({"error": "ordered"}));
            }
        }
        let count = self.broadcasts.fetch_add(1, Ordering::Relaxed);
        let message = &body["message"];
        let frame = json!({
            "event": message["type"], "data": message["payload"], "timestamp": message["timestamp"]
        });
        let filter = &body["filter"];
        let chosen = members.values().filter(|member| {
            self.faults.ignore_filters
                || match filter["type"].as_str() {
                    None => true,
                    Some("user-scoped-only") => member.client_type == "user-scoped",
                    Some("session") => member.session.as_deref() == filter["sessionId"].as_str(),
                    Some("machine") => member.machine.as_deref() == filter["machineId"].as_str(),
                    Some(other) => panic!("unexpected filter {other}"),
                }
        });
        let mut delivered = 0;
        for member in chosen {
            let first = delivered == 0;
            delivered += 1;
            let copies = match first {
                true if nth(self.faults.lose_every, count) => 0,
                true if nth(self.faults.duplicate_every, count) => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let _ = member
                    .outbox
                    .send((self.faults.delay_broadcasts, frame.to_string()));
            }
        }
        let surplus = u64::from(self.faults.overstate_delivered && !members.is_empty());
        (
            200,
            json!({"success": true, "delivered": delivered + surplus}),
        )
    }

    /// A client's own broadcast: to every other connection of its account.
    fn client_broadcast(&self, id: u64, token: &str, message: &Value) -> Value {
        let count = self.broadcasts.fetch_add(1, Ordering::Relaxed) + 1;
        let frame = json!({"event": "broadcast", "data": message["data"]}).to_string();
        let members = self.members.lock().unwrap();
        let others = members
            .iter()
            .filter(|(other, member)| **other != id && member.token == token);
        let mut delivered = 0;
        for (_, member) in others {
            delivered += 1;
            for _ in 0..self.copies(delivered == 1, count) {
                let delay = self.faults.delay_broadcasts;
                let _ = member.outbox.send((delay, frame.clone()));
            }
        }
        let ack = json!({"success": true, "delivered": delivered});
        json!({"event": "ack", "ackId": message["ackId"], "ack": ack})
    }

    /// How often the first recipient of a message gets it, as the faults have it.
    pub fn copies(&self, first: bool, count: u64) -> usize {
        match first {
            true if nth(self.faults.lose_every, count) => 0,
            true if nth(self.faults.duplicate_every, count) => 2,
            _ => 1,
        }
    }

    async fn websocket(self: Arc<Self>, stream: TcpStream) {
        let mut query = BTreeMap::new();
        let mut path = String::new();
        #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
        let examine = |request: &Request, response: Response| {
            let count = self.upgrades.fetch_add(1, Ordering::Relaxed) as usize;
            path = request.uri().path().to_owned();
            query =
                url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                    .into_owned()
                    .collect();
            let refuse = |status: u16| {
                let mut response = ErrorResponse::new(Some("refused to order".to_owned()));
                *response.status_mut() = status.try_into().unwrap();
                Err(response)
            };
            match self.faults.refuse_upgrades {
                Some((after, status)) if count >= after => refuse(status),
                _ if path == "/ws/events" && !self.faults.without_events => Ok(response),
                _ if path == "/socket.io/" && !self.faults.without_events => Ok(response),
                _ if path == "/v1/updates/" && query.contains_key("EIO") => Ok(response),
                _ if path != "/v1/updates" => refuse(404),
                _ if !query.get("token").is_some_and(|token| known(token)) => refuse(401),
                _ => Ok(response),
            }
        };
        let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, examine).await else {
            return;
        };
        match path.as_str() {
            "/ws/events" => return self.subscriber(socket, query.get("apiKey")).await,
            "/socket.io/" | "/v1/updates/" => return self.socket_io(socket).await,
            _ => {}
        }
        let (mut sink, mut source) = socket.split();
        let (outbox, mut inbox) = mpsc::unbounded_channel::<(Duration, String)>();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let client_type = query
            .get("clientType")
            .cloned()
            .unwrap_or("user-scoped".into());
        let mut greeting = json!({"connectionId": format!("c{id}"), "userId": "u",
            "clientType": client_type, "timestamp": now()});
        if self.faults.wrong_greeting {
            greeting["clientType"] = "nobody-scoped".into();
        }
        for name in ["sessionId", "machineId"] {
            if let Some(label) = query.get(name) {
                greeting[name] = label.as_str().into();
            }
        }
        let greeting = json!({"event": "connected", "data": greeting}).to_string();
        let _ = outbox.send((Duration::ZERO, greeting));
        if self.faults.stray_broadcasts {
            let stray = json!({"event": "broadcast", "data": {"testId": uuid::Uuid::new_v4()}});
            let _ = outbox.send((Duration::ZERO, stray.to_string()));
        }
        let member = Member {
            token: query["token"].clone(),
            client_type,
            session: query.get("sessionId").cloned(),
            machine: query.get("machineId").cloned(),
            connected_at: now(),
            outbox: outbox.clone(),
        };
        self.members.lock().unwrap().insert(id, member);
        let writer = tokio::spawn(async move {
            while let Some((delay, text)) = inbox.recv().await {
                tokio::time::sleep(delay).await;
                if sink.send(Message::text(text)).await.is_err() {
                    break;
                }
            }
            let _ = sink.close().await;
        });
        let mut pings = 0;
        while let Some(Ok(message)) = source.next().await {
            match message {
                Message::Text(text) if is_ping(text.as_str()) => {
                    pings += 1;
                    if self.faults.cut_at_ping == Some(pings) {
                        writer.abort();
                        break;
                    }
                    if nth(self.faults.lose_pong_every, pings) {
                        continue;
                    }
                    let time = if self.faults.timeless_pongs { 0 } else { now() };
                    let pong = json!({"event": "pong", "data": {"timestamp": time}}).to_string();
                    for _ in 0..if self.faults.double_pongs { 2 } else { 1 } {
                        let _ = outbox.send((self.faults.delay_pongs, pong.clone()));
                    }
                }
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["event"] == "broadcast" {
                        let ack = self.client_broadcast(id, &query["token"], &message);
                        if !message["ackId"].is_null() {
                            let _ = outbox.send((Duration::ZERO, ack.to_string()));
                        }
                    }
                }
                Message::Close(_) => break,
                other => panic!("unexpected message {other:?}"),
            }
        }
        self.members.lock().unwrap().remove(&id);
    }
}
