//! The floor: a bare epoll loop that does on the wire what the server under test does, and nothing
//! else.
//!
//! One thread, no identity, no check of a token, no filter: a broadcast goes to everyone with one
//! `send` for each connection. Its cost is the kernel's. Runs as a child process of the footprint
//! scenario and ends when its standard input does; never to be used as a server.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::dialect::PING;
use super::frame::{FrameError, Header, Opcode, server_frame};
use super::socket::{self, Read};

const LISTENER: u64 = u64::MAX;
const STDIN: u64 = u64::MAX - 1;
const GREETING: &str = r#"{"event":"connected","data":{"connectionId":"00000000-0000-4000-8000-000000000000","userId":"floor","clientType":"user-scoped","timestamp":1}}"#;
const PONG: &str = r#"{"event":"pong","data":{"timestamp":1700000000000}}"#;
/// Between two protocol pings of a connection, in steps of [`TICK`].
const PING_TICKS: usize = 120;
const TICK: Duration = Duration::from_millis(250);
/// Longest queue of connections that are not yet accepted.
const BACKLOG: i32 = 4096;

/// Listens on a free port of 127.0.0.1, prints `listening <address>`, and serves until standard
/// input ends. With `pings`, each connection gets a protocol ping every 30 s.
///
/// # Errors
/// The system's.
pub fn serve(pings: bool) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    // The standard library's backlog is 128: too short for a burst of handshakes.
    rustix::net::listen(&listener, BACKLOG)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening {address}")?;
    stdout.flush()?;
    let floor = Floor::new(listener.into())?;
    Ok(floor.run(pings.then(|| Pings::begin(Instant::now())))?)
}

/// Who is pinged next, and when: an equal share of the members in each tick.
struct Pings {
    due: Instant,
    tick: usize,
    frame: Vec<u8>,
}

impl Pings {
    fn begin(now: Instant) -> Self {
        Self {
            due: now + TICK,
            tick: 0,
            frame: server_frame(Opcode::Ping, b""),
        }
    }

    /// How long until the next tick.
    fn wait(&self, now: Instant) -> Timespec {
        let left = self.due.saturating_duration_since(now);
        Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        }
    }

    /// The places whose turn it is, if it is time.
    fn take(&mut self, now: Instant, members: usize) -> Option<std::ops::Range<usize>> {
        if now < self.due {
            return None;
        }
        self.due += TICK;
        let place = |tick: usize| members * tick / PING_TICKS;
        let range = place(self.tick)..place(self.tick + 1);
        self.tick = (self.tick + 1) % PING_TICKS;
        Some(range)
    }
}

struct Floor {
    epoll: OwnedFd,
    listener: OwnedFd,
    scratch: Box<[u8]>,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// The upgraded ones, without gaps: what a broadcast walks through.
    members: Vec<usize>,
    greeting: Vec<u8>,
    pong: Vec<u8>,
}

struct Peer {
    socket: OwnedFd,
    /// A frame or request whose end has not come.
    partial: Vec<u8>,
    unsent: Vec<u8>,
    /// Its place among the members, once it is upgraded.
    place: Option<usize>,
}

/// Whether a peer stays.
#[derive(PartialEq, Eq)]
enum Fate {
    Stays,
    Ends,
}

/// What came from a peer, once it is whole.
enum Request {
    Upgrade(String),
    Broadcast(Vec<u8>),
    Unknown,
}

