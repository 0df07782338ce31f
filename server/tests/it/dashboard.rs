//! The dashboard: who may connect, what newcomers are told, and what each event leads to (Socket.IO
//! contract, sections 11 and 12).

mod audiences;
mod connecting;
mod tasks;
mod turns;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::socket_io::SocketIo;
use crate::support::{Builder, Server, http};

/// A dashboard whose tasks are quick.
fn quick() -> Builder {
    Server::with("dashboard.task_step", "10ms")
}

/// With the token of the dashboard's own user.
async fn call(server: &Server, method: Method, path: &str, body: Option<Value>) -> http::Answer {
    let token = server.token("dashboard");
    http::send(method, server.address, path, Some(&token), body.as_ref()).await
}

async fn agent(server: &Server, name: &str) -> String {
    let path = format!("/v1/dashboard/agents/{name}");
    let answer = call(
        server,
        Method::PUT,
        &path,
        Some(json!({ "role": "tester" })),
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["agent"]["role"], "tester");
    answer["agent"]["id"].as_str().unwrap().to_owned()
}

async fn tell(server: &Server, event: &str, data: Value) -> Value {
    let body = json!({ "event": event, "data": data });
    let answer = call(server, Method::POST, "/v1/dashboard/events", Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn tell_organisation(server: &Server, slug: &str, event: &str, data: Value) {
    let body = json!({ "event": event, "data": data, "orgSlug": slug });
    let answer = call(server, Method::POST, "/v1/dashboard/events", Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn without_stamp(mut data: Value) -> Value {
    let stamp = data.as_object_mut().unwrap().remove("_emitTimestamp");
    assert!(stamp.unwrap().is_u64());
    data
}

/// The next event, which must be this one, without its stamp.
async fn next(socket: &mut SocketIo, event: &str) -> Value {
    without_stamp(socket.expect(event).await)
}
