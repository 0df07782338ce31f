//! How often one may sign in and ask for pairing (REST contract, section 1.8).

use std::net::IpAddr;

use actix_web::HttpRequest;

use crate::accounts::PublicKey;
use crate::app_state::AppState;
use crate::auth::FixedWindow;
use crate::client_address::client_address;
use crate::clock::unix_ms;
use crate::http::errors::ApiError;
use crate::pending::network;

/// Calls per minute.
const LOGINS_PER_KEY: u32 = 5;
const LOGINS_PER_ADDRESS: u32 = 60;
const PAIRINGS_PER_ADDRESS: u32 = 5;
const POLLS_PER_KEY: u32 = 120;

/// The counts of this process.
#[derive(Debug)]
pub struct AuthLimits {
    logins_by_key: FixedWindow<[u8; 32]>,
    logins_by_address: FixedWindow<IpAddr>,
    pairings: FixedWindow<IpAddr>,
    polls: FixedWindow<[u8; 32]>,
    looks: FixedWindow<[u8; 32]>,
}

impl AuthLimits {
    /// Remembers at most so many keys and addresses per limit.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            logins_by_key: FixedWindow::new(LOGINS_PER_KEY, most),
            logins_by_address: FixedWindow::new(LOGINS_PER_ADDRESS, most),
            pairings: FixedWindow::new(PAIRINGS_PER_ADDRESS, most),
            polls: FixedWindow::new(POLLS_PER_KEY, most),
            looks: FixedWindow::new(POLLS_PER_KEY, most),
        }
    }

    /// Counts a sign-in: by address, and by key if what was sent can be one.
    ///
    /// # Errors
    /// 429.
    pub fn login(&self, address: IpAddr, key: Option<&PublicKey>) -> Result<(), ApiError> {
        admit(&self.logins_by_address, &address, "sign-ins of one address")?;
        match key {
            Some(key) => admit(&self.logins_by_key, key.as_bytes(), "sign-ins with one key"),
            None => Ok(()),
        }
    }

    /// Counts a new request for pairing.
    ///
    /// # Errors
    /// 429.
    pub fn pairing(&self, address: IpAddr) -> Result<(), ApiError> {
        admit(&self.pairings, &address, "pairing requests of one address")
    }

    /// Counts the poll of whoever wants to be paired.
    ///
    /// # Errors
    /// 429.
    pub fn poll(&self, key: &PublicKey) -> Result<(), ApiError> {
        admit(&self.polls, key.as_bytes(), "polls of one pairing request")
    }

    /// Counts the look of an app at a request. Apart from the polls, so that nobody who has seen the
    /// key can use them up.
    ///
    /// # Errors
    /// 429.
    pub fn look(&self, key: &PublicKey) -> Result<(), ApiError> {
        admit(&self.looks, key.as_bytes(), "looks at one pairing request")
    }
}

fn admit<K: Eq + std::hash::Hash + Clone>(
    limit: &FixedWindow<K>,
    key: &K,
    what: &str,
) -> Result<(), ApiError> {
    let admission = limit.admit(key, unix_ms());
    if admission.admitted {
        Ok(())
    } else {
        Err(ApiError::too_many(what, admission))
    }
}

/// The address that limits count for a request.
#[must_use]
pub fn address_of(state: &AppState, request: &HttpRequest) -> IpAddr {
    let headers: actix_http::header::HeaderMap = request.headers().clone();
    let proxies = &state.settings.http.trusted_proxies;
    network(client_address(request.peer_addr(), &headers, proxies))
}
