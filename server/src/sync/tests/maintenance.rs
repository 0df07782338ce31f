//! What is removed for its age.

use super::*;
use crate::sync::maintenance::{self, Removed};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

on_both_databases! {
    async fn old_tombstones_go_and_clients_that_need_them_are_told(test) {
        let api = Api::new(test);
        for tag in ["a", "b"] {
            let sid = api.session(ALICE, tag).await.id;
            api.send(ALICE, "session-end", json!({ "sid": sid, "time": now() })).await;
        }
        let database = &api.test.database;
        assert_eq!(maintenance::run(database, now() + 29 * DAY_MS).await.unwrap(), Removed::default());
        let removed = maintenance::run(database, now() + 31 * DAY_MS).await.unwrap();
        assert_eq!(removed, Removed { tombstones: 2, sessions: 0 });
        for (seen, success) in [(0, true), (3, false), (4, true)] {
            let data = json!({ "sessions": seen, "machines": 0, "artifacts": 0 });
            let answer = api.send(ALICE, "request-updates-since", data).await;
            assert_eq!(answer.ack["success"], success, "{seen}");
        }
        api.close().await;
    }

    async fn sessions_that_ended_without_a_message_go_after_a_day(test) {
        let api = Api::new(test);
        let running = api.session(ALICE, "running").await.id;
        let kept = api.session(ALICE, "kept").await.id;
        api.send(ALICE, "message", json!({ "sid": kept, "message": "c" })).await;
        let empty = api.session(ALICE, "empty").await.id;
        for id in [&kept, &empty] {
            let id = id.clone();
            let stop = api.change(ALICE, async move |change| {
                let now = change.now();
                sessions::deactivate(change, &id, now).await
            });
            stop.await.0.unwrap();
        }
        let database = &api.test.database;
        assert_eq!(maintenance::run(database, now()).await.unwrap(), Removed::default());
        api.test.published.take();
        let removed = maintenance::run(database, now() + 2 * DAY_MS).await.unwrap();
        assert_eq!(removed, Removed { tombstones: 0, sessions: 1 });
        let (_, publication) = api.test.published.take().pop().unwrap();
        let sent = publication.deliveries.into_iter().map(Sent::from);
        let bodies: Vec<Value> = sent.map(|sent| sent.body).collect();
        assert_eq!(bodies, [json!({ "t": "delete-session", "sid": empty })]);
        for id in [&running, &kept] {
            assert!(api.stored_session(ALICE, id).await.is_ok());
        }
        api.close().await;
    }
}
