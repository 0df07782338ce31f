//! A store that cannot write: the server goes on with its shards awake, says so, and recovers.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::support::process::{Dormouse, PROGRAM, run_dormouse, token};
use crate::support::{Client, Handshake, eventually, http};

const SETTINGS: [&str; 6] = [
    "--listen",
    "127.0.0.1:0",
    "--set",
    "shard.hibernate_after=100ms",
    "--set",
    "workers=2",
];

/// The program behind a shell line that ends in `exec "$@"`; the data folder is `$0`.
fn behind(line: &str, data: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["-c", line])
        .arg(data)
        .arg(PROGRAM)
        .args(SETTINGS)
        .arg("--data-dir")
        .arg(data)
        // Outside of the data folder, which the line may hide, and whose space is the store's alone.
        .env(
            "DORMOUSE_DATABASE__URL",
            format!("sqlite:{}.db", data.display()),
        )
        .env("DORMOUSE_AUTH__SECRET", SECRET)
        .env("DORMOUSE_ENVIRONMENT", "development");
    command
}

const SECRET: &str = "a secret that these tests share, 32 bytes or more";

struct Faulty {
    process: Dormouse,
    admin: String,
    clients: Vec<(String, Client)>,
    /// Where the secret is, for tokens.
    folder: tempfile::TempDir,
}

impl Faulty {
    async fn start(line: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let process = Dormouse::serve_command(behind(line, &data), 1).await;
        let mut faulty = Self {
            process,
            admin: String::new(),
            clients: Vec::new(),
            folder,
        };
        faulty.admin = faulty.token(&["--user", "root", "--admin"]).await;
        faulty
    }

    async fn token(&self, arguments: &[&str]) -> String {
        let secret = format!("auth.secret={SECRET}");
        let all = [arguments, &["--set", &secret]].concat();
        token(self.folder.path(), &all).await
    }

    async fn connect(&mut self, user: &str) -> &mut Client {
        let token = self.token(&["--user", user]).await;
        let handshake = Handshake::updates()
            .query("token", &token)
            .query("sessionId", &"s".repeat(128))
            .query("machineId", &"m".repeat(128));
        let mut client = Client::open(self.process.address(), handshake).await;
        client.greeted().await;
        self.clients.push((user.to_owned(), client));
        &mut self.clients.last_mut().unwrap().1
    }

    async fn ready(&self) -> (u16, Value) {
        let answer = http::get(self.process.address(), "/ready", None).await;
        (answer.status, answer.json())
    }

    async fn shards(&self) -> Value {
        let overview = http::get(
            self.process.address(),
            "/admin/v1/overview",
            Some(&self.admin),
        );
        overview.await.json()["shards"].take()
    }

    async fn until_all_sleep(&self) {
        eventually("all shards sleep", || async {
            let shards = self.shards().await;
            (shards["awake"] == 0 && shards["asleep"] == self.clients.len()).then_some(())
        })
        .await;
    }

    /// Waits until the store's failure shows, and checks that the server serves on.
    async fn check_failing(&mut self) {
        let fault = eventually("the store fails", || async {
            let (status, body) = self.ready().await;
            // What fails the store may fail the database before it.
            (status == 503 && body["checks"]["store"] == false).then_some(body)
        })
        .await;
        assert_eq!(fault["ready"], false);
        assert_eq!(fault["checks"]["realtime"], true);
        let error = fault["error"].as_str().unwrap();
        assert!(
            error.contains("store") && error.contains("check free space"),
            "{error}"
        );
        let health = http::get(self.process.address(), "/health", None).await;
        assert_eq!(health.status, 200, "it is alive all the same");
        for (_, client) in &mut self.clients {
            client.quiet().await;
            assert_eq!(client.acked("broadcast", &json!(1)).await["delivered"], 0);
        }
        self.connect("newcomer").await.quiet().await;
        let shards = self.shards().await;
        assert_eq!(shards["asleep"], 0, "{shards}");
    }

    /// Waits until the store works again and everybody sleeps, and checks that all can be woken.
    async fn check_recovered(mut self) {
        self.until_all_sleep().await;
        eventually("the server is ready", || async {
            let (status, body) = self.ready().await;
            (status == 200 && body["ready"] == true).then_some(())
        })
        .await;
        for (_, client) in &mut self.clients {
            client.quiet().await;
        }
        drop(std::mem::take(&mut self.clients));
        assert!(self.process.stop().await.success());
        let stderr = self.process.stderr();
        assert!(stderr.contains("shards stay awake"), "{stderr}");
        assert!(stderr.contains("works again"), "{stderr}");
    }
}

/// Bounds the size of files that a process may write, its own sockets and pipes not concerned.
fn bound_files(process: Pid, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(Some(process), Resource::Fsize, limit).unwrap();
}

