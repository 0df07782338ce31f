//! A WebSocket client that keeps to the protocol.

use std::net::SocketAddr;
use std::panic::Location;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Handshake, within};

/// An open WebSocket.
pub struct Client {
    stream: WebSocketStream<TcpStream>,
    /// What the server calls it, once greeted.
    pub id: String,
    syncs: u64,
}

impl Client {
    /// Opens a WebSocket, which must succeed.
    #[track_caller]
    pub fn open(address: SocketAddr, handshake: Handshake) -> impl Future<Output = Self> {
        let asked_at = Location::caller();
        async move {
            match Self::try_open(address, handshake).await {
                Ok(client) => client,
                Err(response) => panic!(
                    "refused with {} at {asked_at}: {}",
                    response.status(),
                    String::from_utf8_lossy(response.body().as_deref().unwrap_or_default())
                ),
            }
        }
    }

    /// Opens a WebSocket, or gets the answer that refuses it.
    pub async fn try_open(address: SocketAddr, handshake: Handshake) -> Result<Self, Response> {
        let url = format!("ws://{address}{}", handshake.target());
        let mut request = url.into_client_request().unwrap();
        // The library brings its own headers of the handshake.
        for (name, value) in handshake.headers() {
            let name: HeaderName = name.parse().unwrap();
            if !request.headers().contains_key(&name) {
                request
                    .headers_mut()
                    .insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        let socket = within("a connection", TcpStream::connect(address))
            .await
            .unwrap();
        socket.set_nodelay(true).unwrap();
        let opening = tokio_tungstenite::client_async(request, socket);
        match within("an answer to a handshake", opening).await {
            Ok((stream, _)) => Ok(Self {
                stream,
                id: String::new(),
                syncs: 0,
            }),
            Err(Error::Http(response)) => Err(*response),
            Err(err) => panic!("the handshake broke off: {err}"),
        }
    }

    /// Reads `connected`; returns its data.
    #[track_caller]
    pub fn greeted(&mut self) -> impl Future<Output = Value> {
        self.expect("connected")
    }

    /// Sends one message.
    pub async fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    /// Sends one text.
    pub async fn send_text(&mut self, text: &str) {
        self.send_raw(Message::text(text)).await;
    }

    /// Sends any message.
    pub async fn send_raw(&mut self, message: Message) {
        within("sending", self.stream.send(message)).await.unwrap();
    }

    /// Sends a message that the server may no longer take.
    pub async fn try_send(&mut self, message: Message) {
        let _ = within("sending", self.stream.send(message)).await;
    }

    /// Sends a message, if the server is still there.
    pub async fn offer(&mut self, message: &Value) -> bool {
        let sending = self.stream.send(Message::text(message.to_string()));
        within("sending", sending).await.is_ok()
    }

    /// The next text, or `None` when the connection has ended, however that came about.
    pub async fn text_or_end(&mut self) -> Option<String> {
        loop {
            match within("a message", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// An event with data and the wish for an ack.
    pub async fn ask(&mut self, event: &str, data: &Value, correlation: &Value) {
        self.send(&json!({ "event": event, "data": data, "ackId": correlation }))
            .await;
    }

    /// An event with data.
    pub async fn tell(&mut self, event: &str, data: &Value) {
        self.send(&json!({ "event": event, "data": data })).await;
    }

    /// Asks and returns the ack, which must come next.
    #[track_caller]
    pub fn acked(&mut self, event: &str, data: &Value) -> impl Future<Output = Value> {
        let asked_at = Location::caller();
        let (event, data) = (event.to_owned(), data.clone());
        self.syncs += 1;
        let correlation = json!(format!("ask-{}", self.syncs));
        async move {
            self.ask(&event, &data, &correlation).await;
            let mut answer = self.json().await;
            assert_eq!(answer["event"], "ack", "{asked_at}: {answer}");
            assert_eq!(answer["ackId"], correlation, "{asked_at}: {answer}");
            answer["ack"].take()
        }
    }

    /// The next message other than pings and pongs of the protocol; `None` at the end.
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Option<Message>> {
        within("a message", async move {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(message)) => return Some(message),
                    Some(Err(_)) | None => return None,
                }
            }
        })
    }

    /// The next message as text.
    #[track_caller]
    pub fn text(&mut self) -> impl Future<Output = String> {
        let asked_at = Location::caller();
        let next = self.next();
        async move {
            match next.await {
                Some(Message::Text(text)) => text.as_str().to_owned(),
                other => panic!("no message but {other:?} at {asked_at}"),
            }
        }
    }

    /// The next message as JSON.
    #[track_caller]
    pub fn json(&mut self) -> impl Future<Output = Value> {
        let text = self.text();
        async move { serde_json::from_str(&text.await).unwrap() }
    }

    /// The data of the next message, which must be this event.
    #[track_caller]
    pub fn expect(&mut self, event: &str) -> impl Future<Output = Value> {
        let asked_at = Location::caller();
        let event = event.to_owned();
        async move {
            let mut message = self.json().await;
            assert_eq!(message["event"], event.as_str(), "{asked_at}: {message}");
            if event == "connected" {
                self.id = message["data"]["connectionId"].as_str().unwrap().into();
            }
            message["data"].take()
        }
    }

    /// Makes sure that nothing is on its way to this client: what its shard sent before is seen
    /// before the answer to a ping.
    #[track_caller]
    pub fn quiet(&mut self) -> impl Future<Output = ()> {
        let asked_at = Location::caller();
        self.syncs += 1;
        let correlation = format!("quiet-{}", self.syncs);
        async move {
            self.send(&json!({ "event": "ping", "ackId": correlation }))
                .await;
            let next = self.json().await;
            assert_eq!(next["ackId"], correlation.as_str(), "{asked_at}: {next}");
        }
    }

    /// The close frame that must come next, and after it the end.
    #[track_caller]
    pub fn closed(&mut self) -> impl Future<Output = (u16, String)> {
        let asked_at = Location::caller();
        async move {
            let frame = match self.next().await {
                Some(Message::Close(Some(frame))) => frame,
                other => panic!("no close frame but {other:?} at {asked_at}"),
            };
            // Reading on answers the close and sees the end.
            let after = self.next().await;
            assert!(after.is_none(), "{after:?} after the close at {asked_at}");
            (frame.code.into(), frame.reason.as_str().to_owned())
        }
    }

    /// Closes with a code and waits for the answer.
    #[track_caller]
    pub fn close(&mut self, code: u16) -> impl Future<Output = Option<u16>> {
        let asked_at = Location::caller();
        async move {
            let frame = CloseFrame {
                code: CloseCode::from(code),
                reason: "".into(),
            };
            self.send_raw(Message::Close(Some(frame))).await;
            match self.next().await {
                Some(Message::Close(answer)) => answer.map(|frame| frame.code.into()),
                other => panic!("no close frame but {other:?} at {asked_at}"),
            }
        }
    }

    /// The socket, to mistreat it.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}
