use std::time::Duration;

use super::*;
use crate::keys::environment_name;
use crate::reference::reference;
use crate::testing::{SECRET, assert_fault, fault, from_all, from_env, from_file};

fn sorted_keys<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

#[test]
fn the_defaults_are_those_of_the_contracts() {
    let settings = from_env(&[]).unwrap().settings;
    assert_eq!(settings.listen, ["127.0.0.1:8787".parse().unwrap()]);
    assert_eq!(settings.data_dir, PathBuf::from("./data"));
    assert_eq!(settings.workers, 0);
    assert_eq!(settings.environment, Environment::Auto);
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(5));

    let auth = &settings.auth;
    assert!(auth.secret.is_none());
    assert!(auth.insecure_test_token.is_none());
    assert!(auth.issuers.is_empty());
    assert_eq!(
        (auth.default_tier.as_str(), auth.issuer.as_str()),
        ("", "dormouse")
    );
    assert_eq!(auth.agent_token_ttl, Duration::from_secs(5 * 31_557_600));
    assert_eq!(auth.signup, Signup::Auto);
    assert_eq!(auth.token_ttl, Duration::from_secs(30 * 24 * 3600));
    assert_eq!(auth.deadline, Duration::from_secs(5));
    assert_eq!((auth.max_pending, auth.max_pending_per_address), (1000, 20));
    assert_eq!(auth.ticket_ttl, Duration::from_secs(30));
    assert_eq!(auth.ticket_skew, Duration::from_secs(5));
    assert_eq!((auth.ticket_rate, auth.token_cache), (10, 10_000));

    let database = &settings.database;
    assert!(database.url.is_none());
    assert_eq!((database.read_connections, database.write_queue), (4, 4096));
    assert_eq!(database.lock_timeout, Duration::from_secs(2));

    let shard = &settings.shard;
    assert_eq!(shard.hibernate_after, Duration::from_secs(10));
    assert_eq!(shard.store_cache.as_u64(), 1 << 20);
    assert_eq!(shard.ping_interval, Duration::from_secs(30));
    assert_eq!(shard.idle_timeout, Duration::from_secs(300));

    let limits = &settings.limits;
    assert_eq!(
        (limits.message.as_u64(), limits.outbox.as_u64()),
        (1_048_576, 4 << 20)
    );
    assert_eq!(limits.outbox_frames, 1024);
    assert_eq!(
        (
            limits.frames_per_second,
            limits.frame_burst,
            limits.bad_frames
        ),
        (200, 1000, 20)
    );
    assert_eq!(limits.rpc_timeout, Duration::from_secs(300));
    assert_eq!(limits.rpc_open_calls, 256);
    assert_eq!(
        (limits.connections_per_worker, limits.backlog),
        (25_600, 1024)
    );

    let socket_io = &settings.socket_io;
    let seconds = [
        (socket_io.ping_interval, 15),
        (socket_io.ping_timeout, 45),
        (socket_io.connect_deadline, 20),
        (socket_io.upgrade_deadline, 10),
        (socket_io.rpc_timeout, 30),
        (socket_io.rpc_wait, 15),
    ];
    for (time, seconds) in seconds {
        assert_eq!(time, Duration::from_secs(seconds));
    }
    assert_eq!(socket_io.message.as_u64(), 10 << 20);
    assert_eq!(
        (socket_io.max_pending, socket_io.max_pending_per_address),
        (10_000, 1000)
    );

    let http = &settings.http;
    assert_eq!(http.body.as_u64(), 10 << 20);
    assert_eq!(http.header_timeout, Duration::from_secs(5));
    assert_eq!(http.keep_alive, Duration::from_secs(75));
    assert!(http.cors_origins.is_empty() && http.trusted_proxies.is_empty());

    let tier = |name: &str| {
        let tier = &settings.tiers[name];
        (
            tier.connections_per_shard,
            tier.max_shards,
            tier.latency_p95.as_millis(),
            tier.availability,
        )
    };
    assert_eq!(sorted_keys(&settings.tiers), ["enterprise", "free", "pro"]);
    assert_eq!(tier("free"), (20, 1, 500, 99.5));
    assert_eq!(tier("pro"), (100, 2, 200, 99.9));
    assert_eq!(tier("enterprise"), (500, 4, 100, 99.95));
    assert_eq!(settings.tiers["enterprise"].connections_per_user(), 2000);

    assert!(settings.admin.listen.is_empty());
    assert_eq!(
        (settings.log.format, settings.log.level.as_str()),
        (LogFormat::Auto, "info")
    );
    assert_eq!(settings.metrics.busiest_users, 50);
    assert_eq!(settings.metrics.access, MetricsAccess::Auto);
    assert!(!settings.debug.echo);
    assert_eq!(
        format!("{settings:?}"),
        format!("{:?}", Settings::default())
    );
}

