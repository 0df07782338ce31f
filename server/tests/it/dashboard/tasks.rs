//! Tasks and drafts: how they go, before whose eyes, and what outlives the process.

use reqwest::Method;
use serde_json::{Value, json};

use super::{agent, call, next, quick, tell};
use crate::support::socket_io::SocketIo;
use crate::support::{Server, eventually};

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
