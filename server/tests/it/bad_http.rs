//! What is no proper HTTP: garbage, halves, floods. Each ends in an answer or a close, and nobody
//! else notices.

use std::time::Duration;

use serde_json::json;

use crate::support::raw::Response;
use crate::support::{Handshake, Raw, Server, http, within};

/// What became of a connection that sent something odd.
#[derive(Debug)]
enum Fate {
    Answered(Response),
    Closed,
}

/// Sends bytes, says that nothing follows, and waits for the outcome.
async fn fate(server: &Server, bytes: &[u8]) -> Fate {
    let mut raw = Raw::connect(server.address).await;
    // The server may answer and close before it has read all.
    let _ = raw.try_write(bytes).await;
    match raw.try_response().await {
        Some(response) => Fate::Answered(response),
        None => Fate::Closed,
    }
}

async fn check_alive(server: &Server) {
    assert_eq!(http::get(server.address, "/health", None).await.status, 200);
    server.connect("survivor").await.quiet().await;
}

#[tokio::test]
async fn garbage_instead_of_http_is_refused() {
    let server = Server::with("http.header_timeout", "500ms").start();
    let tls_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 512]].concat();
    let cases: [&[u8]; 13] = [
        b"\0\0\0\0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/updates\r\n\r\n",
        b"GET /v1/updates HTTP/9.9\r\n\r\n",
        b"get /v1/updates HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/updates HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /v1/updates HTTP/1.1\r\nBad Name: x\r\n\r\n",
        b"GET /v1/upd\xffates HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/websocket/ticket HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /v1/websocket/ticket HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &tls_hello,
    ];
    for bytes in cases {
        match fate(&server, bytes).await {
            Fate::Answered(response) => assert!(
                (400..600).contains(&response.status),
                "{:?}: {response:?}",
                String::from_utf8_lossy(bytes)
            ),
            Fate::Closed => {}
        }
    }
    assert_eq!(server.sum(|report| report.counters.accepted).await, 0);
    check_alive(&server).await;
}

#[tokio::test]
async fn random_bytes_are_survived() {
    use rand::{Rng as _, RngExt as _, SeedableRng as _};
    let server = Server::with("http.header_timeout", "500ms").start();
    let mut random = rand::rngs::StdRng::seed_from_u64(42);
    let handshake = Handshake::updates()
        .query("token", &server.token("alice"))
        .to_bytes();
    for _ in 0..100 {
        // A proper handshake with some bytes overwritten, cut anywhere, and noise behind it.
        let mut bytes = handshake.clone();
        for _ in 0..random.random_range(0..5) {
            let place = random.random_range(0..bytes.len());
            bytes[place] = random.random();
        }
        bytes.truncate(random.random_range(1..=bytes.len()));
        let mut noise = vec![0; random.random_range(0..64)];
        random.fill_bytes(&mut noise);
        bytes.extend_from_slice(&noise);
        let mut raw = Raw::connect(server.address).await;
        let _ = raw.try_write(&bytes).await;
        raw.shut().await;
        raw.ended().await;
    }
    server.until_connections("alice", 0).await;
    check_alive(&server).await;
}

#[tokio::test]
async fn half_a_request_is_closed_by_the_header_deadline() {
    let server = Server::with("http.header_timeout", "300ms").start();
    let whole = Handshake::updates()
        .query("token", &server.token("alice"))
        .to_bytes();
    let halves = [
        &b""[..],
        b"G",
        b"GET /v1/upd",
        b"GET /v1/updates HTTP/1.1\r\n",
        &whole[..whole.len() - 2],
    ];
    let ends = halves.map(|half| async {
        let mut raw = Raw::connect(server.address).await;
        raw.write(half).await;
        raw.ended().await;
    });
    futures_util::future::join_all(ends).await;
    check_alive(&server).await;
}

#[tokio::test]
async fn a_request_in_drips_does_not_outlast_the_header_deadline() {
    let server = Server::with("http.header_timeout", "300ms").start();
    let mut raw = Raw::connect(server.address).await;
    raw.write(b"GET /v1/updates HTTP/1.1\r\nX-Drip: ").await;
    let drip = Duration::from_millis(20);
    let answer = within("the server ends it", async {
        loop {
            raw.write(b"d").await;
            if let Ok(answer) = tokio::time::timeout(drip, raw.try_response()).await {
                return answer;
            }
        }
    });
    assert_eq!(answer.await.unwrap().status, 408);
    check_alive(&server).await;
}

#[tokio::test]
async fn floods_of_headers_are_refused() {
    let server = Server::with("http.header_timeout", "2s").start();
    let request = |headers: &str| format!("GET /v1/updates HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let many: String = (0..10_000)
        .map(|number| format!("X-{number}: {number}\r\n"))
        .collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
    let endless = format!("X-Endless: {}", "x".repeat(4 << 20));
    let target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    let query = Handshake::updates()
        .query("token", &"x".repeat(100_000))
        .to_bytes();
    for (what, bytes) in [
        ("many", request(&many).into_bytes()),
        ("long", request(&long).into_bytes()),
        ("endless", request(&endless).into_bytes()),
        ("a long path", target.into_bytes()),
        ("a long query", query),
    ] {
        match fate(&server, &bytes).await {
            Fate::Answered(response) => {
                assert!(
                    (400..500).contains(&response.status),
                    "{what}: {response:?}"
                );
            }
            // Closed with bytes unread, which may take the answer along.
            Fate::Closed => {}
        }
        check_alive(&server).await;
    }
}

#[tokio::test]
async fn an_upgrade_with_a_body_or_in_http_1_0_is_none() {
    let server = Server::start();
    let handshake = Handshake::updates().query("token", &server.token("alice"));
    let mut with_body = handshake.clone().header("Content-Length", "5").to_bytes();
    with_body.extend_from_slice(b"hello");
    let response = Raw::request(server.address, &with_body).await;
    assert_eq!(response.status, 400, "{response:?}");
    let old = String::from_utf8(handshake.to_bytes()).unwrap();
    let old = old.replace("HTTP/1.1", "HTTP/1.0");
    let response = Raw::request(server.address, old.as_bytes()).await;
    assert_eq!(response.status, 400, "{response:?}");
    assert_eq!(server.stats("alice").await.total_connections, 0);
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_however_they_come() {
    let server = Server::with("http.body", "4 KiB").start();
    let token = server.token("alice");
    let head = format!(
        "POST /v1/websocket/broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    );
    // Announced: refused without reading it, and without looking at the token.
    for head in [
        head.as_str(),
        "POST /v1/websocket/broadcast HTTP/1.1\r\nHost: x\r\n",
    ] {
        let announced = format!("{head}Content-Length: 4097\r\n\r\n");
        let response = Raw::request(server.address, announced.as_bytes()).await;
        check_too_large(&response);
    }
    // In chunks: refused while it is read.
    let mut raw = Raw::connect(server.address).await;
    raw.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())
        .await;
    for _ in 0..8 {
        let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
        if raw.try_write(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    check_too_large(&raw.response().await);
    let small = json!({ "message": { "type": "x", "payload": "x".repeat(3000) } });
    let answer = http::post(server.address, "/v1/websocket/broadcast", &token, &small).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn check_too_large(response: &Response) {
    assert_eq!(response.status, 413, "{response:?}");
    let body = response.json();
    assert_eq!(body["code"], "payload-too-large");
    assert_eq!(body["maxSize"], 4096);
    assert!(
        body["message"].is_string() && body["requestId"].is_string(),
        "{body}"
    );
}
