//! Calls between a user's connections (realtime contract, section 6).

use serde_json::{Value, json};

use crate::support::{Builder, Client, Server};

/// Registers a connection for a method.
async fn register(client: &mut Client, method: &str) {
    client
        .tell("rpc-register", &json!({ "method": method }))
        .await;
    let registered = client.expect("rpc-registered").await;
    assert_eq!(registered, json!({ "method": method }));
}

/// Calls without waiting for the result.
async fn call(client: &mut Client, method: &str, correlation: &str) {
    let data = json!({ "method": method, "params": "sealed" });
    client.ask("rpc-call", &data, &json!(correlation)).await;
}

/// Reads a request for a method; returns its id.
async fn requested(client: &mut Client, method: &str) -> String {
    let request = client.json().await;
    let id = request["ackId"].as_str().unwrap().to_owned();
    assert!(id.len() >= 16, "made by the server: {request}");
    let data = json!({ "method": method, "params": "sealed", "requestId": id });
    assert_eq!(
        request,
        json!({ "event": "rpc-request", "data": data, "ackId": id })
    );
    id
}

async fn answer(client: &mut Client, id: &str, value: Value) {
    client
        .send(&json!({ "event": "rpc-response", "ackId": id, "ack": value }))
        .await;
}

/// Reads the ack of a call.
async fn result(client: &mut Client, correlation: &str) -> Value {
    let mut ack = client.json().await;
    assert_eq!(ack["event"], "ack", "{ack}");
    assert_eq!(ack["ackId"], correlation, "{ack}");
    ack["ack"].take()
}

fn check_failure(ack: &Value, id: Option<&str>, is_cancelled: bool) {
    let error = ack["error"].as_str().unwrap_or_default();
    assert!(error.len() > 5, "{ack}");
    let mut expected = json!({ "ok": false, "error": error });
    if let Some(id) = id {
        expected["requestId"] = id.into();
    }
    if is_cancelled {
        expected["cancelled"] = true.into();
    }
    assert_eq!(*ack, expected);
}

#[tokio::test]
async fn a_call_reaches_who_serves_it_and_its_answer_the_caller_alone() {
    let server = Server::start();
    let mut agent = server.connect_session("alice", "s1").await;
    let mut app = server.connect("alice").await;
    let mut other = server.connect("alice").await;
    register(&mut agent, "s1:bash").await;
    for event in ["rpc-call", "rpc-request"] {
        let data = json!({ "method": "s1:bash", "params": "sealed" });
        app.ask(event, &data, &json!("c1")).await;
        let id = requested(&mut agent, "s1:bash").await;
        answer(&mut agent, &id, json!({ "ok": true, "sealed": "x" })).await;
        let ack = result(&mut app, "c1").await;
        assert_eq!(ack, json!({ "ok": true, "sealed": "x", "requestId": id }));
    }
    for client in [&mut app, &mut agent, &mut other] {
        client.quiet().await;
    }
}

#[tokio::test]
async fn answers_of_every_kind_are_passed_on() {
    let server = Server::start();
    let mut agent = server.connect_session("alice", "s1").await;
    let mut app = server.connect("alice").await;
    register(&mut agent, "s1:x").await;
    // What has no `ok` of its own becomes the result; what has one is completed by the id.
    for value in [json!("sealed"), Value::Null, json!([1]), json!({ "no": 1 })] {
        call(&mut app, "s1:x", "c").await;
        let id = requested(&mut agent, "s1:x").await;
        answer(&mut agent, &id, value.clone()).await;
        let expected = json!({ "ok": true, "result": value, "requestId": id });
        assert_eq!(result(&mut app, "c").await, expected);
    }
    for value in [
        json!({ "ok": false, "error": "sealed" }),
        json!({ "ok": true, "requestId": "own" }),
    ] {
        call(&mut app, "s1:x", "c").await;
        let id = requested(&mut agent, "s1:x").await;
        answer(&mut agent, &id, value.clone()).await;
        let mut expected = value;
        if expected.get("requestId").is_none() {
            expected["requestId"] = id.into();
        }
        assert_eq!(result(&mut app, "c").await, expected);
    }
    // An answer without a value is null.
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut agent, "s1:x").await;
    agent
        .send(&json!({ "event": "rpc-response", "ackId": id }))
        .await;
    let expected = json!({ "ok": true, "result": null, "requestId": id });
    assert_eq!(result(&mut app, "c").await, expected);
}

