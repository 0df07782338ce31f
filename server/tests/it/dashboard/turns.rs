//! Turns of agents, streamed and interrupted.

use serde_json::{Value, json};

use super::{next, tell_organisation};
use crate::support::Server;
use crate::support::socket_io::SocketIo;

#[tokio::test]
async fn turns_are_streamed_into_their_thread_in_merged_pieces() {
    let server = Server::start();
    let mut one = SocketIo::organisation(server.address, "default").await;
    let mut apart = SocketIo::organisation(server.address, "default").await;
    one.asked(1, "join_thread", &json!("t1")).await;
    let part = |kind: &str, text: &str| json!({ "type": kind, "turnId": "x", "threadId": "t1", "text": text });
    for (kind, text) in [
        ("text_delta", "a"),
        ("text_delta", "b"),
        ("thinking_delta", "c"),
        ("tool_start", ""),
    ] {
        tell_organisation(&server, "default", "main_agent_stream", part(kind, text)).await;
    }
    let mut said = String::new();
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "tool_start") {
        let event = next(&mut one, "main_agent_stream").await;
        assert_eq!(
            (&event["turnId"], &event["threadId"]),
            (&json!("x"), &json!("t1"))
        );
        said.push_str(event["text"].as_str().unwrap());
        kinds.push(event["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(said, "abc");
    kinds.dedup();
    assert_eq!(kinds, ["text_delta", "thinking_delta", "tool_start"]);
    apart.quiet().await;
    // A simulated turn.
    let chat = json!({ "threadId": "t1", "body": "hello" });
    let ack = one.asked(2, "chat_message", &chat).await;
    assert_eq!(ack["success"], true);
    let mut kinds = Vec::new();
    let mut said = String::new();
    let complete = loop {
        let text = one.text().await;
        let mut items: Vec<Value> = serde_json::from_str(&text[2..]).unwrap();
        let data = items.remove(1);
        if items[0] == "message_created" {
            continue;
        }
        assert_eq!(data["turnId"], ack["turnId"]);
        kinds.push(data["type"].as_str().unwrap().to_owned());
        if data["type"] == "turn_complete" {
            break data;
        }
        said.push_str(data["text"].as_str().unwrap_or_default());
    };
    kinds.dedup();
    assert_eq!(kinds, ["turn_start", "text_delta", "turn_complete"]);
    assert_eq!(complete["fullText"], said);
    assert!(said.ends_with("hello"));
}

#[tokio::test]
async fn a_turn_is_interrupted() {
    let server = Server::start();
    let mut one = SocketIo::organisation(server.address, "default").await;
    one.asked(1, "join_thread", &json!("t1")).await;
    let thread = json!({ "threadId": "t1" });
    assert_eq!(
        one.asked(2, "chat_interrupt", &thread).await["success"],
        false
    );
    // Long enough not to end by itself meanwhile.
    let chat = json!({ "threadId": "t1", "body": "x ".repeat(2000) });
    one.emit("chat_message", &chat).await;
    one.emit("chat_message", &chat).await;
    one.emit("chat_interrupt", &thread).await;
    loop {
        let text = one.text().await;
        let items: Vec<Value> = serde_json::from_str(&text[2..]).unwrap();
        if items[1]["type"] == "stream_error" {
            assert_eq!(items[1]["error"], "interrupted");
            break;
        }
        assert_ne!(items[1]["type"], "turn_complete");
    }
    assert_eq!(
        one.asked(3, "chat_interrupt", &thread).await["success"],
        false
    );
}
