//! Socket.IO clients whose packets are made by hand.

use std::net::SocketAddr;
use std::panic::Location;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Client, Handshake, Server, within};

/// A handshake for a Socket.IO WebSocket.
pub fn handshake() -> Handshake {
    Handshake::updates()
        .query("EIO", "4")
        .query("transport", "websocket")
}

/// A transport over WebSocket.
pub struct SocketIo {
    client: Client,
}

impl SocketIo {
    /// Opens a transport; its first packet is read.
    pub async fn open(address: SocketAddr) -> (Self, Value) {
        let client = Client::open(address, handshake()).await;
        let mut socket = Self { client };
        let opening = socket.text().await;
        let opening = opening.strip_prefix('0').expect("an open packet");
        let opening = serde_json::from_str(opening).unwrap();
        (socket, opening)
    }

    /// Opens a transport and connects a user with these fields beside the token.
    pub async fn connect(server: &Server, user: &str, fields: Value) -> Self {
        let (mut socket, _) = Self::open(server.address).await;
        socket.join(&server.token(user), fields).await;
        socket
    }

    /// Sends CONNECT, which must be answered with a new id.
    pub async fn join(&mut self, token: &str, mut fields: Value) {
        fields["token"] = token.into();
        self.send(&format!("40{fields}")).await;
        let answer = self.text().await;
        let answer = answer
            .strip_prefix("40")
            .unwrap_or_else(|| panic!("{answer}"));
        let answer: Value = serde_json::from_str(answer).unwrap();
        self.client.id = answer["sid"].as_str().unwrap().to_owned();
        assert_eq!(answer.as_object().unwrap().len(), 1, "no pid: {answer}");
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.client.id
    }

    /// Sends one packet.
    pub async fn send(&mut self, packet: &str) {
        self.client.send_text(packet).await;
    }

    /// Sends one attachment.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.client.send_raw(Message::binary(bytes.to_vec())).await;
    }

    /// Sends an event.
    pub async fn emit(&mut self, event: &str, data: &Value) {
        self.send(&format!("42{}", json!([event, data]))).await;
    }

    /// Sends an event and returns its ack, which must come next.
    pub async fn asked(&mut self, id: u64, event: &str, data: &Value) -> Value {
        self.send(&format!("42{id}{}", json!([event, data]))).await;
        let answer = self.text().await;
        let answer = answer
            .strip_prefix(&format!("43{id}"))
            .unwrap_or_else(|| panic!("{answer}"));
        let mut items: Vec<Value> = serde_json::from_str(answer).unwrap();
        assert_eq!(items.len(), 1);
        items.remove(0)
    }

    /// The next packet other than heartbeats, which are answered.
    #[track_caller]
    pub fn text(&mut self) -> impl Future<Output = String> {
        let asked_at = Location::caller();
        async move {
            loop {
                match self.client.next().await {
                    Some(Message::Text(text)) if text.as_str() == "2" => self.send("3").await,
                    Some(Message::Text(text)) => return text.as_str().to_owned(),
                    other => panic!("no packet but {other:?} at {asked_at}"),
                }
            }
        }
    }

    /// The next packet, heartbeats included.
    #[track_caller]
    pub fn packet(&mut self) -> impl Future<Output = String> {
        self.client.text()
    }

    /// The next attachment.
    pub async fn binary(&mut self) -> Vec<u8> {
        match self.client.next().await {
            Some(Message::Binary(bytes)) => bytes.to_vec(),
            other => panic!("no attachment but {other:?}"),
        }
    }

    /// The data of the next event, which must be this one.
    #[track_caller]
    pub fn expect(&mut self, event: &str) -> impl Future<Output = Value> {
        let asked_at = Location::caller();
        let event = event.to_owned();
        async move {
            let text = self.text().await;
            let items = text.strip_prefix("42").unwrap_or_else(|| panic!("{text}"));
            let mut items: Vec<Value> = serde_json::from_str(items).unwrap();
            assert_eq!(items[0], event.as_str(), "{asked_at}: {text}");
            if items.len() > 1 {
                items.remove(1)
            } else {
                Value::Null
            }
        }
    }

    /// Makes sure that nothing is on its way to this client.
    pub async fn quiet(&mut self) {
        self.send("42777[\"ping\"]").await;
        assert_eq!(self.text().await, "43777[{}]");
    }

    /// The transport must end next, with a close frame that says nothing.
    #[track_caller]
    pub fn ended(&mut self) -> impl Future<Output = ()> {
        let asked_at = Location::caller();
        async move {
            loop {
                match self.client.next().await {
                    Some(Message::Text(text)) if text.as_str() == "2" => {}
                    Some(Message::Close(None)) => break,
                    other => panic!("no empty close frame but {other:?} at {asked_at}"),
                }
            }
            assert!(self.client.next().await.is_none(), "at {asked_at}");
        }
    }
}

/// A session that polls.
pub struct Polling {
    client: reqwest::Client,
    url: String,
    /// Its id.
    pub sid: String,
}

/// What a request of long polling was answered with.
#[derive(Debug)]
pub struct Polled {
    /// The status.
    pub status: u16,
    /// The content type.
    pub kind: String,
    /// The body.
    pub body: String,
}

