//! Publishing over HTTP (contract events.md sections 3 to 5).

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::events::{KEY, TENANT, ask, call, get, post, quiet, subscribed};
use crate::support::{Builder, Server, http};

const CALL: &str = "/api/v1/demo/events/call";
const EVENTS: &str = "/api/v1/events";

#[tokio::test]
async fn a_call_goes_through_its_life() {
    let server = Server::start();
    let mut subscriber = subscribed(server.address, KEY, &["call.*"]).await;
    let body = json!({
        "callId": "c1", "eventType": "call.started", "fromNumber": "+1555", "toNumber": "+1666",
        "direction": "INBOUND", "tenantId": TENANT, "unknown": [1],
    });
    let started = post(server.address, CALL, KEY, &body).await.json();
    assert_eq!(started["success"], true);
    assert_eq!(
        (&started["event"], &started["callId"]),
        (&json!("call.started"), &json!("c1"))
    );
    let state = &started["callState"];
    assert_eq!(
        (&state["id"], &state["tenantId"]),
        (&json!("c1"), &json!(TENANT))
    );
    assert_eq!(state["status"], "ringing");
    assert_eq!(state["metadata"]["fromNumber"], "+1555");
    assert_eq!(state["metadata"]["direction"], "INBOUND");
    assert!(started.get("applied").is_none());
    // Twice, as the load profile does: republished.
    for event in ["call.started", "call.answered", "call.completed"] {
        let answer = call(server.address, KEY, "c1", event).await;
        assert_eq!(answer["event"], event);
    }
    let back = call(server.address, KEY, "c1", "call.answered").await;
    assert_eq!(back["applied"], false);
    assert_eq!(back["callState"]["status"], "completed");
    let mut last = Value::Null;
    for event in [
        "call.started",
        "call.started",
        "call.answered",
        "call.completed",
    ] {
        last = subscriber.json().await;
        assert_eq!(
            (&last["type"], &last["channel"]),
            (&json!("event"), &json!(event))
        );
        let payload = &last["payload"];
        assert_eq!(
            (&payload["event"], &payload["tenantId"]),
            (&json!(event), &json!(TENANT))
        );
        assert_eq!(payload["data"]["callId"], "c1");
        assert_eq!(payload["data"]["callState"]["id"], "c1");
        let (time, random) = payload["id"].as_str().unwrap().split_once('-').unwrap();
        assert!(
            time.parse::<u64>().is_ok() && random.len() == 9,
            "{payload}"
        );
        assert_eq!(payload["timestamp"].as_str().unwrap().len(), 24);
    }
    let data = &last["payload"]["data"];
    assert_eq!(
        (&data["direction"], &data["answered"]),
        (&json!("INBOUND"), &json!(true))
    );
    assert!((30..330).contains(&data["duration"].as_i64().unwrap()));
    if data["hasRecording"] == true {
        assert_eq!(data["recordingDuration"], data["duration"]);
    } else {
        assert!(data.get("recordingDuration").is_none());
    }
    // What went back was not published.
    quiet(&mut subscriber).await;
}

