//! What the published Happy command-line client (1.2.5) was recorded to send, in its order, with
//! the answers that it relies on. Ids and ciphertexts are shortened.
//!
//! `scripts/happy-client` runs the client itself; this needs nothing but the server.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::socket_io::SocketIo;
use crate::support::{Server, http};

const MACHINE: &str = "80e44c0e-fc6c-47a1-9eb8-8465c67cd126";
const METHODS: [&str; 17] = [
    "bash",
    "readFile",
    "writeFile",
    "listDirectory",
    "getDirectoryTree",
    "ripgrep",
    "difftastic",
    "spawn-happy-session",
    "resume-happy-session",
    "stop-session",
    "claude-fork-session",
    "claude-list-rewind-points",
    "claude-duplicate-session",
    "codex-fork-thread",
    "codex-list-rewind-points",
    "codex-duplicate-thread",
    "stop-daemon",
];

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// The client's requests.
struct Requests<'a> {
    server: &'a Server,
    token: String,
}

impl Requests<'_> {
    /// Asks as the client does; the answer must be exactly 200.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let bearer = format!("Bearer {}", self.token);
        let headers = [
            ("Accept", "application/json, text/plain, */*"),
            ("Authorization", bearer.as_str()),
            ("X-Happy-Client", "cli-coding-session/1.2.5"),
            ("User-Agent", "axios/1.21.1"),
        ];
        let address = self.server.address;
        let answer = http::send_with(method, address, path, &headers, body.as_ref()).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, Some(body)).await
    }
}

/// The next event and its data.
async fn heard(socket: &mut SocketIo) -> (String, Value) {
    let text = socket.text().await;
    let items = text.strip_prefix("42").unwrap_or_else(|| panic!("{text}"));
    let mut items: Vec<Value> = serde_json::from_str(items).unwrap();
    (items[0].as_str().unwrap().to_owned(), items.remove(1))
}

