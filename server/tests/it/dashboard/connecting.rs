//! Who may connect, and the terms on which a transport opens.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::socket_io::SocketIo;
use crate::support::{Client, Handshake, Server, http};

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
