//! Tickets: short-lived, single-use admission to one WebSocket (realtime contract section 3).
//!
//! Owns their form, their signature and the memory of spent ones. Called by the ticket endpoint and
//! by the upgrade service. Clients are told "invalid" whatever was wrong; [`TicketError`] is for
//! logs and metrics. A ticket can never pass as a token or the reverse: two parts against three,
//! and a key derived for tickets only.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use super::identity::{TokenHash, check_user_id, is_tier_name};
use super::mint::MintError;
use super::secret::{Purpose, ServerSecret};
use super::token::milliseconds;

/// Longest ticket that is looked at, in bytes. The longest user id and tier make one of 1.3 KiB.
pub const MAX_TICKET_BYTES: usize = 4 * 1024;

/// Span of one set of spent nonces in milliseconds; whole sets are dropped.
const BUCKET_MS: u64 = 5_000;

/// Settings of tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketSettings {
    /// How long a ticket can be redeemed.
    pub lifetime: Duration,
    /// Clock difference between instances that is forgiven.
    pub clock_skew: Duration,
    /// Most spent tickets that are remembered; past it tickets are refused, never admitted twice.
    /// One takes about 20 bytes and is remembered for lifetime and skew, and 5 to 10 s more.
    pub max_spent: usize,
}

impl Default for TicketSettings {
    /// 30 s and 5 s (realtime contract section 13); memory for 7 000 tickets per second.
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(30),
            clock_skew: Duration::from_secs(5),
            max_spent: 315_000,
        }
    }
}

/// Why a ticket is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Too long, or not two non-empty base64url parts.
    #[error("not a ticket: it must be two base64url parts")]
    Malformed,
    /// The signature is not this server's.
    #[error("the ticket's signature does not match")]
    BadSignature,
    /// A signed payload without its fields.
    #[error("the ticket's payload lacks a field")]
    BadPayload,
    /// Past `exp` and the skew.
    #[error("the ticket has expired")]
    Expired,
    /// Redeemed before.
    #[error("the ticket was used before")]
    Spent,
    /// No room to remember one more spent ticket.
    #[error("too many tickets were used lately")]
    TooMany,
}

impl TicketError {
    /// The word for this refusal in logs and as a metrics label; from a closed set.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::BadPayload => "bad_payload",
            Self::Expired => "expired",
            Self::Spent => "spent",
            Self::TooMany => "too_many",
        }
    }
}

/// Who a redeemed ticket admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketHolder {
    /// The account id.
    pub user: Arc<str>,
    /// The tier's name as claimed by the token that the ticket was asked with.
    pub tier: Option<Arc<str>>,
    /// The hash of that token: when it is revoked, so is what the ticket has opened.
    pub token_hash: Option<TokenHash>,
}

/// An issued ticket. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(String);

impl Ticket {
    /// The ticket's text, for the one who asked for it. Never log it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ticket's text by value; see [`Self::as_str`].
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ticket(hidden)")
    }
}

/// The signed payload. `tier` and `token` are this server's additions: without them, whoever
/// connects by ticket would lose the tier that the token claims, and would outlive the token's
/// revocation.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    user_id: std::borrow::Cow<'a, str>,
    exp: u64,
    nonce: Uuid,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    tier: Option<std::borrow::Cow<'a, str>>,
    /// Hash of the token that the ticket was asked for with, base64url.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    token: Option<std::borrow::Cow<'a, str>>,
}

/// Issues tickets and redeems them. Threads share one behind a reference.
pub struct Tickets {
    mac: Hmac<Sha256>,
    lifetime_ms: u64,
    skew_ms: u64,
    spent: Mutex<Spent>,
}

