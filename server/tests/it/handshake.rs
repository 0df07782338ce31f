//! The opening handshake: what opens a WebSocket, and every refusal before the upgrade (realtime
//! contract, sections 2 and 2.3).

use dormouse_server::clock::unix_ms;

use crate::support::handshake::ACCEPT;
use crate::support::raw::{Response, Seen, frame};
use crate::support::{Handshake, Raw, Server};

/// The checks of section 2.3 that a request alone can fail, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    NotUpgrade,
    OtherUpgrade,
    Method,
    Connection,
    NoKey,
    BadKey,
    ShortKey,
    NoVersion,
    OldVersion,
    Ticket,
    ForgedTicket,
    ExpiredTicket,
    Token,
    BearerToken,
    ExpiredToken,
    AdminToken,
    NoToken,
    ClientType,
    Session,
    Machine,
    LongId,
}

use Fault::*;

const FAULTS: [Fault; 21] = [
    NotUpgrade,
    OtherUpgrade,
    Method,
    Connection,
    NoKey,
    BadKey,
    ShortKey,
    NoVersion,
    OldVersion,
    Ticket,
    ForgedTicket,
    ExpiredTicket,
    Token,
    BearerToken,
    ExpiredToken,
    AdminToken,
    NoToken,
    ClientType,
    Session,
    Machine,
    LongId,
];

impl Fault {
    /// The row of the contract's table.
    fn row(self) -> u8 {
        match self {
            NotUpgrade | OtherUpgrade => 1,
            Method | Connection | NoKey | BadKey | ShortKey => 2,
            NoVersion | OldVersion => 3,
            Ticket | ForgedTicket | ExpiredTicket => 4,
            Token | BearerToken | ExpiredToken | AdminToken | NoToken => 5,
            ClientType => 6,
            Session => 7,
            Machine | LongId => 8,
        }
    }

    fn status(self) -> u16 {
        match self.row() {
            1 | 3 => 426,
            4 | 5 => 401,
            _ => 400,
        }
    }

    fn label(self) -> &'static str {
        match self.row() {
            1 => "not_upgrade",
            2 => "malformed",
            3 => "version",
            4 => "ticket",
            5 => "token",
            _ => "labels",
        }
    }

    fn apply(self, handshake: Handshake, server: &Server) -> Handshake {
        match self {
            NotUpgrade => handshake.without("Upgrade"),
            OtherUpgrade => handshake.header("Upgrade", "h2c"),
            Method => handshake.method("POST").header("Content-Length", "0"),
            Connection => handshake.header("Connection", "keep-alive"),
            NoKey => handshake.without("Sec-WebSocket-Key"),
            BadKey => handshake.header("Sec-WebSocket-Key", "not base64!"),
            ShortKey => handshake.header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAA"),
            NoVersion => handshake.without("Sec-WebSocket-Version"),
            OldVersion => handshake.header("Sec-WebSocket-Version", "8"),
            Ticket => handshake.query("ticket", "nonsense"),
            ForgedTicket => handshake.query("ticket", &forged(&server.ticket("alice"))),
            ExpiredTicket => {
                let ticket = server.ticket_made_at("alice", unix_ms() - 36_000);
                handshake.query("ticket", &ticket)
            }
            Token => handshake.query("token", "nonsense"),
            BearerToken => handshake.bearer("nonsense"),
            ExpiredToken => handshake.query("token", &server.token_expired_for("alice", 60)),
            AdminToken => handshake.query("token", &server.admin_token("alice")),
            NoToken => handshake.header("Authorization", "Basic YWxpY2U6c2VjcmV0"),
            ClientType => handshake.query("clientType", "phone"),
            Session => handshake.query("clientType", "session-scoped"),
            Machine => handshake.query("clientType", "machine-scoped"),
            LongId => handshake.query("sessionId", &"s".repeat(129)),
        }
    }

    /// Whether a request can have both faults.
    fn goes_with(self, other: Self) -> bool {
        let kind = |fault| match fault {
            NotUpgrade | OtherUpgrade => 1,
            NoKey | BadKey | ShortKey => 2,
            NoVersion | OldVersion => 3,
            Ticket | ForgedTicket | ExpiredTicket => 4,
            Token | ExpiredToken | AdminToken => 5,
            BearerToken | NoToken => 6,
            ClientType | Session | Machine => 7,
            Method => 8,
            Connection => 9,
            LongId => 10,
        };
        kind(self) != kind(other)
    }
}

