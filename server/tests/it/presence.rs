//! Machines that come online and go offline (realtime contract, section 9).

use serde_json::{Value, json};

use crate::support::{Builder, Client, Handshake, Raw, Server};

/// Reads the pair that announces a machine.
async fn announced(client: &mut Client, machine: &str, is_online: bool) {
    let status = client.expect("ephemeral").await;
    let at = status["timestamp"].as_u64().unwrap();
    assert_eq!(
        status,
        json!({
            "type": "machine-status", "machineId": machine, "online": is_online, "timestamp": at
        })
    );
    let activity = client.expect("ephemeral").await;
    for (field, expected) in [
        ("type", json!("machine-activity")),
        ("machineId", json!(machine)),
        ("active", json!(is_online)),
    ] {
        assert_eq!(activity[field], expected, "{activity}");
    }
    assert!(activity["activeAt"].is_u64(), "{activity}");
}

#[tokio::test]
async fn apps_hear_of_a_machine_that_comes_and_goes() {
    let server = Server::start();
    let mut app = server.connect("alice").await;
    let mut session = server.connect_session("alice", "s1").await;
    let mut stranger = server.connect("bob").await;
    let mut other_machine = server.connect_machine("alice", "m2").await;
    announced(&mut app, "m2", true).await;
    let mut machine = server.connect_machine("alice", "m1").await;
    announced(&mut app, "m1", true).await;
    assert_eq!(machine.close(1000).await, Some(1000));
    announced(&mut app, "m1", false).await;
    for client in [&mut app, &mut session, &mut stranger, &mut other_machine] {
        client.quiet().await;
    }
}

#[tokio::test]
async fn a_machine_is_greeted_before_it_is_announced() {
    let server = Server::start();
    let mut app = server.connect("alice").await;
    // Known late, by its first message.
    let mut machine = Client::open(server.address, Handshake::updates()).await;
    machine
        .tell(
            "auth",
            &json!({
                "token": server.token("alice"), "clientType": "machine-scoped", "machineId": "m1"
            }),
        )
        .await;
    machine.expect("connected").await;
    announced(&mut app, "m1", true).await;
    machine.quiet().await;
}

#[tokio::test]
async fn reconnects_that_overlap_leave_the_machine_online() {
    let server = Server::start();
    let mut app = server.connect("alice").await;
    let first = server.connect_machine("alice", "m1").await;
    announced(&mut app, "m1", true).await;
    let second = server.connect_machine("alice", "m1").await;
    drop(first);
    server.until_connections("alice", 2).await;
    let third = server.connect_machine("alice", "m1").await;
    drop(second);
    server.until_connections("alice", 2).await;
    app.quiet().await;
    drop(third);
    announced(&mut app, "m1", false).await;
    app.quiet().await;
}

#[tokio::test]
async fn a_machine_that_dies_without_a_word_goes_offline() {
    let server = Server::start();
    let mut app = server.connect("alice").await;
    let handshake = Handshake::updates()
        .query("token", &server.token("alice"))
        .query("clientType", "machine-scoped")
        .query("machineId", "m1");
    let machine = Raw::open(server.address, &handshake).await;
    announced(&mut app, "m1", true).await;
    machine.reset();
    announced(&mut app, "m1", false).await;
    app.quiet().await;
}

#[tokio::test]
async fn presence_is_counted_over_all_shards() {
    let server = Builder::default().tier("spread", 1, 4).start();
    let token = server.token_of_tier("alice", "spread");
    let machine = [("clientType", "machine-scoped"), ("machineId", "m1")];
    let mut app = server.connect_with(&token, &[]).await;
    let first = server.connect_with(&token, &machine).await;
    announced(&mut app, "m1", true).await;
    let second = server.connect_with(&token, &machine).await;
    drop(first);
    server.until_connections("alice", 2).await;
    app.quiet().await;
    drop(second);
    announced(&mut app, "m1", false).await;
}

#[tokio::test]
async fn a_label_is_no_machine() {
    let server = Server::start();
    let mut app = server.connect("alice").await;
    let labelled = server.connect_as("alice", &[("machineId", "m1")]).await;
    app.quiet().await;
    drop(labelled);
    server.until_connections("alice", 1).await;
    app.quiet().await;
    assert_eq!(app.acked("broadcast", &Value::Null).await["delivered"], 0);
}
