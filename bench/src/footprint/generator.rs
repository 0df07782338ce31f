//! The load generator: thousands of WebSocket connections and a few HTTP ones on one epoll, in one
//! thread.
//!
//! Owns the sockets and the loop; what is said and what is heard belongs to the measurement, which
//! listens through [`Ears`]. Every wait has a deadline. Cheap on purpose: it shares its machine
//! with the server it measures.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::connection::{Connection, Frames, Progress};
use super::lane::Lane;
use super::socket;
use super::subject::Subject;
use super::trouble::Trouble;

/// What the measurement wants in return for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Nothing.
    Nothing,
    /// A ping on the same connection.
    Ping,
}

/// Who listens.
pub(super) trait Ears {
    /// A message has arrived on a greeted connection.
    fn heard(&mut self, connection: usize, text: &[u8], now: Instant) -> Reply;

    /// A request has been answered.
    fn answered(&mut self, lane: usize, status: u16, body: &[u8], now: Instant);

    /// The server has sent a protocol ping, which has been answered.
    fn pinged(&mut self, _connection: usize) {}
}

/// Nobody: for steps in which nothing need be heard.
pub(super) struct Deaf;

impl Ears for Deaf {
    fn heard(&mut self, _: usize, _: &[u8], _: Instant) -> Reply {
        Reply::Nothing
    }

    fn answered(&mut self, _: usize, _: u16, _: &[u8], _: Instant) {}
}

/// Marks the events of HTTP connections.
const LANE: u64 = 1 << 63;
/// Events taken from the kernel at once.
const BATCH: usize = 512;
/// Longest wait for events before the deadline is looked at again.
const LOOK_UP: Duration = Duration::from_millis(50);

/// All sockets of one measurement. Dropping it closes them.
pub(super) struct Generator {
    subject: Rc<Subject>,
    patience: Duration,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    scratch: Box<[u8]>,
    frames: Frames,
    /// One for each account, used in turn.
    upgrades: Vec<Vec<u8>>,
    connections: Vec<Option<Connection>>,
    lanes: Vec<Lane>,
    opened: usize,
    closed: usize,
}

impl Generator {
    /// A generator without connections. No step may take longer than `patience`.
    ///
    /// # Errors
    /// The system refuses an epoll.
    pub(super) fn new(subject: &Rc<Subject>, patience: Duration) -> Result<Self, Trouble> {
        Ok(Self {
            subject: Rc::clone(subject),
            patience,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(BATCH),
            scratch: vec![0; 64 << 10].into_boxed_slice(),
            frames: Frames::of(&subject.dialect),
            upgrades: subject
                .tokens
                .iter()
                .map(|token| subject.dialect.upgrade(token))
                .collect(),
            connections: Vec::new(),
            lanes: Vec::new(),
            opened: 0,
            closed: 0,
        })
    }

    /// The same with all connections of the first account.
    ///
    /// # Errors
    /// As [`Generator::new`].
    pub(super) fn for_first_account(
        subject: &Rc<Subject>,
        patience: Duration,
    ) -> Result<Self, Trouble> {
        let mut generator = Self::new(subject, patience)?;
        generator.upgrades.truncate(1);
        Ok(generator)
    }

    /// How many accounts the connections belong to.
    pub(super) fn accounts(&self) -> usize {
        self.upgrades.len()
    }

    /// Whom it talks to.
    pub(super) fn subject(&self) -> &Rc<Subject> {
        &self.subject
    }

    /// When a step that begins now must have ended.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// What a step that did not end is reported as.
    pub(super) fn timed_out(&self, what: String) -> Trouble {
        Trouble::TimedOut {
            within: self.patience,
            what,
        }
    }

    /// How many connections were opened.
    pub(super) fn opened(&self) -> usize {
        self.opened
    }

    /// Opens `count` more connections, at most `in_flight` at the same time, and waits until each
    /// has been greeted.
    ///
    /// # Errors
    /// [`Trouble`], of the first connection that fails.
    pub(super) fn open(&mut self, count: usize, in_flight: usize) -> Result<(), Trouble> {
        let deadline = self.deadline();
        let target = self.opened + count;
        while self.opened < target {
            while self.connections.len() < target
                && self.connections.len() - self.opened < in_flight
            {
                let number = self.connections.len();
                let socket = socket::connect(self.subject.address, number)?;
                socket::watch(&self.epoll, &socket, number as u64)?;
                self.connections.push(Some(Connection::new(socket)));
            }
            self.turn(LOOK_UP, &mut Deaf)?;
            if Instant::now() > deadline {
                let missing = target - self.opened;
                return Err(
                    self.timed_out(format!("{missing} of {count} connections are not open"))
                );
            }
        }
        Ok(())
    }