/// The same ticket with another signature.
fn forged(ticket: &str) -> String {
    let (payload, signature) = ticket.split_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{payload}.{other}{}", &signature[1..])
}

fn check_refusal(what: &str, response: &Response, fault: Fault) {
    assert_eq!(response.status, fault.status(), "{what}: {response:?}");
    let kind = response.header("content-type");
    assert_eq!(kind, Some("text/plain; charset=utf-8"), "{what}");
    assert!(
        (10..200).contains(&response.body.len()),
        "{what}: {response:?}"
    );
    assert!(response.header("x-request-id").is_some(), "{what}");
    let version = (fault.row() == 3).then_some("13");
    assert_eq!(response.header("sec-websocket-version"), version, "{what}");
    let upgrade = (fault.row() == 1).then_some("websocket");
    assert_eq!(response.header("upgrade"), upgrade, "{what}");
}

#[tokio::test]
async fn every_refusal_has_its_status_and_is_counted() {
    let server = Server::start();
    for fault in FAULTS {
        for path in [
            "/v1/updates",
            "/v1/websocket",
            "/v1/updates/",
            "/v1/websocket/",
        ] {
            let what = format!("{fault:?} {path}");
            let before = server.refused(fault.label());
            let request = fault.apply(Handshake::to(path), &server);
            let response = Raw::request(server.address, &request.to_bytes()).await;
            check_refusal(&what, &response, fault);
            assert_eq!(server.refused(fault.label()), before + 1, "{what}");
        }
    }
    let all = server.state().refused.all();
    let total: u64 = all.values().sum();
    assert_eq!(
        total,
        FAULTS.len() as u64 * 4,
        "nothing counted twice: {all:?}"
    );
    assert_eq!(server.sum(|report| report.counters.accepted).await, 0);
}

