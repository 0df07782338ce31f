//! Silence.

use super::*;
use crate::sync::heartbeats::Source;
use crate::sync::idle;

const TEN_MINUTES: i64 = 600_000;

impl Api {
    /// What is sent when the server looks for what is silent.
    async fn sweep(&self, heartbeats: &Arc<Heartbeats>, at: i64) -> (u64, Vec<Sent>) {
        self.test.published.take();
        let count = idle::sweep(&self.test.database, heartbeats, at)
            .await
            .unwrap();
        let published = self.test.published.take().into_iter();
        let sent = published.flat_map(|(_, publication)| publication.deliveries);
        (count, sent.map(Sent::from).collect())
    }
}

on_both_databases! {
    async fn what_is_silent_for_ten_minutes_becomes_inactive(test) {
        let api = Api::new(test);
        let session = api.session(ALICE, "t").await;
        api.machine(ALICE, "silent").await;
        api.machine(ALICE, "connected").await;
        for id in ["silent", "connected"] {
            let alive = json!({ "machineId": id, "time": session.active_at });
            api.send(ALICE, "machine-alive", alive).await;
        }
        let heartbeats = Arc::new(Heartbeats::default());
        heartbeats.connected(Source::machine(ALICE.into(), "connected"), true);
        let (count, sent) = api.sweep(&heartbeats, session.active_at + TEN_MINUTES).await;
        assert_eq!((count, sent.len()), (0, 0), "not yet");
        let at = session.active_at + TEN_MINUTES + 1;
        let (count, sent) = api.sweep(&heartbeats, at).await;
        assert_eq!(count, 2, "{sent:?}");
        let bodies: Vec<_> = sent.iter().map(|sent| &sent.body).collect();
        assert_eq!(
            bodies,
            [
                &json!({
                    "type": "activity", "sid": session.id, "id": session.id, "active": false,
                    "activeAt": session.active_at, "thinking": false,
                }),
                &json!({
                    "type": "machine-activity", "machineId": "silent", "id": "silent",
                    "active": false, "activeAt": session.active_at,
                }),
            ]
        );
        assert!(sent.iter().all(|sent| sent.filter == Filter::UserScopedOnly));
        assert!(!api.stored_session(ALICE, &session.id).await.unwrap().0.active);
        assert!(!api.stored_machine(ALICE, "silent").await.active);
        assert!(api.stored_machine(ALICE, "connected").await.active);
        assert_eq!(api.sweep(&heartbeats, at).await.0, 0, "once");
        // Its connection went without a word.
        heartbeats.connected(Source::machine(ALICE.into(), "connected"), false);
        assert_eq!(api.sweep(&heartbeats, at).await.0, 1);
        // A sign of life brings it back.
        api.send(ALICE, "session-alive", json!({ "sid": session.id, "time": now() })).await;
        assert!(api.stored_session(ALICE, &session.id).await.unwrap().0.active);
        api.close().await;
    }
}
