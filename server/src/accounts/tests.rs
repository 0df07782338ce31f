//! Accounts on both databases.

use dormouse_config::Signup;
use sqlx::Row as _;

use super::administration::{self, AccountQuery, Status};
use super::pairing::{self, Answer, Kind};
use super::{AccountError, PublicKey, invites, key_login, removal};
use crate::database::testing::on_both_databases;
use crate::database::{Database, DatabaseError};

fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes(&[number; 32]).unwrap()
}

async fn sign_in(database: &Database, number: u8, signup: Signup) -> Result<String, &'static str> {
    with_invite(database, number, signup, None).await
}

async fn with_invite(
    database: &Database,
    number: u8,
    signup: Signup,
    invite: Option<&str>,
) -> Result<String, &'static str> {
    let invite = invite.map(str::to_owned);
    let signed_in = key_login::sign_in(database, key(number), signup, invite).await;
    signed_in.map_err(|err| err.code().expect("a refusal with a code"))
}

/// Runs a statement that stands for the passing of time, or for what other parts store.
async fn execute(database: &Database, statement: &'static str) {
    let write = database.write(async move |tx| {
        sqlx::query(statement).execute(tx.connection()).await?;
        Ok::<_, DatabaseError>(())
    });
    write.await.unwrap();
}

async fn count(database: &Database, query: &'static str) -> i64 {
    let read = database.read(async move |reader| {
        let row = sqlx::query(query).fetch_one(reader).await?;
        Ok::<_, DatabaseError>(row.get(0))
    });
    read.await.unwrap()
}