/// Each key with values that it takes, among them the ends of its range, and values that it must
/// refuse, among them those just outside.
#[rustfmt::skip]
const VALUES: &[(&str, &[&str], &[&str])] = &[
    ("listen", &["localhost:0", "[::1]:1,127.0.0.1:2"], &["", "127.0.0.1", ":80", "a.b:1"]),
    ("data_dir", &["/var/lib/dormouse"], &["", "a\0b"]),
    ("workers", &["0", "256", " 4 "], &["257", "-1", "1.5", "two", ""]),
    ("environment", &["auto", "development"], &["prod", "Production", ""]),
    ("shutdown_timeout", &["1ms", "10m"], &["0s", "601s", "5", "soon", "-1s"]),
    ("auth.secret", &[SECRET], &["", "0123456789abcdef0123456789abcde"]),
    ("auth.default_tier", &["", "pro"], &["gold"]),
    ("auth.issuer", &["me"], &[""]),
    ("auth.token_ttl", &["1s", "10years"], &["999ms", "11years"]),
    ("auth.agent_token_ttl", &["1s", "9years"], &["999ms", "10years"]),
    ("auth.signup", &["auto", "open", "approval", "invite", "closed"], &["", "yes", "Open"]),
    ("auth.deadline", &["10ms", "10m"], &["9ms", "601s"]),
    ("auth.max_pending", &["0", "1000000"], &["1000001"]),
    ("auth.max_pending_per_address", &["1", "1000000"], &["0", "1000001"]),
    ("auth.ticket_ttl", &["1s", "1h"], &["0s", "999ms", "3601s"]),
    ("auth.ticket_skew", &["1ms", "5m"], &["0s", "301s"]),
    ("auth.ticket_rate", &["1", "10000"], &["0", "10001"]),
    ("auth.token_cache", &["0", "10000000"], &["10000001"]),
    ("auth.insecure_test_token", &["", "t"], &[]),
    ("database.url", &["postgres://u:p@h/d", "postgresql://h/d", "sqlite:/x.db"],
        &["", "mysql://h/d", "postgres://", "sqlite:", "/x.db"]),
    ("database.read_connections", &["1", "256"], &["0", "257"]),
    ("database.write_queue", &["1", "1000000"], &["0", "1000001"]),
    ("database.lock_timeout", &["1ms", "1m"], &["0s", "61s"]),
    ("events.api_keys", &["", "one,two"], &[]),
    ("events.default_tenant", &["acme", "00000000-0000-0000-0000-000000000001"], &["", "a b", "é"]),
    ("events.insecure_test_key", &["", "k"], &[]),
    ("events.insecure_accept_any_key", &["true", "false"], &["yes", ""]),
    ("events.unauthenticated_rate", &["1", "1000000"], &["0", "1000001"]),
    ("events.max_subscribers", &["0", "1000000"], &["1000001"]),
    ("events.ping_interval", &["1s", "119s"], &["999ms", "3601s"]),
    ("events.idle_timeout", &["31s", "4h"], &["1s", "14401s"]),
    ("events.outbox_frames", &["1", "1000000"], &["0", "1000001"]),
    ("events.outbox", &["64 KiB", "4 GiB"], &["65535", "4097 MiB"]),
    ("events.outbox_age", &["1s", "10m"], &["999ms", "601s"]),
    ("events.log_entries", &["1000", "100000000"], &["999", "100000001"]),
    ("events.log_age", &["1m", "10years"], &["59s", "11years"]),
    ("events.call_ttl", &["1m", "10years"], &["59s", "11years"]),
    ("shard.hibernate_after", &["100ms", "1h"], &["99ms", "3601s"]),
    ("shard.store_cache", &["64 KiB", "64GiB"], &["65535", "65GiB", "1 Mo", "-1 KiB"]),
    ("shard.ping_interval", &["1s", "299s"], &["999ms", "3601s"]),
    ("shard.idle_timeout", &["31s", "4h"], &["1s", "14401s"]),
    ("limits.message", &["1 KiB", "4 MiB"], &["1023", "257MiB"]),
    ("limits.outbox_frames", &["1", "1000000"], &["0", "1000001"]),
    ("limits.outbox", &["1 MiB", "1 GiB"], &["1023", "1025 MiB"]),
    ("limits.frames_per_second", &["1", "1000000"], &["0", "1000001"]),
    ("limits.frame_burst", &["1", "1000000"], &["0", "1000001"]),
    ("limits.bad_frames", &["1", "10000"], &["0", "10001"]),
    ("limits.rpc_timeout", &["10ms", "1h"], &["9ms", "3601s"]),
    ("limits.rpc_open_calls", &["1", "100000"], &["0", "100001"]),
    ("limits.connections_per_worker", &["1", "1000000"], &["0", "1000001"]),
    ("limits.backlog", &["1", "65535"], &["0", "65536"]),
    ("socket_io.ping_interval", &["250ms", "60m"], &["249ms", "61m", ""]),
    ("socket_io.ping_timeout", &["250ms", "60m"], &["249ms", "61m", ""]),
    ("socket_io.connect_deadline", &["10ms", "10m"], &["9ms", "601s", ""]),
    ("socket_io.upgrade_deadline", &["10ms", "10m"], &["9ms", "601s", ""]),
    ("socket_io.message", &["1 KiB", "256 MiB"], &["1023", "257 MiB", ""]),
    ("socket_io.max_pending", &["0", "1000000"], &["1000001", "-1", ""]),
    ("socket_io.max_pending_per_address", &["1", "1000000"], &["0", "1000001", ""]),
    ("socket_io.rpc_timeout", &["10ms", "1h"], &["9ms", "61m", ""]),
    ("socket_io.rpc_wait", &["1ms", "1h"], &["0s", "61m", ""]),
    ("dashboard.access", &["auto", "off", "token", "anonymous"], &["", "open", "Off"]),
    ("dashboard.origins", &["", "https://a.b,http://localhost:5173"], &["*", "https://a.b,,"]),
    ("dashboard.user", &["board"], &["", "a b", "a\tb"]),
    ("dashboard.tier", &["free"], &["", "gold"]),
    ("dashboard.organisations", &["", "default,ac-me_1"], &["a:b", "a b"]),
    ("dashboard.members", &["", "acme:alice,acme:bob:x"], &["acme", "acme:", ":alice"]),
    ("dashboard.ping_interval", &["250ms", "60m"], &["249ms", "61m", ""]),
    ("dashboard.ping_timeout", &["250ms", "60m"], &["249ms", "61m", ""]),
    ("dashboard.connect_deadline", &["10ms", "10m"], &["9ms", "601s", ""]),
    ("dashboard.message", &["1 KiB", "256 MiB"], &["1023", "257 MiB", ""]),
    ("dashboard.heartbeat", &["10ms", "1h"], &["9ms", "61m", ""]),
    ("dashboard.task_step", &["1ms", "1h"], &["0s", "61m", ""]),
    ("dashboard.load", &["true", "false"], &["yes", "1", ""]),
    ("http.body", &["1 KiB", "1 GiB", "100 MB"], &["1023 B", "1025 MiB"]),
    ("http.messages_body", &["1 KiB", "1 GiB"], &["1023 B", "1025 MiB"]),
    ("http.header_timeout", &["100ms", "5m"], &["99ms", "301s"]),
    ("http.keep_alive", &["1s", "1h"], &["999ms", "3601s"]),
    ("http.cors_origins", &["", "https://a.b,http://localhost:3000"], &["*", "https://a.b,,"]),
    ("http.public_url", &["https://a.b", "http://localhost:3005"], &["", "a.b", "ftp://a.b", "https://a.b/c"]),
    ("http.trusted_proxies", &["", "10.0.0.7, 10.0.0.0/8, ::1"], &["proxy", "10.0.0.0/33"]),
    ("files.per_account", &["1 KiB", "1 TiB"], &["1023 B", "2 TiB"]),
    ("files.link_ttl", &["1s", "24h"], &["999ms", "25h"]),
    ("tiers.<name>.connections_per_shard", &["1", "65535"], &["0", "65536"]),
    ("tiers.<name>.max_shards", &["1", "256"], &["0", "257"]),
    ("tiers.<name>.latency_p95", &["1ms", "1m"], &["0s", "61s"]),
    ("tiers.<name>.availability", &["1", "99.99", "100"], &["0.999", "100.1", "NaN", "inf"]),
    ("apps.minimum_version", &["0.0.1", "2.0.0-beta.1"], &["", "1.4", "one"]),
    ("apps.ios_url", &["", "https://a.b/c"], &[]),
    ("apps.android_url", &["", "https://a.b/c"], &[]),
    ("admin.listen", &["", "127.0.0.1:9000"], &["9000"]),
    ("log.format", &["text", "json"], &["pretty"]),
    ("log.level", &["debug", "info, a::b=off", "off", "info,a[b{c=1}]=debug"], 
        &["inof", "a=loud", "a=b=c", "", "info,,", "é=info", "\ta¡=", "[a", "{"]),
    ("metrics.busiest_users", &["0", "1000"], &["1001"]),
    ("metrics.access", &["open", "admin"], &["all"]),
    ("debug.echo", &["true", "false"], &["yes", "1", ""]),
    ("debug.echo_message", &["1 KiB", "256 MiB"], &["1023", "257MiB"]),
];

