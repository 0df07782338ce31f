use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::Answer;
use super::server::{PATIENCE, TestServer};

const SECRET: (&str, &str) = ("auth.secret", "0123456789abcdef0123456789abcdef");
const BROADCAST: &str = "/v1/websocket/broadcast";

/// Sends bytes as they are and reads one answer.
async fn exchange(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.main).await.unwrap();
    // The server may have answered and closed before all was sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = async {
        while !is_whole(&answer) {
            if stream.read_buf(&mut answer).await.unwrap_or(0) == 0 {
                return;
            }
        }
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    read.expect("the server neither answered nor closed");
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.unwrap().parse::<usize>().unwrap()
}

#[actix_rt::test]
async fn bodies_are_json_whatever_their_type_says() {
    let server = TestServer::start(&[]).await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "?"] {
        let request = server
            .request("POST", BROADCAST)
            .bearer_auth(server.token("alice"))
            .header("content-type", kind)
            .body(r#"{"message":{"type":"hello"}}"#);
        assert_eq!(Answer::to(request).await.ok()["success"], true, "{kind}");
    }
    server.stop().await;
}

#[actix_rt::test]
async fn development_names_the_field_and_production_does_not() {
    let bodies = ["", "{", "[]", "5", r#"{"message":{"type":5551}}"#];
    let server = TestServer::start(&[]).await;
    for body in bodies {
        let answer = server.as_user("alice", "POST", BROADCAST, body).await;
        answer.is_invalid(&["the body cannot be used: "]);
    }
    let answer = server.as_user("alice", "POST", BROADCAST, bodies[4]).await;
    answer.is_invalid(&["message.type", "expected a string"]);
    server.stop().await;

    let server = TestServer::start(&[SECRET]).await;
    for body in bodies {
        let answer = server.as_user("alice", "POST", BROADCAST, body).await;
        answer.is_invalid(&["not what this endpoint takes", "/openapi.json"]);
        assert!(!answer.text.contains("5551"), "{}", answer.text);
    }
    server.stop().await;
}

#[actix_rt::test]
async fn a_body_that_says_it_is_too_large_is_refused_before_anything_else() {
    let server = TestServer::start(&[("http.body", "2 KiB")]).await;
    for path in [
        BROADCAST,
        "/v1/websocket/ticket",
        "/admin/v1/drain",
        "/nothing",
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2049\r\n\r\n");
        let answer = exchange(&server, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "payload-too-large");
        assert_eq!(body["maxSize"], 2048);
        assert!(body["message"].is_string() && body["error"].is_string());
        assert!(!body["requestId"].as_str().unwrap().is_empty());
    }
    server.stop().await;
}

#[actix_rt::test]
async fn a_body_may_have_10_mib() {
    let server = TestServer::start(&[]).await;
    for (size, status) in [(10_485_760, 401), (10_485_761, 413)] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let head = format!(
                "{method} /v1/account HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
            );
            let answer = exchange(&server, head.as_bytes()).await;
            // Where no such method is served, the size is looked at all the same.
            let status = match (status, method) {
                (401, "POST" | "DELETE" | "PATCH") => 405,
                (status, _) => status,
            };
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{method}: {answer}"
            );
            assert_eq!(
                answer.contains("\"maxSize\":10485760"),
                status == 413,
                "{answer}"
            );
        }
    }
    server.stop().await;
}

#[actix_rt::test]
async fn a_chunked_body_is_refused_once_it_is_too_large() {
    let server = TestServer::start(&[("http.body", "2 KiB")]).await;
    let token = server.token("alice");
    let head = format!(
        "POST {BROADCAST} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    let chunk = |bytes: &str| format!("{:x}\r\n{bytes}\r\n", bytes.len());
    // Never ends: the answer must come before the end.
    let endless = format!("{head}{}", chunk(&"x".repeat(1024)).repeat(3));
    let answer = exchange(&server, endless.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains(r#""maxSize":2048"#), "{answer}");

    let message = r#"{"message":{"type":"hello"}}"#;
    let padding = " ".repeat(2048 - message.len());
    let exact = format!("{head}{}{}0\r\n\r\n", chunk(&padding), chunk(message));
    let answer = exchange(&server, exact.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    server.stop().await;
}

#[actix_rt::test]
async fn a_body_that_breaks_off_ends_its_connection_and_nothing_else() {
    let server = TestServer::start(&[]).await;
    let token = server.token("alice");
    let head = format!(
        "POST {BROADCAST} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\
         Authorization: Bearer {token}\r\n\r\n{{"
    );
    let mut stream = TcpStream::connect(server.main).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    let _ = reading.await.expect("the connection stays open");
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    server
        .as_user("alice", "GET", "/v1/websocket/stats", "")
        .await
        .ok();
    server.stop().await;
}
