use actix_http::header::{HeaderName, HeaderValue};
use dormouse_protocol::ClientType;
use proptest::prelude::*;

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::try_from(*name).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}

fn proper(more: &[(&str, &str)]) -> HeaderMap {
    let mut all = vec![
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
    ];
    all.extend_from_slice(more);
    headers(&all)
}

fn read_ok(query: &str, more: &[(&str, &str)]) -> Handshake {
    read(&Method::GET, Version::HTTP_11, query, &proper(more)).unwrap()
}

#[test]
fn refusals_come_in_the_order_of_the_contract() {
    let upgrade = ("upgrade", "WebSocket");
    let cases: [(&[(&str, &str)], u16); 7] = [
        (&[], 426),
        (&[("upgrade", "h2c")], 426),
        (&[upgrade], 400),
        (
            &[upgrade, ("connection", "close"), ("sec-websocket-key", KEY)],
            400,
        ),
        (&[upgrade, ("connection", "upgrade")], 400),
        (
            &[
                upgrade,
                ("connection", "upgrade"),
                ("sec-websocket-key", "c2hvcnQ="),
            ],
            400,
        ),
        (
            &[
                upgrade,
                ("connection", "upgrade"),
                ("sec-websocket-key", KEY),
            ],
            426,
        ),
    ];
    for (pairs, status) in cases {
        let refusal = read(&Method::GET, Version::HTTP_11, "token=x", &headers(pairs)).unwrap_err();
        assert_eq!(refusal.status(), status, "{pairs:?}");
    }
    let old = proper(&[]);
    let mut old_version = old.clone();
    old_version.insert(
        HeaderName::from_static("sec-websocket-version"),
        "8".parse().unwrap(),
    );
    let refusal = read(&Method::GET, Version::HTTP_11, "", &old_version).unwrap_err();
    assert_eq!(refusal.headers(), [("Sec-WebSocket-Version", "13")]);
    for body in [("content-length", "5"), ("transfer-encoding", "chunked")] {
        let refusal = read(&Method::GET, Version::HTTP_11, "", &proper(&[body])).unwrap_err();
        assert_eq!(refusal.status(), 400);
    }
    for (method, version) in [
        (Method::POST, Version::HTTP_11),
        (Method::GET, Version::HTTP_10),
    ] {
        assert_eq!(read(&method, version, "", &old).unwrap_err().status(), 400);
    }
}

#[test]
fn credentials_have_their_precedence() {
    let bearer = [("authorization", "Bearer from-header")];
    let credential = |query: &str, more: &[(&str, &str)]| read_ok(query, more).credential;
    assert_eq!(credential("", &[]), Credential::None);
    assert_eq!(
        credential("", &bearer),
        Credential::Token("from-header".into())
    );
    assert_eq!(
        credential("token=q", &bearer),
        Credential::Token("q".into())
    );
    assert_eq!(
        credential("token=q&ticket=t", &bearer),
        Credential::Ticket("t".into())
    );
    assert_eq!(
        credential("token=", &bearer),
        Credential::Token("from-header".into())
    );
    assert_eq!(
        credential("", &[("authorization", "Basic x")]),
        Credential::Unusable
    );
}

#[test]
fn labels_fall_back_to_headers_field_by_field() {
    let more = [
        ("x-client-type", "machine-scoped"),
        ("x-machine-id", "m-header"),
    ];
    let labels = read_ok("machineId=m-query&sessionId=", &more)
        .labels
        .unwrap();
    assert_eq!(labels.client_type, ClientType::MachineScoped);
    assert_eq!(labels.machine_id.as_deref(), Some("m-query"));
    assert_eq!(labels.session_id, None);
    assert_eq!(
        read_ok("clientType=phone", &[]).labels,
        Err(LabelsError::UnknownClientType)
    );
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let response = String::from_utf8(accept(KEY)).unwrap();
    assert!(response.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(response.starts_with("HTTP/1.1 101 ") && response.ends_with("\r\n\r\n"));
}

proptest! {
    #[test]
    fn arbitrary_queries_never_panic(query in "\\PC{0,100}") {
        let _ = read(&Method::GET, Version::HTTP_11, &query, &proper(&[]));
    }
}
