//! Writes `docs/metrics.md` to standard output:
//! `cargo run -p dormouse-server --example metrics_page > docs/metrics.md`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(dormouse_server::metrics::page::page().as_bytes())
}
