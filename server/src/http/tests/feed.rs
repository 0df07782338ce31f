use serde_json::json;
use serde_json::value::RawValue;

use super::server::{TestServer, on_both_servers};
use crate::sync::{Change, SyncError, feed};

impl TestServer {
    async fn tell(&self, user: &str, text: &str, repeat_key: Option<&'static str>) {
        let body = json!({"kind": "text", "text": text}).to_string();
        let user = user.into();
        let write = self.state().database.write(async move |tx| {
            let body = RawValue::from_string(body).unwrap();
            let mut change = Change::new(tx, user);
            feed::post(&mut change, &body, repeat_key).await?;
            change.finish(None);
            Ok::<_, SyncError>(())
        });
        write.await.unwrap();
    }

    /// The texts of a part of alice's feed, and whether there are more.
    async fn feed(&self, query: &str) -> (Vec<String>, bool) {
        let path = format!("/v1/feed?{query}");
        let answer = self.as_user("alice", "GET", &path, "").await.ok();
        let items = answer["items"].as_array().unwrap();
        let text = |item: &serde_json::Value| item["body"]["text"].as_str().unwrap().to_owned();
        (
            items.iter().map(text).collect(),
            answer["hasMore"].as_bool().unwrap(),
        )
    }
}

on_both_servers! {
    async fn the_feed_is_read_in_both_directions(server) {
        assert_eq!(server.feed("").await, (vec![], false));
        let mut socket = server.connect("alice", "").await;
        for number in 1..=5 {
            server.tell("alice", &number.to_string(), None).await;
            let update = socket.json().await;
            let body = &update["data"]["body"];
            assert_eq!(
                (&body["t"], &body["counter"]),
                (&json!("new-feed-post"), &json!(number))
            );
            assert_eq!(body["cursor"], format!("cursor_{number}"));
        }
        server.tell("bob", "not alice's", None).await;
        let texts = |texts: &[&str], more| (texts.iter().map(ToString::to_string).collect(), more);
        assert_eq!(
            server.feed("").await,
            texts(&["5", "4", "3", "2", "1"], false)
        );
        assert_eq!(server.feed("limit=2").await, texts(&["5", "4"], true));
        assert_eq!(
            server.feed("before=cursor_4&limit=2").await,
            texts(&["3", "2"], true)
        );
        assert_eq!(
            server.feed("before=cursor_3&limit=2").await,
            texts(&["2", "1"], false)
        );
        // Those next to the cursor, so that a client that reads on misses none.
        assert_eq!(
            server.feed("after=cursor_1&limit=2").await,
            texts(&["3", "2"], true)
        );
        assert_eq!(
            server.feed("after=cursor_3&limit=2").await,
            texts(&["5", "4"], false)
        );
        assert_eq!(
            server.feed("after=cursor_3&before=cursor_2").await,
            texts(&["5", "4"], false)
        );
        assert_eq!(server.feed("after=cursor_5").await, texts(&[], false));
        for query in [
            "before=5",
            "after=cursor_",
            "after=cursor_x",
            "limit=0",
            "limit=201",
        ] {
            let path = format!("/v1/feed?{query}");
            server
                .as_user("alice", "GET", &path, "")
                .await
                .is_invalid(&[]);
        }
        server.stop().await;
    }

    async fn an_item_takes_the_place_of_the_one_that_it_repeats(server) {
        server.tell("alice", "old", Some("k")).await;
        server.tell("alice", "other", None).await;
        server.tell("alice", "new", Some("k")).await;
        assert_eq!(
            server.feed("").await,
            (vec!["new".to_owned(), "other".to_owned()], false)
        );
        let answer = server.as_user("alice", "GET", "/v1/feed", "").await.ok();
        let first = &answer["items"][0];
        assert_eq!(
            (&first["cursor"], &first["repeatKey"]),
            (&json!("cursor_3"), &json!("k"))
        );
        assert_eq!(answer["items"][1]["repeatKey"], json!(null));
        assert!(first["createdAt"].is_u64() && first["id"].is_string());
        server.stop().await;
    }
}
