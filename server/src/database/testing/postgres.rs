//! A PostgreSQL server of the tests' own: started once for each test binary, on a socket in a
//! folder of its own, ended with the binary. Every test gets a schema of its own in it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The user `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// Runs the server until the standard input ends, which is when the tests' process has ended,
/// however that came about. Then nothing is left of it.
const KEEPER: &str = r#"
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c max_connections=300 \
    -c shared_buffers=16MB -c autovacuum=off <&- &
server=$!
read -r _
kill -QUIT "$server"
wait "$server"
rm -rf "$2"
"#;

struct Server {
    folder: PathBuf,
    user: &'static str,
    /// Its standard input is open as long as this process lives.
    _keeper: Child,
}

/// A URL that leads to a fresh schema; the server is started by the first call.
pub fn fresh_url() -> String {
    static SERVER: OnceLock<Server> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(start);
    let schema = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = server.folder.to_str().unwrap();
    let made = Command::new(programs().join("psql"))
        .args([
            "-q",
            "-h",
            folder,
            "-U",
            server.user,
            "-d",
            "postgres",
            "-c",
        ])
        .arg(format!("CREATE SCHEMA {schema}"))
        .status();
    assert!(made.unwrap().success());
    let (folder, user) = (folder.replace('/', "%2F"), server.user);
    format!("postgres://{user}@{folder}/postgres?options=-csearch_path%3D{schema}")
}

/// The newest version's programs.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap();
    let programs = versions.map(|version| version.unwrap().path().join("bin"));
    programs
        .filter(|folder| folder.join("initdb").is_file())
        .max()
        .expect("PostgreSQL is installed")
}

fn start() -> Server {
    let programs = programs();
    // Not below TMPDIR: the path of a socket has 107 bytes at most, and the server's user must
    // reach it.
    let folder = tempfile::Builder::new()
        .prefix("dormouse-postgres-")
        .tempdir_in("/tmp")
        .unwrap()
        .keep();
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt as _;
        own.uid() == 0
    });
    let as_nobody = |command: &mut Command| {
        command
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8");
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
    };
    if is_root {
        chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let user = "dormouse";
    let mut initdb = Command::new(programs.join("initdb"));
    initdb.args([
        "--no-sync",
        "--auth=trust",
        "--encoding=UTF8",
        "-U",
        user,
        "-D",
    ]);
    initdb.arg(folder.join("data")).stdout(Stdio::null());
    as_nobody(&mut initdb);
    assert!(initdb.status().unwrap().success(), "initdb failed");
    let keeper = keep(&programs, &folder, as_nobody);
    Server {
        folder,
        user,
        _keeper: keeper,
    }
}

/// Starts the server and waits until it says that it is ready.
fn keep(programs: &Path, folder: &Path, as_nobody: impl Fn(&mut Command)) -> Child {
    let mut keeper = Command::new("/bin/sh");
    keeper
        .args(["-c", KEEPER, "sh"])
        .args([programs, folder])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    as_nobody(&mut keeper);
    let mut keeper = keeper.spawn().unwrap();
    let mut log = BufReader::new(keeper.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("ready to accept connections") {
        assert_ne!(
            log.read_line(&mut said).unwrap(),
            0,
            "PostgreSQL ended: {said}"
        );
    }
    // Nobody reads on: a full pipe would stop the server.
    std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(drop));
    keeper
}