/// The signal that comes with a file too large is ignored, so that the write fails instead.
const WITH_BOUNDED_FILES: &str = r#"trap "" XFSZ; exec "$@""#;

#[tokio::test]
async fn a_store_that_cannot_write_keeps_shards_awake_until_it_can() {
    let mut faulty = Faulty::start(WITH_BOUNDED_FILES).await;
    faulty.connect("alice").await;
    let pid = faulty.process.pid();
    bound_files(pid, Some(0));
    faulty.check_failing().await;
    bound_files(pid, None);
    faulty.check_recovered().await;
}

#[tokio::test]
async fn who_slept_before_the_store_failed_can_still_be_woken() {
    let mut faulty = Faulty::start(WITH_BOUNDED_FILES).await;
    faulty.connect("sleeper").await;
    faulty.connect("second-sleeper").await;
    faulty.until_all_sleep().await;
    let pid = faulty.process.pid();
    bound_files(pid, Some(0));
    faulty.connect("alice").await;
    faulty.check_failing().await;
    bound_files(pid, None);
    faulty.check_recovered().await;
}

#[tokio::test]
async fn a_store_that_works_again_makes_the_server_ready_without_connections() {
    let mut faulty = Faulty::start(WITH_BOUNDED_FILES).await;
    faulty.connect("alice").await;
    let pid = faulty.process.pid();
    bound_files(pid, Some(0));
    faulty.check_failing().await;
    faulty.clients.clear();
    bound_files(pid, None);
    eventually("it is ready", || async {
        (faulty.ready().await.0 == 200).then_some(())
    })
    .await;
}

/// A small file system of the process's own, which is gone with it.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@""#;

fn can_mount() -> bool {
    let try_it = Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .output();
    try_it.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn a_full_disk_keeps_shards_awake_until_there_is_room() {
    if !can_mount() {
        eprintln!("skipped: only root can mount a small disk");
        return;
    }
    let line = format!("exec unshare --mount sh -c '{ON_A_SMALL_DISK}' \"$0\" \"$@\"");
    let mut faulty = Faulty::start(&line).await;
    let pid = faulty.process.pid().as_raw_nonzero();
    let data = faulty.folder.path().join("data");
    let ballast = format!("/proc/{pid}/root{}/ballast", data.display());
    let full = std::io::copy(
        &mut std::io::Read::take(std::io::repeat(0), 2 << 20),
        &mut std::fs::File::create(&ballast).unwrap(),
    );
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    // The last page of the store's file has room for some attachments.
    for number in 0.. {
        assert!(number < 50, "it never fails");
        faulty.connect(&format!("user-{number}")).await;
        let fails_or_sleeps = eventually("it sleeps or fails", || async {
            match faulty.ready().await.1["checks"]["store"] == false {
                true => Some(true),
                false => (faulty.shards().await["awake"] == 0).then_some(false),
            }
        });
        if fails_or_sleeps.await {
            break;
        }
    }
    faulty.check_failing().await;
    std::fs::remove_file(&ballast).unwrap();
    faulty.check_recovered().await;
}

#[tokio::test]
async fn logs_that_cannot_be_written_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command
        .current_dir(folder.path())
        .env_clear()
        .args(["-c", r#"exec "$@" 2>/dev/full"#, "sh", PROGRAM])
        .args(SETTINGS)
        .args(["--set", "log.level=debug"]);
    let mut process = Dormouse::serve_command(command, 1).await;
    let token = token(folder.path(), &["--user", "alice"]).await;
    let handshake = Handshake::updates().query("token", &token);
    let mut client = Client::open(process.address(), handshake).await;
    client.greeted().await;
    client.quiet().await;
    assert_eq!(
        http::get(process.address(), "/ready", None).await.status,
        200
    );
    drop(client);
    assert!(process.stop().await.success());
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_used_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for data in ["file", "file/below", "/proc/nowhere"] {
        let arguments = ["--listen", "127.0.0.1:0", "--data-dir", data];
        let ended = run_dormouse(folder.path(), &arguments).await;
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(
            ended.stderr.contains(data) && ended.stderr.contains("data"),
            "{ended:?}"
        );
    }
    let mut first = Dormouse::serve(folder.path(), &[]).await;
    let second = run_dormouse(folder.path(), &["--listen", "127.0.0.1:0"]).await;
    assert_eq!(second.status, Some(1), "{second:?}");
    assert!(
        second.stderr.contains("in use by another process"),
        "{second:?}"
    );
    assert!(second.stderr.contains("data_dir"), "the remedy: {second:?}");
    assert!(first.stop().await.success());
    // A store that is garbage.
    let store = folder.path().join("data/attachments");
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::write(&store, "garbage").unwrap();
    let ended = run_dormouse(folder.path(), &["--listen", "127.0.0.1:0"]).await;
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("attachments"), "{ended:?}");
}