#[test]
fn every_key_takes_and_refuses_what_it_says() {
    let settable: Vec<String> = reference()
        .into_iter()
        .filter(|key| key.env.is_some())
        .map(|key| key.key)
        .collect();
    assert_eq!(
        settable,
        VALUES.iter().map(|(key, _, _)| *key).collect::<Vec<_>>()
    );
    for (pattern, good, bad) in VALUES {
        let key = pattern.replace("<name>", "free");
        let source = format!("environment {}: {key}: ", environment_name(&key));
        let load = |value: &str| {
            let name = environment_name(&key).replacen("DORMOUSE_", "", 1);
            from_env(&[(&name, value)])
        };
        for value in *good {
            assert!(
                load(value).is_ok(),
                "{key} refused {value:?}: {:?}",
                load(value).err()
            );
            let by_flag = from_all(None, &[], &[(&key, value)]);
            assert!(by_flag.is_ok(), "{key} refused the flag {value:?}");
        }
        for value in *bad {
            let line = fault(load(value));
            assert!(line.starts_with(&source), "{key} = {value:?}: {line}");
            assert!(line.len() > source.len() + 10, "says too little: {line}");
        }
    }
}

#[test]
fn a_file_must_use_the_types_of_toml() {
    let strict = [
        ("workers = \"4\"", "found the string \"4\" (use 0 to 256)"),
        ("workers = 4.0", "found the float 4"),
        ("workers = -1", "found the integer -1"),
        ("workers = 0xffffffffffffffffff", "past 64 bits"),
        ("shutdown_timeout = 5", "expected a duration with its unit"),
        (
            "listen = \"127.0.0.1:80\"",
            "expected a list of address:port, found the string",
        ),
        (
            "listen = [80]",
            "expected a list of strings, found the integer 80",
        ),
        (
            "listen = [80, '::1']",
            "found the integer 80; \"::1\" has no port",
        ),
        (
            "debug.echo = \"true\"",
            "expected true or false, found the string \"true\"",
        ),
        ("data_dir = true", "expected a path, found the boolean true"),
        (
            "environment = 1",
            "expected \"auto\" or \"development\" or \"production\", found",
        ),
        ("log.level = [\"info\"]", "expected a string, found a list"),
        (
            "tiers.free.availability = \"99\"",
            "expected a number, found the string",
        ),
        ("tiers.free.availability = nan", "expected a number"),
        ("limits.message = -1", "expected a size"),
        (
            "auth.secret = 12345678901",
            "expected a string, found an integer",
        ),
    ];
    for (text, part) in strict {
        assert_fault(from_file(text), &["file test.toml (line 1): ", part]);
    }
    assert_eq!(
        from_file("limits.message = 2048")
            .unwrap()
            .settings
            .limits
            .message
            .as_u64(),
        2048
    );
    let settings = from_file("tiers.free.availability = 99").unwrap().settings;
    assert_eq!(settings.tiers["free"].availability, 99.0);
}

