//! The footprint scenario: the generator against the floor server, end to end at a small size, and
//! against the tests' own server with its faults.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Stdio};

use serde_json::Value;

use crate::fake_server::{FakeServer, Faults, TOKEN, USER_TOKEN};
use crate::program::{program, read, refusal, run};

/// A floor server of the test's own; ends with its standard input.
struct Floor {
    child: Child,
    url: String,
    stdin: Option<ChildStdin>,
}

impl Floor {
    fn start() -> Self {
        let mut child = program(&["floor-server"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = format!("http://{}", line.trim().strip_prefix("listening ").unwrap());
        let stdin = child.stdin.take();
        Self { child, url, stdin }
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.stdin.take();
        self.child.wait().unwrap();
    }
}

const SMALL: [&str; 20] = [
    "--connections",
    "60",
    "--settle",
    "10ms",
    "--rounds",
    "3",
    "--fan-out",
    "5,70",
    "--in-flight",
    "1,4",
    "--deliveries",
    "700",
    "--echo",
    "3,40",
    "--pings",
    "120",
    "--connects",
    "150",
    "--step-timeout",
    "20s",
];

fn small<'a>(url: &'a str, pid: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["footprint", "--url", url, "--pid", pid][..], &SMALL, more].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_floor_is_measured_against_itself_with_every_message_accounted_for() {
    let floor = Floor::start();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("footprint.json");
    let pid = floor.pid();
    let more = ["--token", "t", "--out", out.to_str().unwrap()];
    let output = run(&small(&floor.url, &pid, &more)).await;
    let report = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}{errors}");