/// The daemon: from its registration to a call and its end.
#[tokio::test]
async fn a_daemon_is_connected_called_and_stopped() {
    let server = Server::start();
    let mut app = SocketIo::connect(&server, "alice", json!({ "appState": "active" })).await;
    let requests = Requests {
        server: &server,
        token: server.token("alice"),
    };
    let body = json!({ "id": MACHINE, "metadata": "Xj0R", "daemonState": "kO2T" });
    let made = requests.post("/v1/machines", body).await["machine"].take();
    for (field, value) in [
        ("id", json!(MACHINE)),
        ("metadata", json!("Xj0R")),
        ("metadataVersion", json!(1)),
        ("daemonState", json!("kO2T")),
        ("daemonStateVersion", json!(1)),
        ("dataEncryptionKey", Value::Null),
        ("active", json!(false)),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    for kind in ["new-machine", "update-machine"] {
        let (event, update) = heard(&mut app).await;
        assert_eq!((&*event, &update["body"]["t"]), ("update", &json!(kind)));
        assert_eq!(update["body"]["machineId"], MACHINE);
    }

    let fields = json!({ "clientType": "machine-scoped", "machineId": MACHINE,
                         "happyClient": "cli-daemon/1.2.5" });
    let mut daemon = SocketIo::connect(&server, "alice", fields).await;
    for kind in ["machine-status", "machine-activity"] {
        let (event, body) = heard(&mut app).await;
        assert_eq!((&*event, &body["type"]), ("ephemeral", &json!(kind)));
    }
    let state = json!({ "machineId": MACHINE, "daemonState": "Ny7E", "expectedVersion": 1 });
    let ack = daemon.asked(0, "machine-update-state", &state).await;
    assert_eq!(
        ack,
        json!({ "result": "success", "version": 2, "daemonState": "Ny7E" })
    );
    let update = daemon.expect("update").await;
    assert_eq!(
        update["body"]["daemonState"],
        json!({ "value": "Ny7E", "version": 2 })
    );
    // All at once, without waiting for an answer.
    for method in METHODS {
        let method = format!("{MACHINE}:{method}");
        daemon
            .emit("rpc-register", &json!({ "method": method }))
            .await;
    }
    let alive = json!({ "machineId": MACHINE, "time": now() });
    daemon.emit("machine-alive", &alive).await;
    for method in METHODS {
        let method = format!("{MACHINE}:{method}");
        assert_eq!(
            daemon.expect("rpc-registered").await,
            json!({ "method": method })
        );
    }
    let metadata = json!({ "machineId": MACHINE, "metadata": "+FO8", "expectedVersion": 1 });
    let ack = daemon.asked(1, "machine-update-metadata", &metadata).await;
    assert_eq!(
        ack,
        json!({ "result": "success", "version": 2, "metadata": "+FO8" })
    );
    daemon.expect("update").await;

    let call = json!({ "method": format!("{MACHINE}:bash"), "params": "8U3X" });
    app.send(&format!("427{}", json!(["rpc-call", call]))).await;
    let text = daemon.text().await;
    let start = text.find('[').unwrap();
    let request: Value = serde_json::from_str(&text[start..]).unwrap();
    assert_eq!(request[0], "rpc-request");
    assert_eq!(request[1]["params"], "8U3X");
    daemon
        .send(&format!("43{}[\"J0oI\"]", &text[2..start]))
        .await;
    let answer = loop {
        let text = app.text().await;
        if let Some(answer) = text.strip_prefix("437") {
            break serde_json::from_str::<Value>(answer).unwrap();
        }
    };
    assert_eq!(
        (&answer[0]["ok"], &answer[0]["result"]),
        (&json!(true), &json!("J0oI"))
    );

    let state = json!({ "machineId": MACHINE, "daemonState": "end", "expectedVersion": 2 });
    let ack = daemon.asked(2, "machine-update-state", &state).await;
    assert_eq!(ack["version"], 3);
    drop(daemon);
    loop {
        let (_, body) = heard(&mut app).await;
        if body["type"] == "machine-activity" && body["active"] == false {
            assert_eq!(
                (&body["id"], &body["machineId"]),
                (&json!(MACHINE), &json!(MACHINE))
            );
            break;
        }
    }
}

/// A session: opened, fetched, answered, told of, ended and archived.
#[tokio::test]
async fn a_session_is_opened_filled_and_archived() {
    let server = Server::start();
    let mut app = SocketIo::connect(&server, "alice", json!({ "appState": "active" })).await;
    let requests = Requests {
        server: &server,
        token: server.token("alice"),
    };
    let body = json!({
        "tag": "4840f194-7cc4-453b-9962-9b59baf11199", "metadata": "t5x9", "agentState": "Zx1p",
        "dataEncryptionKey": null,
    });
    let session = requests.post("/v1/sessions", body).await["session"].take();
    let id = session["id"].as_str().unwrap().to_owned();
    for (field, value) in [
        ("seq", json!(0)),
        ("metadataVersion", json!(1)),
        ("agentStateVersion", json!(1)),
        ("dataEncryptionKey", Value::Null),
        ("active", json!(true)),
        ("lastMessage", Value::Null),
    ] {
        assert_eq!(session[field], value, "{field}");
    }
    let (_, update) = heard(&mut app).await;
    assert_eq!(update["body"]["t"], "new-session");
    assert_eq!(
        (&update["body"]["id"], &update["body"]["sid"]),
        (&json!(id), &json!(id))
    );

    let fields = json!({ "clientType": "session-scoped", "sessionId": id,
                         "happyClient": "cli-coding-session/1.2.5" });
    let mut agent = SocketIo::connect(&server, "alice", fields).await;
    let messages = format!("/v3/sessions/{id}/messages");
    let fetch = format!("{messages}?after_seq=0&limit=100");
    let page = requests.ask(Method::GET, &fetch, None).await;
    assert_eq!(page, json!({ "messages": [], "hasMore": false }));
    let state = json!({ "sid": id, "expectedVersion": 1, "agentState": "L2VY" });
    let ack = agent.asked(0, "update-state", &state).await;
    assert_eq!(
        ack,
        json!({ "result": "success", "version": 2, "agentState": "L2VY" })
    );
    assert_eq!(agent.expect("update").await["body"]["t"], "update-session");
    heard(&mut app).await;
    let alive = json!({ "sid": id, "time": now(), "thinking": false, "mode": "remote" });
    agent.emit("session-alive", &alive).await;
    let (_, activity) = heard(&mut app).await;
    assert_eq!(
        (&activity["type"], &activity["id"]),
        (&json!("activity"), &json!(id))
    );

    // The phone's message, and the agent's answer in a batch: both hear of all.
    let said = json!({ "messages": [{ "content": "Q2Fu", "localId": "phone-1" }] });
    requests.post(&messages, said).await;
    let batch = json!({ "messages": [
        { "content": "Hb7/", "localId": "agent-1" }, { "content": "SpxE", "localId": "agent-2" },
    ] });
    let stored = requests.post(&messages, batch.clone()).await;
    let numbers: Vec<_> = (0..2)
        .map(|index| stored["messages"][index]["seq"].clone())
        .collect();
    assert_eq!(numbers, [2, 3]);
    // An answer that the client did not get.
    assert_eq!(requests.post(&messages, batch).await, stored);
    for socket in [&mut app, &mut agent] {
        for seq in 1..=3 {
            let (_, update) = heard(socket).await;
            let body = &update["body"];
            assert_eq!(
                (&body["t"], &body["message"]["seq"]),
                (&json!("new-message"), &json!(seq))
            );
            assert_eq!(body["message"]["content"]["t"], "encrypted");
        }
    }
    let event = json!({
        "kind": "done", "title": "Ready", "body": "work",
        "data": { "sessionId": id, "kind": "done", "sessionTitle": "work" },
    });
    let told = requests
        .post(&format!("/v1/sessions/{id}/push-event"), event)
        .await;
    assert_eq!(
        (&told["success"], &told["result"]),
        (&json!(true), &json!("suppressed"))
    );
    for socket in [&mut app, &mut agent] {
        assert_eq!(heard(socket).await.1["type"], "session-event");
    }

    agent
        .emit("session-end", &json!({ "sid": id, "time": now() }))
        .await;
    let archive = format!("/v1/sessions/{id}/archive");
    for _ in 0..2 {
        assert_eq!(requests.post(&archive, json!({})).await["success"], true);
    }
    // A sign of life that was under way does not revive it.
    agent.emit("session-alive", &alive).await;
    agent.quiet().await;
    drop(agent);
    for _ in 0..3 {
        let (_, activity) = heard(&mut app).await;
        assert_eq!(
            (&activity["type"], &activity["active"]),
            (&json!("activity"), &json!(false))
        );
    }
    app.quiet().await;
    let state = requests
        .ask(Method::GET, &format!("/v1/sessions/{id}/state"), None)
        .await;
    assert_eq!(state["state"], "stopped");
}
