//! The dashboard: who may connect, what newcomers are told, and what each event leads to (Socket.IO
//! contract, sections 11 and 12).

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::socket_io::SocketIo;
use crate::support::{Builder, Client, Handshake, Server, eventually, http};

/// A dashboard whose tasks are quick.
fn quick() -> Builder {
    Server::with("dashboard.task_step", "10ms")
}

/// With the token of the dashboard's own user.
async fn call(server: &Server, method: Method, path: &str, body: Option<Value>) -> http::Answer {
    let token = server.token("dashboard");
    http::send(method, server.address, path, Some(&token), body.as_ref()).await
}

async fn agent(server: &Server, name: &str) -> String {
    let path = format!("/v1/dashboard/agents/{name}");
    let answer = call(
        server,
        Method::PUT,
        &path,
        Some(json!({ "role": "tester" })),
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["agent"]["role"], "tester");
    answer["agent"]["id"].as_str().unwrap().to_owned()
}

async fn tell(server: &Server, event: &str, data: Value) -> Value {
    let body = json!({ "event": event, "data": data });
    let answer = call(server, Method::POST, "/v1/dashboard/events", Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn tell_organisation(server: &Server, slug: &str, event: &str, data: Value) {
    let body = json!({ "event": event, "data": data, "orgSlug": slug });
    let answer = call(server, Method::POST, "/v1/dashboard/events", Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn without_stamp(mut data: Value) -> Value {
    let stamp = data.as_object_mut().unwrap().remove("_emitTimestamp");
    assert!(stamp.unwrap().is_u64());
    data
}

/// The next event, which must be this one, without its stamp.
async fn next(socket: &mut SocketIo, event: &str) -> Value {
    without_stamp(socket.expect(event).await)
}

#[tokio::test]
async fn a_transport_opens_with_the_terms_of_the_dashboard() {
    let server = Server::start();
    let (mut socket, opening) = SocketIo::open_dashboard(server.address, &[]).await;
    assert_eq!(opening["pingInterval"], 25_000);
    assert_eq!(opening["pingTimeout"], 20_000);
    assert_eq!(opening["maxPayload"], 1_000_000);
    socket.send("40").await;
    socket.connected().await;
    let init = socket.expect("init").await;
    let lists = ["agents", "pendingDrafts", "tasks", "messages"];
    assert!(lists.iter().all(|list| init[list] == json!([])), "{init}");
    assert_eq!(init["gameState"], Value::Null);
    assert!(init["timestamp"].is_u64());
    socket.quiet().await;
    // Its connections are those of its user, like any other.
    server.until_connections("dashboard", 1).await;
    let path = "/socket.io?EIO=4&transport=polling";
    let polled = http::get(server.address, path, None).await;
    assert!(
        polled.body.contains(r#""upgrades":["websocket"]"#),
        "{polled:?}"
    );
}

#[tokio::test]
async fn pages_connect_from_the_configured_origin_only() {
    let server = Server::start();
    let path = "/socket.io/?EIO=4&transport=polling";
    let ask = async |origin: &str| {
        let headers = [("Origin", origin)];
        http::send_with(Method::GET, server.address, path, &headers, None).await
    };
    let good = ask("http://localhost:5173").await;
    assert_eq!(good.status, 200);
    let allowed = good.header("access-control-allow-origin");
    assert_eq!(allowed, Some("http://localhost:5173"));
    for foreign in ["http://localhost:3000", "https://evil.example", "null"] {
        let answer = ask(foreign).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (403, json!(4))
        );
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let handshake = Handshake::to("/socket.io")
            .query("EIO", "4")
            .query("transport", "websocket")
            .header("Origin", foreign);
        let refused = Client::try_open(server.address, handshake).await.err();
        assert_eq!(refused.unwrap().status(), 403, "{foreign}");
    }
}

#[tokio::test]
async fn there_is_a_dashboard_only_where_it_is_wanted() {
    let server = Server::with("dashboard.access", "off").start();
    let path = "/socket.io/?EIO=4&transport=polling";
    assert_eq!(http::get(server.address, path, None).await.status, 404);
    let token = server.token("dashboard");
    let answer = http::get(server.address, "/v1/dashboard", Some(&token)).await;
    assert_eq!(answer.status, 404);
    let handshake = Handshake::to("/socket.io/")
        .query("EIO", "4")
        .query("transport", "websocket");
    let refused = Client::try_open(server.address, handshake).await.err();
    assert_eq!(refused.unwrap().status(), 404);
}

#[tokio::test]
async fn a_token_is_verified_and_may_be_demanded() {
    let open = Server::start();
    let (mut socket, _) = SocketIo::open_dashboard(open.address, &[]).await;
    socket.send(r#"40{"token":"bad"}"#).await;
    let refusal = r#"44{"message":"Invalid authentication token"}"#;
    assert_eq!(socket.text().await, refusal);
    let closed = Server::with("dashboard.access", "token").start();
    let (mut socket, _) = SocketIo::open_dashboard(closed.address, &[]).await;
    socket.send("40{}").await;
    let refusal = r#"44{"message":"Missing authentication token"}"#;
    assert_eq!(socket.text().await, refusal);
    socket.join(&closed.token("alice"), json!({})).await;
    socket.expect("init").await;
    // HTTP is for the dashboard's own user.
    let token = closed.token("alice");
    let answer = http::get(closed.address, "/v1/dashboard", Some(&token)).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn an_assigned_task_is_executed_before_all_eyes() {
    let server = quick().start();
    let id = agent(&server, "ada").await;
    let (mut player, init) = SocketIo::dashboard(server.address).await;
    assert_eq!(init["agents"][0]["name"], "ada");
    assert_eq!(init["agents"][0]["status"], "idle");
    let (mut other, _) = SocketIo::dashboard(server.address).await;
    let task = json!({ "agentId": "ada", "title": "t", "description": "d", "extra": 1 });
    let ack = player.asked(1, "task:assign", &task).await;
    assert_eq!(ack["success"], true);
    let task = ack["taskId"].as_str().unwrap().to_owned();
    for socket in [&mut player, &mut other] {
        let status = next(socket, "agent:status").await;
        let working = json!({ "agentId": id, "status": "working", "taskId": task });
        assert_eq!(status, working);
        for progress in [0, 25, 50, 75, 100] {
            let expected = json!({ "taskId": task, "progress": progress });
            assert_eq!(next(socket, "task:progress").await, expected);
        }
        let completed = next(socket, "task:completed").await;
        assert_eq!(completed["taskId"], *task);
        assert!(completed["result"].is_object());
        let idle = json!({ "agentId": id, "status": "idle" });
        assert_eq!(next(socket, "agent:status").await, idle);
        socket.quiet().await;
    }
    let unknown = json!({ "agentId": "bob", "title": "t", "description": "d" });
    let ack = player.asked(2, "task:assign", &unknown).await;
    let failure = json!({ "success": false, "error": "Agent bob not found" });
    assert_eq!(ack, failure);
    // Without an id nothing is answered, whatever comes of it.
    player.emit("task:assign", &unknown).await;
    player.emit("task:assign", &json!(5)).await;
    player.quiet().await;
    let ack = player
        .asked(3, "task:assign", &json!({ "agentId": "ada" }))
        .await;
    assert_eq!(ack["success"], false);
}

#[tokio::test]
async fn under_load_agents_are_made_and_a_task_is_one_event() {
    let server = Server::with("dashboard.load", "true").start();
    let (mut player, _) = SocketIo::dashboard(server.address).await;
    let (mut other, _) = SocketIo::dashboard(server.address).await;
    let task = json!({
        "agentId": "test-agent-7", "title": "t", "description": "d", "priority": "normal",
        "_testTimestamp": 1,
    });
    let ack = player.asked(1, "task:assign", &task).await;
    let expected = json!({ "taskId": ack["taskId"], "progress": 0 });
    assert_eq!(next(&mut player, "task:progress").await, expected);
    assert_eq!(next(&mut other, "task:progress").await, expected);
    other.quiet().await;
    let (_, init) = SocketIo::dashboard(server.address).await;
    assert_eq!(init["agents"][0]["name"], "test-agent-7");
}

#[tokio::test]
async fn messages_go_to_agents_and_are_shown_to_newcomers() {
    let server = quick().start();
    let id = agent(&server, "ada").await;
    let (mut player, _) = SocketIo::dashboard(server.address).await;
    let letter = json!({ "toAgentId": "ada", "subject": "s", "body": "b" });
    let ack = player.asked(1, "message:send", &letter).await;
    assert_eq!(ack["success"], true);
    let new = next(&mut player, "message:new").await;
    assert_eq!(
        (&new["toAgentId"], &new["message"]["id"]),
        (&json!(id), &ack["messageId"])
    );
    let log = next(&mut player, "activity:log").await;
    assert_eq!(log["eventType"], "message_sent");
    let (_, init) = SocketIo::dashboard(server.address).await;
    assert_eq!(init["messages"][0]["toAgent"]["name"], "ada");
    let ack = player
        .asked(
            2,
            "message:send",
            &json!({ "toAgentId": "x", "subject": "", "body": "" }),
        )
        .await;
    assert_eq!(ack["error"], "Agent x not found");
    let long = json!({ "toAgentId": "ada", "subject": "s", "body": "x".repeat(5000) });
    let ack = player.asked(3, "message:send", &long).await;
    assert_eq!(ack["error"], "body has at most 4096 bytes");
}

#[tokio::test]
async fn a_draft_is_decided_about_once() {
    let server = quick().start();
    let id = agent(&server, "ada").await;
    let (mut player, _) = SocketIo::dashboard(server.address).await;
    let (mut other, _) = SocketIo::dashboard(server.address).await;
    let content = json!({ "recipient": "a@example.com", "subject": "s", "body": "b" });
    let draft = json!({ "fromAgent": "ada", "content": content });
    let mut drafts = Vec::new();
    for _ in 0..2 {
        let told = tell(&server, "draft:pending", draft.clone()).await;
        let draft = told["id"].as_str().unwrap().to_owned();
        let expected = json!({ "draftId": draft, "fromAgent": id, "content": content });
        assert_eq!(next(&mut player, "draft:pending").await, expected);
        other.expect("draft:pending").await;
        drafts.push(draft);
    }
    let (_, init) = SocketIo::dashboard(server.address).await;
    assert_eq!(init["pendingDrafts"].as_array().unwrap().len(), 2);
    let approve = json!({ "draftId": drafts[0] });
    let ack = player.asked(1, "draft:approve", &approve).await;
    assert_eq!(ack, json!({ "success": true, "messageId": drafts[0] }));
    assert_eq!(
        next(&mut other, "activity:log").await["eventType"],
        "draft_approved"
    );
    player.expect("activity:log").await;
    let ack = other.asked(1, "draft:reject", &approve).await;
    let gone = format!("Draft {} not found", drafts[0]);
    assert_eq!(ack, json!({ "success": false, "error": gone }));
    let reject = json!({ "draftId": drafts[1], "reason": "no" });
    let ack = other.asked(2, "draft:reject", &reject).await;
    assert_eq!(ack, json!({ "success": true }));
    assert_eq!(next(&mut player, "draft:rejected").await, reject);
    let (_, init) = SocketIo::dashboard(server.address).await;
    assert_eq!(init["pendingDrafts"], json!([]));
}

#[tokio::test]
async fn the_players_view_is_kept() {
    let server = quick().start();
    let (mut player, _) = SocketIo::dashboard(server.address).await;
    let view = json!({ "camera": { "x": 3, "y": 4, "zoom": 2 }, "ui": { "open": ["a"] } });
    player.emit("state:sync", &view).await;
    player.quiet().await;
    let (_, init) = SocketIo::dashboard(server.address).await;
    let game = &init["gameState"];
    assert_eq!(
        (&game["cameraPosition"], &game["uiState"]),
        (&view["camera"], &view["ui"])
    );
    assert_eq!(
        (&game["playerId"], &game["budgetLimitUsd"]),
        (&json!("default"), &json!(100.0))
    );
}

#[tokio::test]
async fn what_is_durable_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    // Sockets' attachments are not what this is about: each server has a folder of its own.
    let url = format!("sqlite:{}", folder.path().join("shared.db").display());
    let builder = || Server::with("database.url", &url);
    let content = json!({ "recipient": "r", "subject": "s", "body": "b" });
    {
        // Its task is never done in time.
        let server = builder().set("dashboard.task_step", "1h").start();
        agent(&server, "ada").await;
        let (mut player, _) = SocketIo::dashboard(server.address).await;
        let letter = json!({ "toAgentId": "ada", "subject": "s", "body": "b" });
        assert_eq!(
            player.asked(1, "message:send", &letter).await["success"],
            true
        );
        player
            .emit("state:sync", &json!({ "camera": { "x": 9 } }))
            .await;
        player.expect("message:new").await;
        player.expect("activity:log").await;
        player.quiet().await;
        tell(
            &server,
            "draft:pending",
            json!({ "fromAgent": "ada", "content": content }),
        )
        .await;
        player.expect("draft:pending").await;
        let task = json!({ "agentId": "ada", "title": "t" });
        assert_eq!(player.asked(2, "task:assign", &task).await["success"], true);
    }
    let server = builder().set("dashboard.task_step", "1h").start();
    let (_, init) = SocketIo::dashboard(server.address).await;
    assert_eq!(init["agents"][0]["name"], "ada");
    assert_eq!(init["messages"][0]["subject"], "s");
    assert_eq!(init["pendingDrafts"][0]["externalRecipient"], "r");
    assert_eq!(init["gameState"]["cameraPosition"], json!({ "x": 9 }));
    // The task that was under way is under way again.
    eventually("the task goes on", async || {
        let (_, init) = SocketIo::dashboard(server.address).await;
        (init["tasks"][0]["status"] == "in_progress").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_task_that_fails_is_tried_again() {
    let server = Server::with("dashboard.task_step", "1h").start();
    let id = agent(&server, "ada").await;
    let (mut player, _) = SocketIo::dashboard(server.address).await;
    let task = json!({ "agentId": id, "title": "t", "description": "d", "priority": "urgent" });
    let ack = player.asked(1, "task:assign", &task).await;
    let task = ack["taskId"].clone();
    player.expect("agent:status").await;
    player.expect("task:progress").await;
    for retry in 1..=3 {
        tell(
            &server,
            "task:failed",
            json!({ "taskId": task, "error": "broken" }),
        )
        .await;
        let failed = next(&mut player, "task:failed").await;
        assert_eq!(failed, json!({ "taskId": task, "error": "broken" }));
        let log = next(&mut player, "activity:log").await;
        assert_eq!(log["eventType"], "task_retried");
        assert_eq!(log["eventData"]["retryCount"], retry);
        let mut events: Vec<String> = Vec::new();
        for _ in 0..3 {
            let text = player.text().await;
            let items: Vec<Value> = serde_json::from_str(&text[2..]).unwrap();
            events.push(items[0].as_str().unwrap().to_owned());
        }
        events.sort();
        assert_eq!(events, ["agent:status", "agent:status", "task:progress"]);
    }
    tell(
        &server,
        "task:failed",
        json!({ "taskId": task, "error": "broken" }),
    )
    .await;
    player.expect("task:failed").await;
    let idle = json!({ "agentId": id, "status": "idle" });
    assert_eq!(next(&mut player, "agent:status").await, idle);
    let body = json!({ "event": "task:failed", "data": { "taskId": task, "error": "x" } });
    let gone = call(&server, Method::POST, "/v1/dashboard/events", Some(body)).await;
    assert_eq!(gone.status, 404, "it has failed for good");
}

#[tokio::test]
async fn backends_tell_of_everything_else() {
    let server = Server::with("dashboard.task_step", "1h").start();
    let id = agent(&server, "ada").await;
    let (mut player, _) = SocketIo::dashboard(server.address).await;
    tell(
        &server,
        "agent:status",
        json!({ "agentId": "ada", "status": "blocked" }),
    )
    .await;
    let status = next(&mut player, "agent:status").await;
    assert_eq!(status, json!({ "agentId": id, "status": "blocked" }));
    for event in ["task:created", "task:updated"] {
        let data = json!({ "team": "a", "taskId": "7", "task": { "subject": "x" } });
        tell(&server, event, data.clone()).await;
        assert_eq!(next(&mut player, event).await, data);
    }
    let data = json!({ "team": "a", "taskId": "7" });
    tell(&server, "task:deleted", data.clone()).await;
    assert_eq!(next(&mut player, "task:deleted").await, data);
    let log = json!({ "agentId": "ada", "eventType": "x", "eventData": { "n": 1 } });
    tell(&server, "activity:log", log.clone()).await;
    assert_eq!(next(&mut player, "activity:log").await, log);
    let claude = json!({ "event": "PreToolUse", "sessionId": "s", "data": { "tool": "Bash" } });
    let kept = tell(&server, "claude:event", claude).await;
    let told = next(&mut player, "claude:event").await;
    assert_eq!(
        (&told["id"], &told["sessionId"]),
        (&kept["id"], &json!("s"))
    );
    assert!(told["timestamp"].is_u64());
    let all = call(&server, Method::GET, "/v1/dashboard/claude-events", None).await;
    assert_eq!(all.json()["events"], json!([told]));
    let task = json!({ "agentId": id, "title": "t" });
    let task = player.asked(1, "task:assign", &task).await["taskId"].clone();
    player.expect("agent:status").await;
    player.expect("task:progress").await;
    // Whoever tells of a task executes it: no simulation any more.
    let progress = json!({ "taskId": task, "progress": 40, "details": { "step": "build" } });
    tell(&server, "task:progress", progress.clone()).await;
    assert_eq!(next(&mut player, "task:progress").await, progress);
    tell(
        &server,
        "task:completed",
        json!({ "taskId": task, "result": { "ok": 1 } }),
    )
    .await;
    let done = next(&mut player, "task:completed").await;
    assert_eq!(done, json!({ "taskId": task, "result": { "ok": 1 } }));
    player.expect("agent:status").await;
    for (event, data, status) in [
        ("nonsense", json!({}), 400),
        ("claude:event", json!([]), 400),
        ("claude:event", json!({}), 400),
        (
            "agent:status",
            json!({ "agentId": "bob", "status": "idle" }),
            404,
        ),
        (
            "task:progress",
            json!({ "taskId": task, "progress": 101 }),
            400,
        ),
    ] {
        let body = json!({ "event": event, "data": data });
        let answer = call(&server, Method::POST, "/v1/dashboard/events", Some(body)).await;
        assert_eq!(answer.status, status, "{event}");
    }
    let deleted = call(&server, Method::DELETE, "/v1/dashboard/agents/ada", None).await;
    assert_eq!(deleted.status, 200);
    let shown = call(&server, Method::GET, "/v1/dashboard", None)
        .await
        .json();
    assert_eq!(shown["agents"], json!([]));
    let again = call(&server, Method::DELETE, "/v1/dashboard/agents/ada", None).await;
    assert_eq!(again.status, 404);
    agent(&server, "ada").await;
}

#[tokio::test]
async fn all_are_told_that_the_server_is_there() {
    let server = Server::with("dashboard.heartbeat", "50ms").start();
    let (mut player, _) = SocketIo::dashboard(server.address).await;
    for _ in 0..2 {
        let beat = next(&mut player, "heartbeat").await;
        assert!(beat["timestamp"].is_u64());
    }
}

#[tokio::test]
async fn a_plain_client_of_the_dashboards_user_is_one_of_them() {
    let server = quick().start();
    agent(&server, "ada").await;
    let (mut player, _) = SocketIo::dashboard(server.address).await;
    let mut plain = server.connect("dashboard").await;
    let init = plain.expect("init").await;
    assert_eq!(init["agents"][0]["name"], "ada");
    let letter = json!({ "toAgentId": "ada", "subject": "s", "body": "b" });
    let ack = plain.acked("message:send", &letter).await;
    assert_eq!(ack["success"], true);
    let new = player.expect("message:new").await;
    assert_eq!(plain.expect("message:new").await, new);
    player.expect("activity:log").await;
    plain.expect("activity:log").await;
    // One connection and a room as targets of a backend.
    let body = json!({
        "message": { "type": "note", "payload": 1, "timestamp": 1 },
        "filter": { "type": "connection", "connectionId": player.id() },
    });
    let token = server.token("dashboard");
    let sent = http::post(server.address, "/v1/websocket/broadcast", &token, &body).await;
    assert_eq!(sent.json()["delivered"], 1);
    assert_eq!(player.expect("note").await, 1);
    let body = json!({
        "message": { "type": "note", "payload": 2, "timestamp": 1 },
        "filter": { "type": "room", "room": "dashboard" },
    });
    let sent = http::post(server.address, "/v1/websocket/broadcast", &token, &body).await;
    assert_eq!(sent.json()["delivered"], 2);
}

#[tokio::test]
async fn clients_of_the_dashboard_do_nothing_among_themselves() {
    let server = Server::start();
    let (mut one, _) = SocketIo::dashboard(server.address).await;
    let (mut two, _) = SocketIo::dashboard(server.address).await;
    for packet in [
        r#"421["broadcast",{"x":1}]"#,
        r#"42["rpc-register",{"method":"m:x"}]"#,
        r#"422["rpc-call",{"method":"m:x","params":"p"}]"#,
        r#"423["update-metadata",{}]"#,
        r#"42["unheard"]"#,
    ] {
        one.send(packet).await;
    }
    one.quiet().await;
    two.quiet().await;
}

#[tokio::test]
async fn organisations_are_apart_and_rooms_hold_who_joined() {
    let server = Server::with("dashboard.organisations", "default,acme").start();
    let mut acme = SocketIo::organisation(server.address, "acme").await;
    let mut other = SocketIo::organisation(server.address, "default").await;
    let (mut whole, _) = SocketIo::dashboard(server.address).await;
    let changed = json!({ "agentId": "a1", "status": "idle" });
    tell_organisation(&server, "acme", "agent_status_changed", changed).await;
    let told = next(&mut acme, "agent_status_changed").await;
    let expected = json!({ "agentId": "a1", "status": "idle", "orgSlug": "acme" });
    assert_eq!(told, expected);
    other.quiet().await;
    whole.quiet().await;
    // An agent's room.
    let event = json!({ "agentId": "a1", "kind": "output" });
    tell_organisation(&server, "acme", "agent_event", event.clone()).await;
    acme.quiet().await;
    let success = json!({ "success": true });
    assert_eq!(acme.asked(1, "join_agent", &json!("a1")).await, success);
    tell_organisation(&server, "acme", "agent_event", event.clone()).await;
    assert_eq!(next(&mut acme, "agent_event").await["kind"], "output");
    assert_eq!(acme.asked(2, "leave_agent", &json!("a1")).await, success);
    tell_organisation(&server, "acme", "agent_event", event).await;
    acme.quiet().await;
    // Into another organisation, out of all rooms of the old one.
    acme.asked(3, "join_thread", &json!("t1")).await;
    let refused = acme.asked(4, "switch_org", &json!("secret")).await;
    assert_eq!(refused["error"], "Not a member of this organisation");
    assert_eq!(
        acme.asked(5, "switch_org", &json!("default")).await,
        success
    );
    tell_organisation(&server, "acme", "workspace_updated", json!({})).await;
    tell_organisation(
        &server,
        "default",
        "board_item_created",
        json!({ "itemId": "i" }),
    )
    .await;
    assert_eq!(next(&mut acme, "board_item_created").await["itemId"], "i");
    // What belongs to the dashboard as a whole is not for them, nor theirs for others.
    let task = json!({ "agentId": "a", "title": "t" });
    assert_eq!(acme.asked(6, "task:assign", &task).await["success"], false);
    let bad = acme.asked(7, "join_agent", &json!("")).await;
    assert_eq!(bad["error"], "the id is empty");
}

#[tokio::test]
async fn an_organisation_of_members_takes_members_only() {
    let server = Server::with("dashboard.members", "acme:alice").start();
    let refusal = r#"44{"message":"Not a member of this organisation"}"#;
    let query = [("orgSlug", "acme")];
    let (mut socket, _) = SocketIo::open_dashboard(server.address, &query).await;
    for auth in [json!({}), json!({ "token": server.token("bob") })] {
        socket.send(&format!("40{auth}")).await;
        assert_eq!(socket.text().await, refusal);
    }
    socket.join(&server.token("alice"), json!({})).await;
    socket.expect("snapshot").await;
    // By switching, too.
    let (mut alice, _) = SocketIo::open_dashboard(server.address, &[("orgSlug", "default")]).await;
    alice.join(&server.token("alice"), json!({})).await;
    alice.expect("snapshot").await;
    assert_eq!(
        alice.asked(1, "switch_org", &json!("acme")).await["success"],
        true
    );
    let mut bob = SocketIo::organisation(server.address, "default").await;
    assert_eq!(
        bob.asked(1, "switch_org", &json!("acme")).await["success"],
        false
    );
}

#[tokio::test]
async fn turns_are_streamed_into_their_thread_in_merged_pieces() {
    let server = Server::start();
    let mut one = SocketIo::organisation(server.address, "default").await;
    let mut apart = SocketIo::organisation(server.address, "default").await;
    one.asked(1, "join_thread", &json!("t1")).await;
    let part = |kind: &str, text: &str| json!({ "type": kind, "turnId": "x", "threadId": "t1", "text": text });
    for (kind, text) in [
        ("text_delta", "a"),
        ("text_delta", "b"),
        ("thinking_delta", "c"),
        ("tool_start", ""),
    ] {
        tell_organisation(&server, "default", "main_agent_stream", part(kind, text)).await;
    }
    let mut said = String::new();
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "tool_start") {
        let event = next(&mut one, "main_agent_stream").await;
        assert_eq!(
            (&event["turnId"], &event["threadId"]),
            (&json!("x"), &json!("t1"))
        );
        said.push_str(event["text"].as_str().unwrap());
        kinds.push(event["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(said, "abc");
    kinds.dedup();
    assert_eq!(kinds, ["text_delta", "thinking_delta", "tool_start"]);
    apart.quiet().await;
    // A simulated turn.
    let chat = json!({ "threadId": "t1", "body": "hello" });
    let ack = one.asked(2, "chat_message", &chat).await;
    assert_eq!(ack["success"], true);
    let mut kinds = Vec::new();
    let mut said = String::new();
    let complete = loop {
        let text = one.text().await;
        let mut items: Vec<Value> = serde_json::from_str(&text[2..]).unwrap();
        let data = items.remove(1);
        if items[0] == "message_created" {
            continue;
        }
        assert_eq!(data["turnId"], ack["turnId"]);
        kinds.push(data["type"].as_str().unwrap().to_owned());
        if data["type"] == "turn_complete" {
            break data;
        }
        said.push_str(data["text"].as_str().unwrap_or_default());
    };
    kinds.dedup();
    assert_eq!(kinds, ["turn_start", "text_delta", "turn_complete"]);
    assert_eq!(complete["fullText"], said);
    assert!(said.ends_with("hello"));
}

#[tokio::test]
async fn a_turn_is_interrupted() {
    let server = Server::start();
    let mut one = SocketIo::organisation(server.address, "default").await;
    one.asked(1, "join_thread", &json!("t1")).await;
    let thread = json!({ "threadId": "t1" });
    assert_eq!(
        one.asked(2, "chat_interrupt", &thread).await["success"],
        false
    );
    // Long enough not to end by itself meanwhile.
    let chat = json!({ "threadId": "t1", "body": "x ".repeat(2000) });
    one.emit("chat_message", &chat).await;
    one.emit("chat_message", &chat).await;
    one.emit("chat_interrupt", &thread).await;
    loop {
        let text = one.text().await;
        let items: Vec<Value> = serde_json::from_str(&text[2..]).unwrap();
        if items[1]["type"] == "stream_error" {
            assert_eq!(items[1]["error"], "interrupted");
            break;
        }
        assert_ne!(items[1]["type"], "turn_complete");
    }
    assert_eq!(
        one.asked(3, "chat_interrupt", &thread).await["success"],
        false
    );
}

#[tokio::test]
async fn rooms_outlast_sleep() {
    let server = Server::with("shard.hibernate_after", "100ms").start();
    let mut one = SocketIo::organisation(server.address, "default").await;
    let mut other = SocketIo::organisation(server.address, "default").await;
    assert_eq!(
        one.asked(1, "join_agent", &json!("a1")).await["success"],
        true
    );
    server.until_asleep("dashboard").await;
    let event = json!({ "agentId": "a1" });
    tell_organisation(&server, "default", "agent_event", event).await;
    assert_eq!(next(&mut one, "agent_event").await["agentId"], "a1");
    server.until_asleep("dashboard").await;
    tell_organisation(&server, "default", "org_changed", json!({})).await;
    one.expect("org_changed").await;
    other.expect("org_changed").await;
    other.quiet().await;
}

#[tokio::test]
async fn a_revoked_token_and_a_blocked_user_are_out_of_the_dashboard_too() {
    let server = Server::start();
    let token = server.token("alice");
    let (mut socket, _) = SocketIo::open_dashboard(server.address, &[]).await;
    socket.join(&token, json!({})).await;
    socket.expect("init").await;
    let (mut stranger, _) = SocketIo::dashboard(server.address).await;
    let out = http::post(server.address, "/v1/auth/logout", &token, &json!({})).await;
    assert_eq!(out.status, 200, "{out:?}");
    assert_eq!(socket.text().await, "41");
    stranger.quiet().await;
}

#[tokio::test]
async fn the_metrics_of_the_dashboard_count() {
    let server = Server::with("dashboard.load", "true").start();
    {
        let (mut player, _) = SocketIo::dashboard(server.address).await;
        let task = json!({ "agentId": "a", "title": "t" });
        player.asked(1, "task:assign", &task).await;
        player.expect("task:progress").await;
        player.asked(2, "task:assign", &json!(1)).await;
    }
    server.until_connections("dashboard", 0).await;
    let scrape = http::get(server.address, "/metrics", None).await.body;
    for line in [
        "websocket_active_connections 0",
        "websocket_connections_total 1",
        "websocket_disconnections_total 1",
        "websocket_connection_duration_seconds_count 1",
        r#"websocket_events_emitted_total{event_type="task:progress"} 1"#,
        "websocket_events_received_total 2",
        "websocket_event_errors_total 1",
        "websocket_event_latency_milliseconds_count 1",
        "websocket_initial_state_latency_milliseconds_count 1",
    ] {
        assert!(
            scrape.lines().any(|other| other == line),
            "{line}\n{scrape}"
        );
    }
}

#[tokio::test]
async fn a_page_of_five_hundred_connections_is_told_everything() {
    let server = Server::with("dashboard.load", "true")
        .tier("wall", 100, 6)
        .set("dashboard.tier", "wall")
        // Those that wait for the last to be open answer no heartbeats, and count none.
        .set("dashboard.ping_interval", "10m")
        .set("dashboard.heartbeat", "1h")
        .start();
    let opened = (0..501).map(|_| SocketIo::dashboard(server.address));
    let opened = futures_util::stream::iter(opened).buffered(20);
    let mut sockets: Vec<SocketIo> = opened.map(|(socket, _)| socket).collect().await;
    let task = json!({ "agentId": "a", "title": "t" });
    sockets[0].emit("task:assign", &task).await;
    for socket in &mut sockets {
        assert_eq!(next(socket, "task:progress").await["progress"], 0);
    }
    server.until_connections("dashboard", 501).await;
}