    /// Closes all connections, at most `in_flight` at the same time, and waits until the server
    /// has hung up on each.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn close(&mut self, in_flight: usize) -> Result<(), Trouble> {
        let deadline = self.deadline();
        let mut next = 0;
        while self.closed < self.connections.len() {
            while next < self.connections.len() && next - self.closed < in_flight {
                if let Some(Some(connection)) = self.connections.get_mut(next) {
                    connection.close(&self.frames)?;
                }
                next += 1;
            }
            self.turn(LOOK_UP, &mut Deaf)?;
            if Instant::now() > deadline {
                let missing = self.connections.len() - self.closed;
                return Err(self.timed_out(format!("{missing} connections were not hung up on")));
            }
        }
        self.connections.clear();
        (self.opened, self.closed) = (0, 0);
        Ok(())
    }

    /// Opens HTTP connections until there are `count`.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn open_lanes(&mut self, count: usize) -> Result<(), Trouble> {
        while self.lanes.len() < count {
            let lane = Lane::open(self.subject.address)?;
            socket::watch(&self.epoll, lane.socket(), LANE | self.lanes.len() as u64)?;
            self.lanes.push(lane);
        }
        Ok(())
    }

    /// Closes all HTTP connections. Servers close those that lie idle, so they are opened for each
    /// measurement.
    pub(super) fn close_lanes(&mut self) {
        self.lanes.clear();
    }

    /// Sends a request on an HTTP connection that has none under way.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn request(&mut self, lane: usize, request: &[u8]) -> Result<(), Trouble> {
        self.lanes
            .get_mut(lane)
            .map_or(Err(Trouble::LaneClosed), |lane| lane.request(request))
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn ping(&mut self, connection: usize) -> Result<(), Trouble> {
        match self.connections.get_mut(connection) {
            Some(Some(open)) => open.ping(&self.frames),
            _ => Err(Trouble::Dropped(connection)),
        }
    }

    /// Sends a ping that wakes the shard.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn waking_ping(&mut self, connection: usize) -> Result<(), Trouble> {
        match self.connections.get_mut(connection) {
            Some(Some(open)) => open.waking_ping(&self.frames),
            _ => Err(Trouble::Dropped(connection)),
        }
    }

    /// Lets this much time pass, answering protocol pings meanwhile.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn rest(&mut self, time: Duration) -> Result<(), Trouble> {
        self.listen(time, &mut Deaf)
    }

    /// The same with someone who listens.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn listen(&mut self, time: Duration, ears: &mut dyn Ears) -> Result<(), Trouble> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(left.min(LOOK_UP), ears)?;
        }
    }

    /// Handles what is ready, waiting for it at most this long.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn turn(&mut self, wait: Duration, ears: &mut dyn Ears) -> Result<(), Trouble> {
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let timeout = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
        for event in &events {
            // Copied out: the kernel's record is packed.
            let (flags, token) = (event.flags, event.data.u64());
            self.handle(token, flags, ears)?;
        }
        self.events = events;
        Ok(())
    }

    fn handle(
        &mut self,
        token: u64,
        flags: epoll::EventFlags,
        ears: &mut dyn Ears,
    ) -> Result<(), Trouble> {
        if token & LANE != 0 {
            let number = (token & !LANE) as usize;
            return match self.lanes.get_mut(number) {
                Some(lane) => lane.ready(number, flags, &mut self.scratch, ears),
                None => Ok(()),
            };
        }
        let number = token as usize;
        let upgrade = match self.upgrades.len() {
            0 => &[][..],
            accounts => self
                .upgrades
                .get(number % accounts)
                .map_or(&[][..], |bytes| bytes),
        };
        let Some(slot) = self.connections.get_mut(number) else {
            return Ok(());
        };
        let Some(connection) = slot else {
            return Ok(());
        };
        match connection.ready(
            number,
            flags,
            upgrade,
            &self.frames,
            &mut self.scratch,
            ears,
        )? {
            Progress::None => {}
            Progress::Opened => self.opened += 1,
            Progress::Closed => {
                *slot = None;
                self.closed += 1;
            }
        }
        Ok(())
    }
}