impl Polled {
    async fn read(response: reqwest::Response) -> Self {
        let kind = response.headers().get("content-type");
        Self {
            status: response.status().as_u16(),
            kind: kind.map_or("", |kind| kind.to_str().unwrap()).to_owned(),
            body: within("a body", response.text()).await.unwrap(),
        }
    }

    /// The body of a request that was taken.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.body
    }

    /// The code and message of a request that was refused.
    #[track_caller]
    pub fn refused(&self) -> (u64, String) {
        assert_eq!(self.status, 400, "{self:?}");
        assert_eq!(self.kind, "application/json");
        let body: Value = serde_json::from_str(&self.body).unwrap();
        let message = body["message"].as_str().unwrap().to_owned();
        (body["code"].as_u64().unwrap(), message)
    }
}

/// The refusal of a session that is not known.
pub fn unknown() -> (u64, String) {
    (1, "Session ID unknown".to_owned())
}

/// The refusal of anything else.
pub fn bad_request() -> (u64, String) {
    (3, "Bad request".to_owned())
}

impl Polling {
    /// Opens a session; returns its first packet too.
    pub async fn open(address: SocketAddr) -> (Self, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{address}/v1/updates/?EIO=4&transport=polling");
        let mut session = Self {
            client,
            url,
            sid: String::new(),
        };
        let opened = session.get().await;
        assert_eq!(opened.kind, "text/plain; charset=UTF-8");
        let body = opened.ok();
        let opening: Value = serde_json::from_str(body.strip_prefix('0').unwrap()).unwrap();
        session.sid = opening["sid"].as_str().unwrap().to_owned();
        session.url = format!("{}&sid={}", session.url, session.sid);
        (session, opening)
    }

    /// Opens a session and connects a user.
    pub async fn connect(server: &Server, user: &str) -> Self {
        let (session, _) = Self::open(server.address).await;
        let connect = format!("40{}", json!({ "token": server.token(user) }));
        assert_eq!(session.post(&connect).await.ok(), "ok");
        let answer = session.packets().await;
        assert!(answer[0].starts_with("40{\"sid\":"), "{answer:?}");
        session
    }

    /// `GET`.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Polled> + Send + 'static {
        let request = self.client.get(&self.url);
        let sent = within("an answer to a GET", async move {
            request.send().await.unwrap()
        });
        async move { Polled::read(sent.await).await }
    }

    /// `POST` of text.
    pub async fn post(&self, payload: &str) -> Polled {
        self.post_as("text/plain;charset=UTF-8", payload.as_bytes().to_vec())
            .await
    }

    /// `POST` of anything.
    pub async fn post_as(&self, kind: &str, payload: Vec<u8>) -> Polled {
        let request = self.client.post(&self.url).header("content-type", kind);
        let sent = within("an answer to a POST", request.body(payload).send()).await;
        Polled::read(sent.unwrap()).await
    }

    /// Another method.
    pub async fn method(&self, method: reqwest::Method) -> Polled {
        let sent = self.client.request(method, &self.url).send();
        Polled::read(within("an answer", sent).await.unwrap()).await
    }

    /// The next packets other than heartbeats, which are answered.
    pub async fn packets(&self) -> Vec<String> {
        loop {
            let body = self.get().await.ok();
            let mut packets: Vec<String> = body.split('\u{1e}').map(str::to_owned).collect();
            if packets.iter().any(|packet| packet == "2") {
                self.post("3").await.ok();
                packets.retain(|packet| packet != "2");
            }
            if !packets.is_empty() {
                return packets;
            }
        }
    }
}

/// A client of the dashboard.
impl SocketIo {
    /// Opens a transport to the dashboard with these parameters; its first packet is read.
    pub async fn open_dashboard(address: SocketAddr, query: &[(&str, &str)]) -> (Self, Value) {
        let handshake = Handshake::to("/socket.io/")
            .query("EIO", "4")
            .query("transport", "websocket");
        let handshake = query.iter().fold(handshake, |handshake, (name, value)| {
            handshake.query(name, value)
        });
        let client = Client::open(address, handshake).await;
        let mut socket = Self { client };
        let opening = socket.text().await;
        let opening = opening.strip_prefix('0').expect("an open packet");
        let opening = serde_json::from_str(opening).unwrap();
        (socket, opening)
    }

    /// Connects to the dashboard as a whole without a token; returns `init` too.
    pub async fn dashboard(address: SocketAddr) -> (Self, Value) {
        let (mut socket, _) = Self::open_dashboard(address, &[]).await;
        socket.send("40").await;
        socket.connected().await;
        let init = socket.expect("init").await;
        (socket, init)
    }

    /// Connects to one organisation without a token.
    pub async fn organisation(address: SocketAddr, slug: &str) -> Self {
        let (mut socket, _) = Self::open_dashboard(address, &[("orgSlug", slug)]).await;
        socket.send("40").await;
        socket.connected().await;
        let snapshot = socket.expect("snapshot").await;
        assert_eq!(snapshot["type"], "snapshot");
        socket
    }

    /// The confirmation of CONNECT.
    pub async fn connected(&mut self) {
        let answer = self.text().await;
        let answer = answer
            .strip_prefix("40")
            .unwrap_or_else(|| panic!("{answer}"));
        let answer: Value = serde_json::from_str(answer).unwrap();
        self.client.id = answer["sid"].as_str().unwrap().to_owned();
    }
}
