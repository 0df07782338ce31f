//! Results that are kept, and new ones held against them: baseline × 1.2, metric by metric.
//!
//! Kept results lie in `<folder>/<day>-<machine>/<scenario>.json`; `history.md` beside them has one
//! row for every result that was kept or compared.

mod compare;
mod history;

use std::path::{Path, PathBuf};

pub use compare::{Change, Comparison, Direction, compare};
pub use history::{add_to_history, history_row, history_rows};

use crate::document::ResultDocument;
use crate::failure::Failure;
use crate::machine::Machine;

/// Regression threshold of the performance baselines: measured baseline × 1.2.
pub const BUFFER: f64 = 1.2;

/// A short name of a machine, for folders.
pub fn machine_label(machine: &Machine) -> String {
    format!("{}-cores", machine.cpus)
}

/// Where a result is kept. Runs with shortened stages are not kept: they are no baseline.
///
/// # Errors
/// [`Failure::Usage`]: interrupted, shortened or not valid.
pub fn place(folder: &Path, machine: &str, result: &ResultDocument) -> Result<PathBuf, Failure> {
    let refuse = |reason: &str| {
        let scenario = &result.scenario;
        Err(Failure::Usage(format!(
            "this result of {scenario} is no baseline: {reason}; run it again at full length on a \
             quiet machine"
        )))
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    for name in [machine, &result.scenario, result.day()] {
        if name.is_empty() || name.starts_with('.') || !name.chars().all(letters) {
            return refuse(&format!("\"{name}\" cannot be part of a file name"));
        }
    }
    if result.interrupted {
        return refuse("it was interrupted");
    }
    if result.time_scale != 1.0 {
        return refuse("its stages were shortened");
    }
    if !result.valid() {
        return refuse("the generator fell behind");
    }
    let name = format!("{}-{machine}", result.day());
    Ok(folder.join(name).join(format!("{}.json", result.scenario)))
}

/// The results that are kept for a machine, of all scenarios, oldest first.
///
/// # Errors
/// The folder cannot be read, or a file in it is no result.
pub fn kept(folder: &Path) -> Result<Vec<(PathBuf, ResultDocument)>, Failure> {
    let mut results = Vec::new();
    let unreadable =
        |err: std::io::Error| Failure::Usage(format!("cannot read {}: {err}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !path.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&path).map_err(unreadable)? {
            let file = file.map_err(unreadable)?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let document = ResultDocument::read(&file)?;
                results.push((file, document));
            }
        }
    }
    results.sort_by(|left, right| {
        let key = |entry: &(PathBuf, ResultDocument)| (entry.1.started_at.clone(), entry.0.clone());
        key(left).cmp(&key(right))
    });
    Ok(results)
}

/// The newest result that is kept for the scenario of `result` and a machine of as many
/// processors, other than itself.
///
/// # Errors
/// There is none.
pub fn newest(folder: &Path, result: &ResultDocument) -> Result<ResultDocument, Failure> {
    let same = |kept: &ResultDocument| {
        kept.scenario == result.scenario
            && machine_label(&kept.machine) == machine_label(&result.machine)
            && kept.started_at != result.started_at
    };
    let found = kept(folder)?
        .into_iter()
        .map(|entry| entry.1)
        .rev()
        .find(same);
    found.ok_or_else(|| {
        Failure::Usage(format!(
            "{} has no baseline of {} for a machine with {} processors; keep one with `baseline \
             save`, or name a file with --baseline",
            folder.display(),
            result.scenario,
            result.machine.cpus
        ))
    })
}
