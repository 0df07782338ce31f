//! Groups of workers and the log over HTTP (contract events.md section 8).

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::events::{KEY, ask, get, post};
use crate::support::process::{Dormouse, run_dormouse};
use crate::support::{Server, eventually, within};

const GROUPS: &str = "/api/v1/events/groups";
const EVENTS: &str = "/api/v1/events";

async fn make(server: &Server, group: &str, body: &Value) -> Value {
    let path = format!("{GROUPS}/{group}");
    let answer = ask(Method::PUT, server.address, &path, KEY, Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

async fn publish(server: &Server, names: &[&str]) {
    let events: Vec<Value> = names.iter().map(|name| json!({"event": name})).collect();
    let answer = post(server.address, EVENTS, KEY, &json!({"events": events})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// What a worker is given at once.
async fn read(server: &Server, group: &str, consumer: &str) -> Value {
    let body = json!({"consumer": consumer, "blockMs": 0});
    let answer = post(
        server.address,
        &format!("{GROUPS}/{group}/read"),
        KEY,
        &body,
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn cursors(entries: &Value) -> Vec<&str> {
    let entries = entries.as_array().unwrap();
    let all = entries
        .iter()
        .map(|entry| entry["cursor"].as_str().unwrap());
    all.collect()
}

#[tokio::test]
async fn workers_share_the_events_of_a_group() {
    let server = Server::start();
    let made = make(&server, "billing", &json!({"channels": ["billing.*"]})).await;
    assert_eq!(made["channels"], json!(["billing.*"]));
    assert_eq!((&made["position"], &made["lag"]), (&json!("0"), &json!(0)));
    let names = ["billing.paid", "recording.ready", "billing.due"];
    publish(&server, &names).await;
    publish(&server, &["billing.paid"; 12]).await;
    let first = read(&server, "billing", "a").await;
    let entries = &first["entries"];
    assert_eq!(entries.as_array().unwrap().len(), 10, "ten by default");
    assert_eq!(cursors(entries)[..3], ["1", "3", "4"]);
    assert_eq!(
        (&entries[0]["channel"], &entries[0]["attempt"]),
        (&json!("billing.paid"), &json!(1))
    );
    assert_eq!(entries[0]["payload"]["event"], "billing.paid");
    assert_eq!(first["missed"], 0);
    let second = read(&server, "billing", "b").await;
    assert_eq!(cursors(&second["entries"]), ["12", "13", "14", "15"]);
    let ack = format!("{GROUPS}/billing/ack");
    let done = post(
        server.address,
        &ack,
        KEY,
        &json!({"cursors": cursors(entries)}),
    )
    .await;
    assert_eq!(done.json(), json!({"acknowledged": 10}));
    let group = get(server.address, &format!("{GROUPS}/billing"), KEY)
        .await
        .json();
    assert_eq!((&group["pending"], &group["dead"]), (&json!(4), &json!(0)));
    let all = get(server.address, GROUPS, KEY).await.json();
    assert_eq!(all["groups"], json!([group]));
    // The same again is no new group.
    let body = json!({"channels": ["call.*"]});
    let path = format!("{GROUPS}/billing");
    let changed = ask(Method::PUT, server.address, &path, KEY, Some(&body)).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["channels"], json!(["call.*"]));
    let gone = ask(Method::DELETE, server.address, &path, KEY, None).await;
    assert_eq!((gone.status, gone.json()), (200, json!({"success": true})));
    assert_eq!(get(server.address, &path, KEY).await.status, 404);
}

#[tokio::test]
async fn a_worker_that_waits_is_given_the_next_event() {
    let server = Server::start();
    make(&server, "g", &json!({"channels": ["billing.*"]})).await;
    let address = server.address;
    // As workers do: again and again, a second each at most.
    let worker = tokio::spawn(async move {
        loop {
            let path = format!("{GROUPS}/g/read");
            let answer = post(address, &path, KEY, &json!({"consumer": "a"})).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let given = answer.json();
            if given["entries"] != json!([]) {
                return given;
            }
        }
    });
    publish(&server, &["recording.ready", "billing.paid"]).await;
    let given = within("the event comes", worker).await.unwrap();
    assert_eq!(cursors(&given["entries"]), ["2"]);
}

#[tokio::test]
async fn what_fails_five_times_is_a_dead_letter() {
    let server = Server::start();
    make(&server, "g", &json!({})).await;
    publish(&server, &["billing.paid"]).await;
    let fail = format!("{GROUPS}/g/fail");
    let body = json!({"consumer": "a", "cursors": ["1"], "error": "no such account"});
    for attempt in 1..=5 {
        let given = read(&server, "g", "a").await;
        assert_eq!(given["entries"][0]["attempt"], attempt);
        let failed = post(server.address, &fail, KEY, &body).await.json();
        let is_last = u64::from(attempt == 5);
        assert_eq!(failed, json!({"released": 1 - is_last, "dead": is_last}));
    }
    assert_eq!(read(&server, "g", "a").await["entries"], json!([]));
    let dead = format!("{GROUPS}/g/dead");
    let letters = get(server.address, &dead, KEY).await.json();
    let letter = &letters["dead"][0];
    assert_eq!(
        (&letter["cursor"], &letter["attempts"]),
        (&json!("1"), &json!(5))
    );
    assert_eq!(
        (&letter["consumer"], &letter["error"]),
        (&json!("a"), &json!("no such account"))
    );
    assert_eq!(letter["payload"]["event"], "billing.paid");
    assert_eq!(letter["diedAt"].as_str().unwrap().len(), 24);
    let next = get(server.address, &format!("{dead}?after=1"), KEY)
        .await
        .json();
    assert_eq!(next, json!({"dead": []}));
    let metrics = get(server.address, "/metrics", KEY).await.body;
    assert!(
        metrics.contains("dormouse_event_dead_letters_total 1"),
        "{metrics}"
    );
    let one = json!({"cursors": ["1"]});
    let retried = post(server.address, &format!("{dead}/retry"), KEY, &one).await;
    assert_eq!(retried.json(), json!({"retried": 1}));
    assert_eq!(read(&server, "g", "a").await["entries"][0]["attempt"], 1);
    let discarded = post(server.address, &format!("{dead}/discard"), KEY, &one).await;
    assert_eq!(
        discarded.json(),
        json!({"discarded": 0}),
        "it is no dead letter any more"
    );
}

#[tokio::test]
async fn the_log_is_read_over_http() {
    let server = Server::start();
    let empty = get(server.address, EVENTS, KEY).await.json();
    assert_eq!(empty, json!({"events": [], "head": "0"}));
    publish(&server, &["billing.paid", "recording.ready", "billing.due"]).await;
    let all = get(server.address, EVENTS, KEY).await.json();
    assert_eq!(
        (cursors(&all["events"]), &all["head"]),
        (vec!["1", "2", "3"], &json!("3"))
    );
    assert_eq!(all["events"][1]["channel"], "recording.ready");
    assert_eq!(all["events"][1]["payload"]["event"], "recording.ready");
    for (query, expected) in [
        ("limit=2", &["2", "3"][..]),
        ("limit=1&after=0", &["1"]),
        ("after=2", &["3"]),
        ("channels=billing.*", &["1", "3"]),
        ("channels=billing.due,recording.*&limit=1", &["3"]),
    ] {
        let found = get(server.address, &format!("{EVENTS}?{query}"), KEY)
            .await
            .json();
        assert_eq!(cursors(&found["events"]), expected, "{query}");
    }
}

#[tokio::test]
async fn every_bad_request_is_refused() {
    let server = Server::start();
    make(&server, "g", &json!({})).await;
    let many: Vec<String> = (0..1001).map(|cursor| cursor.to_string()).collect();
    let long = "x".repeat(65);
    let text = "x".repeat(1001);
    for (method, path, body, status, code) in [
        (Method::GET, "/other", json!(null), 404, "GROUP_NOT_FOUND"),
        (
            Method::DELETE,
            "/other",
            json!(null),
            404,
            "GROUP_NOT_FOUND",
        ),
        (
            Method::GET,
            "/other/dead",
            json!(null),
            404,
            "GROUP_NOT_FOUND",
        ),
        (
            Method::POST,
            "/other/read",
            json!({"consumer": "a"}),
            404,
            "GROUP_NOT_FOUND",
        ),
        (
            Method::POST,
            "/other/ack",
            json!({"cursors": ["1"]}),
            404,
            "GROUP_NOT_FOUND",
        ),
        (
            Method::POST,
            "/other/fail",
            json!({"consumer": "a", "cursors": ["1"]}),
            404,
            "GROUP_NOT_FOUND",
        ),
        (
            Method::POST,
            "/other/dead/retry",
            json!({"cursors": ["1"]}),
            404,
            "GROUP_NOT_FOUND",
        ),
        (
            Method::POST,
            "/other/dead/discard",
            json!({"cursors": ["1"]}),
            404,
            "GROUP_NOT_FOUND",
        ),
        (Method::PUT, "/a%20b", json!({}), 400, "BAD_REQUEST"),
        (
            Method::PUT,
            &*format!("/{long}"),
            json!({}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::PUT,
            "/h",
            json!({"channels": []}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::PUT,
            "/h",
            json!({"channels": ["call*"]}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::PUT,
            "/h",
            json!({"channels": "call.*"}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::PUT,
            "/h",
            json!({"start": "now"}),
            400,
            "BAD_REQUEST",
        ),
        (Method::PUT, "/h", json!({"start": "7"}), 400, "BAD_REQUEST"),
        (Method::PUT, "/h", json!([]), 400, "BAD_REQUEST"),
        (Method::POST, "/g/read", json!({}), 400, "BAD_REQUEST"),
        (
            Method::POST,
            "/g/read",
            json!({"consumer": ""}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::POST,
            "/g/read",
            json!({"consumer": "a", "count": 0}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::POST,
            "/g/read",
            json!({"consumer": "a", "count": 101}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::POST,
            "/g/read",
            json!({"consumer": "a", "blockMs": 1001}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::POST,
            "/g/ack",
            json!({"cursors": []}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::POST,
            "/g/ack",
            json!({"cursors": ["-1"]}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::POST,
            "/g/ack",
            json!({"cursors": many}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::POST,
            "/g/fail",
            json!({"cursors": ["1"]}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::POST,
            "/g/fail",
            json!({"consumer": "a", "cursors": ["1"], "error": text}),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::GET,
            "/g/dead?limit=0",
            json!(null),
            400,
            "BAD_REQUEST",
        ),
        (
            Method::GET,
            "/g/dead?after=x",
            json!(null),
            400,
            "BAD_REQUEST",
        ),
    ] {
        let body = Some(body).filter(|body| !body.is_null());
        let full = format!("{GROUPS}{path}");
        let answer = ask(method.clone(), server.address, &full, KEY, body.as_ref()).await;
        assert_eq!(
            answer.status, status,
            "{method} {path} {body:?}: {answer:?}"
        );
        assert_eq!(answer.json()["error"]["code"], code, "{method} {path}");
    }
    for query in [
        "limit=0",
        "limit=1001",
        "after=-1",
        "channels=*",
        "channels=call.*,,",
    ] {
        let answer = get(server.address, &format!("{EVENTS}?{query}"), KEY).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
    for path in [EVENTS, GROUPS] {
        let answer = get(server.address, path, "nobody's").await;
        assert_eq!(answer.status, 401, "{path}");
    }
}

#[tokio::test]
async fn groups_of_other_tenants_are_other_groups_and_outlive_a_sudden_end() {
    let folder = tempfile::tempdir().unwrap();
    let made = run_dormouse(folder.path(), &["apikey", "create", "--tenant", "acme"]).await;
    let key = made.stdout.trim_end().to_owned();
    let mut server = Dormouse::serve(folder.path(), &[]).await;
    let path = format!("{GROUPS}/g");
    for key in [KEY, &key] {
        let answer = ask(Method::PUT, server.address(), &path, key, None).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let event = json!({"event": "billing.paid"});
    assert_eq!(
        post(server.address(), EVENTS, &key, &event).await.status,
        200
    );
    let body = json!({"consumer": "a", "blockMs": 0});
    let read = format!("{path}/read");
    let other = post(server.address(), &read, KEY, &body).await.json();
    assert_eq!(other["entries"], json!([]), "another tenant's event");
    let own = post(server.address(), &read, &key, &body).await.json();
    assert_eq!(cursors(&own["entries"]), ["1"]);
    server.kill().await;
    let server = Dormouse::serve(folder.path(), &[]).await;
    let group = get(server.address(), &path, &key).await.json();
    assert_eq!(
        (&group["pending"], &group["position"]),
        (&json!(1), &json!("1"))
    );
    let ack = json!({"cursors": ["1"]});
    let done = post(server.address(), &format!("{path}/ack"), &key, &ack).await;
    assert_eq!(done.json(), json!({"acknowledged": 1}));
    eventually("nothing is pending", || async {
        let group = get(server.address(), &path, &key).await.json();
        (group["pending"] == 0).then_some(())
    })
    .await;
}