#[tokio::test]
async fn of_two_faults_the_first_is_told() {
    let server = Server::start();
    for first in FAULTS {
        for second in FAULTS {
            if first.row() >= second.row() || !first.goes_with(second) {
                continue;
            }
            let request = second.apply(first.apply(Handshake::updates(), &server), &server);
            let response = Raw::request(server.address, &request.to_bytes()).await;
            check_refusal(&format!("{first:?} and {second:?}"), &response, first);
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_closed_after_the_answer() {
    let server = Server::start();
    let mut raw = Raw::connect(server.address).await;
    let request = Handshake::updates().query("token", "nonsense");
    raw.write(&request.to_bytes()).await;
    let response = raw.response().await;
    assert_eq!(
        (response.status, response.header("connection")),
        (401, Some("close"))
    );
    assert_eq!(raw.next().await, Seen::End);
}

#[tokio::test]
async fn a_handshake_is_accepted_as_rfc_6455_says() {
    let server = Server::start();
    let token = server.token("alice");
    for path in [
        "/v1/updates",
        "/v1/websocket",
        "/v1/updates/",
        "/v1/websocket/",
    ] {
        let request = Handshake::to(path)
            .query("token", &token)
            .query("correlationId", "c-1")
            .header("Upgrade", "WebSocket")
            .header("Connection", "keep-alive, UPGRADE")
            .header("Origin", "https://anywhere.example")
            .header("Sec-WebSocket-Protocol", "chat, superchat")
            .header(
                "Sec-WebSocket-Extensions",
                "permessage-deflate; client_max_window_bits",
            );
        let mut raw = Raw::connect(server.address).await;
        raw.write(&request.to_bytes()).await;
        let response = raw.response().await;
        assert_eq!(response.status, 101, "{path}: {response:?}");
        assert_eq!(response.header("upgrade"), Some("websocket"));
        assert_eq!(response.header("connection"), Some("Upgrade"));
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
        assert_eq!(response.header("sec-websocket-protocol"), None);
        assert_eq!(response.header("sec-websocket-extensions"), None);
        let connected = raw.json().await;
        assert_eq!(connected["event"], "connected");
        assert_eq!(connected["data"]["userId"], "alice");
    }
}

#[tokio::test]
async fn frames_that_come_with_the_handshake_are_read() {
    let server = Server::start();
    let ping = frame(0x81, br#"{"event":"ping","ackId":1}"#);
    let mut with_token = Handshake::updates()
        .query("token", &server.token("alice"))
        .to_bytes();
    with_token.extend_from_slice(&ping);
    let mut raw = Raw::connect(server.address).await;
    raw.write(&with_token).await;
    assert_eq!(raw.response().await.status, 101);
    assert_eq!(raw.json().await["event"], "connected");
    assert_eq!(raw.json().await["ackId"], 1);

    let mut without = Handshake::updates().to_bytes();
    let auth = format!(
        r#"{{"event":"auth","data":{{"token":"{}"}}}}"#,
        server.token("alice")
    );
    without.extend_from_slice(&frame(0x81, auth.as_bytes()));
    without.extend_from_slice(&ping);
    let mut raw = Raw::connect(server.address).await;
    raw.write(&without).await;
    assert_eq!(raw.response().await.status, 101);
    assert_eq!(raw.json().await["event"], "connected");
    assert_eq!(raw.json().await["ackId"], 1);
}

#[tokio::test]
async fn a_handshake_may_follow_other_requests_on_its_connection() {
    let server = Server::start();
    let upgrade = Handshake::updates().query("token", &server.token("alice"));
    let health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut raw = Raw::connect(server.address).await;
    raw.write(health).await;
    assert_eq!(raw.response().await.status, 200);
    raw.shake_hands(&upgrade).await;
    assert_eq!(raw.json().await["event"], "connected");

    // In one write: each request gets its own answer, in order.
    let mut raw = Raw::connect(server.address).await;
    raw.write(&[&health[..], &upgrade.to_bytes()].concat())
        .await;
    let first = raw.response().await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.json()["status"], "healthy");
    let second = raw.response().await;
    assert_eq!(second.status, 101, "{second:?}");
    assert_eq!(raw.json().await["event"], "connected");

    let mut raw = Raw::connect(server.address).await;
    let refused = Handshake::updates().query("token", "nonsense");
    raw.write(&[&health[..], &refused.to_bytes()].concat())
        .await;
    assert_eq!(raw.response().await.status, 200);
    assert_eq!(raw.response().await.status, 401);
}

#[tokio::test]
async fn the_load_scripts_probes_are_refused() {
    let server = Server::start();
    let plain = "GET /v1/updates?token={} HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let plain = plain.replace("{}", &server.token("alice"));
    let response = Raw::request(server.address, plain.as_bytes()).await;
    assert_eq!(response.status, 426, "{response:?}");
    let neither_key_nor_token = Handshake::updates().without("Sec-WebSocket-Key");
    let response = Raw::request(server.address, &neither_key_nor_token.to_bytes()).await;
    assert_eq!(response.status, 400, "{response:?}");
}

#[tokio::test]
async fn other_paths_have_no_websocket() {
    let server = Server::start();
    for path in [
        "/",
        "/health",
        "/v1/websocket/stats",
        "/v1/updates/x",
        "/v1",
        "/admin",
    ] {
        let request = Handshake::to(path).query("token", &server.token("alice"));
        let before = server.refused("unknown_path");
        let response = Raw::request(server.address, &request.to_bytes()).await;
        assert_eq!(response.status, 404, "{path}: {response:?}");
        assert!(
            response.body.contains("/v1/updates"),
            "the remedy: {response:?}"
        );
        assert_eq!(server.refused("unknown_path"), before + 1, "{path}");
    }
    let connect = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n";
    let response = Raw::request(server.address, connect).await;
    assert_eq!(response.status, 404, "{response:?}");
}

#[tokio::test]
async fn request_ids_are_echoed_when_they_are_harmless() {
    let server = Server::start();
    let request = Handshake::updates().query("token", "nonsense");
    let with_id = request.clone().header("X-Request-ID", "load-7");
    let response = Raw::request(server.address, &with_id.to_bytes()).await;
    assert_eq!(response.header("x-request-id"), Some("load-7"));
    let too_long = request.header("X-Request-ID", &"x".repeat(129));
    let response = Raw::request(server.address, &too_long.to_bytes()).await;
    assert_eq!(response.header("x-request-id").unwrap().len(), 8);
}