impl Tickets {
    /// With the ticket key of the server secret, so that every instance under the same secret
    /// reads the others' tickets. Spent tickets are remembered by this instance.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn new(secret: &ServerSecret, settings: &TicketSettings) -> Self {
        let key = secret.derive(Purpose::Ticket);
        Self {
            mac: Hmac::new_from_slice(key.as_slice()).expect("an HMAC key"),
            lifetime_ms: milliseconds(settings.lifetime),
            skew_ms: milliseconds(settings.clock_skew),
            spent: Mutex::new(Spent {
                buckets: BTreeMap::new(),
                count: 0,
                max: settings.max_spent,
            }),
        }
    }

    /// Issues a ticket for a user whose token, of this hash, was verified. How often is for the
    /// caller to limit (10 per user and minute).
    ///
    /// # Errors
    /// [`MintError::UserId`] and [`MintError::Tier`] for names that no token could have had.
    #[expect(
        clippy::expect_used,
        reason = "text, a number and a UUID always serialize"
    )]
    pub fn issue(
        &self,
        user: &str,
        tier: Option<&str>,
        token_hash: Option<&TokenHash>,
        now_ms: u64,
    ) -> Result<Ticket, MintError> {
        check_user_id(user)?;
        if !tier.is_none_or(is_tier_name) {
            return Err(MintError::Tier);
        }
        let payload = Payload {
            user_id: user.into(),
            exp: now_ms.saturating_add(self.lifetime_ms),
            nonce: Uuid::new_v4(),
            tier: tier.map(Into::into),
            token: token_hash.map(|hash| BASE64_URL_SAFE_NO_PAD.encode(hash).into()),
        };
        let payload = serde_json::to_vec(&payload).expect("a JSON object");
        let signature = self
            .mac
            .clone()
            .chain_update(&payload)
            .finalize()
            .into_bytes();
        let mut ticket = BASE64_URL_SAFE_NO_PAD.encode(&payload);
        ticket.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut ticket);
        Ok(Ticket(ticket))
    }

    /// Redeems a ticket: whoever comes first with it is admitted, on whatever thread, and nobody
    /// after.
    ///
    /// # Errors
    /// [`TicketError`]; to the client all of them are the same.
    pub fn redeem(&self, ticket: &str, now_ms: u64) -> Result<TicketHolder, TicketError> {
        if ticket.len() > MAX_TICKET_BYTES {
            return Err(TicketError::Malformed);
        }
        let (payload, signature) = ticket.split_once('.').ok_or(TicketError::Malformed)?;
        let payload = decode(payload)?;
        let signature = decode(signature)?;
        // Compares in constant time, and refuses any other length.
        let mac = self.mac.clone().chain_update(&payload);
        mac.verify_slice(&signature)
            .map_err(|_| TicketError::BadSignature)?;

        let payload: Payload<'_> =
            serde_json::from_slice(&payload).map_err(|_| TicketError::BadPayload)?;
        check_user_id(&payload.user_id).map_err(|_| TicketError::BadPayload)?;
        if !payload.tier.as_deref().is_none_or(is_tier_name) {
            return Err(TicketError::BadPayload);
        }
        let token_hash = match payload.token.as_deref() {
            None => None,
            Some(text) => {
                let hash = decode(text).map_err(|_| TicketError::BadPayload)?;
                Some(hash.try_into().map_err(|_| TicketError::BadPayload)?)
            }
        };
        let last_ms = payload.exp.saturating_add(self.skew_ms);
        if now_ms > last_ms {
            return Err(TicketError::Expired);
        }
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.spend(payload.nonce, last_ms, now_ms)?;
        Ok(TicketHolder {
            user: Arc::from(&*payload.user_id),
            tier: payload.tier.as_deref().map(Arc::from),
            token_hash,
        })
    }

    /// Spent tickets that are remembered now.
    #[must_use]
    pub fn spent(&self) -> usize {
        self.spent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tickets")
            .field("spent", &self.spent())
            .finish_non_exhaustive()
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TicketError> {
    match BASE64_URL_SAFE_NO_PAD.decode(part) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => Err(TicketError::Malformed),
    }
}

/// Nonces of spent tickets, in sets by the time after which their tickets have expired anyway. The
/// time is signed, so the same ticket always leads to the same set.
struct Spent {
    buckets: BTreeMap<u64, HashSet<Uuid, ahash::RandomState>>,
    count: usize,
    max: usize,
}

impl Spent {
    /// Marks a nonce as spent until `last_ms`, the last moment at which its ticket is valid.
    fn spend(&mut self, nonce: Uuid, last_ms: u64, now_ms: u64) -> Result<(), TicketError> {
        self.sweep(now_ms);
        let bucket = last_ms / BUCKET_MS;
        if self
            .buckets
            .get(&bucket)
            .is_some_and(|nonces| nonces.contains(&nonce))
        {
            return Err(TicketError::Spent);
        }
        if self.count >= self.max {
            return Err(TicketError::TooMany);
        }
        self.buckets.entry(bucket).or_default().insert(nonce);
        self.count += 1;
        Ok(())
    }

    /// Drops the sets whose every ticket has expired, one span late: a thread whose reading of the
    /// clock is a little older may still hold one of them for valid.
    fn sweep(&mut self, now_ms: u64) {
        while let Some(first) = self.buckets.first_entry() {
            if first.key().saturating_add(1) >= now_ms / BUCKET_MS {
                break;
            }
            self.count -= first.remove().len();
        }
    }
}

#[cfg(test)]
mod tests;
