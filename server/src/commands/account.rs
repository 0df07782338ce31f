//! `dormouse account`: who may use the server.
//!
//! Works on the database; a running server sees the changes within a second.

use std::fmt::Write as _;

use super::database::with_database;
use super::{Failure, load};
use crate::accounts::administration::{self, Account, AccountQuery, Status};
use crate::accounts::removal;
use crate::cli::{AccountCommand, SettingFlags};
use crate::clock::iso;

/// Accounts that are read at a time.
const PAGE: i64 = 500;

/// Does it; returns what to print.
///
/// # Errors
/// When there is no such account, or the database cannot be used.
pub fn run(command: &AccountCommand, flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    with_database(&settings, async |database| match command {
        AccountCommand::List { status, json } => {
            let status = match status.as_deref() {
                None => None,
                Some(word) => Some(Status::parse(word).ok_or_else(|| {
                    let words = Status::ALL.map(Status::as_str).join(", ");
                    Failure::new(format!("there is no status {word:?}; use one of {words}"))
                })?),
            };
            let mut text = if *json {
                String::new()
            } else {
                HEAD.to_owned()
            };
            let mut after = String::new();
            loop {
                let asked = AccountQuery {
                    status,
                    after,
                    limit: PAGE,
                    ..AccountQuery::default()
                };
                let page = administration::list(database, asked).await;
                let page = page.map_err(Failure::new)?;
                for account in &page {
                    line(&mut text, account, *json)?;
                }
                match page.last() {
                    Some(last) if page.len() as i64 == PAGE => after = last.id.clone(),
                    _ => return Ok(text),
                }
            }
        }
        AccountCommand::Approve { account } => {
            let account = administration::approve(database, account.clone()).await;
            Ok(format!("{} is let in\n", account.map_err(Failure::new)?.id))
        }
        AccountCommand::Block { account } => {
            let account = administration::block(database, account.clone()).await;
            let id = account.map_err(Failure::new)?.id;
            Ok(format!(
                "{id} is blocked; a running server closes its connections within a second\n"
            ))
        }
        AccountCommand::Delete { account } => {
            let account = administration::begin_deletion(database, account.clone()).await;
            let id = account.map_err(Failure::new)?.id;
            removal::remove(database, &id).await.map_err(Failure::new)?;
            Ok(format!("{id} is deleted with all that it had stored\n"))
        }
    })
}

const HEAD: &str = "ID                                STATUS    CREATED                   \
                    LAST SIGN-IN              KEY\n";

fn line(text: &mut String, account: &Account, as_json: bool) -> Result<(), Failure> {
    if as_json {
        text.push_str(&serde_json::to_string(account).map_err(Failure::new)?);
        text.push('\n');
        return Ok(());
    }
    let at = |ms: Option<i64>| ms.map_or_else(|| "-".to_owned(), |ms| iso(ms.unsigned_abs()));
    writeln!(
        text,
        "{:<32}  {:<8}  {:<24}  {:<24}  {}",
        account.id,
        account.status.as_str(),
        at(Some(account.created_at)),
        at(account.signed_in_at),
        account.public_key.as_deref().unwrap_or("-"),
    )
    .map_err(Failure::new)
}
