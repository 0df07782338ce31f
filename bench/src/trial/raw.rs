//! A TCP connection whose bytes are made by hand.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::footprint::frame::{Decoder, Opcode, client_frame};
use crate::footprint::http1;

/// How many loopback addresses connections come from: one gives some 28,000 ports.
const SOURCES: usize = 32;
/// Where HTTP requests come from, which is none of those: sockets that are bound to ports of whatever
/// address leave the system no port for one that is not bound, and a request would fail before it
/// was sent.
pub const REQUESTS_FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + SOURCES as u8));
/// Mask of all frames; what stands between this and its server needs no protection.
const MASK: [u8; 4] = [0x1d, 0x83, 0x5a, 0xe7];
/// Longest wait for anything that the server says.
const PATIENCE: Duration = Duration::from_secs(60);

/// A frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A text message.
    Text(String),
    /// A protocol ping or pong, or bytes.
    Other,
    /// A close frame with its code.
    Close(Option<u16>),
    /// The end of the stream, in whatever way.
    End,
}

/// A connection. Answers protocol pings only while it is read.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    decoder: Decoder,
    seen: VecDeque<Seen>,
    pings: VecDeque<Vec<u8>>,
    /// Bytes before the handshake's end.
    head: Vec<u8>,
    answers_pings: bool,
}

impl Raw {
    /// Connects, from a loopback address that depends on `turn`.
    ///
    /// # Errors
    /// The system's.
    pub async fn connect(to: SocketAddr, turn: usize) -> io::Result<Self> {
        Self::connect_with(to, turn, None).await
    }

    /// The same with a receive buffer of so many bytes, for a reader that is slow on purpose.
    ///
    /// # Errors
    /// The system's.
    pub async fn connect_narrow(to: SocketAddr, turn: usize, bytes: u32) -> io::Result<Self> {
        Self::connect_with(to, turn, Some(bytes)).await
    }

