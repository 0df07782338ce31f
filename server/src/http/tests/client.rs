//! Answers and sockets as tests look at them.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::server::PATIENCE;

/// An answer with its body read.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: reqwest::header::HeaderMap,
    pub(super) text: String,
    /// `null` where the body is no JSON.
    pub(super) json: Value,
}

impl Answer {
    pub(super) async fn to(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self {
            status,
            headers,
            text,
            json,
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Requires success and gives the body.
    #[track_caller]
    pub(super) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json
    }

    /// Requires an error of the common shape whose text has these parts.
    #[track_caller]
    pub(super) fn is_error(&self, status: u16, parts: &[&str]) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        let id = self.json["requestId"].as_str().unwrap();
        assert_eq!(self.header("x-request-id"), Some(id), "{}", self.text);
        assert!(self.json["timestamp"].is_string(), "{}", self.text);
        let error = self.json["error"].as_str().unwrap();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }

    /// Requires 400 `VALIDATION_FAILED` whose text has these parts.
    #[track_caller]
    pub(super) fn is_invalid(&self, parts: &[&str]) {
        self.is_error(400, parts);
        assert_eq!(self.json["code"], "VALIDATION_FAILED");
    }
}

/// An open connection that has been greeted.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// From the greeting.
    pub(super) id: String,
}

impl Socket {
    /// Opens a connection, or tells the status of its refusal.
    pub(super) async fn open(address: SocketAddr, path: &str) -> Result<Self, u16> {
        match Self::open_unasked(address, path).await {
            Ok(mut socket) => {
                let connected = socket.json().await;
                assert_eq!(connected["event"], "connected", "{connected}");
                socket.id = connected["data"]["connectionId"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                Ok(socket)
            }
            Err(status) => Err(status),
        }
    }

    /// Opens a connection that is not greeted, or tells the status of its refusal.
    pub(super) async fn open_unasked(address: SocketAddr, path: &str) -> Result<Self, u16> {
        match connect_async(format!("ws://{address}{path}")).await {
            Ok((stream, _)) => Ok(Self {
                stream,
                id: String::new(),
            }),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(err) => panic!("{err}"),
        }
    }

    /// Sends a text.
    pub(super) async fn send(&mut self, text: impl Into<String>) {
        self.stream.send(Message::text(text.into())).await.unwrap();
    }

    /// Sends bytes.
    pub(super) async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
        next.expect("nothing came")
            .expect("the stream ended")
            .unwrap()
    }

    /// The next text.
    pub(super) async fn text(&mut self) -> String {
        loop {
            match self.next().await {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?} instead of a text"),
            }
        }
    }

    pub(super) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The close frame that must come next.
    pub(super) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Message::Close(Some(frame)) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?} instead of a close frame"),
            }
        }
    }

    /// The close frame, whatever texts come before it.
    pub(super) async fn closed_after_texts(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(Some(frame)) = self.next().await {
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }

    /// Sends a text.
    pub(super) async fn say(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Requires that nothing came before the answer to a ping that is sent now.
    pub(super) async fn has_nothing(&mut self) {
        let ping = Message::text(r#"{"event":"ping"}"#);
        self.stream.send(ping).await.unwrap();
        let next = self.json().await;
        assert_eq!(next["event"], "pong", "{next}");
    }
}
