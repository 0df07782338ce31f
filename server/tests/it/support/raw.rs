//! A TCP connection whose bytes are made by hand.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::panic::Location;

use bytes::BytesMut;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{Handshake, within};

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Response {
    /// The value of a header, which may be there once at most.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }
}

/// A frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A text message.
    Text(String),
    /// A protocol ping or pong: its opcode and payload.
    Control(u8, Vec<u8>),
    /// A close frame: code and reason.
    Close(Option<u16>, String),
    /// The end of the stream, in whatever way.
    End,
}

/// A connection.
pub struct Raw {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        Self::connect_with(socket, address).await
    }

    /// Connects with a receive buffer of this many bytes, for a reader that is slow on purpose.
    pub async fn connect_narrow(address: SocketAddr, bytes: u32) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        Self::connect_with(socket, address).await
    }

    async fn connect_with(socket: TcpSocket, address: SocketAddr) -> Self {
        let stream = within("a connection", socket.connect(address))
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let buffer = BytesMut::new();
        Self { stream, buffer }
    }

    /// Connects and shakes hands, which must succeed.
    pub async fn open(address: SocketAddr, handshake: &Handshake) -> Self {
        let mut raw = Self::connect(address).await;
        raw.shake_hands(handshake).await;
        raw
    }

    /// Shakes hands, which must succeed.
    pub async fn shake_hands(&mut self, handshake: &Handshake) {
        self.write(&handshake.to_bytes()).await;
        let response = self.response().await;
        assert_eq!(response.status, 101, "{response:?}");
    }

    /// One request on a connection of its own, and its answer.
    pub async fn request(address: SocketAddr, request: &[u8]) -> Response {
        let mut raw = Self::connect(address).await;
        raw.write(request).await;
        raw.response().await
    }

    /// Writes bytes, all of which the server must take.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.unwrap();
    }

    /// Writes bytes; the server may close the connection meanwhile.
    pub async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        within("writing", self.stream.write_all(bytes)).await
    }

    /// Sends a text message.
    pub async fn send(&mut self, text: &str) {
        self.write(&frame(0x81, text.as_bytes())).await;
    }

    /// Says that nothing more will be sent.
    pub async fn shut(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Ends the connection with a reset instead of a FIN, as a machine that dies may.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Reads an HTTP answer with its body.
    #[track_caller]
    pub fn response(&mut self) -> impl Future<Output = Response> {
        let asked_at = Location::caller();
        async move {
            match self.try_response().await {
                Some(response) => response,
                None => panic!(
                    "the server ended the connection without an answer, asked at {asked_at}: {:?}",
                    String::from_utf8_lossy(&self.buffer)
                ),
            }
        }
    }

    /// Reads an HTTP answer; `None` when the connection ends before one is complete.
    #[track_caller]
    pub fn try_response(&mut self) -> impl Future<Output = Option<Response>> {
        within("an answer", async move {
            let head_end = loop {
                let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
                match end {
                    Some(end) => break end,
                    None if self.more().await => {}
                    None => return None,
                }
            };
            let head = self.buffer.split_to(head_end + 4);
            let head = std::str::from_utf8(&head).unwrap();
            let mut lines = head.trim_end().split("\r\n");
            let status_line = lines.next().unwrap();
            let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
            let headers: Vec<(String, String)> = lines
                .map(|line| line.split_once(':').unwrap())
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let mut response = Response {
                status,
                headers,
                body: String::new(),
            };
            let length = response
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap());
            while self.buffer.len() < length {
                if !self.more().await {
                    return None;
                }
            }
            let body = self.buffer.split_to(length);
            response.body = String::from_utf8(body.to_vec()).unwrap();
            Some(response)
        })
    }

    /// The next frame.
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Seen> {
        within("a frame", async move {
            loop {
                if let Some(seen) = self.parse() {
                    return seen;
                }
                if !self.more().await {
                    return Seen::End;
                }
            }
        })
    }

    /// The next message as JSON; pings of the protocol are passed over.
    #[track_caller]
    pub fn json(&mut self) -> impl Future<Output = Value> {
        let asked_at = Location::caller();
        async move {
            loop {
                match self.next().await {
                    Seen::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Seen::Control(..) => {}
                    other => panic!("no message but {other:?} at {asked_at}"),
                }
            }
        }
    }

    /// Reads to the close frame; returns its code and reason, and how many frames came before it.
    #[track_caller]
    pub fn until_close(&mut self) -> impl Future<Output = (u16, String, usize)> {
        let asked_at = Location::caller();
        async move {
            let mut before = 0;
            loop {
                match self.next().await {
                    Seen::Close(Some(code), reason) => return (code, reason, before),
                    Seen::Text(_) | Seen::Control(..) => before += 1,
                    other => panic!("no close frame but {other:?} at {asked_at}"),
                }
            }
        }
    }

    /// Reads to the end of the stream, throwing away what comes.
    #[track_caller]
    pub fn ended(&mut self) -> impl Future<Output = ()> {
        within("the end of the stream", async move {
            while self.more().await {
                self.buffer.clear();
            }
        })
    }

    async fn more(&mut self) -> bool {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(count) => count > 0,
            Err(err) => {
                let is_end = matches!(
                    err.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                );
                assert!(is_end, "{err}");
                false
            }
        }
    }

    fn parse(&mut self) -> Option<Seen> {
        let (first, second) = (*self.buffer.first()?, *self.buffer.get(1)?);
        assert_eq!(first & 0xf0, 0x80, "whole frames without reserved bits");
        assert_eq!(second & 0x80, 0, "the server does not mask");
        let (head, length) = match second {
            126 => {
                let length = self.buffer.get(2..4)?;
                (
                    4,
                    usize::from(u16::from_be_bytes(length.try_into().unwrap())),
                )
            }
            127 => {
                let length = self.buffer.get(2..10)?;
                (10, u64::from_be_bytes(length.try_into().unwrap()) as usize)
            }
            length => (2, usize::from(length)),
        };
        if self.buffer.len() < head + length {
            return None;
        }
        let payload = self.buffer.split_to(head + length)[head..].to_vec();
        Some(match first & 0x0f {
            1 => Seen::Text(String::from_utf8(payload).unwrap()),
            8 => match payload.split_first_chunk::<2>() {
                Some((code, reason)) => Seen::Close(
                    Some(u16::from_be_bytes(*code)),
                    String::from_utf8(reason.to_vec()).unwrap(),
                ),
                None => Seen::Close(None, String::new()),
            },
            opcode @ (9 | 10) => Seen::Control(opcode, payload),
            opcode => panic!("the server sent opcode {opcode}"),
        })
    }
}

/// A masked frame with this first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = [0x5a, 0x01, 0xff, 0x80];
    bytes.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}