#[tokio::test]
async fn everything_of_a_demonstration_call_has_a_default() {
    let server = Server::start();
    for body in [None, Some(json!({}))] {
        let answer = ask(Method::POST, server.address, CALL, KEY, body.as_ref()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        assert_eq!(answer["event"], "call.started");
        assert!(answer["callId"].as_str().unwrap().starts_with("call_"));
    }
    // Names of the other families are taken here too, and make the call.
    let answer = call(server.address, KEY, "c", "billing.invoice.paid").await;
    assert_eq!(answer["callState"]["status"], "initiated");
}

#[tokio::test]
async fn a_sequence_runs_by_itself() {
    let server = Server::start();
    let mut subscriber = subscribed(server.address, KEY, &["call.*"]).await;
    let body = json!({"callId": "s", "delay": 20});
    let answer = post(server.address, &format!("{CALL}/sequence"), KEY, &body)
        .await
        .json();
    let message = "Started sequence of 3 events with 20ms delay";
    assert_eq!(
        answer,
        json!({"success": true, "callId": "s", "message": message})
    );
    for (event, status) in [
        ("call.started", "ringing"),
        ("call.answered", "answered"),
        ("call.completed", "completed"),
    ] {
        let event_frame = subscriber.json().await;
        assert_eq!(event_frame["channel"], event);
        let state = &event_frame["payload"]["data"]["callState"];
        assert_eq!(state["status"], status);
        assert_eq!(state["participants"][0]["number"], "+15551234567");
        assert_eq!(state["participants"][0]["status"], status);
    }
    let body = json!({"delay": 3_600_000});
    let answer = post(server.address, &format!("{CALL}/sequence"), KEY, &body).await;
    let message = "Started sequence of 3 events with 60000ms delay";
    assert_eq!(answer.json()["message"], message);
}

#[tokio::test]
async fn one_event_or_many_are_published_together() {
    let server = Server::start();
    let mut subscriber = subscribed(server.address, KEY, &["billing.*", "call.failed"]).await;
    let one = json!({"event": "billing.invoice.paid", "data": {"amount": 7}});
    let answer = post(server.address, EVENTS, KEY, &one).await.json();
    assert_eq!(answer["events"][0]["cursor"], "1");
    assert_eq!(answer["events"][0]["applied"], true);
    let many = json!({"events": [
        {"event": "call.answered", "data": {"callId": "c", "campaignId": "summer"}},
        {"event": "call.started", "data": {"callId": "c"}},
        {"event": "call.failed", "data": {"callId": "d", "status": "BUSY", "callState": "forged"}},
    ]});
    let answer = post(server.address, EVENTS, KEY, &many).await.json();
    let applied: Vec<&Value> = answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["applied"])
        .collect();
    assert_eq!(applied, [true, false, true]);
    assert_eq!(
        answer["events"][0]["callState"]["metadata"]["campaignId"],
        "summer"
    );
    assert_eq!(answer["events"][2]["cursor"], "3");
    let paid = subscriber.json().await;
    assert_eq!(paid["payload"]["data"], json!({"amount": 7}));
    let failed = subscriber.json().await;
    assert_eq!(failed["payload"]["data"]["callState"]["status"], "failed");
    quiet(&mut subscriber).await;
}

#[tokio::test]
async fn a_batch_with_one_bad_event_publishes_nothing() {
    let server = Server::start();
    let mut subscriber = subscribed(server.address, KEY, &["billing.*"]).await;
    let body = json!({"events": [
        {"event": "billing.paid"}, {"event": "billing.paid"}, {"event": "payment.made"},
    ]});
    let answer = post(server.address, EVENTS, KEY, &body).await;
    assert_eq!(answer.status, 400);
    let error = &answer.json()["error"];
    assert_eq!(
        (&error["code"], &error["details"]["index"]),
        (&json!("BAD_REQUEST"), &json!(2))
    );
    quiet(&mut subscriber).await;
}

#[tokio::test]
async fn a_request_with_an_idempotency_key_is_done_once() {
    let server = Server::start();
    let mut subscriber = subscribed(server.address, KEY, &["call.*"]).await;
    let body = json!({"event": "call.started", "data": {"callId": "c"}});
    let ask = async |body: &Value, key: &str| {
        let headers = [("X-API-Key", KEY), ("Idempotency-Key", key)];
        http::send_with(Method::POST, server.address, EVENTS, &headers, Some(body)).await
    };
    let first = ask(&body, "once").await;
    let again = ask(&body, "once").await;
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.json(), again.json());
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = ask(
        &json!({"event": "call.started", "data": {"callId": "d"}}),
        "once",
    )
    .await;
    assert_eq!(other.status, 409);
    assert_eq!(other.json()["error"]["code"], "IDEMPOTENCY_CONFLICT");
    assert_eq!(ask(&body, "has space").await.status, 400);
    assert_eq!(ask(&body, &"x".repeat(129)).await.status, 400);
    assert_eq!(subscriber.json().await["channel"], "call.started");
    quiet(&mut subscriber).await;
}

