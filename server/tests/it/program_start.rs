//! `dormouse` started: what it prints works, what it keeps is safe, and what it refuses it
//! explains.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::process::{Dormouse, PROGRAM, dormouse, run, run_dormouse, token};
use crate::support::{Client, Handshake, eventually, http, within};

async fn connect(address: std::net::SocketAddr, token: &str) -> Client {
    let handshake = Handshake::updates().query("token", token);
    let mut client = Client::open(address, handshake).await;
    client.greeted().await;
    client
}

/// The words of a shell line, as a shell reads them.
fn words(line: &str) -> Vec<String> {
    let script = format!("curl() {{ printf '%s\\n' \"$@\"; }}\n{line}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Sends what a `curl` line says.
async fn curl(line: &str) -> http::Answer {
    let words = words(line);
    let [dash_x, method, url, dash_h, header, dash_d, body] = &words[..] else {
        panic!("{words:?}");
    };
    assert_eq!((dash_x.as_str(), method.as_str()), ("-X", "POST"));
    assert_eq!((dash_h.as_str(), dash_d.as_str()), ("-H", "-d"));
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_at(rest.find('/').unwrap());
    let bearer = header.strip_prefix("Authorization: Bearer ").unwrap();
    let body = serde_json::from_str(body).unwrap();
    http::post(address.parse().unwrap(), path, bearer, &body).await
}

/// What is printed for people, from the blank line on.
async fn welcome(process: &mut Dormouse) -> Vec<String> {
    assert_eq!(process.line().await.as_deref(), Some(""));
    let mut lines = Vec::new();
    loop {
        match process.line().await.as_deref() {
            Some("") => return lines,
            line => lines.push(line.unwrap().trim().to_owned()),
        }
    }
}

#[tokio::test]
async fn in_an_empty_folder_it_starts_and_what_it_prints_works() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Dormouse::serve(folder.path(), &[]).await;
    let address = process.address();
    assert!(address.ip().is_loopback() && address.port() != 0);
    let lines = welcome(&mut process).await;
    let line = |start: &str| {
        let found = lines.iter().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no line {start:?}: {lines:?}"))
    };
    // The line for a browser's console.
    let url = line("new WebSocket(\"")
        .strip_prefix("new WebSocket(\"")
        .and_then(|rest| rest.strip_suffix("\")"))
        .unwrap();
    let printed = url.split_once("token=").unwrap().1.to_owned();
    assert_eq!(url, format!("ws://{address}/v1/updates?token={printed}"));
    let mut client = connect(address, &printed).await;
    // The line for a shell.
    let answer = curl(line("curl ")).await;
    assert_eq!(answer.json(), json!({ "success": true, "delivered": 1 }));
    assert_eq!(client.expect("hello").await, json!({ "text": "hi" }));
    // The command for more tokens, in the same folder.
    let more = line("more tokens: ");
    assert!(
        more.contains("dormouse token --user NAME [--admin]"),
        "{more}"
    );
    let bob = token(folder.path(), &["--user", "bob"]).await;
    connect(address, &bob).await.quiet().await;
    // The secret is where it says, and for nobody else to read.
    assert!(line("development mode").ends_with("./data"), "{lines:?}");
    let secret = folder.path().join("data/secret");
    let mode = std::fs::metadata(&secret).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = std::fs::read_to_string(&secret).unwrap();
    assert!(kept.trim().len() >= 64);

    // Neither it nor a token is in the logs.
    drop(client);
    assert!(process.stop().await.success());
    let stderr = process.stderr();
    assert!(
        !stderr.contains(kept.trim()) && !stderr.contains(&printed),
        "{stderr}"
    );

    // Started again, it has the same secret.
    let process = Dormouse::serve(folder.path(), &[]).await;
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), kept);
    connect(process.address(), &printed).await.quiet().await;
}

#[tokio::test]
async fn in_production_no_token_is_printed_and_no_secret_kept() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "a secret of the operator, 32 bytes or more";
    let mut command = dormouse(folder.path(), &["--listen", "127.0.0.1:0"]);
    command.env("DORMOUSE_AUTH__SECRET", secret);
    let mut process = Dormouse::serve_command(command, 1).await;
    assert!(!folder.path().join("data/secret").exists());
    let mut command = dormouse(folder.path(), &["token", "--user", "alice"]);
    command.env("DORMOUSE_AUTH__SECRET", secret);
    let alice = run(command).await.stdout;
    let mut client = connect(process.address(), alice.trim()).await;
    // Production's default tier.
    let stats = http::get(process.address(), "/v1/websocket/stats", Some(alice.trim())).await;
    assert_eq!(stats.json()["shards"][0]["tier"], "free");
    client.quiet().await;
    drop(client);
    assert!(process.stop().await.success());
    assert_eq!(
        process.rest_of_stdout().await,
        "",
        "nothing after the address"
    );
    let stderr = process.stderr();
    assert!(
        !stderr.contains(secret) && !stderr.contains(alice.trim()),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_taken_port_is_told_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = run_dormouse(folder.path(), &["--listen", &address]).await;
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&address), "{ended:?}");
    assert!(ended.stderr.contains("--listen"), "{ended:?}");
    assert!(!ended.stdout.contains("listening"), "{ended:?}");
}

