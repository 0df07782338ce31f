//! Plain HTTP requests of a well-behaved client.

use std::net::SocketAddr;

use reqwest::{Client, Method, Response};
use serde_json::Value;

use super::within;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    headers: reqwest::header::HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }
}

/// Sends a request with an optional token and body, each on a connection of its own.
pub async fn send(
    method: Method,
    address: SocketAddr,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer
        .iter()
        .map(|token| ("Authorization", token.as_str()))
        .collect();
    send_with(method, address, path, &headers, body).await
}

/// As [`send`], with these headers.
pub async fn send_with(
    method: Method,
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Answer {
    let client = Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let mut request = client.request(method, format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = within("an HTTP answer", request.send()).await.unwrap();
    read(response).await
}

async fn read(response: Response) -> Answer {
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: within("a body", response.text()).await.unwrap(),
    }
}

/// `GET`.
pub async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Answer {
    send(Method::GET, address, path, token, None).await
}

/// `POST` of JSON.
pub async fn post(address: SocketAddr, path: &str, token: &str, body: &Value) -> Answer {
    send(Method::POST, address, path, Some(token), Some(body)).await
}