on_both_databases! {
    async fn an_open_server_makes_one_account_for_each_key(test) {
        let database = &test.database;
        let (one, same) = tokio::join!(
            sign_in(database, 1, Signup::Open),
            sign_in(database, 1, Signup::Open),
        );
        let one = one.unwrap();
        assert_eq!(Ok(&one), same.as_ref());
        assert_ne!(sign_in(database, 2, Signup::Open).await.unwrap(), one);
        // Who has an account comes in whatever the mode is.
        for signup in [Signup::Approval, Signup::Invite, Signup::Closed] {
            assert_eq!(sign_in(database, 1, signup).await.unwrap(), one);
            let unknown = sign_in(database, 9, signup).await.unwrap_err();
            assert!(unknown != "ACCOUNT_BLOCKED", "{unknown}");
        }
        assert_eq!(sign_in(database, 9, Signup::Closed).await, Err("SIGNUP_CLOSED"));
        test.database.close().await;
    }

    async fn an_account_waits_for_approval_and_is_refused_when_blocked(test) {
        let database = &test.database;
        assert_eq!(sign_in(database, 1, Signup::Approval).await, Err("ACCOUNT_PENDING"));
        assert_eq!(sign_in(database, 1, Signup::Approval).await, Err("ACCOUNT_PENDING"));
        let pending = AccountQuery { status: Some(Status::Pending), limit: 9, ..AccountQuery::default() };
        let waiting = administration::list(database, pending).await.unwrap();
        assert_eq!(waiting.len(), 1);
        let id = waiting[0].id.clone();
        // By its key, as its owner can tell it.
        let approved = administration::approve(database, key(1).to_hex()).await.unwrap();
        assert_eq!((&approved.id, approved.status), (&id, Status::Active));
        assert_eq!(sign_in(database, 1, Signup::Approval).await.as_ref(), Ok(&id));
        administration::block(database, id.clone()).await.unwrap();
        for signup in [Signup::Open, Signup::Approval, Signup::Closed] {
            assert_eq!(sign_in(database, 1, signup).await, Err("ACCOUNT_BLOCKED"));
        }
        administration::approve(database, id.clone()).await.unwrap();
        assert_eq!(sign_in(database, 1, Signup::Closed).await, Ok(id));
        for unknown in ["", "nobody", &"ab".repeat(32)] {
            let result = administration::approve(database, unknown.to_owned()).await;
            assert!(matches!(result, Err(AccountError::NotFound(_))), "{result:?}");
        }
        test.database.close().await;
    }

    async fn accounts_are_searched_by_what_is_known_of_them(test) {
        let database = &test.database;
        for id in ["al_ice", "alXice", "bob"] {
            administration::block(database, id.to_owned()).await.unwrap();
        }
        let names = "UPDATE accounts SET username = CASE id WHEN 'al_ice' THEN 'Wonder%Land' \
                     WHEN 'bob' THEN 'BUILDER' ELSE 'looking' END";
        execute(database, names).await;
        sign_in(database, 1, Signup::Open).await.unwrap();
        let key = key(1).to_hex();
        let found = async |search: &str, status| {
            let search = Some(search.to_owned());
            let asked = AccountQuery { status, search, limit: 9, ..AccountQuery::default() };
            let found = administration::list(database, asked).await.unwrap();
            found.into_iter().map(|account| account.public_key.unwrap_or(account.id)).collect::<Vec<_>>()
        };
        assert_eq!(found("l_i", None).await, ["al_ice"], "a character, not a pattern");
        assert_eq!(found("ER%L", None).await, ["al_ice"]);
        assert_eq!(found("build", None).await, ["bob"]);
        assert_eq!(found(&key[10..30].to_uppercase(), None).await, [key.as_str()]);
        assert_eq!(found("\\", None).await, [""; 0]);
        assert_eq!(found("bob", Some(Status::Active)).await, [""; 0]);
        assert_eq!(found("bob", Some(Status::Blocked)).await, ["bob"]);
        test.database.close().await;
    }

    async fn only_so_many_may_wait_for_approval(test) {
        let statement = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
                         WHERE i < 1000) INSERT INTO accounts (id, status, created_at, updated_at) \
                         SELECT 'waiting-' || i, 'pending', 0, 0 FROM n";
        execute(&test.database, statement).await;
        let refused = sign_in(&test.database, 1, Signup::Approval).await;
        assert_eq!(refused, Err("WAITING_LIST_FULL"));
        // Those whom nobody has approved for a month go.
        removal::tidy_up(&test.database).await.unwrap();
        let waits = sign_in(&test.database, 1, Signup::Approval).await;
        assert_eq!(waits, Err("ACCOUNT_PENDING"));
        test.database.close().await;
    }

    async fn an_invitation_makes_one_account(test) {
        let database = &test.database;
        assert_eq!(sign_in(database, 1, Signup::Invite).await, Err("INVITE_REQUIRED"));
        let (invite, code) = invites::create(database, Some("bob".into()), 60_000).await.unwrap();
        let (one, other) = tokio::join!(
            with_invite(database, 1, Signup::Invite, Some(&code)),
            with_invite(database, 2, Signup::Invite, Some(&code)),
        );
        let (id, refused) = if one.is_ok() { (one, other) } else { (other, one) };
        assert_eq!(refused, Err("INVITE_INVALID"));
        let listed = invites::list(database).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((&listed[0].id, listed[0].used_by.clone()), (&invite.id, Some(id.unwrap())));
        // One that waits for approval needs none with an invitation.
        assert_eq!(sign_in(database, 3, Signup::Approval).await, Err("ACCOUNT_PENDING"));
        let (_, code) = invites::create(database, None, 60_000).await.unwrap();
        assert!(with_invite(database, 3, Signup::Approval, Some(&code)).await.is_ok());
        // Open and closed servers use none up.
        let (_, code) = invites::create(database, None, 60_000).await.unwrap();
        assert!(with_invite(database, 4, Signup::Open, Some(&code)).await.is_ok());
        let closed = with_invite(database, 5, Signup::Closed, Some(&code)).await;
        assert_eq!(closed, Err("SIGNUP_CLOSED"));
        assert!(with_invite(database, 6, Signup::Invite, Some(&code)).await.is_ok());
        test.database.close().await;
    }

    async fn a_revoked_or_expired_invitation_is_of_no_use(test) {
        let database = &test.database;
        let (invite, code) = invites::create(database, None, 60_000).await.unwrap();
        invites::revoke(database, invite.id.clone()).await.unwrap();
        invites::revoke(database, invite.id).await.unwrap();
        let refused = with_invite(database, 1, Signup::Invite, Some(&code)).await;
        assert_eq!(refused, Err("INVITE_INVALID"));
        let (_, code) = invites::create(database, None, 60_000).await.unwrap();
        execute(database, "UPDATE invites SET expires_at = created_at").await;
        let refused = with_invite(database, 1, Signup::Invite, Some(&code)).await;
        assert_eq!(refused, Err("INVITE_INVALID"));
        let unknown = invites::revoke(database, "none".into()).await;
        assert!(matches!(unknown, Err(AccountError::NotFound(_))));
        // A refused sign-up leaves no account.
        assert_eq!(count(database, "SELECT COUNT(*) FROM accounts").await, 0);
        test.database.close().await;
    }

    async fn the_first_answer_to_a_pairing_request_counts(test) {
        let database = &test.database;
        let answer = |account: &str| Answer {
            account: account.to_owned(),
            response: format!("for {account}"),
        };
        let none = pairing::answer(database, Kind::Terminal, key(1), answer("alice")).await;
        assert!(matches!(none, Err(AccountError::RequestNotFound)));
        pairing::create(database, Kind::Terminal, key(1), true).await.unwrap();
        // Another call, and a device with the same key, change nothing.
        pairing::create(database, Kind::Terminal, key(1), false).await.unwrap();
        pairing::create(database, Kind::Device, key(1), false).await.unwrap();
        let find = || pairing::find(database, Kind::Terminal, key(1));
        let found = find().await.unwrap().unwrap();
        assert!(found.supports_v2 && found.answer.is_none());
        let results = tokio::join!(
            pairing::answer(database, Kind::Terminal, key(1), answer("alice")),
            pairing::answer(database, Kind::Terminal, key(1), answer("alice")),
        );
        assert!(results.0.is_ok() && results.1.is_ok());
        pairing::answer(database, Kind::Terminal, key(1), answer("bob")).await.unwrap();
        let found = find().await.unwrap().unwrap();
        assert_eq!(found.answer, Some(answer("alice")));
        let device = pairing::find(database, Kind::Device, key(1)).await.unwrap().unwrap();
        assert_eq!(device.answer, None);
        test.database.close().await;
    }

    async fn a_pairing_request_that_is_over_can_be_made_anew(test) {
        let database = &test.database;
        let answer = || Answer { account: "alice".into(), response: "r".into() };
        let find = || pairing::find(database, Kind::Device, key(1));
        let create = || pairing::create(database, Kind::Device, key(1), false);
        // Nobody has answered for 10 minutes.
        create().await.unwrap();
        execute(database, "UPDATE pairing_requests SET created_at = created_at - 600000").await;
        assert_eq!(find().await.unwrap(), None);
        let late = pairing::answer(database, Kind::Device, key(1), answer()).await;
        assert!(matches!(late, Err(AccountError::RequestNotFound)));
        create().await.unwrap();
        // It was fetched 2 minutes ago.
        pairing::answer(database, Kind::Device, key(1), answer()).await.unwrap();
        let found = find().await.unwrap().unwrap();
        pairing::deliver(database, &found).await.unwrap();
        let again = find().await.unwrap().unwrap();
        assert!(again.answer.is_some(), "it can be fetched again");
        pairing::deliver(database, &again).await.unwrap();
        execute(database, "UPDATE pairing_requests SET delivered_at = delivered_at - 120000").await;
        assert_eq!(find().await.unwrap(), None);
        create().await.unwrap();
        let anew = find().await.unwrap().unwrap();
        assert!(anew.answer.is_none() && anew.id != found.id);
        execute(database, "UPDATE pairing_requests SET created_at = 0").await;
        removal::tidy_up(database).await.unwrap();
        assert_eq!(count(database, "SELECT COUNT(*) FROM pairing_requests").await, 0);
        test.database.close().await;
    }

    async fn a_deleted_account_leaves_nothing_but_its_refusal(test) {
        let database = &test.database;
        let id = sign_in(database, 1, Signup::Open).await.unwrap();
        let other = sign_in(database, 2, Signup::Open).await.unwrap();
        fill(database).await;
        let before = rows_by_table(database).await;
        assert!(before.iter().all(|(_, count)| *count > 0), "{before:?}");
        let marked = administration::begin_deletion(database, id.clone()).await.unwrap();
        assert_eq!(marked.status, Status::Deleting);
        assert_eq!(sign_in(database, 1, Signup::Open).await, Err("ACCOUNT_BLOCKED"));
        let approved = administration::approve(database, id.clone()).await;
        assert!(matches!(approved, Err(AccountError::BeingDeleted)));
        // Whoever was to do it has died: the next one that tidies up does.
        removal::tidy_up(database).await.unwrap();
        let after = rows_by_table(database).await;
        for ((table, before), (_, after)) in before.iter().zip(&after) {
            // Each of the two accounts had as many.
            assert_eq!(*after * 2, *before, "{table}");
        }
        assert!(administration::get(database, other).await.unwrap().is_some());
        assert_eq!(administration::get(database, id.clone()).await.unwrap(), None);
        assert_eq!(count(database, "SELECT COUNT(*) FROM deleted_accounts").await, 1);
        // The key may make a new account; the id's tokens are refused until an operator says so.
        assert_ne!(sign_in(database, 1, Signup::Open).await.unwrap(), id);
        administration::approve(database, id).await.unwrap();
        assert_eq!(count(database, "SELECT COUNT(*) FROM deleted_accounts").await, 0);
        test.database.close().await;
    }
}

