//! A server that is measured: where it listens, which process it is, whom it knows.
//!
//! The server under test is one, the floor another; the generator treats them alike.

use std::net::{SocketAddr, ToSocketAddrs};

use super::dialect::{Dialect, Speech};
use super::trouble::Trouble;
use crate::failure::Failure;
use crate::fd_limit::SPARE;
use crate::procfs;
use crate::target::Target;
use crate::token::Token;

/// A server, its process and the accounts to use there.
#[derive(Debug)]
pub(super) struct Subject {
    /// Its name in reports.
    pub(super) name: &'static str,
    /// Its base address in reports.
    pub(super) url: String,
    pub(super) address: SocketAddr,
    pub(super) dialect: Dialect,
    pub(super) pid: u32,
    /// At least one; connections use them in turn.
    pub(super) tokens: Vec<Token>,
}

impl Subject {
    /// A server at `target`, run by the process `pid` of this machine.
    ///
    /// # Errors
    /// The address has no meaning, there is no such process, or there is no token.
    pub(super) fn new(
        name: &'static str,
        target: &Target,
        pid: u32,
        tokens: Vec<Token>,
    ) -> Result<Self, Failure> {
        let url = target.shown().to_owned();
        let addresses = (target.host(), target.port()).to_socket_addrs();
        let addresses: Vec<SocketAddr> = addresses
            .map_err(|err| Failure::Unreachable {
                url: url.clone(),
                reason: err.to_string(),
            })?
            .collect();
        // Loopback has many addresses to connect from in version 4 only.
        let found = addresses
            .iter()
            .find(|address| address.is_ipv4())
            .or(addresses.first());
        let address = *found.ok_or_else(|| Failure::Unreachable {
            url: url.clone(),
            reason: "the name has no address".to_owned(),
        })?;
        if let Err(err) = procfs::cpu_time(pid) {
            return Err(Failure::Usage(format!(
                "cannot see process {pid}: {err}; give the server's process id with --pid, and \
                 run this as the same user on the same machine"
            )));
        }
        if tokens.is_empty() {
            return Err(Failure::Usage("there is no token".to_owned()));
        }
        Ok(Self {
            name,
            url,
            address,
            dialect: Dialect::new(target),
            pid,
            tokens,
        })
    }

    /// The same server, spoken to in another way.
    pub(super) fn speaking(self, speech: Speech) -> Self {
        let dialect = self.dialect.speaking(speech);
        Self { dialect, ..self }
    }

    /// Makes sure that the server may have this many connections open.
    ///
    /// # Errors
    /// [`Failure::FileDescriptors`].
    pub(super) fn check_room(&self, connections: usize) -> Result<(), Failure> {
        let needed = connections as u64 + SPARE;
        match procfs::open_files_limit(self.pid) {
            Ok(Some(limit)) if limit < needed => {
                let who = format!("the server (process {})", self.pid);
                Err(Failure::FileDescriptors { who, needed, limit })
            }
            // What is not told cannot be checked; the run will show.
            _ => Ok(()),
        }
    }

    /// What went wrong during a step, with no token in it.
    pub(super) fn failure(&self, trouble: Trouble, step: &str) -> Failure {
        let hide = |words: &str| {
            self.tokens
                .iter()
                .fold(words.to_owned(), |words, token| token.hide_in(&words))
        };
        trouble.with_words(hide).into_failure(&self.url, step)
    }
}
