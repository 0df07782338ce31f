//! The other end of a socket: a WebSocket client that sees every frame.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Instant;

use actix_http::ws::{OpCode, Parser};
use bytes::BytesMut;
use serde_json::Value;
use tokio::net::UnixStream;

use super::clock::PATIENCE;

/// What the server answers a handshake with in these tests.
pub const ACCEPT: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

/// What a client sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A protocol ping.
    Ping,
    /// A protocol pong with its payload.
    Pong(Vec<u8>),
    /// A close frame: code and reason.
    Close(Option<u16>, String),
    /// The end of the stream.
    End,
}

/// A client on one end of a socket pair.
pub struct Client {
    stream: UnixStream,
    buffer: BytesMut,
}

impl Client {
    /// A client, and the server's end of its socket.
    pub fn pair() -> (Self, OwnedFd) {
        let (near, far) = StdStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let stream = UnixStream::from_std(near).unwrap();
        let client = Self {
            stream,
            buffer: BytesMut::new(),
        };
        (client, far.into())
    }

    /// Writes bytes, waiting while the server takes none.
    pub async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.stream.writable().await.unwrap();
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(err) if err.kind() == ErrorKind::WouldBlock => {}
                Err(err) => panic!("the server's end is gone: {err}"),
            }
        }
    }

    /// Writes bytes that the socket takes at once.
    pub fn write_now(&mut self, bytes: &[u8]) {
        assert_eq!(self.stream.try_write(bytes).unwrap(), bytes.len());
    }

    /// Writes as much as the socket takes at once, after making it take much; returns how much.
    pub fn write_much(&mut self, bytes: &[u8]) -> usize {
        rustix::net::sockopt::set_socket_send_buffer_size(&self.stream, 1 << 20).unwrap();
        let mut taken = 0;
        while taken < bytes.len()
            && let Ok(count) = self.stream.try_write(&bytes[taken..])
        {
            taken += count;
        }
        taken
    }

    /// Sends a text message.
    pub async fn send(&mut self, text: &str) {
        self.write(&frame(0x81, text.as_bytes())).await;
    }

    /// Sends a close frame.
    pub async fn close(&mut self, code: u16) {
        self.write(&frame(0x88, &code.to_be_bytes())).await;
    }

    /// Says that nothing more will be sent.
    pub fn shut(&self) {
        rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Write).unwrap();
    }

    /// Says that nothing more will be read.
    pub fn stop_reading(&self) {
        rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Read).unwrap();
    }

    /// Makes the socket take only this much before it refuses.
    pub fn narrow(socket: &OwnedFd, bytes: usize) {
        rustix::net::sockopt::set_socket_send_buffer_size(socket, bytes).unwrap();
    }

    /// Expects the answer to the handshake.
    #[track_caller]
    pub fn accepted(&mut self) -> impl Future<Output = ()> {
        let asked_at = std::panic::Location::caller();
        async move {
            while self.buffer.len() < ACCEPT.len() {
                assert!(self.more().await, "refused at {asked_at}");
            }
            let bytes = self.buffer.split_to(ACCEPT.len());
            assert_eq!(
                bytes[..],
                *ACCEPT,
                "{asked_at}: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }

    /// Whether the server's end of the socket is closed.
    pub fn is_cut(&self) -> bool {
        matches!(self.stream.try_write(&frame(0x8a, b"")), Err(err) if err.kind() == ErrorKind::BrokenPipe)
    }

    /// Everything until the end of the stream, as it came.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        self.buffer.split().to_vec()
    }

    /// The next frame.
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Seen> {
        // The caller's place in the tests is what helps, also when asked from within this file.
        let asked_at = std::panic::Location::caller();
        async move {
            let waiting = async {
                loop {
                    if let Some(seen) = self.parse() {
                        return seen;
                    }
                    if !self.more().await {
                        return Seen::End;
                    }
                }
            };
            within(waiting)
                .await
                .unwrap_or_else(|| panic!("nothing came (asked at {asked_at})"))
        }
    }

    /// The next text message, as JSON; protocol pings before it are passed over.
    #[track_caller]
    pub fn json(&mut self) -> impl Future<Output = Value> {
        let asked_at = std::panic::Location::caller();
        async move {
            loop {
                match self.next().await {
                    Seen::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Seen::Ping => {}
                    other => panic!("no message but {other:?} (asked at {asked_at})"),
                }
            }
        }
    }

    /// The next message's event and data.
    #[track_caller]
    pub fn event(&mut self) -> impl Future<Output = (String, Value)> {
        let json = self.json();
        async move {
            let mut json = json.await;
            let event = json["event"].as_str().unwrap().to_owned();
            (event, json["data"].take())
        }
    }

    /// Expects a close frame with this code, then the end once the client has answered.
    #[track_caller]
    pub fn closed(&mut self, code: u16) -> impl Future<Output = String> {
        let asked_at = std::panic::Location::caller();
        async move {
            let reason = match self.next().await {
                Seen::Close(Some(seen), reason) if seen == code => reason,
                other => panic!("expected close {code}, saw {other:?} (asked at {asked_at})"),
            };
            self.close(code).await;
            assert_eq!(self.next().await, Seen::End, "{asked_at}");
            reason
        }
    }

    /// What is here without waiting.
    pub fn try_next(&mut self) -> Option<Seen> {
        loop {
            if let Some(seen) = self.parse() {
                return Some(seen);
            }
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => return Some(Seen::End),
                Ok(_) => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock => return None,
                Err(_) => return Some(Seen::End),
            }
        }
    }

    /// All messages that are here without waiting.
    pub fn drain(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.try_next().filter(|seen| *seen != Seen::End)).collect()
    }

    async fn more(&mut self) -> bool {
        let reading = async {
            loop {
                self.stream.readable().await.unwrap();
                match self.stream.try_read_buf(&mut self.buffer) {
                    Ok(count) => return count > 0,
                    Err(err) if err.kind() == ErrorKind::WouldBlock => {}
                    // A reset, where the server closed with input unread.
                    Err(_) => return false,
                }
            }
        };
        within(reading).await.expect("the server says nothing")
    }

    fn parse(&mut self) -> Option<Seen> {
        let parsed = Parser::parse(&mut self.buffer, false, usize::MAX).unwrap();
        let (last, opcode, payload) = parsed?;
        assert!(last, "the server does not fragment");
        let payload = payload.unwrap_or_default().to_vec();
        Some(match opcode {
            OpCode::Text => Seen::Text(String::from_utf8(payload).unwrap()),
            OpCode::Binary => Seen::Binary(payload),
            OpCode::Ping => Seen::Ping,
            OpCode::Pong => Seen::Pong(payload),
            OpCode::Close => match payload.split_first_chunk::<2>() {
                Some((code, reason)) => Seen::Close(
                    Some(u16::from_be_bytes(*code)),
                    String::from_utf8(reason.to_vec()).unwrap(),
                ),
                None => Seen::Close(None, String::new()),
            },
            other => panic!("the server sent {other}"),
        })
    }
}

/// Waits in real time, since the clock of timers stands still.
async fn within<T>(future: impl Future<Output = T>) -> Option<T> {
    let began = Instant::now();
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending if began.elapsed() > PATIENCE => std::task::Poll::Ready(None),
        std::task::Poll::Pending => {
            // Poll again on the next round of the runtime, so that patience ends.
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        }
    })
    .await
}

/// A masked client frame with this first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let mask = [0x5a, 0x01, 0xff, 0x80];
    bytes.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}