/// A row of every kind for every account.
async fn fill(database: &Database) {
    for statement in [
        "INSERT INTO sessions (id, account_id, tag, metadata_version, agent_state_version, \
         change_seq, create_seq, active, last_active_at, created_at, updated_at, metadata) \
         SELECT 's' || id, id, 't', 1, 0, 1, 1, 1, 0, 0, 0, '' FROM accounts",
        "INSERT INTO messages (id, session_id, seq, created_at, content) \
         SELECT 'm' || id, 's' || id, 1, 0, '' FROM accounts",
        "INSERT INTO machines (account_id, id, metadata_version, daemon_state_version, change_seq, \
         create_seq, active, last_active_at, created_at, updated_at, metadata) \
         SELECT id, 'm', 1, 0, 1, 1, 1, 0, 0, 0, '' FROM accounts",
        "INSERT INTO artifacts (id, account_id, header_version, body_version, change_seq, \
         create_seq, created_at, updated_at, data_encryption_key, header, body) \
         SELECT 'a' || id, id, 1, 1, 1, 1, 0, 0, '', '', '' FROM accounts",
        "INSERT INTO access_keys (id, account_id, session_id, machine_id, data, data_version, \
         created_at, updated_at) SELECT 'k' || id, id, 's' || id, 'm', '', 1, 0, 0 FROM accounts",
        "INSERT INTO usage_reports (id, account_id, key, data, created_at, updated_at) \
         SELECT 'u' || id, id, 'k', '{}', 0, 0 FROM accounts",
        "INSERT INTO usage_limits (account_id, data, updated_at) SELECT id, '{}', 0 FROM accounts",
        "INSERT INTO tombstones (account_id, kind, id, change_seq, deleted_at) \
         SELECT id, 'session', 'x', 1, 0 FROM accounts",
        "INSERT INTO kv_items (account_id, key, version, updated_at) \
         SELECT id, 'k', 1, 0 FROM accounts",
        "INSERT INTO feed_items (account_id, counter, id, created_at, body) \
         SELECT id, 1, 'f' || id, 0, '{}' FROM accounts",
        "INSERT INTO push_tokens (account_id, token, id, created_at, updated_at) \
         SELECT id, 't', 'p' || id, 0, 0 FROM accounts",
        "INSERT INTO service_tokens (account_id, vendor, token, created_at, updated_at) \
         SELECT id, 'openai', '', 0, 0 FROM accounts",
        "INSERT INTO session_files (id, account_id, session_id, name, size, created_at, stored_at) \
         SELECT 'f' || id, id, 's' || id, 'x', 1, 0, 0 FROM accounts",
        "INSERT INTO pairing_requests (id, kind, public_key, supports_v2, response, \
         response_account_id, created_at) SELECT 'r' || id, 'device', id, 0, '', id, 4102444800000 FROM accounts",
    ] {
        execute(database, statement).await;
    }
}

