use crate::testing::{SECRET, assert_fault, faults, from_all, from_env, from_file};

#[test]
fn addresses_that_others_can_reach_need_a_secret() {
    for (name, key) in [("LISTEN", "listen"), ("ADMIN__LISTEN", "admin.listen")] {
        for address in ["0.0.0.0:8787", "[::]:8787", "192.168.1.7:0"] {
            assert_fault(
                from_env(&[(name, address)]),
                &[
                    &format!("environment DORMOUSE_{name}: {key}: "),
                    address,
                    "set DORMOUSE_AUTH__SECRET or auth.secret",
                    "openssl rand -hex 32",
                    "open to all of them",
                ],
            );
            assert!(from_env(&[(name, address), ("AUTH__SECRET", SECRET)]).is_ok());
        }
    }
    // Not in development either, where it was asked for.
    let asked = [("LISTEN", "0.0.0.0:1"), ("ENVIRONMENT", "development")];
    assert_fault(from_env(&asked), &["DORMOUSE_AUTH__SECRET"]);
}

#[test]
fn a_bad_secret_is_one_fault_and_not_also_a_missing_one() {
    assert_fault(
        from_env(&[("LISTEN", "0.0.0.0:1"), ("AUTH__SECRET", "short")]),
        &[
            "auth.secret: is too short: use at least 32 bytes",
            "openssl rand -hex 32",
        ],
    );
    assert_fault(
        from_env(&[("AUTH__SECRET", "")]),
        &["is empty: use at least 32 bytes"],
    );
}

#[test]
fn production_needs_a_secret() {
    assert_fault(
        from_file("environment = \"production\""),
        &[
            "file test.toml (line 1): environment: ",
            "DORMOUSE_AUTH__SECRET",
            "openssl",
        ],
    );
}

#[test]
fn the_test_token_is_for_development_only() {
    let token = ("AUTH__INSECURE_TEST_TOKEN", "let-me-in");
    let settings = from_env(&[token]).unwrap().settings;
    let given = settings.auth.insecure_test_token.unwrap();
    assert_eq!(given.expose(), "let-me-in");

    let secret = ("AUTH__SECRET", SECRET);
    assert!(from_env(&[token, secret, ("ENVIRONMENT", "development")]).is_ok());
    assert_fault(
        from_env(&[token, secret]),
        &[
            "auth.insecure_test_token",
            "development only",
            "set environment to \"development\"",
        ],
    );
    assert_fault(
        from_env(&[token, secret, ("ENVIRONMENT", "production")]),
        &["auth.insecure_test_token", "development only"],
    );
}

#[test]
fn silence_must_outlast_a_ping() {
    assert_fault(
        from_env(&[("SHARD__IDLE_TIMEOUT", "30s")]),
        &[
            "environment DORMOUSE_SHARD__IDLE_TIMEOUT: shard.idle_timeout: ",
            "(30s)",
            "longer",
        ],
    );
    // The fault goes to the layer that broke the rule.
    assert_fault(
        from_file("[shard]\nping_interval = \"300s\""),
        &["file test.toml (line 2): shard.ping_interval: ", "(5m)"],
    );
    let both = [
        ("SHARD__IDLE_TIMEOUT", "3s"),
        ("SHARD__PING_INTERVAL", "2s"),
    ];
    assert!(from_env(&both).is_ok());
}

#[test]
fn an_outbox_holds_a_message() {
    assert_fault(
        from_env(&[("LIMITS__MESSAGE", "5 MiB")]),
        &["limits.message: ", "outbox (4 MiB)", "(5 MiB)", "raise"],
    );
    assert!(from_env(&[("LIMITS__MESSAGE", "4 MiB")]).is_ok());
    assert_fault(
        from_env(&[("LIMITS__OUTBOX", "1048575 B")]),
        &["limits.outbox: "],
    );
}

#[test]
fn no_rule_is_asked_about_a_value_that_was_refused() {
    assert_fault(
        from_env(&[("LIMITS__MESSAGE", "5 MiB"), ("LIMITS__OUTBOX", "much")]),
        &["limits.outbox: expected a size"],
    );
}

#[test]
fn the_default_tier_exists() {
    assert_fault(
        from_env(&[("AUTH__DEFAULT_TIER", "gold")]),
        &[
            "there is no tier \"gold\"",
            "enterprise, free, pro",
            "[tiers.<name>]",
        ],
    );
}

#[test]
fn tiers_are_at_most_32() {
    let tiers = |count: usize| -> String {
        let tier = "connections_per_shard=1, max_shards=1, latency_p95=\"1s\", availability=99";
        (0..count)
            .map(|index| format!("tiers.t{index:02} = {{ {tier} }}\n"))
            .collect()
    };
    assert_eq!(from_file(&tiers(29)).unwrap().settings.tiers.len(), 32);
    assert_fault(
        from_file(&tiers(30)),
        &["file test.toml", "there are 33 tiers: keep to 32"],
    );
}

#[test]
fn addresses_are_named_once() {
    let twice = [("LISTEN", "127.0.0.1:1,127.0.0.1:1")];
    assert_fault(from_env(&twice), &["listen: 127.0.0.1:1 is named twice"]);
    let same = [("LISTEN", "localhost:1"), ("ADMIN__LISTEN", "[::1]:1")];
    assert_fault(from_env(&same), &["admin.listen: [::1]:1 is named twice"]);
    assert!(from_env(&[("LISTEN", "127.0.0.1:0,127.0.0.1:0")]).is_ok());
    assert!(from_env(&[("LISTEN", "127.0.0.1:1,127.0.0.1:2")]).is_ok());
}

