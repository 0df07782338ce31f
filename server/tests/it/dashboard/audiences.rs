//! Who hears what: agents, newcomers, organisations, rooms, backends.

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::json;

use super::{agent, call, next, quick, tell, tell_organisation};
use crate::support::socket_io::SocketIo;
use crate::support::{Server, http};

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