#[tokio::test]
async fn every_bad_request_is_refused_in_the_event_sides_form() {
    let server = Server::start();
    let long = "x".repeat(129);
    let too_many: Vec<Value> = vec![json!({"event": "billing.paid"}); 1001];
    for (path, body) in [
        (CALL, json!([])),
        (CALL, json!({"eventType": "other.started"})),
        (CALL, json!({"eventType": "call"})),
        (CALL, json!({"eventType": "call.Started"})),
        (CALL, json!({"eventType": 7})),
        (CALL, json!({"callId": ""})),
        (CALL, json!({"callId": long})),
        (CALL, json!({"callId": "a\u{0}b"})),
        (CALL, json!({"direction": "SIDEWAYS"})),
        (CALL, json!({"fromNumber": long})),
        ("/api/v1/demo/events/call/sequence", json!({"delay": -1})),
        (
            "/api/v1/demo/events/call/sequence",
            json!({"delay": "soon"}),
        ),
        (EVENTS, json!({})),
        (EVENTS, json!({"events": []})),
        (EVENTS, json!({"events": too_many})),
        (EVENTS, json!({"event": "call.started"})),
        (
            EVENTS,
            json!({"event": "call.started", "data": {"callId": 7}}),
        ),
        (
            EVENTS,
            json!({"event": "call.started", "data": {"callId": "c", "campaignId": 7}}),
        ),
        (EVENTS, json!({"event": "billing.paid", "data": [1]})),
        (
            EVENTS,
            json!({"event": "billing.paid", "events": [{"event": "billing.paid"}]}),
        ),
    ] {
        let answer = post(server.address, path, KEY, &body).await;
        assert_eq!(answer.status, 400, "{path} {body}: {answer:?}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "BAD_REQUEST", "{body}");
        assert!(
            error["message"].is_string() && error["requestId"].is_string(),
            "{error}"
        );
        let request_id = answer.header("x-request-id").unwrap();
        assert_eq!(error["requestId"], request_id);
    }
    let large = json!({"event": "billing.paid", "data": {"text": "x".repeat(70_000)}});
    let answer = post(server.address, EVENTS, KEY, &large).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["error"]["code"], "PAYLOAD_TOO_LARGE");
    let unknown = get(server.address, "/api/v1/nothing", KEY).await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404, &json!("NOT_FOUND"))
    );
    let method = get(server.address, CALL, KEY).await;
    assert_eq!(method.status, 405);
    assert_eq!(method.json()["error"]["code"], "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn many_at_once_are_all_stored_and_told_once_and_in_order() {
    let server = Builder::default().set("workers", "3").start();
    let mut subscribers = Vec::new();
    for _ in 0..6 {
        subscribers.push(subscribed(server.address, KEY, &["call.*", "call.play"]).await);
    }
    let publishing = (0..8).map(|publisher| {
        let address = server.address;
        tokio::spawn(async move {
            for number in 0..25 {
                let data = json!({"callId": format!("c{publisher}"), "number": number});
                let body = json!({"event": "call.play", "data": data});
                assert_eq!(post(address, EVENTS, KEY, &body).await.status, 200);
            }
        })
    });
    for publisher in publishing.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    for subscriber in &mut subscribers {
        let mut next = [0; 8];
        for _ in 0..8 * 25 {
            let event = subscriber.json().await;
            let data = &event["payload"]["data"];
            let publisher: usize = data["callId"].as_str().unwrap()[1..].parse().unwrap();
            assert_eq!(data["number"], next[publisher], "in the order of each call");
            next[publisher] += 1;
        }
        quiet(subscriber).await;
    }
}