#[tokio::test]
async fn it_serves_on_every_address_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let admin = token(folder.path(), &["--user", "root", "--admin"]).await;
    let alice = token(folder.path(), &["--user", "alice"]).await;
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
        "--set",
        "admin.listen=127.0.0.1:0",
    ];
    let process = Dormouse::serve_command(dormouse(folder.path(), &arguments), 3).await;
    let [first, second, admins] = process.addresses[..] else {
        panic!("{:?}", process.addresses);
    };
    let mut one = connect(first, &alice).await;
    let mut other = connect(second, &alice).await;
    assert_eq!(one.acked("broadcast", &json!(1)).await["delivered"], 1);
    assert_eq!(other.expect("broadcast").await, 1);
    // Admins have their own address only, and no WebSockets there.
    let overview = "/admin/v1/overview";
    assert_eq!(http::get(admins, overview, Some(&admin)).await.status, 200);
    assert_eq!(http::get(first, overview, Some(&admin)).await.status, 404);
    let handshake = Handshake::updates().query("token", &alice);
    let refused = Client::try_open(admins, handshake).await;
    assert_eq!(refused.err().unwrap().status(), 404);
    for address in [first, second, admins] {
        assert_eq!(http::get(address, "/health", None).await.status, 200);
    }
}

#[tokio::test]
async fn where_nothing_can_be_printed_it_serves_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let alice = token(folder.path(), &["--user", "alice"]).await;
    let mut command = Command::new("sh");
    command
        .current_dir(folder.path())
        .env_clear()
        .args(["-c", r#"exec "$@" >/dev/full"#, "sh", PROGRAM])
        .args(["--listen", "127.0.0.1:0"]);
    let mut process = Dormouse::spawn(&mut command);
    let address = eventually("its log tells the address", || async {
        let stderr = process.stderr();
        let (_, rest) = stderr.split_once("listening on: ")?;
        let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit())?;
        rest[..end].parse().ok()
    })
    .await;
    connect(address, &alice).await.quiet().await;
    assert!(process.stop().await.success());
}

#[tokio::test]
async fn what_cannot_be_printed_is_a_failure_unless_nobody_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let shell = |line: &str| {
        let mut command = Command::new("sh");
        command
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .args(["-c", line, "sh", PROGRAM]);
        command
    };
    let full = run(shell(r#""$1" config default >/dev/full"#)).await;
    assert_eq!(full.status, Some(1), "{full:?}");
    assert!(full.stderr.contains("standard output"), "{full:?}");
    let closed = run(shell(
        r#"{ "$1" config default; echo "status $?" >&2; } | true"#,
    ))
    .await;
    assert_eq!(closed.stderr, "status 0\n");
}

async fn health(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let ended = run_dormouse(folder, &[&["health"], arguments].concat()).await;
    (ended.status, ended.stdout + &ended.stderr)
}

#[tokio::test]
async fn health_asks_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Dormouse::serve(folder.path(), &[]).await;
    let address = process.address().to_string();
    for arguments in [["--address", &address], ["--listen", &address]] {
        let (status, text) = health(folder.path(), &arguments).await;
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains("\"ready\":true"), "{text}");
    }
    assert!(process.stop().await.success());
    let (status, text) = health(folder.path(), &["--address", &address]).await;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains(&address), "{text}");
    // Who accepts and says nothing, and who says something else.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let speaking = std::thread::spawn(move || {
        let (mut stream, _) = silent.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"220 mail.example ESMTP\r\n").unwrap();
    });
    let (status, text) = health(folder.path(), &["--address", &address]).await;
    assert_eq!(status, Some(1), "{text}");
    speaking.join().unwrap();
    let ended = within(
        "an answer",
        health(folder.path(), &["--address", "nonsense"]),
    )
    .await;
    assert_eq!(ended.0, Some(1), "{ended:?}");
}