impl Floor {
    fn new(listener: OwnedFd) -> rustix::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let input = EventFlags::IN;
        epoll::add(
            &epoll,
            &listener,
            epoll::EventData::new_u64(LISTENER),
            input,
        )?;
        match epoll::add(
            &epoll,
            std::io::stdin().as_fd(),
            epoll::EventData::new_u64(STDIN),
            input,
        ) {
            // A file or /dev/null cannot be watched: then nobody waits for our end.
            Ok(()) | Err(Errno::PERM) => {}
            Err(err) => return Err(err),
        }
        Ok(Self {
            epoll,
            listener,
            scratch: vec![0; 64 << 10].into_boxed_slice(),
            peers: Vec::new(),
            free: Vec::new(),
            members: Vec::new(),
            greeting: server_frame(Opcode::Text, GREETING.as_bytes()),
            pong: server_frame(Opcode::Text, PONG.as_bytes()),
        })
    }

    fn run(mut self, mut pings: Option<Pings>) -> rustix::io::Result<()> {
        let mut events = Vec::with_capacity(512);
        loop {
            events.clear();
            let wait = pings.as_ref().map(|pings| pings.wait(Instant::now()));
            match epoll::wait(&self.epoll, spare_capacity(&mut events), wait.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(err) => return Err(err),
            }
            if let Some(pings) = &mut pings
                && let Some(places) = pings.take(Instant::now(), self.members.len())
            {
                self.send_to(places, &pings.frame);
            }
            for event in &events {
                let (flags, token) = (event.flags, event.data.u64());
                match token {
                    STDIN => return Ok(()),
                    LISTENER => self.accept()?,
                    token => self.ready(token as usize, flags),
                }
            }
        }
    }

    fn accept(&mut self) -> rustix::io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            let socket = match rustix::net::accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(err) => return Err(err),
            };
            rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
            let index = self.free.pop().unwrap_or(self.peers.len());
            socket::watch(&self.epoll, &socket, index as u64)?;
            let peer = Peer {
                socket,
                partial: Vec::new(),
                unsent: Vec::new(),
                place: None,
            };
            match self.peers.get_mut(index) {
                Some(slot) => *slot = Some(peer),
                None => self.peers.push(Some(peer)),
            }
        }
    }

    fn ready(&mut self, index: usize, flags: EventFlags) {
        if self.serve_peer(index, flags).unwrap_or(Fate::Ends) == Fate::Stays {
            return;
        }
        let Some(gone) = self.peers.get_mut(index).and_then(Option::take) else {
            return;
        };
        self.free.push(index);
        if let Some(place) = gone.place {
            self.members.swap_remove(place);
            let moved = self
                .members
                .get(place)
                .and_then(|moved| self.peers.get_mut(*moved));
            if let Some(Some(moved)) = moved {
                moved.place = Some(place);
            }
        }
    }

    fn serve_peer(&mut self, index: usize, flags: EventFlags) -> rustix::io::Result<Fate> {
        loop {
            let Some(Some(peer)) = self.peers.get_mut(index) else {
                return Ok(Fate::Stays);
            };
            if flags.contains(EventFlags::OUT) {
                socket::flush(&peer.socket, &mut peer.unsent)?;
            }
            let count = match socket::read(&peer.socket, &mut self.scratch)? {
                Read::Bytes(count) => count,
                Read::Later => return Ok(Fate::Stays),
                Read::End => return Ok(Fate::Ends),
            };
            let bytes = self.scratch.get(..count).unwrap_or_default();
            if peer.place.is_some() {
                if peer.frames(bytes, &self.pong)? == Fate::Ends {
                    return Ok(Fate::Ends);
                }
            } else {
                peer.partial.extend_from_slice(bytes);
                if let Some(request) = peer.request() {
                    self.answer(index, request)?;
                }
            }
            let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP);
            if count < self.scratch.len() && !hung_up {
                return Ok(Fate::Stays);
            }
        }
    }

    fn answer(&mut self, index: usize, request: Request) -> rustix::io::Result<()> {
        let answer = match request {
            Request::Upgrade(key) => {
                let accept = derive_accept_key(key.as_bytes());
                let mut answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
                )
                .into_bytes();
                answer.extend_from_slice(&self.greeting);
                if let Some(Some(peer)) = self.peers.get_mut(index) {
                    peer.place = Some(self.members.len());
                    self.members.push(index);
                }
                answer
            }
            Request::Broadcast(frame) => {
                let delivered = self.broadcast(&frame);
                let body = format!("{{\"success\":true,\"delivered\":{delivered}}}");
                http_answer("200 OK", &body)
            }
            Request::Unknown => http_answer("404 Not Found", "{}"),
        };
        if let Some(Some(peer)) = self.peers.get_mut(index) {
            socket::write_or_keep(&peer.socket, &mut peer.unsent, &answer)?;
        }
        Ok(())
    }

    /// One `send` for each connection.
    fn broadcast(&mut self, frame: &[u8]) -> u64 {
        self.send_to(0..self.members.len(), frame)
    }

    /// A peer that is gone is noticed by its own event.
    fn send_to(&mut self, places: std::ops::Range<usize>, frame: &[u8]) -> u64 {
        let mut delivered = 0;
        for &index in self.members.get(places).unwrap_or_default() {
            if let Some(Some(peer)) = self.peers.get_mut(index) {
                let sent = socket::write_or_keep(&peer.socket, &mut peer.unsent, frame);
                delivered += u64::from(sent.is_ok());
            }
        }
        delivered
    }
}

