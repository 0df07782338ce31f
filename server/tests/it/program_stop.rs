//! Stopping: what clients see, what is refused meanwhile, and how it ends (realtime contract,
//! sections 12 and 13).

use rustix::process::Signal;
use serde_json::json;

use crate::support::process::{Dormouse, run_dormouse, token};
use crate::support::raw::{Seen, frame};
use crate::support::{Client, Handshake, Raw, http};

struct Running {
    process: Dormouse,
    token: String,
    folder: tempfile::TempDir,
}

impl Running {
    async fn start(shutdown_timeout: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = token(folder.path(), &["--user", "alice"]).await;
        let timeout = format!("shutdown_timeout={shutdown_timeout}");
        let process = Dormouse::serve(folder.path(), &["--set", &timeout]).await;
        Self {
            process,
            token,
            folder,
        }
    }

    fn handshake(&self) -> Handshake {
        Handshake::updates().query("token", &self.token)
    }

    async fn connect(&self) -> Client {
        let mut client = Client::open(self.process.address(), self.handshake()).await;
        client.greeted().await;
        client
    }

    /// A connection that does not answer a close frame.
    async fn stubborn(&self) -> Raw {
        let mut raw = Raw::open(self.process.address(), &self.handshake()).await;
        assert_eq!(raw.json().await["event"], "connected");
        raw
    }
}

#[tokio::test]
async fn clients_are_told_and_nobody_is_let_in_while_it_stops() {
    let mut running = Running::start("1m").await;
    let address = running.process.address();
    let mut members = [running.connect().await, running.connect().await];
    let mut newcomer = Client::open(address, Handshake::updates()).await;
    let mut stubborn = running.stubborn().await;
    running.process.signal(Signal::TERM);
    for client in members.iter_mut().chain([&mut newcomer]) {
        assert_eq!(client.closed().await.0, 1001);
    }
    // The last one holds it up.
    assert!(matches!(stubborn.next().await, Seen::Close(Some(1001), _)));
    let ready = http::get(address, "/ready", None).await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let ready = ready.json();
    assert_eq!(
        (&ready["ready"], &ready["checks"]["realtime"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(http::get(address, "/health", None).await.status, 200);
    for handshake in [running.handshake(), Handshake::updates()] {
        let refusal = Raw::request(address, &handshake.to_bytes()).await;
        assert_eq!(refusal.status, 503, "{refusal:?}");
        assert_eq!(refusal.header("retry-after"), Some("1"));
    }
    let asked = ["health", "--address", &address.to_string()];
    let health = run_dormouse(running.folder.path(), &asked).await;
    assert_eq!(health.status, Some(1), "{health:?}");
    // Agreed: it ends.
    stubborn.write(&frame(0x88, &1001_u16.to_be_bytes())).await;
    let status = running.process.ended().await;
    assert!(status.success(), "{status}");
    assert!(running.process.stderr().contains("stopped"));
}

#[tokio::test]
async fn who_does_not_agree_does_not_hold_it_up_for_long() {
    let mut running = Running::start("300ms").await;
    let mut stubborn = running.stubborn().await;
    let _connected_only = Raw::connect(running.process.address()).await;
    assert!(running.process.stop().await.success());
    assert!(matches!(stubborn.next().await, Seen::Close(Some(1001), _)));
    assert_eq!(stubborn.next().await, Seen::End);
}

#[tokio::test]
async fn what_waits_for_a_slow_reader_is_sent_before_the_end() {
    let mut running = Running::start("1m").await;
    let address = running.process.address();
    let mut slow = Raw::connect_narrow(address, 4096).await;
    slow.shake_hands(&running.handshake()).await;
    assert_eq!(slow.json().await["event"], "connected");
    let mut sender = running.connect().await;
    let data = json!("x".repeat(100_000));
    for _ in 0..30 {
        assert_eq!(sender.acked("broadcast", &data).await["delivered"], 1);
    }
    running.process.signal(Signal::TERM);
    assert_eq!(sender.closed().await.0, 1001);
    for _ in 0..30 {
        assert_eq!(slow.json().await["data"], data);
    }
    assert!(matches!(slow.next().await, Seen::Close(Some(1001), _)));
    drop(slow);
    assert!(running.process.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::INT)] {
        let mut running = Running::start("10m").await;
        let mut stubborn = running.stubborn().await;
        running.process.signal(first);
        assert!(matches!(stubborn.next().await, Seen::Close(Some(1001), _)));
        running.process.signal(second);
        let status = running.process.ended().await;
        assert_eq!(status.code(), Some(1), "{status}");
        let stderr = running.process.stderr();
        assert!(stderr.contains("second signal"), "{stderr}");
    }
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let mut running = Running::start("10m").await;
    // Idle HTTP connections hold nothing up either.
    let mut idle = Raw::connect(running.process.address()).await;
    idle.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(idle.response().await.status, 200);
    assert!(running.process.stop().await.success());
    idle.ended().await;
}