    async fn connect_with(to: SocketAddr, turn: usize, narrow: Option<u32>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = narrow {
            socket.set_recv_buffer_size(bytes)?;
        }
        let source = Ipv4Addr::new(127, 0, 0, 2 + (turn % SOURCES) as u8);
        socket.bind(SocketAddr::from((source, 0)))?;
        let stream = tokio::time::timeout(PATIENCE, socket.connect(to)).await??;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Lets protocol pings go unanswered from now on.
    pub fn play_dead(&mut self) {
        self.answers_pings = false;
    }

    /// Asks for an upgrade of this path and returns the status of the answer.
    ///
    /// # Errors
    /// The system's, or an answer that is none.
    pub async fn shake_hands(&mut self, path: &str) -> io::Result<u16> {
        self.write(&http1::upgrade("127.0.0.1", path)).await?;
        self.status().await
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The system's, or a refusal.
    pub async fn open(to: SocketAddr, turn: usize, path: &str) -> io::Result<Self> {
        let mut raw = Self::connect(to, turn).await?;
        match raw.shake_hands(path).await? {
            101 => Ok(raw),
            status => Err(io::Error::other(format!("refused with {status}"))),
        }
    }

    /// The status of an answer; what follows its head are frames.
    ///
    /// # Errors
    /// The system's, or an answer that is none.
    pub async fn status(&mut self) -> io::Result<u16> {
        loop {
            let parsed = http1::parse_head(&self.head).map_err(io::Error::other)?;
            if let Some(head) = parsed {
                let rest = self.head.split_off(head.size);
                self.head = Vec::new();
                if head.status == 101 {
                    self.take(&rest)?;
                }
                return Ok(head.status);
            }
            let mut chunk = [0; 2048];
            let count = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await??;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.head
                .extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self {
            decoder,
            seen,
            pings,
            ..
        } = self;
        let pushed = decoder.push(bytes, |opcode, payload| {
            seen.push_back(match opcode {
                Opcode::Text => Seen::Text(String::from_utf8_lossy(payload).into_owned()),
                Opcode::Close => {
                    let code = payload.first_chunk::<2>();
                    Seen::Close(code.map(|code| u16::from_be_bytes(*code)))
                }
                Opcode::Ping => {
                    pings.push_back(payload.to_vec());
                    Seen::Other
                }
                _ => Seen::Other,
            });
        });
        pushed.map_err(io::Error::other)
    }

    /// The next frame. A reset is an end like any other.
    pub async fn next(&mut self) -> Seen {
        loop {
            while let Some(payload) = self.pings.pop_front() {
                if self.answers_pings {
                    // One that cannot be sent shows at the next read.
                    let _ = self.frame(Opcode::Pong, &payload).await;
                }
            }
            if let Some(seen) = self.seen.pop_front() {
                return seen;
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(count @ 1..) => {
                    if self.take(chunk.get(..count).unwrap_or_default()).is_err() {
                        return Seen::End;
                    }
                }
                Ok(_) | Err(_) => return Seen::End,
            }
        }
    }

    /// Reads until a text message of this event.
    ///
    /// # Errors
    /// None comes in time, or the connection ends.
    pub async fn hear(&mut self, event: &str) -> io::Result<String> {
        let mark = format!("\"event\":\"{event}\"");
        let hearing = async {
            loop {
                match self.next().await {
                    Seen::Text(text) if text.contains(&mark) => return Ok(text),
                    Seen::Text(_) | Seen::Other => {}
                    Seen::Close(code) => {
                        return Err(io::Error::other(format!("closed with {code:?}")));
                    }
                    Seen::End => return Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await?
    }

    /// Reads to the close frame and the end; returns the code of the former, if there was one.
    pub async fn ending(&mut self) -> Option<u16> {
        let ending = async {
            let mut code = None;
            loop {
                match self.next().await {
                    Seen::Close(with) => code = with,
                    Seen::End => return code,
                    Seen::Text(_) | Seen::Other => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, ending).await.ok().flatten()
    }

    /// Reads to the close frame; returns its code.
    pub async fn closing(&mut self) -> Option<u16> {
        let closing = async {
            loop {
                match self.next().await {
                    Seen::Close(code) => return code,
                    Seen::End => return None,
                    Seen::Text(_) | Seen::Other => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, closing).await.ok().flatten()
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// The system's; time-out if the peer does not take them.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await?
    }

    /// Sends a whole frame.
    ///
    /// # Errors
    /// As [`Raw::write`].
    pub async fn frame(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.write(&client_frame(opcode, payload, MASK)).await
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// As [`Raw::write`].
    pub async fn send(&mut self, text: &str) -> io::Result<()> {
        self.frame(Opcode::Text, text.as_bytes()).await
    }

    /// Says goodbye and waits for the answer to it.
    ///
    /// # Errors
    /// As [`Raw::write`].
    pub async fn goodbye(mut self) -> io::Result<()> {
        self.leave().await
    }

    /// The same, without giving up the connection.
    ///
    /// # Errors
    /// As [`Raw::write`].
    pub async fn leave(&mut self) -> io::Result<()> {
        self.frame(Opcode::Close, &1000_u16.to_be_bytes()).await?;
        self.closing().await;
        Ok(())
    }

    /// The bare socket, for another runtime. Nothing that was read may be left.
    ///
    /// # Errors
    /// The system's.
    pub fn into_plain(self) -> io::Result<std::net::TcpStream> {
        self.stream.into_std()
    }

    /// A connection after its handshake, on this runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn from_plain(socket: std::net::TcpStream) -> io::Result<Self> {
        Ok(Self::over(TcpStream::from_std(socket)?))
    }

    fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            seen: VecDeque::new(),
            pings: VecDeque::new(),
            head: Vec::new(),
            answers_pings: true,
        }
    }

    /// Breaks the connection off with a reset instead of an end.
    ///
    /// # Errors
    /// The system's.
    pub fn reset(self) -> io::Result<()> {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        Ok(())
    }
}
