//! Files of sessions (contract happy-client.md, section 7).

use std::time::Duration;

use super::*;
use crate::session_files::sweep;

/// What is asked at an address that the server has given.
async fn at(server: &TestServer, method: &str, url: &str, content: &[u8]) -> (u16, Vec<u8>) {
    let origin = format!("http://{}", server.main);
    let path = url
        .strip_prefix(&origin)
        .expect("an address of this server");
    let request = server.request(method, path).body(content.to_vec());
    let response = request.send().await.unwrap();
    (
        response.status().as_u16(),
        response.bytes().await.unwrap().to_vec(),
    )
}

impl TestServer {
    /// The name of a new file, and where to send it.
    async fn announce(&self, session: &str, size: usize) -> (String, String) {
        let path = format!("/v1/sessions/{session}/attachments/request-upload");
        let body = json!({ "filename": "a.png", "size": size });
        let answer = self.send(ALICE, "POST", &path, body).await.ok();
        assert_eq!(answer["method"], "PUT");
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        (text("ref"), text("uploadUrl"))
    }

    async fn address(&self, user: &str, session: &str, reference: &str) -> Answer {
        let path = format!("/v1/sessions/{session}/attachments/request-download");
        self.send(user, "POST", &path, json!({ "ref": reference }))
            .await
    }
}

fn url(answer: Answer) -> String {
    answer.ok()["downloadUrl"].as_str().unwrap().to_owned()
}

on_both_servers! {
    async fn a_file_comes_back_as_it_was_sent(server) {
        let id = server.session_id(ALICE, "t").await;
        let content: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let (reference, upload) = server.announce(&id, content.len()).await;
        server.address(ALICE, &id, &reference).await.is_error(404, &["Attachment not found"]);
        assert_eq!(at(&server, "PUT", &upload, &content).await.0, 200);
        let download = url(server.address(ALICE, &id, &reference).await);
        assert_eq!(at(&server, "GET", &download, b"").await, (200, content));
        // An answer that was lost: the same again.
        let again = vec![7; 300_000];
        assert_eq!(at(&server, "PUT", &upload, &again).await.0, 200);
        assert_eq!(at(&server, "GET", &download, b"").await, (200, again));
        server.address(BOB, &id, &reference).await.is_error(404, &["Session not found"]);
        let other = server.session_id(ALICE, "u").await;
        server.address(ALICE, &other, &reference).await.is_error(404, &["Attachment not found"]);
        server.stop().await;
    }

    async fn only_what_was_announced_is_taken(server) {
        let id = server.session_id(ALICE, "t").await;
        let (reference, upload) = server.announce(&id, 10).await;
        assert_eq!(at(&server, "PUT", &upload, b"123456789").await.0, 400);
        assert_eq!(at(&server, "PUT", &upload, b"12345678901").await.0, 413);
        server.address(ALICE, &id, &reference).await.is_error(404, &["Attachment not found"]);
        assert_eq!(at(&server, "GET", &upload, b"").await.0, 403, "for uploads only");
        assert_eq!(at(&server, "PUT", &format!("{upload}x"), b"1234567890").await.0, 403);
        let bare = upload.split_once('?').unwrap().0;
        assert_eq!(at(&server, "PUT", bare, b"1234567890").await.0, 403);
        assert_eq!(at(&server, "PUT", &upload, b"1234567890").await.0, 200);
        let path = format!("/v1/sessions/{id}/attachments/request-upload");
        let bodies = [
            json!({}),
            json!({ "filename": "", "size": 1 }),
            json!({ "filename": "x".repeat(256), "size": 1 }),
            json!({ "filename": "x", "size": 0 }),
            json!({ "filename": "x", "size": -1 }),
            json!({ "filename": "x", "size": "1" }),
        ];
        server.refuses("POST", &path, bodies).await;
        let large = json!({ "filename": "x", "size": 10_485_761 });
        let answer = server.send(ALICE, "POST", &path, large).await;
        assert_eq!((answer.status, &answer.json["maxSize"]), (413, &json!(10_485_760)));
        server.stop().await;
    }

    async fn files_go_with_their_session(server) {
        let id = server.session_id(ALICE, "t").await;
        let (reference, upload) = server.announce(&id, 3).await;
        assert_eq!(at(&server, "PUT", &upload, b"abc").await.0, 200);
        let download = url(server.address(ALICE, &id, &reference).await);
        let (kept, _) = server.announce(&server.session_id(ALICE, "u").await, 3).await;
        server.send(ALICE, "DELETE", &format!("/v1/sessions/{id}"), json!({})).await.ok();
        assert_eq!(at(&server, "GET", &download, b"").await.0, 404);
        assert_eq!(at(&server, "PUT", &upload, b"abc").await.0, 404);
        let state = server.state();
        assert!(state.files.open_file(&reference).await.is_ok());
        assert_eq!(sweep::once(&state.database, &state.files, 0).await.unwrap(), 1);
        assert!(state.files.open_file(&reference).await.is_err());
        assert_eq!(sweep::once(&state.database, &state.files, 0).await.unwrap(), 0);
        // What was announced and never came.
        let later = i64::MAX;
        assert_eq!(sweep::once(&state.database, &state.files, later).await.unwrap(), 1, "{kept}");
        server.stop().await;
    }
}