#[tokio::test]
async fn only_the_first_answer_of_who_was_asked_counts() {
    let server = Server::start();
    let mut agent = server.connect_session("alice", "s1").await;
    let mut app = server.connect("alice").await;
    let mut meddler = server.connect_session("alice", "s2").await;
    let mut stranger = server.connect("bob").await;
    register(&mut agent, "s1:x").await;
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut agent, "s1:x").await;
    for client in [&mut meddler, &mut stranger, &mut app] {
        answer(client, &id, json!("forged")).await;
        client.quiet().await;
    }
    for id in ["", "unknown", "00-0", "x-99999999999"] {
        answer(&mut agent, id, json!("unasked")).await;
    }
    answer(&mut agent, &id, json!("true")).await;
    answer(&mut agent, &id, json!("late")).await;
    let expected = json!({ "ok": true, "result": "true", "requestId": id });
    assert_eq!(result(&mut app, "c").await, expected);
    agent.quiet().await;
    app.quiet().await;
}

#[tokio::test]
async fn the_last_registrant_serves_and_only_it_can_unregister() {
    let server = Server::start();
    let mut first = server.connect_session("alice", "s1").await;
    let mut second = server.connect("alice").await;
    let mut app = server.connect("alice").await;
    register(&mut first, "s1:x").await;
    register(&mut second, "s1:x").await;
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut second, "s1:x").await;
    answer(&mut second, &id, json!(1)).await;
    result(&mut app, "c").await;
    // It is told the same, and nothing changes.
    let method = json!({ "method": "s1:x" });
    first.tell("rpc-unregister", &method).await;
    assert_eq!(first.expect("rpc-unregistered").await, method);
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut second, "s1:x").await;
    answer(&mut second, &id, json!(2)).await;
    result(&mut app, "c").await;
    second.tell("rpc-unregister", &method).await;
    assert_eq!(second.expect("rpc-unregistered").await, method);
    // Nobody is registered: the session that the method names is asked.
    call(&mut app, "s1:x", "c").await;
    requested(&mut first, "s1:x").await;
}

#[tokio::test]
async fn bad_registrations_are_refused_by_kind() {
    let server = Server::start();
    let mut client = server.connect_session("alice", "s1").await;
    for (event, kind) in [
        ("rpc-register", "register"),
        ("rpc-unregister", "unregister"),
    ] {
        for data in [
            Value::Null,
            json!("s1:x"),
            json!({}),
            json!({ "method": "" }),
            json!({ "method": 5 }),
            json!({ "method": "x".repeat(10_000) }),
        ] {
            client.tell(event, &data).await;
            let refusal = client.expect("rpc-error").await;
            assert_eq!(refusal["type"], kind, "{refusal}");
            assert!(refusal["error"].is_string(), "{refusal}");
        }
    }
    client.quiet().await;
}

