//! The "Historical results" table: one row for every result that was kept or compared.

use std::path::Path;

use crate::document::ResultDocument;
use crate::failure::Failure;
use crate::result_file::ResultFile;
use crate::stats::Statistic;

const FILE: &str = "history.md";
const HEAD: &str = "# Historical results\n\nOne row for every result that `dormouse-bench baseline` \
    kept or compared.\n\n\
    | Date | Environment | Mode | Connections | p95 Conn Time | p95 Broadcast | Pass/Fail |\n\
    |------|-------------|------|-------------|---------------|---------------|-----------|\n";

/// Adds a row. `passed` is the result's own verdict and the comparison's together.
///
/// # Errors
/// The file cannot be read or written.
pub fn add_to_history(
    folder: &Path,
    machine: &str,
    result: &ResultDocument,
    passed: bool,
) -> Result<(), Failure> {
    let path = folder.join(FILE);
    let mut text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(err) => {
            return Err(Failure::Usage(format!(
                "cannot read {}: {err}",
                path.display()
            )));
        }
    };
    let row = history_row(machine, result, passed);
    if !text.contains(&row) {
        text.push_str(&row);
        ResultFile::prepare(&path)?.write_text(&text)?;
    }
    Ok(())
}

/// The rows of the table, oldest first.
pub fn history_rows(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    let rows = text.lines().filter(|line| line.starts_with("| 2"));
    rows.map(str::to_owned).collect()
}

/// The row of a result, with its line end.
pub fn history_row(machine: &str, result: &ResultDocument, passed: bool) -> String {
    let millis = |metric: &str| {
        result
            .millis(metric, Statistic::P95)
            .map_or_else(|| "-".to_owned(), |millis| format!("{millis:.2}ms"))
    };
    // Other scenarios have no broadcast; their own delivery is the nearest.
    let broadcast = [
        "ws_broadcast_delivery_time",
        "event_delivery_time",
        "event_latency",
    ];
    let broadcast = broadcast
        .into_iter()
        .find(|name| result.metrics.get(name).is_some());
    let connection = ["ws_connection_time", "connection_time"];
    let connection = connection
        .into_iter()
        .find(|name| result.metrics.get(name).is_some());
    format!(
        "| {} | {machine} | {} | {} | {} | {} | {} |\n",
        result
            .started_at
            .get(..16)
            .unwrap_or_default()
            .replace('T', " "),
        result.scenario,
        result.peak(),
        connection.map_or_else(|| "-".to_owned(), millis),
        broadcast.map_or_else(|| "-".to_owned(), millis),
        if passed { "Pass" } else { "Fail" },
    )
}
