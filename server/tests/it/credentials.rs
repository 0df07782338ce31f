//! Who a connection is: the ways to authenticate and their precedence, and where its labels come
//! from (realtime contract, sections 2.1 and 2.2).

use dormouse_protocol::AuthState;
use serde_json::{Value, json};

use crate::support::{Client, Handshake, Server};

/// Opens a connection and returns the data of `connected`.
async fn greeting(server: &Server, handshake: Handshake) -> (Client, Value) {
    let mut client = Client::open(server.address, handshake).await;
    let data = client.greeted().await;
    (client, data)
}

async fn refused(server: &Server, handshake: Handshake) -> u16 {
    match Client::try_open(server.address, handshake).await {
        Ok(_) => panic!("it was let in"),
        Err(response) => response.status().as_u16(),
    }
}

#[tokio::test]
async fn each_way_to_authenticate_lets_in_and_is_noted() {
    let server = Server::start();
    let by_query = Handshake::updates().query("token", &server.token("query"));
    let by_header = Handshake::updates().bearer(&server.token("header"));
    let by_ticket = Handshake::updates().query("ticket", &server.ticket("ticket"));
    for (handshake, user, state) in [
        (by_query, "query", AuthState::Legacy),
        (by_header, "header", AuthState::Legacy),
        (by_ticket, "ticket", AuthState::Authenticated),
    ] {
        let (client, data) = greeting(&server, handshake).await;
        assert_eq!(data["userId"], user);
        let report = server.state().workers.user(user).await.unwrap();
        let [connection] = &report.connections[..] else {
            panic!("one connection: {report:?}");
        };
        assert_eq!(connection.auth_state, state, "{user}");
        assert_eq!(connection.connection_id.to_string(), client.id);
    }
}

#[tokio::test]
async fn the_greeting_has_the_contracts_shape() {
    let server = Server::start();
    let before = dormouse_server::clock::unix_ms();
    let mut client = Client::open(
        server.address,
        Handshake::updates().query("token", &server.token("alice")),
    )
    .await;
    let connected = client.json().await;
    let data = &connected["data"];
    let id = data["connectionId"].as_str().unwrap();
    let uuid = uuid::Uuid::parse_str(id).unwrap();
    assert_eq!(uuid.get_version_num(), 4);
    assert_eq!(uuid.hyphenated().to_string(), id);
    let timestamp = data["timestamp"].as_u64().unwrap();
    assert!((before..=dormouse_server::clock::unix_ms()).contains(&timestamp));
    // Nothing else, and no nulls for what is absent.
    assert_eq!(
        connected,
        json!({
            "event": "connected",
            "data": {
                "connectionId": id, "userId": "alice", "clientType": "user-scoped",
                "timestamp": timestamp,
            }
        })
    );
}

#[tokio::test]
async fn a_ticket_wins_over_tokens_and_a_token_in_the_query_over_one_in_the_header() {
    let server = Server::start();
    let all = Handshake::updates()
        .query("ticket", &server.ticket("by-ticket"))
        .query("token", &server.token("by-query"))
        .bearer(&server.token("by-header"));
    let (_client, data) = greeting(&server, all).await;
    assert_eq!(data["userId"], "by-ticket");
    let tokens = Handshake::updates()
        .query("token", &server.token("by-query"))
        .bearer(&server.token("by-header"));
    let (_client, data) = greeting(&server, tokens).await;
    assert_eq!(data["userId"], "by-query");
    // What is not looked at may be bad.
    let ticket_and_rubbish = Handshake::updates()
        .query("ticket", &server.ticket("by-ticket"))
        .query("token", "rubbish")
        .bearer("rubbish");
    let (_client, data) = greeting(&server, ticket_and_rubbish).await;
    assert_eq!(data["userId"], "by-ticket");
    let query_and_rubbish = Handshake::updates()
        .query("token", &server.token("by-query"))
        .header("Authorization", "Basic rubbish");
    let (_client, data) = greeting(&server, query_and_rubbish).await;
    assert_eq!(data["userId"], "by-query");
}

#[tokio::test]
async fn a_bad_credential_never_falls_through_to_a_good_one() {
    let server = Server::start();
    let good = server.token("alice");
    for handshake in [
        Handshake::updates()
            .query("ticket", "bad")
            .query("token", &good),
        Handshake::updates().query("ticket", "bad").bearer(&good),
        Handshake::updates().query("token", "bad").bearer(&good),
        Handshake::updates().query("token", "bad"),
        Handshake::updates().header("Authorization", "Bearer"),
        Handshake::updates().header("Authorization", ""),
        Handshake::updates().header("Authorization", &format!("Bearer {good} {good}")),
        Handshake::updates().header("Authorization", &good),
    ] {
        assert_eq!(
            refused(&server, handshake.clone()).await,
            401,
            "{handshake:?}"
        );
    }
    assert_eq!(
        server.state().pending.taken(),
        0,
        "nobody waits for a first message"
    );
}