#[tokio::test]
async fn without_a_registration_machines_come_first_then_sessions_then_apps() {
    let server = Server::start();
    let mut session = server.connect_session("alice", "both").await;
    let mut session_too = server.connect_session("alice", "both").await;
    let mut caller = server.connect_session("alice", "s9").await;
    let mut app = server.connect("alice").await;
    // A label makes no target: apps are asked as apps only.
    let mut labelled = server.connect_as("alice", &[("machineId", "both")]).await;
    let mut machine = server.connect_machine("alice", "both").await;
    for client in [&mut app, &mut labelled] {
        client.expect("ephemeral").await;
        client.expect("ephemeral").await;
    }
    call(&mut app, "both:x", "c").await;
    let id = requested(&mut machine, "both:x").await;
    answer(&mut machine, &id, json!(1)).await;
    result(&mut app, "c").await;
    machine.close(1000).await;
    for client in [&mut app, &mut labelled] {
        client.expect("ephemeral").await;
        client.expect("ephemeral").await;
    }
    // All sessions of that name are asked; the first to answer wins.
    call(&mut app, "both:x", "c").await;
    let id = requested(&mut session, "both:x").await;
    assert_eq!(requested(&mut session_too, "both:x").await, id);
    answer(&mut session_too, &id, json!("second was first")).await;
    assert_eq!(result(&mut app, "c").await["result"], "second was first");
    answer(&mut session, &id, json!("late")).await;
    session.quiet().await;
    // Nobody has that id: an app is told at once, others ask the apps.
    call(&mut app, "nobody:x", "c").await;
    check_failure(&result(&mut app, "c").await, None, false);
    let data = json!({ "method": "nobody:x", "params": "sealed" });
    for event in ["rpc-call", "rpc-request"] {
        caller.ask(event, &data, &json!("c")).await;
        for client in [&mut app, &mut labelled] {
            let request = client.json().await;
            assert_eq!(request["event"], event, "kept as sent: {request}");
            assert_eq!(request["data"]["requestId"], request["ackId"]);
            let id = request["ackId"].as_str().unwrap().to_owned();
            answer(client, &id, json!("by an app")).await;
        }
        assert_eq!(result(&mut caller, "c").await["result"], "by an app");
    }
    for client in [
        &mut app,
        &mut labelled,
        &mut session,
        &mut session_too,
        &mut caller,
    ] {
        client.quiet().await;
    }
}

#[tokio::test]
async fn nobody_is_asked_to_answer_itself() {
    let server = Server::start();
    let mut machine = server.connect_machine("alice", "m1").await;
    register(&mut machine, "m1:x").await;
    call(&mut machine, "m1:x", "c").await;
    check_failure(&result(&mut machine, "c").await, None, false);
    let mut app = server.connect("alice").await;
    register(&mut app, "m2:x").await;
    call(&mut app, "m2:x", "c").await;
    check_failure(&result(&mut app, "c").await, None, false);
}

#[tokio::test]
async fn calls_without_a_usable_method_fail_at_once() {
    let server = Server::start();
    let mut app = server.connect("alice").await;
    for data in [
        Value::Null,
        json!("s1:x"),
        json!([]),
        json!({}),
        json!({ "method": "" }),
        json!({ "method": 5 }),
        json!({ "method": null, "params": "x" }),
    ] {
        check_failure(&app.acked("rpc-call", &data).await, None, false);
    }
}

#[tokio::test]
async fn a_call_without_an_id_is_passed_on_and_forgotten() {
    let server = Server::start();
    let mut agent = server.connect_session("alice", "s1").await;
    let mut app = server.connect("alice").await;
    app.tell("rpc-call", &json!({ "method": "s1:x", "params": "sealed" }))
        .await;
    let id = requested(&mut agent, "s1:x").await;
    answer(&mut agent, &id, json!(1)).await;
    agent.quiet().await;
    app.quiet().await;
}

#[tokio::test]
async fn a_cancelled_call_ends_on_both_sides() {
    let server = Server::start();
    let mut agent = server.connect_session("alice", "s1").await;
    let mut app = server.connect("alice").await;
    let mut other = server.connect("alice").await;
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut agent, "s1:x").await;
    // Only the caller may cancel, and only what is open.
    for (client, id) in [(&mut other, id.as_str()), (&mut app, "unknown")] {
        let ack = client
            .acked("rpc-cancel", &json!({ "requestId": id }))
            .await;
        check_failure(&ack, None, false);
    }
    app.tell("rpc-cancel", &json!({ "requestId": id })).await;
    let cancel = agent.expect("rpc-cancel").await;
    assert_eq!(cancel, json!({ "requestId": id, "method": "s1:x" }));
    check_failure(&result(&mut app, "c").await, Some(&id), true);
    answer(&mut agent, &id, json!("late")).await;
    agent.quiet().await;
    app.quiet().await;
}