#[actix_rt::test]
async fn an_account_has_room_for_so_much() {
    let server = TestServer::start(&[("files.per_account", "1KiB")]).await;
    let id = server.session_id(ALICE, "t").await;
    server.announce(&id, 1000).await;
    let path = format!("/v1/sessions/{id}/attachments/request-upload");
    let body = json!({ "filename": "x", "size": 25 });
    let answer = server.send(ALICE, "POST", &path, body).await;
    answer.is_error(507, &["1024", "files.per_account"]);
    server.announce(&id, 24).await;
    // The files of a deleted session do not count.
    server
        .send(ALICE, "DELETE", &format!("/v1/sessions/{id}"), json!({}))
        .await
        .ok();
    let id = server.session_id(ALICE, "u").await;
    server.announce(&id, 1024).await;
    server.stop().await;
}

#[actix_rt::test]
async fn an_address_is_the_one_that_the_client_has_used_or_the_public_one() {
    let server = TestServer::start(&[]).await;
    let id = server.session_id(ALICE, "t").await;
    let path = format!("/v1/sessions/{id}/attachments/request-upload");
    let body = json!({ "filename": "x", "size": 1 }).to_string();
    let request = server
        .request("POST", &path)
        .header("host", "api.example:3005");
    let request = request.bearer_auth(server.token(ALICE)).body(body.clone());
    let answer = Answer::to(request).await.ok();
    let url = answer["uploadUrl"].as_str().unwrap();
    assert!(
        url.starts_with("http://api.example:3005/v1/sessions/"),
        "{url}"
    );
    server.stop().await;
    let server = TestServer::start(&[("http.public_url", "https://happy.example")]).await;
    let id = server.session_id(ALICE, "t").await;
    let path = format!("/v1/sessions/{id}/attachments/request-upload");
    let answer = server.as_user(ALICE, "POST", &path, &body).await.ok();
    let url = answer["uploadUrl"].as_str().unwrap();
    assert!(
        url.starts_with("https://happy.example/v1/sessions/"),
        "{url}"
    );
    server.stop().await;
}

#[actix_rt::test]
async fn an_address_ends() {
    let server = TestServer::start(&[("files.link_ttl", "1s")]).await;
    let id = server.session_id(ALICE, "t").await;
    let (_, upload) = server.announce(&id, 1).await;
    let expires: u64 = upload
        .split_once("expires=")
        .and_then(|(_, rest)| rest.split_once('&'))
        .map(|(expires, _)| expires.parse().unwrap())
        .unwrap();
    while crate::clock::unix_ms() < expires {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(at(&server, "PUT", &upload, b"x").await.0, 403);
    server.stop().await;
}