#[tokio::test]
async fn empty_parameters_count_as_absent() {
    let server = Server::start();
    let handshake = Handshake::updates()
        .query("ticket", "")
        .query("token", "")
        .query("clientType", "")
        .query("sessionId", "")
        .header("X-Session-Id", "from-header")
        .header("X-Machine-Id", "")
        .bearer(&server.token("alice"));
    let (_client, data) = greeting(&server, handshake).await;
    assert_eq!(
        (&data["userId"], &data["clientType"]),
        (&json!("alice"), &json!("user-scoped"))
    );
    assert_eq!(data["sessionId"], "from-header");
    assert_eq!(data.get("machineId"), None);
    let nothing = Handshake::updates().query("ticket", "").query("token", "");
    let mut client = Client::open(server.address, nothing).await;
    client
        .tell("auth", &json!({ "token": server.token("bob") }))
        .await;
    assert_eq!(client.expect("connected").await["userId"], "bob");
}

#[tokio::test]
async fn labels_come_from_headers_too_whatever_the_way_to_authenticate() {
    let server = Server::start();
    let with_headers = |handshake: Handshake| {
        handshake
            .header("X-Client-Type", "machine-scoped")
            .header("X-Session-Id", "s1")
            .header("X-Machine-Id", "m1")
            .header("X-Correlation-ID", "c1")
    };
    for way in [
        Handshake::updates().query("ticket", &server.ticket("alice")),
        Handshake::updates().query("token", &server.token("alice")),
        Handshake::updates().bearer(&server.token("alice")),
    ] {
        let (_client, data) = greeting(&server, with_headers(way)).await;
        assert_eq!(data["clientType"], "machine-scoped");
        assert_eq!(
            (&data["sessionId"], &data["machineId"]),
            (&json!("s1"), &json!("m1"))
        );
    }
}

#[tokio::test]
async fn the_query_wins_over_headers_field_by_field() {
    let server = Server::start();
    let handshake = Handshake::updates()
        .query("token", &server.token("alice"))
        .query("clientType", "session-scoped")
        .query("sessionId", "from-query")
        .header("X-Client-Type", "machine-scoped")
        .header("X-Session-Id", "from-header")
        .header("X-Machine-Id", "from-header");
    let (_client, data) = greeting(&server, handshake).await;
    assert_eq!(data["clientType"], "session-scoped");
    assert_eq!(data["sessionId"], "from-query");
    assert_eq!(data["machineId"], "from-header");
}

#[tokio::test]
async fn ids_of_128_characters_are_taken_in_full() {
    let server = Server::start();
    let long = "ü".repeat(128);
    let client = server.connect_session("alice", &long).await;
    let report = server.state().workers.user("alice").await.unwrap();
    assert_eq!(
        report.connections[0].labels.session_id.as_deref(),
        Some(&*long)
    );
    drop(client);
    let too_long = Handshake::updates()
        .query("token", &server.token("alice"))
        .query("machineId", &format!("{long}x"));
    assert_eq!(refused(&server, too_long).await, 400);
}

#[tokio::test]
async fn tokens_that_are_not_users_own_are_refused() {
    let server = Server::start();
    // `alg: none`, with the claims of a good token.
    let good = server.token("alice");
    let claims = good.split('.').nth(1).unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let other = Server::start();
    for token in [
        format!("{none}.{claims}."),
        format!("{none}.{claims}.AAAA"),
        other.token("alice"),
        server.admin_token("root"),
        server.token_expired_for("alice", 60),
        server.ticket("alice"),
        "a".repeat(60_000),
        "..".to_owned(),
        "\u{0}".to_owned(),
    ] {
        let by_query = Handshake::updates().query("token", &token);
        assert_eq!(refused(&server, by_query).await, 401, "{token:.40}");
        if token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let by_header = Handshake::updates().bearer(&token);
            assert_eq!(refused(&server, by_header).await, 401, "{token:.40}");
        }
    }
    // A token is no ticket either.
    let as_ticket = Handshake::updates().query("ticket", &good);
    assert_eq!(refused(&server, as_ticket).await, 401);
}

#[tokio::test]
async fn a_foreign_issuers_tokens_are_taken_for_this_audience_only() {
    const SECRET: &str = "a shared secret of 32 bytes or more";
    let server = crate::support::Builder::default()
        .file(&format!(
            "[[auth.issuers]]\nname = \"partner\"\nissuer = \"https://partner.example\"\n\
             audience = \"dormouse\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n\
             user_claim = \"uid\"\ntier_claim = \"plan\"\n"
        ))
        .start();
    let exp = dormouse_server::clock::unix_ms() / 1000 + 600;
    let sign = |audience: Value, key: &str| {
        let claims = json!({
            "iss": "https://partner.example", "aud": audience, "exp": exp, "uid": "carol",
            "plan": "free",
        });
        let key = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let good = sign(json!(["other", "dormouse"]), SECRET);
    let (_client, data) = greeting(&server, Handshake::updates().bearer(&good)).await;
    assert_eq!(data["userId"], "carol");
    assert_eq!(server.stats("carol").await.shards[0].tier, "free");
    for bad in [
        sign(json!("another"), SECRET),
        sign(json!([]), SECRET),
        sign(Value::Null, SECRET),
        sign(
            json!("dormouse"),
            "another secret that has 32 bytes or more",
        ),
    ] {
        assert_eq!(
            refused(&server, Handshake::updates().bearer(&bad)).await,
            401
        );
        let mut late = Client::open(server.address, Handshake::updates()).await;
        late.tell("auth", &json!({ "token": bad })).await;
        assert_eq!(late.expect("auth-error").await["code"], 4001);
        assert_eq!(late.closed().await.0, 4001);
    }
}
