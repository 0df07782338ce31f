//! Who did what to whom is logged, and tokens are not.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::EnvFilter;

use super::server::TestServer;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[actix_rt::test]
async fn what_admins_change_is_logged_without_tokens() {
    let lines = Lines::default();
    let writer = lines.clone();
    // Of this whole test binary, whose other tests log as well: names tell them apart. Handlers
    // run on threads of their own, which a subscriber of this thread would not hear.
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_env_filter(EnvFilter::new("dormouse_server=trace"))
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("no other test hears the log");

    let server = TestServer::start(&[]).await;
    let user = "logged-user\"\u{e9}";
    let socket = server.connect(user, "").await;
    let encoded = "logged-user%22%C3%A9";
    let path = |end: &str| format!("/admin/v1/users/{encoded}/{end}");
    let message = r#"{"message":{"type":"x","payload":"the-payload"},"to":{"user":"logged-user"}}"#;
    let connection = format!("/admin/v1/connections/{}", socket.id);
    let actions = [
        (
            "PUT",
            path("tier"),
            r#"{"tier":"pro"}"#,
            "an admin set a tier",
        ),
        ("DELETE", path("tier"), "", "an admin cleared a tier"),
        (
            "POST",
            "/admin/v1/broadcast".to_owned(),
            message,
            "an admin broadcast",
        ),
        ("DELETE", connection, "", "an admin closed a connection"),
        (
            "POST",
            "/admin/v1/drain".to_owned(),
            "",
            "an admin drains the server",
        ),
    ];
    let other = server.connect(user, "").await;
    for (method, path, body, _) in &actions[..4] {
        server.as_admin(method, path, body).await.ok();
    }
    server.as_admin("POST", &path("disconnect"), "").await.ok();
    let (method, path, body, _) = &actions[4];
    server.as_admin(method, path, body).await.ok();
    drop(other);
    server.stop().await;

    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let logged = |what: &str, parts: &[&str]| {
        let wanted = log.lines().find(|line| {
            let is_it = line.contains(what) && line.contains(r#""admin":"root""#);
            is_it && line.contains(r#""INFO""#) && parts.iter().all(|part| line.contains(part))
        });
        assert!(wanted.is_some(), "{what} {parts:?}");
    };
    let whom = r#"logged-user\"é"#;
    logged(actions[0].3, &[whom, "pro"]);
    logged(actions[1].3, &[whom]);
    logged(actions[2].3, &["logged-user", r#""delivered":0"#]);
    logged(actions[3].3, &[&socket.id, r#""code":1008"#]);
    logged("an admin disconnected a user", &[whom, r#""closed":1"#]);
    logged(actions[4].3, &[r#""over_ms":0"#]);
    assert!(!log.contains("the-payload"), "messages are not for the log");
    // Every token of every test begins with a header of this form.
    assert!(!log.contains("eyJ"), "a token is in the log");
    assert!(log.lines().count() > 10);
}