#[test]
fn no_key_takes_a_date_or_a_table() {
    for key in reference().into_iter().filter(|key| key.env.is_some()) {
        let key = key.key.replace("<name>", "free");
        assert_fault(
            from_file(&format!("{key} = 1979-05-27")),
            &[&key, "a date or time"],
        );
        assert_fault(
            from_file(&format!("{key} = {{}}")),
            &[&key, "found a table"],
        );
    }
}

#[test]
fn a_tier_keeps_the_fields_that_are_not_set() {
    let settings = from_file("[tiers.pro]\nmax_shards = 9").unwrap().settings;
    let pro = &settings.tiers["pro"];
    assert_eq!((pro.connections_per_shard, pro.max_shards), (100, 9));
    assert_eq!(settings.tiers.len(), 3);
}

#[test]
fn a_new_tier_needs_all_its_fields() {
    let text = "[tiers.gold]\nconnections_per_shard = 1\nmax_shards = 1\n\
                latency_p95 = \"1s\"\navailability = 99\n";
    assert_eq!(
        from_file(text).unwrap().settings.tiers["gold"].connections_per_user(),
        1
    );

    let lines = crate::testing::faults(from_file("\n[tiers.gold]"));
    let missing = [
        "connections_per_shard",
        "max_shards",
        "latency_p95",
        "availability",
    ];
    assert_eq!(lines.len(), missing.len());
    for (line, name) in lines.iter().zip(missing) {
        let start = format!("file test.toml (line 2): tiers.gold.{name}: is missing");
        assert!(line.starts_with(&start), "{line}");
    }
}

