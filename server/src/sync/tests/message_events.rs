//! Section 5.5.

use super::*;
use crate::sync::messages;

on_both_databases! {
    async fn a_message_is_numbered_stored_and_told_to_all_but_its_sender(test) {
        let api = Api::new(test);
        let session = api.session(ALICE, "t").await;
        let sid = session.id.as_str();
        for seq in 1..=3 {
            let local_id = format!("l{seq}");
            let data = json!({ "sid": sid, "message": "ciphertext", "localId": local_id, "x": 1 });
            let answer = api.send(ALICE, "message", data).await;
            let (id, at) = (answer.ack["id"].clone(), answer.ack["createdAt"].clone());
            assert_eq!(
                answer.ack,
                json!({
                    "ok": true, "id": id, "seq": seq, "localId": local_id, "createdAt": at,
                    "duplicate": false,
                })
            );
            let sent = answer.only();
            assert_eq!(sent.filter, Filter::AllInterestedInSession(sid.into()));
            assert_eq!((sent.except, sent.seq), (Some(api.sender), Some(1 + seq)));
            assert_eq!(
                sent.body,
                json!({
                    "t": "new-message", "sid": sid,
                    "message": {
                        "id": id, "seq": seq, "localId": local_id, "createdAt": at,
                        "updatedAt": at, "content": { "t": "encrypted", "c": "ciphertext" },
                    },
                })
            );
        }
        let (stored, _) = api.stored_session(ALICE, sid).await.unwrap();
        assert_eq!(stored.seq, 3);
        api.close().await;
    }

    async fn a_local_id_is_stored_once_for_each_session(test) {
        let api = Api::new(test);
        let (sid, other) = (api.session(ALICE, "t").await.id, api.session(ALICE, "u").await.id);
        let data = json!({ "sid": sid, "message": "one", "localId": "l" });
        let first = api.send(ALICE, "message", data.clone()).await;
        let seq = api.seq(ALICE).await;
        for data in [data, json!({ "sid": sid, "message": "two", "localId": "l" })] {
            let again = api.send(ALICE, "message", data).await;
            assert!(again.sent.is_empty());
            let mut expected = first.ack.clone();
            expected["duplicate"] = json!(true);
            assert_eq!(again.ack, expected);
        }
        assert_eq!(api.seq(ALICE).await, seq, "no number was consumed");
        let elsewhere = json!({ "sid": other, "message": "one", "localId": "l" });
        assert_eq!(api.send(ALICE, "message", elsewhere).await.ack["duplicate"], false);
        for absent in [Value::Null, json!("")] {
            for _ in 0..2 {
                let data = json!({ "sid": sid, "message": "c", "localId": absent });
                let answer = api.send(ALICE, "message", data).await;
                assert_eq!(answer.ack["duplicate"], false);
                assert_eq!(answer.ack["localId"], Value::Null);
            }
        }
        api.close().await;
    }

    async fn bad_messages_are_refused_and_consume_nothing(test) {
        let api = Api::new(test);
        let sid = api.session(ALICE, "t").await.id;
        let (long, long_id) = ("x".repeat(1_000_001), "x".repeat(129));
        for data in [
            json!({}),
            json!({ "sid": sid }),
            json!({ "sid": sid, "message": 1 }),
            json!({ "sid": sid, "message": { "c": "x" } }),
            json!({ "sid": sid, "message": long }),
            json!({ "sid": sid, "message": "c", "localId": 7 }),
            json!({ "sid": sid, "message": "c", "localId": long_id }),
            json!({ "sid": "unknown", "message": "c" }),
            json!({ "sid": long_id, "message": "c" }),
        ] {
            api.send(ALICE, "message", data).await.is_refused("ok");
        }
        let stranger = json!({ "sid": sid, "message": "c" });
        api.send(BOB, "message", stranger).await.is_refused("ok");
        assert_eq!((api.seq(ALICE).await, api.seq(BOB).await), (1, 0));
        assert_eq!(api.stored_session(ALICE, &sid).await.unwrap().0.seq, 0);
        assert_eq!(api.count("messages").await, 0);
        // Exactly the limits are taken.
        let most = json!({ "sid": sid, "message": &long[1..], "localId": &long_id[1..] });
        assert_eq!(api.send(ALICE, "message", most).await.ack["ok"], true);
        api.close().await;
    }

    async fn messages_that_are_sent_at_once_keep_their_order(test) {
        let api = Api::new(test);
        let sid = api.session(ALICE, "t").await.id;
        let sending: Vec<_> = (0..50)
            .map(|number| {
                let data = json!({ "sid": sid, "message": number.to_string() });
                let data = Some(to_raw_value(&data).unwrap());
                match api.application.handle(api.request(ALICE, "message", data)) {
                    EventReply::Later(outcome) => outcome,
                    _ => unreachable!(),
                }
            })
            .collect();
        // Awaited backwards: the order is that of the calls.
        for outcome in sending.into_iter().rev() {
            assert!(outcome.await.ack.is_none());
        }
        let read = async move |reader: &mut Reader| messages::after(reader, &sid, 0, 100).await;
        let stored = api.test.database.read(read).await.unwrap();
        let texts: Vec<String> = stored
            .iter()
            .map(|message| {
                let content: Value = serde_json::from_str(message.content.get()).unwrap();
                content["c"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(texts, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
        let numbers: Vec<i64> = stored.iter().map(|message| message.seq).collect();
        assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
        let mut seqs = Vec::new();
        for (_, publication) in api.test.published.take() {
            for delivery in publication.deliveries {
                seqs.push(Sent::from(delivery).seq.unwrap());
            }
        }
        assert_eq!(seqs, (2..=51).collect::<Vec<_>>(), "published in the order of the sequence");
        api.close().await;
    }
}