#[tokio::test]
async fn a_call_fails_at_once_when_its_last_target_goes() {
    let server = Server::start();
    let first = server.connect_session("alice", "s1").await;
    let mut second = server.connect_session("alice", "s1").await;
    let mut app = server.connect("alice").await;
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut second, "s1:x").await;
    drop(first);
    server.until_connections("alice", 2).await;
    app.quiet().await;
    drop(second);
    check_failure(&result(&mut app, "c").await, Some(&id), false);
    // Registrations go with their connection.
    let mut agent = server.connect_session("alice", "s2").await;
    register(&mut agent, "any:x").await;
    drop(agent);
    server.until_connections("alice", 1).await;
    call(&mut app, "any:x", "c").await;
    check_failure(&result(&mut app, "c").await, None, false);
}

#[tokio::test]
async fn a_caller_that_goes_cancels_its_calls() {
    let server = Server::start();
    let mut agent = server.connect_session("alice", "s1").await;
    let mut app = server.connect("alice").await;
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut agent, "s1:x").await;
    drop(app);
    let cancel = agent.expect("rpc-cancel").await;
    assert_eq!(cancel, json!({ "requestId": id, "method": "s1:x" }));
}

#[tokio::test]
async fn a_call_that_nobody_answers_ends() {
    let server = Server::with("limits.rpc_timeout", "100ms").start();
    let mut agent = server.connect_session("alice", "s1").await;
    let mut app = server.connect("alice").await;
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut agent, "s1:x").await;
    check_failure(&result(&mut app, "c").await, Some(&id), true);
    assert_eq!(agent.expect("rpc-cancel").await["requestId"], id.as_str());
}

#[tokio::test]
async fn open_calls_are_bounded() {
    let server = Server::with("limits.rpc_open_calls", "2").start();
    let mut agent = server.connect_session("alice", "s1").await;
    let mut app = server.connect("alice").await;
    let mut ids = Vec::new();
    for correlation in ["a", "b"] {
        call(&mut app, "s1:x", correlation).await;
        ids.push(requested(&mut agent, "s1:x").await);
    }
    assert_ne!(ids[0], ids[1]);
    call(&mut app, "s1:x", "c").await;
    check_failure(&result(&mut app, "c").await, None, false);
    agent.quiet().await;
    answer(&mut agent, &ids[0], json!(1)).await;
    result(&mut app, "a").await;
    call(&mut app, "s1:x", "d").await;
    requested(&mut agent, "s1:x").await;
}

#[tokio::test]
async fn calls_cross_shards() {
    let server = Builder::default().tier("spread", 1, 4).start();
    let token = server.token_of_tier("alice", "spread");
    let session = [("clientType", "session-scoped"), ("sessionId", "s1")];
    let mut app = server.connect_with(&token, &[]).await;
    let mut agent = server.connect_with(&token, &session).await;
    let mut second = server.connect_with(&token, &session).await;
    assert_eq!(server.stats("alice").await.shards.len(), 3);
    register(&mut agent, "s1:x").await;
    register(&mut second, "s1:x").await;
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut second, "s1:x").await;
    answer(&mut agent, &id, json!("not asked")).await;
    answer(&mut second, &id, json!("asked")).await;
    assert_eq!(result(&mut app, "c").await["result"], "asked");
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut second, "s1:x").await;
    app.tell("rpc-cancel", &json!({ "requestId": id })).await;
    assert_eq!(second.expect("rpc-cancel").await["requestId"], id.as_str());
    check_failure(&result(&mut app, "c").await, Some(&id), true);
    call(&mut app, "s1:x", "c").await;
    let id = requested(&mut second, "s1:x").await;
    drop(second);
    check_failure(&result(&mut app, "c").await, Some(&id), false);
    call(&mut app, "s1:x", "c").await;
    requested(&mut agent, "s1:x").await;
    drop(app);
    agent.expect("rpc-cancel").await;
}