    let result = read(&out);
    assert_eq!(result["schema"], 1);
    assert_eq!(result["scenario"], "footprint");
    let comparisons = result["comparisons"].as_array().unwrap();
    let units: Vec<(&str, u64, u64)> = comparisons
        .iter()
        .map(|comparison| {
            let subjects = comparison["subjects"].as_array().unwrap();
            assert_eq!(subjects[0]["subject"], "server");
            assert_eq!(subjects[1]["subject"], "floor");
            let units = |subject: &Value| subject["units"].as_u64().unwrap();
            (
                comparison["name"].as_str().unwrap(),
                units(&subjects[0]),
                units(&subjects[1]),
            )
        })
        .collect();
    // Three rounds each, and every delivery, pong and connection counted once.
    assert_eq!(
        units,
        [
            ("fan_out_5", 3 * 140 * 5, 3 * 140 * 5),
            ("fan_out_70", 3 * 10 * 70, 3 * 10 * 70),
            ("fan_out_5_in_flight_4", 3 * 140 * 5, 3 * 140 * 5),
            ("fan_out_70_in_flight_4", 3 * 16 * 70, 3 * 16 * 70),
            ("echo_3", 3 * 120, 3 * 120),
            ("echo_40", 3 * 120, 3 * 120),
            ("connect", 3 * 150, 3 * 150),
            ("disconnect", 3 * 150, 3 * 150),
        ]
    );
    for comparison in comparisons {
        for subject in comparison["subjects"].as_array().unwrap() {
            assert!(subject["cpuUs"].as_f64().unwrap() > 0.0, "{subject}");
            assert_eq!(subject["cpuUsRounds"].as_array().unwrap().len(), 3);
        }
    }
    assert!(
        result["metrics"]["fan_out_70_cpu_ratio"]["value"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    assert_eq!(result["memory"]["connections"], 60);
    assert!(result["memory"]["awake"]["resident"].as_u64().unwrap() > 0);
    assert_eq!(result["memory"]["asleep"], Value::Null);
    for line in [
        "memory connections=60 accounts=1",
        "asleep=not_measured (give --admin-token)",
        "fan_out_70 subject=server unit=delivery rounds=3 units=2100 cpu_us=",
        "echo_40 subject=floor unit=round_trip rounds=3 units=360 cpu_us=",
        "✓ connect_cpu_us value <= 50",
    ] {
        // The last is a goal: the machine decides whether it is met.
        let line = line.trim_start_matches('✓');
        assert!(report.contains(line), "{line} in {report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_accounts_get_one_broadcast_each() {
    let floor = Floor::start();
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "one\ntwo\n").unwrap();
    let pid = floor.pid();
    // The floor knows no accounts and broadcasts to everyone: half of it is for others. Whether
    // its answer or the first stray delivery is read first is up to the system.
    let more = ["--sections", "memory", "--tokens", tokens.to_str().unwrap()];
    let (code, line) = refusal(&small(&floor.url, &pid, &more)).await;
    assert_eq!(code, 1);
    assert!(
        line.contains("claims Some(100) deliveries where 50 are right")
            || line.contains("deliveries came twice or to the wrong connection"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleep_is_awaited_and_its_absence_is_a_goal_missed() {
    let pid = std::process::id().to_string();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("footprint.json");
    let server = FakeServer::start(Faults {
        sleep_at_look: Some(3),
        ..Faults::default()
    })
    .await;
    let url = server.url();
    let sections = [
        "--sections",
        "memory",
        "--token",
        TOKEN,
        "--admin-token",
        "admin.token",
    ];
    let more = [&sections[..], &["--out", out.to_str().unwrap()]].concat();
    let output = run(&small(&url, &pid, &more)).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let memory = &read(&out)["memory"];
    assert_eq!(memory["shardsAwake"]["asleep"], 0);
    assert_eq!(memory["shardsAsleep"]["asleep"], 1);
    assert!(memory["asleep"]["resident"].as_u64().unwrap() > 0);
    assert!(memory["secondsUntilAsleep"].as_f64().unwrap() >= 0.25);

    let server = FakeServer::start(Faults {
        sleep_at_look: Some(u64::MAX),
        ..Faults::default()
    })
    .await;
    let url = server.url();
    let more = [&sections[..], &["--sleep-timeout", "300ms", "--enforce"]].concat();
    let output = run(&small(&url, &pid, &more)).await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(
        report.contains("asleep=not_measured (only 0 of 1 shards fell asleep"),
        "{report}"
    );
    assert!(
        report.contains("✗ memory_asleep_bytes value <= 256"),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleeping_and_waking_are_measured_with_every_answer_accounted_for() {
    let pid = std::process::id().to_string();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("footprint.json");
    let tokens = folder.path().join("tokens");
    let users: Vec<String> = (0..15).map(|user| format!("{USER_TOKEN}{user}")).collect();
    std::fs::write(&tokens, users.join("\n")).unwrap();
    let server = FakeServer::start(Faults {
        sleep_at_look: Some(1),
        ..Faults::default()
    })
    .await;
    let url = server.url();
    let sections = [
        "--sections",
        "idle,wake,growth",
        "--admin-token",
        "admin.token",
        "--idle",
        "100ms",
        "--wake-connections",
        "8",
        "--wake-users",
        "50",
        "--wake-window",
        "200ms",
        "--growth",
        "15,40",
    ];
    let given = [
        "--tokens",
        tokens.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let output = run(&small(&url, &pid, &[&sections[..], &given].concat())).await;
    let report = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}{errors}");

    let result = read(&out);
    assert_eq!(result["idle"]["connections"], 60);
    assert_eq!(result["idle"]["accounts"], 15);
    assert!(result["idle"]["cpuPercent"].as_f64().unwrap() >= 0.0);
    assert_eq!(result["wake"]["connections"], 8);
    assert_eq!(result["wake"]["rounds"], 3);
    // This server's overview never tells of a shard awake.
    assert_eq!(result["wake"]["woken"], 0);
    // Ten of the fifteen users stay aside.
    assert_eq!(result["wakeUsers"]["users"], 5);
    for figure in ["seconds", "p99Us", "othersBeforeP99Us", "othersP99Us"] {
        let value = result["wakeUsers"][figure].as_f64();
        assert!(value.unwrap() > 0.0, "{figure}: {result}");
    }
    let steps = result["growth"].as_array().unwrap();
    let sizes: Vec<_> = steps
        .iter()
        .map(|step| (step["connections"].as_u64(), step["accounts"].as_u64()))
        .collect();
    assert_eq!(sizes, [(Some(15), Some(15)), (Some(40), Some(15))]);
    for metric in [
        "idle_cpu_percent",
        "idle_floor_cpu_percent",
        "wake_8_p99_us",
        "wake_8_floor_p99_us",
        "wake_5_users_seconds",
        "growth_40_ping_cpu_us",
        "growth_asleep_bytes",
    ] {
        assert!(result["metrics"][metric]["value"].is_number(), "{metric}");
    }
    for line in [
        "idle connections=60 accounts=15",
        "wake_users users=5 rounds=3",
        "growth connections=40",
    ] {
        assert!(report.contains(line), "{line} in {report}");
    }

    // One account alone cannot be woken beside others.
    let one = ["--token", TOKEN];
    let output = run(&small(&url, &pid, &[&sections[..], &one].concat())).await;
    let report = String::from_utf8(output.stdout).unwrap();
    let missing = "wake_users=not_measured (give many accounts";
    assert!(report.contains(missing), "{report}");

    let server = FakeServer::start(Faults {
        sleep_at_look: Some(u64::MAX),
        ..Faults::default()
    })
    .await;
    let url = server.url();
    let never = ["--sleep-timeout", "100ms"];
    let (code, line) = refusal(&small(&url, &pid, &[&sections[..], &one, &never].concat())).await;
    assert_eq!(code, 1, "{line}");
    let missing = "only 0 of 1 shards fell asleep within 100ms";
    assert!(line.contains(missing), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_end_the_measurement_with_their_name() {
    let pid = std::process::id().to_string();
    let fan_out = [
        "--sections",
        "fan-out",
        "--no-floor",
        "--step-timeout",
        "2s",
    ];
    let echo = ["--sections", "echo", "--no-floor", "--step-timeout", "2s"];
    let memory = ["--sections", "memory", "--admin-token", "wrong"];
    let cases: Vec<(Faults, &[&str], i32, &str)> = vec![
        (
            Faults {
                lose_every: Some(5),
                ..Faults::default()
            },
            &fan_out,
            1,
            "not finished within 2s: 1 deliveries of 1 broadcasts are missing, and 0 answers",
        ),
        (
            Faults {
                duplicate_every: Some(5),
                ..Faults::default()
            },
            &fan_out,
            1,
            "1 deliveries came twice or to the wrong connection",
        ),
        (
            Faults {
                overstate_delivered: true,
                ..Faults::default()
            },
            &fan_out,
            1,
            "claims Some(6) deliveries where 5 are right",
        ),
        (
            Faults {
                lose_pong_every: Some(7),
                ..Faults::default()
            },
            &echo,
            1,
            "not finished within 2s: ",
        ),
        (
            Faults {
                double_pongs: true,
                ..Faults::default()
            },
            &echo,
            1,
            "frames answer no ping",
        ),
        (
            Faults {
                refuse_upgrades: Some((20, 429)),
                ..Faults::default()
            },
            &echo,
            4,
            "refused GET /v1/updates with 429 (refused to order); use fewer connections",
        ),
        (
            Faults {
                http_status: Some(404),
                ..Faults::default()
            },
            &fan_out,
            5,
            "has no POST /v1/websocket/broadcast (it answered 404)",
        ),
        (
            Faults {
                sleep_at_look: Some(1),
                ..Faults::default()
            },
            &memory,
            4,
            "with 403 ({\"error\":\"not an admin\"}); give the admin's token with --admin-token",
        ),
        (
            Faults::default(),
            &memory,
            5,
            "has no GET /admin/v1/overview (it answered 404)",
        ),
    ];
    for (faults, more, code, text) in cases {
        let shown = format!("{faults:?}");
        let server = FakeServer::start(faults).await;
        let url = server.url();
        let more = [&["--token", TOKEN][..], more].concat();
        // The small step timeout is the later one.
        let args: Vec<&str> = small(&url, &pid, &[]);
        let args = [&args[..args.len() - 2], &more].concat();
        let output = run(&args).await;
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line} {shown}");
        assert!(line.contains(text), "{line} {shown}");
        assert!(!line.contains(TOKEN), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_measured_is_refused_before_it_begins() {
    let floor = Floor::start();
    let other = Floor::start();
    let (url, pid, wrong) = (floor.url.clone(), floor.pid(), other.pid());
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (
            small(&url, &pid, &[]),
            2,
            "no token; give one with --token, or several with --tokens",
        ),
        (
            small(&url, "99999999999", &["--token", "t"]),
            2,
            "invalid value '99999999999'",
        ),
        (
            small(&url, "4194304", &["--token", "t"]),
            2,
            "cannot see process 4194304: No such file",
        ),
        (
            small(&url, &wrong, &["--token", "t"]),
            2,
            "does not listen at http://127.0.0.1:",
        ),
        (
            small(&closed, &pid, &["--token", "t"]),
            3,
            "Connection refused",
        ),
        (
            vec![
                "footprint",
                "--url",
                &url,
                "--pid",
                &pid,
                "--token",
                "t",
                "--rounds",
                "0",
            ],
            2,
            "--rounds must be at least 1",
        ),
        (
            vec![
                "footprint",
                "--url",
                &url,
                "--pid",
                &pid,
                "--token",
                "t",
                "--connections",
                "4000000000",
            ],
            6,
            "file descriptors and may open",
        ),
        (
            small(&url, &pid, &["--token", "t", "--sections", "idle"]),
            2,
            "give the admin's token with --admin-token",
        ),
        (
            small(&url, &pid, &["--token", "t", "--growth", "5,3"]),
            2,
            "--growth must be numbers that rise",
        ),
        (
            small(&url, &pid, &["--token", "t", "--out", "/nowhere/x.json"]),
            7,
            "/nowhere/x.json",
        ),
    ];
    for (args, code, text) in cases {
        let output = run(&args).await;
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}");
        assert!(line.contains(text), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_floor_server_ends_with_its_standard_input() {
    let mut floor = Floor::start();
    assert!(floor.child.try_wait().unwrap().is_none());
    floor.stdin.take();
    let status = tokio::task::spawn_blocking(move || floor.child.wait().unwrap())
        .await
        .unwrap();
    assert!(status.success());
}