/// Every table that has rows of accounts, found in the schema, so that none is forgotten.
async fn rows_by_table(database: &Database) -> Vec<(String, i64)> {
    let read = database.read(async |reader| {
        let mut tables = vec!["messages".to_owned(), "accounts".to_owned()];
        let query = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c \
                     WHERE m.type = 'table' AND c.name IN ('account_id', 'response_account_id') \
                     ORDER BY m.name";
        let rows = match sqlx::query(query).fetch_all(&mut *reader).await {
            Ok(rows) => rows,
            Err(_) => {
                let query = "SELECT table_name::text FROM information_schema.columns \
                             WHERE table_schema = current_schema() \
                             AND column_name IN ('account_id', 'response_account_id') \
                             ORDER BY table_name";
                sqlx::query(query).fetch_all(&mut *reader).await?
            }
        };
        tables.extend(rows.iter().map(|row| row.get::<String, _>(0)));
        // What it was revoked for must outlive the account.
        tables.retain(|table| table != "revoked_tokens");
        let mut counts = Vec::new();
        for table in tables {
            let mut query = format!("SELECT COUNT(*) FROM {table}");
            // Rows that are marked for it go after their contents.
            if table == "session_files" {
                query.push_str(" WHERE removed_at IS NULL");
            }
            let row = sqlx::query(sqlx::AssertSqlSafe(query))
                .fetch_one(&mut *reader)
                .await?;
            counts.push((table, row.get(0)));
        }
        Ok::<_, DatabaseError>(counts)
    });
    read.await.unwrap()
}