impl Peer {
    /// Answers whole frames; keeps the rest.
    fn frames(&mut self, bytes: &[u8], pong: &[u8]) -> rustix::io::Result<Fate> {
        if !self.partial.is_empty() {
            let mut held = std::mem::take(&mut self.partial);
            held.extend_from_slice(bytes);
            return self.frames(&held, pong);
        }
        let mut rest = bytes;
        loop {
            match next_frame(rest) {
                Ok(Some((Opcode::Text, payload, after))) => {
                    if payload == PING.as_bytes() {
                        socket::write_or_keep(&self.socket, &mut self.unsent, pong)?;
                    }
                    rest = after;
                }
                Ok(Some((Opcode::Close, payload, _))) => {
                    let echo = server_frame(Opcode::Close, &payload);
                    socket::write_or_keep(&self.socket, &mut self.unsent, &echo)?;
                    return Ok(Fate::Ends);
                }
                Ok(Some((_, _, after))) => rest = after,
                Ok(None) => {
                    self.partial.extend_from_slice(rest);
                    return Ok(Fate::Stays);
                }
                Err(_) => return Ok(Fate::Ends),
            }
        }
    }

    /// Takes a whole request out of what has come.
    fn request(&mut self) -> Option<Request> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut headers);
        let size = match parsed.parse(&self.partial) {
            Ok(httparse::Status::Complete(size)) => size,
            Ok(httparse::Status::Partial) => return None,
            Err(_) => return Some(Request::Unknown),
        };
        let header = |name: &str| {
            let found = parsed
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            found
                .and_then(|header| std::str::from_utf8(header.value).ok())
                .map(str::trim)
        };
        let length = header("content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let body = self.partial.get(size..size + length)?;
        let request = match (parsed.method, header("sec-websocket-key")) {
            (Some("GET"), Some(key)) => Request::Upgrade(key.to_owned()),
            (Some("POST"), _) => broadcast_frame(body).map_or(Request::Unknown, Request::Broadcast),
            _ => Request::Unknown,
        };
        // Given back: idle connections of the floor keep no buffer.
        self.partial = Vec::new();
        Some(request)
    }
}

/// The first frame with its payload unmasked, and what follows; `None` while it is incomplete.
#[expect(clippy::type_complexity, reason = "three parts of one slice")]
fn next_frame(bytes: &[u8]) -> Result<Option<(Opcode, Vec<u8>, &[u8])>, FrameError> {
    let Some(header) = Header::parse(bytes)? else {
        return Ok(None);
    };
    let end = header.size + header.length;
    let (Some(masked), Some(after)) = (bytes.get(header.size..end), bytes.get(end..)) else {
        return Ok(None);
    };
    let key = header.mask.unwrap_or_default();
    let payload = masked
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    Ok(Some((header.opcode, payload, after)))
}

/// The frame that a broadcast request asks for.
fn broadcast_frame(body: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        message: Message<'a>,
    }
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    let text = format!(
        "{{\"event\":\"broadcast\",\"data\":{},\"timestamp\":1}}",
        body.message.payload.get()
    );
    Some(server_frame(Opcode::Text, text.as_bytes()))
}

fn http_answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::frame::client_frame;
    use super::*;

    #[test]
    fn a_broadcast_carries_its_payload_as_it_is() {
        let body = br#"{"message":{"type":"broadcast","payload":{"seq": 7},"timestamp":1}}"#;
        let frame = broadcast_frame(body).unwrap();
        let expected = br#"{"event":"broadcast","data":{"seq": 7},"timestamp":1}"#;
        assert_eq!(frame, server_frame(Opcode::Text, expected));
        assert_eq!(broadcast_frame(b"{}"), None);
        assert_eq!(broadcast_frame(b"\xff"), None);
    }

    #[test]
    fn each_member_is_pinged_once_in_thirty_seconds() {
        let began = Instant::now();
        for members in [0, 1, 7, 120, 15_000] {
            let mut pings = Pings::begin(began);
            assert_eq!(pings.take(began, members), None, "too early");
            let mut places = Vec::new();
            for tick in 1..=PING_TICKS as u32 {
                places.extend(pings.take(began + TICK * tick, members).unwrap());
            }
            assert!(places.into_iter().eq(0..members));
            assert_eq!(TICK * PING_TICKS as u32, Duration::from_secs(30));
        }
    }

    #[test]
    fn frames_are_unmasked_one_after_the_other() {
        let mut bytes = client_frame(Opcode::Text, b"one", [1, 2, 3, 4]);
        bytes.extend(client_frame(Opcode::Close, &[3, 232], [5, 6, 7, 8]));
        let (opcode, payload, rest) = next_frame(&bytes).unwrap().unwrap();
        assert_eq!(
            (opcode, payload.as_slice()),
            (Opcode::Text, b"one".as_slice())
        );
        let (opcode, payload, rest) = next_frame(rest).unwrap().unwrap();
        assert_eq!((opcode, payload), (Opcode::Close, vec![3, 232]));
        assert_eq!(next_frame(rest), Ok(None));
    }
}