const PUBLIC_KEY: &str = "public_key = '-----BEGIN PUBLIC KEY-----'\n";

fn issuer(lines: &str) -> String {
    format!("[[auth.issuers]]\nname = \"partner\"\n{lines}")
}

#[test]
fn an_issuer_has_exactly_one_key() {
    let secret = format!("algorithm = 'HS256'\nsecret = '{SECRET}'\n");
    let key = format!("algorithm = 'RS256'\n{PUBLIC_KEY}");
    for good in [
        &secret,
        &key,
        "algorithm = 'ES256'\npublic_key_file = 'k.pem'",
        "jwks_file = 'j'",
    ] {
        let settings = from_file(&issuer(good)).unwrap().settings;
        let issuer = &settings.auth.issuers[0];
        assert_eq!(
            (issuer.user_claim.as_str(), issuer.tier_claim.as_str()),
            ("sub", "tier")
        );
    }
    assert_fault(
        from_file(&issuer("algorithm = 'EdDSA'")),
        &[
            "file test.toml (line 1): auth.issuers[0]: ",
            "give one of secret, public_key",
        ],
    );
    let two = format!("{key}jwks_file = 'j'");
    assert_fault(
        from_file(&issuer(&two)),
        &["has public_key and jwks_file: keep one"],
    );
    assert_fault(
        from_file(&issuer(PUBLIC_KEY)),
        &["has no algorithm: give HS256, RS256"],
    );
}

#[test]
fn an_issuers_algorithm_goes_with_its_key() {
    let rsa_secret = format!("algorithm = 'RS256'\nsecret = '{SECRET}'\n");
    assert_fault(
        from_file(&issuer(&rsa_secret)),
        &["algorithm: does not go with a secret"],
    );
    let confused = format!("algorithm = 'HS256'\n{PUBLIC_KEY}");
    assert_fault(
        from_file(&issuer(&confused)),
        &["algorithm: HS256 does not go with a public key"],
    );
    let weak = issuer("algorithm = 'HS256'\nsecret = 'short'");
    assert_fault(from_file(&weak), &["auth.issuers[0].secret: is too short"]);
}

#[test]
fn an_issuers_values_are_checked() {
    let key = format!("algorithm = 'RS256'\n{PUBLIC_KEY}");
    let cases = [
        (
            format!("algorithm = 'none'\n{PUBLIC_KEY}"),
            "algorithm: expected \"HS256\" or",
        ),
        (
            format!("{key}issuer = ''"),
            "issuer: is empty: leave the key out",
        ),
        (format!("{key}audience = ''"), "audience: is empty"),
        (
            format!("{key}user_claim = ''"),
            "user_claim: is empty: give it a text",
        ),
        (
            format!("{key}issuer = 'dormouse'"),
            "issuer: is auth.issuer, this server's own",
        ),
        (
            format!("{key}keys = 1"),
            "auth.issuers[0].keys: unknown key",
        ),
        (
            "algorithm = 'RS256'\npublic_key = 'abc'".to_owned(),
            "public_key: is not a public key",
        ),
        (
            "algorithm = 'RS256'\npublic_key = '-----BEGIN PRIVATE KEY-----'".to_owned(),
            "public_key: is a private key",
        ),
    ];
    for (lines, part) in cases {
        assert_fault(from_file(&issuer(&lines)), &["file test.toml (line ", part]);
    }
    assert_fault(
        from_file("[[auth.issuers]]\njwks_file = 'j'"),
        &["file test.toml (line 1): auth.issuers[0].name: is missing"],
    );
    assert_fault(
        from_file("[[auth.issuers]]\nname = 'A'\njwks_file = 'j'"),
        &["auth.issuers[0].name: the name \"A\" is not allowed"],
    );
}

#[test]
fn issuers_have_names_of_their_own() {
    let lines = issuer("jwks_file = 'j'\n");
    assert_fault(
        from_file(&lines.repeat(2)),
        &["auth.issuers[1].name: the name \"partner\""],
    );
}

#[test]
fn the_echo_is_for_loopback_addresses() {
    let echo = ("DEBUG__ECHO", "true");
    assert!(from_env(&[echo]).unwrap().settings.debug.echo);
    let secret = ("AUTH__SECRET", SECRET);
    for name in ["LISTEN", "ADMIN__LISTEN"] {
        assert_fault(
            from_env(&[echo, secret, (name, "0.0.0.0:1")]),
            &[
                "other machines can reach 0.0.0.0:1, and debug.echo",
                "set debug.echo to false",
            ],
        );
    }
}

#[test]
fn rules_wait_until_the_whole_file_can_be_read() {
    // The secret may stand in the line that is broken.
    let broken = b"listen = [\"0.0.0.0:80\"]\n[auth]\nsecret = \"unfinished\n";
    let lines = faults(from_all(Some(broken), &[], &[]));
    assert!(
        lines
            .iter()
            .all(|line| line.contains("(line 3): not TOML: ")),
        "{lines:#?}"
    );
}
