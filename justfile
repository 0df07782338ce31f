# Recipes for working on Dormouse; `just` alone lists them. CI runs .ci/run, which does the same.

set shell := ["bash", "-euo", "pipefail", "-c"]

# List the recipes.
[private]
default:
    @just --list --unsorted

# Serve on 127.0.0.1:8787 in development mode; flags are passed on.
run *flags:
    cargo run --release -- {{ flags }}

# Format everything.
fmt:
    cargo fmt --all

# Check format, lints and documentation without changing anything.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Run every test.
test *args:
    cargo test --workspace {{ args }}

# Run the tests of one crate, as in `just test-crate shard`.
test-crate crate *args:
    cargo test -p dormouse-{{ crate }} {{ args }}

# Run the integration tests alone: real sockets, one binary per crate.
it *args:
    cargo test --workspace --test it {{ args }}

# Run a load test against a running server, as in `just bench smoke --token "$TOKEN"`.
bench *args:
    cargo run --release -p dormouse-bench -- {{ args }}

# Fuzz the HTTP API of the real server by its own description; needs Python.
fuzz-http *args:
    scripts/fuzz-http {{ args }}

# Run the published Happy command-line client against the server; needs Node.js.
happy-client *args:
    scripts/happy-client {{ args }}

# Write the generated configuration files anew; a test fails when they are out of date.
docs-gen:
    cargo run -q -p dormouse-config --example default_file > config/default.toml.new
    mv config/default.toml.new config/default.toml
    cargo run -q -p dormouse-config --example configuration_page > docs/configuration.md.new
    mv docs/configuration.md.new docs/configuration.md
    cargo run -q -p dormouse-bench -- performance

# Run every command and script of the documentation against the debug build; needs `npm ci` in
# server/tests/clients.
docs-check *pages:
    cargo build -p dormouse-server -p dormouse-bench
    scripts/check-docs/main.mjs {{ pages }}

# Try the shipped files of nginx and Caddy in front of the debug build; needs both, and the above.
proxies-check:
    deploy/check-proxies.mjs

# Check licences, advisories and sources of the dependencies.
deny *args:
    scripts/deny {{ args }}

# Test the frame path against RFC 6455 with Autobahn's test suite; needs Python 2.7.
autobahn *args:
    scripts/autobahn {{ args }}

# Look for what threads could do to each other: shuttle, Miri, ThreadSanitizer; the last two need a
# nightly compiler.
races *tools:
    scripts/races {{ tools }}

# Build the container image.
image tag="dormouse:local":
    docker build --tag {{ tag }} .

# Everything that CI does, from build to a smoke test of the release binary.
ci:
    .ci/run
