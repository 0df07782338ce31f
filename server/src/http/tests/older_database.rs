//! What the first version of the schema has stored is served, and goes on from there.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::client::Answer;
use super::server::{TestServer, settings};
use crate::database::testing::older;
use crate::database::{DatabaseError, Dialect, Location};
use crate::serve::Server;

const FIRST: &str = "019aa6d1000070008000000000000001";
const SECOND: &str = "019aa6d1000070008000000000000002";

#[actix_rt::test]
async fn it_is_served_from_sqlite() {
    it_is_served(Dialect::Sqlite).await;
}

#[actix_rt::test]
#[cfg_attr(not(postgres_is_installed), ignore = "PostgreSQL is not installed")]
async fn it_is_served_from_postgres() {
    it_is_served(Dialect::Postgres).await;
}

#[actix_rt::test]
async fn no_machine_is_online_on_sqlite_before_it_is_served() {
    no_machine_is_online_before_it_is_served(Dialect::Sqlite).await;
}

#[actix_rt::test]
#[cfg_attr(not(postgres_is_installed), ignore = "PostgreSQL is not installed")]
async fn no_machine_is_online_on_postgres_before_it_is_served() {
    no_machine_is_online_before_it_is_served(Dialect::Postgres).await;
}

/// A process that is killed leaves its machines online.
async fn no_machine_is_online_before_it_is_served(dialect: Dialect) {
    let folder = tempfile::tempdir().unwrap();
    let location = older::copy(dialect, folder.path()).await;
    older::change(&location, "UPDATE machines SET active = 1").await;
    let settings = settings(folder.path(), &[("database.url", &url(&location))]);
    let server = Server::new(settings).unwrap();
    let counting = server.state().database.read(async |reader| {
        let count = "SELECT COUNT(*) FROM machines WHERE active = 1";
        let online: i64 = sqlx::query_scalar(count).fetch_one(reader).await?;
        Ok::<_, DatabaseError>(online)
    });
    assert_eq!(counting.await.unwrap(), 0);
    server.state().database.close().await;
}

fn url(location: &Location) -> String {
    match location {
        Location::Sqlite(path) => format!("sqlite:{}", path.display()),
        Location::Postgres(url) => url.clone(),
    }
}

async fn it_is_served(dialect: Dialect) {
    let folder = tempfile::tempdir().unwrap();
    let url = url(&older::copy(dialect, folder.path()).await);
    let server = TestServer::start(&[("database.url", &url)]).await;
    // The account has its key: that of a seed of zeros.
    let key = SigningKey::from_bytes(&[0; 32]);
    let proof = json!({
        "publicKey": BASE64_STANDARD.encode(key.verifying_key().as_bytes()),
        "challenge": BASE64_STANDARD.encode("c"),
        "signature": BASE64_STANDARD.encode(key.sign(b"c").to_bytes()),
    });
    let signed_in = server.request("POST", "/v1/auth").body(proof.to_string());
    let token = Answer::to(signed_in).await.ok()["token"].take();
    let token = token.as_str().unwrap().to_owned();
    let ask = async |method: &str, path: &str, body: Value| {
        let request = server.request(method, path).bearer_auth(&token);
        Answer::to(request.body(body.to_string())).await.ok()
    };
    let get = async |path: &str| ask("GET", path, Value::Null).await;

    let profile = get("/v1/account").await;
    assert_eq!(
        (&profile["id"], &profile["lastName"], &profile["username"]),
        (&json!("alice"), &json!("Åström"), &json!("alice_1"))
    );
    assert_eq!(
        get("/v1/account/preferences").await,
        json!({"settings": "ciphertext", "settingsVersion": 2})
    );
    let sessions = get("/v1/sessions").await;
    assert_eq!(
        sessions["sessions"][0],
        json!({
            "id": FIRST, "seq": 2, "createdAt": 1_763_690_100_000_i64,
            "updatedAt": 1_763_693_900_000_i64, "active": true,
            "activeAt": 1_763_693_900_000_i64, "metadata": "métadonnées \"quoted\"",
            "metadataVersion": 3, "agentState": "state", "agentStateVersion": 2,
            "dataEncryptionKey": "AP8Q", "lastMessage": null,
        })
    );
    assert_eq!(sessions["sessions"][1]["id"], SECOND);
    let state = get(&format!("/v1/sessions/{SECOND}/state")).await;
    assert_eq!(state["state"], "archived");
    let messages = get(&format!("/v1/sessions/{FIRST}/messages?sinceSeq=0")).await;
    let contents: Vec<&Value> = (0..2)
        .map(|at| &messages["messages"][at]["content"])
        .collect();
    assert_eq!(
        contents,
        [
            &json!({"t": "encrypted", "c": "b25l"}),
            &json!([1, 2.5, {"a": null}])
        ]
    );
    let machines = get("/v1/machines").await;
    assert_eq!(
        (
            &machines["machines"][0]["id"],
            &machines["machines"][0]["dataEncryptionKey"]
        ),
        (&json!("laptop"), &json!("AQI="))
    );
    let artifact = get("/v1/artifacts/notes:1").await["artifact"].take();
    assert_eq!(
        (&artifact["header"], &artifact["body"]),
        (&json!("aDI="), &json!("AP8="))
    );
    let access_key = get(&format!("/v1/access-keys/{FIRST}/laptop")).await;
    assert_eq!(access_key["accessKey"]["dataVersion"], 4);
    let usage = ask("POST", "/v1/usage/query", json!({})).await;
    assert_eq!(
        (
            &usage["totalReports"],
            &usage["usage"][0]["tokens"]["total"]
        ),
        (&json!(2), &json!(6))
    );
    assert_eq!(get("/v1/usage/limits").await["limitsAvailable"], true);

    // The next numbers are the next ones.
    let mut socket = server.connect_with(&token, "").await;
    let message = json!({"content": 1, "localId": "l2"});
    let path = format!("/v1/sessions/{FIRST}/messages");
    let stored = ask("POST", &path, message).await;
    assert_eq!(stored["message"]["seq"], 3);
    assert_eq!(socket.json().await["data"]["seq"], 14);
    let since = json!({"sessions": 7, "machines": 9, "artifacts": 12});
    let request = json!({"event": "request-updates-since", "ackId": "1", "data": since});
    socket.say(&request.to_string()).await;
    let delta = socket.json().await["ack"].take();
    let updates = delta["updates"].as_array().unwrap();
    let numbers: Vec<_> = updates
        .iter()
        .map(|update| (&update["type"], &update["seq"]))
        .collect();
    assert_eq!(
        numbers,
        [
            (&json!("update-session"), &json!(9)),
            (&json!("archive-session"), &json!(9)),
            (&json!("update-machine"), &json!(10)),
            (&json!("delete-artifact"), &json!(13)),
            (&json!("update-session"), &json!(14)),
        ]
    );
    // What later steps brought is there.
    let write = json!({"mutations": [{"key": "k", "value": "YQ==", "version": -1}]});
    assert_eq!(ask("POST", "/v1/kv", write).await["success"], true);
    server.stop().await;
}
