//! Calls between Socket.IO clients, and between them and plain ones (Socket.IO contract,
//! section 9).

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::socket_io::SocketIo;

/// The number and data of the next `rpc-request`.
async fn request(target: &mut SocketIo) -> (String, Value) {
    let text = target.text().await;
    let start = text.find('[').unwrap();
    let mut items: Vec<Value> = serde_json::from_str(&text[start..]).unwrap();
    assert_eq!(items[0], "rpc-request", "{text}");
    (text[2..start].to_owned(), items.remove(1))
}

async fn register(target: &mut SocketIo, method: &str) {
    let data = json!({ "method": method });
    target.emit("rpc-register", &data).await;
    assert_eq!(target.expect("rpc-registered").await, data);
}

#[tokio::test]
async fn a_call_is_answered_with_the_first_argument_unchanged() {
    let server = Server::start();
    let mut target = SocketIo::connect(&server, "alice", json!({})).await;
    let mut caller = SocketIo::connect(&server, "alice", json!({})).await;
    register(&mut target, "m:run").await;
    for (answer, result) in [
        (r#"["text"]"#, json!("text")),
        (
            r#"[{"ok":false,"error":"mine"},"second"]"#,
            json!({ "ok": false, "error": "mine" }),
        ),
        ("[null]", Value::Null),
        ("[]", Value::Null),
    ] {
        caller
            .send(r#"420["rpc-call",{"method":"m:run","params":"p"}]"#)
            .await;
        let (number, data) = request(&mut target).await;
        assert_eq!(
            (&data["method"], &data["params"]),
            (&json!("m:run"), &json!("p"))
        );
        target.send(&format!("43{number}{answer}")).await;
        // A second answer is ignored.
        target.send(&format!("43{number}[\"late\"]")).await;
        let ack = caller.text().await;
        let ack: Value = serde_json::from_str(ack.strip_prefix("430").unwrap()).unwrap();
        assert_eq!((&ack[0]["ok"], &ack[0]["result"]), (&json!(true), &result));
        caller.quiet().await;
    }
    target
        .emit("rpc-unregister", &json!({ "method": "m:run" }))
        .await;
    assert_eq!(target.expect("rpc-unregistered").await["method"], "m:run");
    target.emit("rpc-register", &json!({ "method": 5 })).await;
    let error = json!({ "type": "register", "error": "Invalid method name" });
    assert_eq!(target.expect("rpc-error").await, error);
}

#[tokio::test]
async fn failures_are_told_in_the_words_of_the_contract() {
    let server = Server::with("socket_io.rpc_wait", "100ms").start();
    let mut target = SocketIo::connect(&server, "alice", json!({})).await;
    let mut caller = SocketIo::connect(&server, "alice", json!({})).await;
    let nobody = caller
        .asked(1, "rpc-call", &json!({ "method": "m:nobody" }))
        .await;
    assert_eq!(
        nobody,
        json!({ "ok": false, "error": "RPC method not available" })
    );
    for bad in [json!({}), json!({ "method": 1 }), json!("x"), Value::Null] {
        let ack = caller.asked(2, "rpc-call", &bad).await;
        let error = "Invalid parameters: method is required";
        assert_eq!(ack, json!({ "ok": false, "error": error }));
    }
    register(&mut target, "m:run").await;
    let own = target
        .asked(3, "rpc-call", &json!({ "method": "m:run" }))
        .await;
    let error = "Cannot call RPC on the same socket";
    assert_eq!(own, json!({ "ok": false, "error": error }));
    caller.send(r#"425["rpc-call",{"method":"m:run"}]"#).await;
    drop(target);
    let ack = caller.text().await;
    let ack: Value = serde_json::from_str(ack.strip_prefix("435").unwrap()).unwrap();
    assert_eq!(ack[0]["error"], "RPC target disconnected");
}

#[tokio::test]
async fn a_call_that_nobody_answers_times_out() {
    let server = Server::with("socket_io.rpc_timeout", "100ms").start();
    let mut target = SocketIo::connect(&server, "alice", json!({})).await;
    let mut caller = SocketIo::connect(&server, "alice", json!({})).await;
    register(&mut target, "m:run").await;
    let slow = caller
        .asked(1, "rpc-call", &json!({ "method": "m:run" }))
        .await;
    assert_eq!(slow["error"], "operation has timed out");
}

#[tokio::test]
async fn a_call_waits_for_its_method_to_be_served_in_any_shard() {
    // Two shards of one connection each but the first, so that the three are apart.
    let server = Server::with("workers", "3")
        .set("auth.default_tier", "spread")
        .set("socket_io.rpc_wait", "1m")
        .tier("spread", 1, 3)
        .start();
    let mut caller = SocketIo::connect(&server, "alice", json!({})).await;
    caller
        .send(r#"420["rpc-call",{"method":"m:late","params":1}]"#)
        .await;
    let mut targets = Vec::new();
    for _ in 0..2 {
        targets.push(SocketIo::connect(&server, "alice", json!({})).await);
    }
    // Its ack says that the call was placed before.
    caller.quiet().await;
    let last = targets.last_mut().unwrap();
    register(last, "m:late").await;
    let (number, data) = request(last).await;
    assert_eq!(data["params"], 1);
    last.send(&format!("43{number}[\"here\"]")).await;
    let ack = caller.text().await;
    let ack: Value = serde_json::from_str(ack.strip_prefix("430").unwrap()).unwrap();
    assert_eq!(ack[0]["result"], "here");
}

#[tokio::test]
async fn the_newest_registration_wins_and_the_older_cannot_undo_it() {
    let server = Server::start();
    let mut old = SocketIo::connect(&server, "alice", json!({})).await;
    let mut new = SocketIo::connect(&server, "alice", json!({})).await;
    let mut caller = SocketIo::connect(&server, "alice", json!({})).await;
    register(&mut old, "m:run").await;
    register(&mut new, "m:run").await;
    drop(old);
    server.until_connections("alice", 2).await;
    caller.send(r#"420["rpc-call",{"method":"m:run"}]"#).await;
    let (number, _) = request(&mut new).await;
    new.send(&format!("43{number}[1]")).await;
    assert!(
        caller
            .text()
            .await
            .starts_with("430[{\"ok\":true,\"result\":1")
    );
}

#[tokio::test]
async fn only_plain_clients_are_found_by_prefix() {
    let server = Server::with("socket_io.rpc_wait", "100ms").start();
    let fields = json!({ "clientType": "machine-scoped", "machineId": "m" });
    let mut silent = SocketIo::connect(&server, "alice", fields).await;
    let mut caller = SocketIo::connect(
        &server,
        "alice",
        json!({ "clientType": "session-scoped", "sessionId": "s" }),
    )
    .await;
    let ack = caller
        .asked(1, "rpc-call", &json!({ "method": "m:run" }))
        .await;
    assert_eq!(ack["error"], "RPC method not available");
    let mut plain = server.connect_machine("alice", "m").await;
    caller
        .send(r#"422["rpc-call",{"method":"m:run","params":"p"}]"#)
        .await;
    let asked = plain.json().await;
    assert_eq!(asked["event"], "rpc-request");
    plain
        .send(&json!({ "event": "rpc-response", "ackId": asked["ackId"], "ack": "yes" }))
        .await;
    let ack = caller.text().await;
    let ack: Value = serde_json::from_str(ack.strip_prefix("432").unwrap()).unwrap();
    assert_eq!(ack[0]["result"], "yes");
    silent.quiet().await;
}
