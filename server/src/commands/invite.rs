//! `dormouse invite`: codes that make one account each.

use std::fmt::Write as _;

use super::database::with_database;
use super::{Failure, load};
use crate::accounts::invites::{
    self, DEFAULT_LIFETIME_MS, Invite, MAX_LIFETIME_MS, MAX_NOTE_CHARS,
};
use crate::auth::token::milliseconds;
use crate::cli::{InviteCommand, SettingFlags};
use crate::clock::{iso, unix_ms};

/// Does it; returns what to print.
///
/// # Errors
/// When there is no such invitation, or the database cannot be used.
pub fn run(command: &InviteCommand, flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    with_database(&settings, async |database| match command {
        InviteCommand::Create { note, ttl } => {
            let lifetime_ms = ttl.map_or(DEFAULT_LIFETIME_MS, milliseconds);
            if !(1000..=MAX_LIFETIME_MS).contains(&lifetime_ms) {
                return Err(Failure::new(
                    "an invitation is good for 1 second to 365 days",
                ));
            }
            if let Some(note) = note
                && note.chars().nth(MAX_NOTE_CHARS).is_some()
            {
                let text = format!("a note has at most {MAX_NOTE_CHARS} characters");
                return Err(Failure::new(text));
            }
            let made = invites::create(database, note.clone(), lifetime_ms).await;
            Ok(format!("{}\n", made.map_err(Failure::new)?.1))
        }
        InviteCommand::List => {
            let mut text = "ID                                STATE    EXPIRES                   \
                            USED BY                           NOTE\n"
                .to_owned();
            for invite in invites::list(database).await.map_err(Failure::new)? {
                writeln!(
                    text,
                    "{:<32}  {:<7}  {:<24}  {:<32}  {}",
                    invite.id,
                    state(&invite),
                    iso(invite.expires_at.unsigned_abs()),
                    invite.used_by.as_deref().unwrap_or("-"),
                    invite.note.as_deref().unwrap_or("-"),
                )
                .map_err(Failure::new)?;
            }
            Ok(text)
        }
        InviteCommand::Revoke { id } => {
            let revoked = invites::revoke(database, id.clone()).await;
            revoked.map_err(Failure::new)?;
            Ok(format!("{id} is of no use any more\n"))
        }
    })
}

fn state(invite: &Invite) -> &'static str {
    if invite.used_at.is_some() {
        "used"
    } else if invite.revoked_at.is_some() {
        "revoked"
    } else if invite.expires_at.unsigned_abs() <= unix_ms() {
        "expired"
    } else {
        "open"
    }
}
