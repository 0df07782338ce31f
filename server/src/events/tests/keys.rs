//! Keys and who they open the door to.

use std::sync::Arc;

use super::super::key_store::{KeyFault, KeyStore, StaticKeys};
use super::super::keys::{self, NewKey};
use super::super::tenants;
use super::{change, number};
use crate::clock::unix_ms;
use crate::database::Database;
use crate::database::testing::on_both_databases;

fn new_key(tenant: &str) -> NewKey {
    NewKey {
        tenant: tenant.to_owned(),
        name: "test".to_owned(),
        scopes: vec!["calls".to_owned()],
        rate_limit: None,
        expires_at: None,
    }
}

async fn create(database: &Database, new: NewKey) -> String {
    database
        .write(async move |tx| keys::create(tx, &new).await)
        .await
        .unwrap()
}

async fn revoke(database: &Database, key: &str) -> usize {
    let key = key.to_owned();
    database
        .write(async move |tx| keys::revoke(tx, &key).await)
        .await
        .unwrap()
}

fn now() -> i64 {
    i64::try_from(unix_ms()).unwrap()
}

on_both_databases! {
    async fn every_check_has_its_fault_in_the_contracts_order(test) {
        let database = &test.database;
        let store = KeyStore::new(database.clone(), StaticKeys::default());
        let good = create(database, NewKey { rate_limit: Some(7), ..new_key("t") }).await;
        let credential = store.verify(&good).await.unwrap();
        assert_eq!((&*credential.tenant, credential.rate_limit), ("t", Some(7)));
        assert_eq!(store.verify("nonsense").await, Err(KeyFault::Unknown));
        let expired = NewKey { expires_at: Some(now() - 1), ..new_key("suspended") };
        let expired = create(database, expired).await;
        let of_suspended = create(database, new_key("suspended")).await;
        let suspend = database.write(async |tx| tenants::set_active(tx, "suspended", false).await);
        assert!(suspend.await.unwrap());
        assert_eq!(store.verify(&expired).await, Err(KeyFault::Expired));
        assert_eq!(store.verify(&of_suspended).await, Err(KeyFault::TenantNotActive));
        assert_eq!(revoke(database, &expired[..8]).await, 1);
        assert_eq!(store.verify(&expired).await, Err(KeyFault::NotActive));
        assert_eq!(revoke(database, &expired[..8]).await, 0, "it is revoked");
        let read = number(database, "SELECT COUNT(*) FROM api_keys WHERE length(key_hash) = 64");
        assert_eq!(read.await, 3);
        test.database.close().await;
    }

    async fn what_was_verified_is_remembered_until_it_ends(test) {
        let database = &test.database;
        let store = KeyStore::new(database.clone(), StaticKeys::default());
        let key = create(database, new_key("t")).await;
        assert_eq!(store.remembered(&key), None);
        let credential = store.verify(&key).await.unwrap();
        assert_eq!(store.remembered(&key), Some(Ok(credential.clone())));
        store.write_uses().await.unwrap();
        let used = "SELECT COUNT(*) FROM api_keys WHERE last_used_at IS NOT NULL";
        assert_eq!(number(database, used).await, 1);
        let since = now() - 1000;
        assert_eq!(store.forget_ended(since, now()).await.unwrap(), Vec::<Arc<str>>::new());
        revoke(database, &credential.id).await;
        assert!(store.remembered(&key).is_some(), "for a minute at most");
        let ended = store.forget_ended(since, now()).await.unwrap();
        assert_eq!(ended, std::slice::from_ref(&credential.id));
        assert_eq!(store.remembered(&key), None);
        assert_eq!(store.verify(&key).await, Err(KeyFault::NotActive));
        test.database.close().await;
    }

    async fn when_a_key_was_used_is_written_once_a_minute(test) {
        let database = &test.database;
        let store = KeyStore::new(database.clone(), StaticKeys::default());
        let key = create(database, new_key("t")).await;
        let begin = now();
        for (kept, is_written) in [
            ("UPDATE api_keys SET last_used_at = NULL", true),
            ("UPDATE api_keys SET last_used_at = last_used_at - 30000", false),
            ("UPDATE api_keys SET last_used_at = last_used_at - 60000", true),
            // The clock was ahead.
            ("UPDATE api_keys SET last_used_at = last_used_at + 3600000", true),
        ] {
            change(database, kept).await;
            store.verify(&key).await.unwrap();
            store.write_uses().await.unwrap();
            let used = number(database, "SELECT last_used_at FROM api_keys").await;
            assert_eq!((begin..=now()).contains(&used), is_written, "{kept}");
        }
        test.database.close().await;
    }

    async fn static_keys_are_the_default_tenants(test) {
        let database = &test.database;
        let static_keys = |accepts_any| StaticKeys {
            hashes: vec![keys::hash("static")],
            tenant: "zero".to_owned(),
            accepts_any,
        };
        let store = KeyStore::new(database.clone(), static_keys(false));
        assert_eq!(&*store.verify("static").await.unwrap().tenant, "zero");
        assert_eq!(store.verify("other").await, Err(KeyFault::Unknown));
        let any = KeyStore::new(database.clone(), static_keys(true));
        assert_eq!(&*any.verify("other").await.unwrap().tenant, "zero");
        // A key of the database keeps its tenant, and its end.
        let own = create(database, new_key("own")).await;
        assert_eq!(&*any.verify(&own).await.unwrap().tenant, "own");
        test.database.close().await;
        let fresh = KeyStore::new(database.clone(), static_keys(false));
        assert_eq!(fresh.verify("other").await, Err(KeyFault::Unavailable));
    }
}
