//! The tables of the performance document, in the layout of the load-test documents.

mod endurance;
mod footprint;
mod limits;
mod reliability;
mod requests;
mod sockets;

use std::fmt::Write as _;

use super::Results;
use crate::document::ResultDocument;
use crate::stats::Statistic;
use crate::table::format_number;

/// How a block is made.
type Make = fn(&Results) -> String;

/// The blocks by name.
pub(super) const NAMES: [(&str, Make); 17] = [
    ("footprint", footprint::footprint),
    ("sleeping", footprint::sleeping),
    ("growth", footprint::growth),
    ("others", footprint::others),
    ("ws", sockets::websocket),
    ("extreme", sockets::extreme),
    ("capacity", sockets::capacity),
    ("http", requests::http),
    ("events", requests::events),
    ("load", endurance::load),
    ("leak", endurance::leak),
    ("resources", endurance::resources),
    ("limits", limits::limits),
    ("history", endurance::history),
    ("hostile", reliability::hostile),
    ("faults", reliability::faults),
    ("soak", reliability::soak),
];

/// The block of that name.
pub(super) fn block(name: &str, results: &Results) -> Option<String> {
    let known = NAMES.iter().find(|known| known.0 == name);
    known.map(|known| known.1(results))
}

/// A Markdown table.
struct Markdown(String);

impl Markdown {
    fn new(heads: &[&str]) -> Self {
        let mut table = Self(String::new());
        table.row(heads.iter().map(|head| (*head).to_owned()));
        let rule = heads.iter().map(|_| "---".to_owned());
        table.row(rule);
        table
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push('|');
        for cell in cells {
            // Writing to a string cannot fail.
            let _ = write!(self.0, " {} |", cell.replace('|', "\\|"));
        }
        self.0.push('\n');
    }
}

fn dash() -> String {
    "not run".to_owned()
}

fn shown(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(dash, |value| format!("{}{unit}", format_number(value)))
}

fn millis(result: Option<&ResultDocument>, metric: &str, statistic: Statistic) -> String {
    let value = result.and_then(|result| result.millis(metric, statistic));
    value.map_or_else(dash, |value| match value {
        value if value < 10.0 => format!("{value:.2} ms"),
        value => format!("{value:.1} ms"),
    })
}

fn percent(result: Option<&ResultDocument>, metric: &str) -> String {
    let rate = result.and_then(|result| result.statistic(metric, Statistic::Rate));
    shown(rate.map(|rate| rate * 100.0), "%")
}

fn verdict(result: &ResultDocument) -> String {
    let passed = match result.passed {
        Some(true) => "✓ passed",
        Some(false) => "✗ failed",
        None => "measured",
    };
    match result.valid() {
        true => passed.to_owned(),
        false => format!("{passed}; the generator fell behind"),
    }
}

/// Whether every threshold and criterion that looks at a metric held.
fn status(result: Option<&ResultDocument>, metric: &str) -> String {
    let Some(result) = result else {
        return "-".to_owned();
    };
    let about = |threshold: &str| threshold.split_whitespace().next() == Some(metric);
    let criteria = result
        .judgements
        .criteria
        .iter()
        .flat_map(|criterion| &criterion.parts);
    let judged: Vec<bool> = result
        .judgements
        .thresholds
        .iter()
        .chain(criteria)
        .filter(|judgement| about(&judgement.threshold))
        .map(|judgement| judgement.passed)
        .collect();
    match (judged.is_empty(), judged.iter().all(|passed| *passed)) {
        (true, _) => "-".to_owned(),
        (false, true) => "✓".to_owned(),
        (false, false) => "✗".to_owned(),
    }
}