#[test]
fn a_tier_can_be_made_by_variables_alone() {
    let names = [
        "CONNECTIONS_PER_SHARD",
        "MAX_SHARDS",
        "LATENCY_P95",
        "AVAILABILITY",
    ]
    .map(|name| format!("TIERS__TOP_1__{name}"));
    let values = ["5", "6", "7ms", "80.5"];
    let pairs: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
    let settings = from_env(&pairs).unwrap().settings;
    assert_eq!(settings.tiers["top_1"].connections_per_user(), 30);
    assert_eq!(crate::testing::faults(from_env(&pairs[..1])).len(), 3);
}

#[test]
fn the_environment_follows_the_secret_unless_chosen() {
    let resolve = |variables: &[(&str, &str)]| {
        let settings = from_env(variables).unwrap().settings;
        (
            settings.resolved_environment(),
            settings.default_tier().to_owned(),
        )
    };
    let development = (Environment::Development, "enterprise".to_owned());
    let production = (Environment::Production, "free".to_owned());
    let secret = ("AUTH__SECRET", SECRET);
    assert_eq!(resolve(&[]), development);
    assert_eq!(resolve(&[secret]), production);
    assert_eq!(
        resolve(&[secret, ("ENVIRONMENT", "development")]),
        development
    );
    assert_eq!(
        resolve(&[secret, ("ENVIRONMENT", "production")]),
        production
    );
    assert_eq!(resolve(&[("AUTH__DEFAULT_TIER", "pro")]).1, "pro");
}

#[test]
fn metrics_are_open_in_development_and_on_addresses_of_their_own() {
    let need_admin =
        |variables: &[(&str, &str)]| from_env(variables).unwrap().settings.metrics_need_admin();
    let secret = ("AUTH__SECRET", SECRET);
    assert!(!need_admin(&[]));
    assert!(need_admin(&[secret]));
    assert!(!need_admin(&[secret, ("ADMIN__LISTEN", "127.0.0.1:9000")]));
    assert!(!need_admin(&[secret, ("METRICS__ACCESS", "open")]));
    assert!(need_admin(&[("METRICS__ACCESS", "admin")]));
}

#[test]
fn there_is_always_a_worker() {
    assert!((1..=256).contains(&from_env(&[]).unwrap().settings.worker_count()));
    assert_eq!(
        from_env(&[("WORKERS", "3")])
            .unwrap()
            .settings
            .worker_count(),
        3
    );
}

#[test]
fn blanks_between_log_directives_do_not_count() {
    let settings = from_env(&[("LOG__LEVEL", " warn , dormouse_shard=debug ")])
        .unwrap()
        .settings;
    assert_eq!(settings.log.level, "warn,dormouse_shard=debug");
}

#[test]
fn strangers_sign_up_only_where_nobody_else_reaches_the_server() {
    let signup = |pairs: &[(&str, &str)]| from_env(pairs).unwrap().settings.resolved_signup();
    let secret = ("AUTH__SECRET", SECRET);
    let public = ("LISTEN", "0.0.0.0:8787");
    assert_eq!(signup(&[]), Signup::Open);
    assert_eq!(signup(&[secret]), Signup::Open);
    assert_eq!(signup(&[secret, public]), Signup::Approval);
    let proxy = ("HTTP__TRUSTED_PROXIES", "10.0.0.0/8");
    assert_eq!(signup(&[secret, proxy]), Signup::Approval);
    for (word, mode) in [
        ("open", Signup::Open),
        ("approval", Signup::Approval),
        ("invite", Signup::Invite),
        ("closed", Signup::Closed),
    ] {
        let chosen = ("AUTH__SIGNUP", word);
        assert_eq!(signup(&[secret, public, chosen]), mode);
        assert_eq!(signup(&[chosen]), mode);
    }
}
