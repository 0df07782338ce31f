//! Attacks, faults and endurance, in the tables that those runs make themselves.

use super::{Markdown, verdict};
use crate::document::ResultDocument;
use crate::performance::Results;

pub(super) fn hostile(results: &Results) -> String {
    one(results, "hostile", "Attacks")
}

pub(super) fn faults(results: &Results) -> String {
    one(results, "faults", "Faults")
}

pub(super) fn soak(results: &Results) -> String {
    let runs = results.named(|stem| stem.starts_with("soak"));
    if runs.is_empty() {
        return "Not run.\n".to_owned();
    }
    let parts = runs.into_iter().map(|(name, result)| {
        let minutes = result.mode["minutes"].as_f64().unwrap_or(0.0);
        let cycles = result.mode["cycles"].as_u64().unwrap_or(0);
        let rate = result.mode["messagesPerSecond"].as_f64().unwrap_or(0.0);
        let head = format!(
            "`{name}` ({}, {}): {minutes:.1} minutes of {rate:.0} messages a second, then {cycles} \
             connections.\n\n",
            result.day(),
            verdict(result)
        );
        head + &table(result, "Server memory (resident)")
    });
    parts.collect::<Vec<_>>().join("\n")
}

/// The newest result of this name with its table and what was to be known besides.
fn one(results: &Results, name: &str, title: &str) -> String {
    let Some(result) = results.newest(name) else {
        return "Not run.\n".to_owned();
    };
    let form = match result.time_scale < 1.0 {
        true => ", short form",
        false => "",
    };
    let exact = result.all_accounts();
    let held = exact.iter().filter(|account| account.holds()).count();
    let mut text = format!(
        "{}{form}: {}; {held} of {} counts exact.\n\n{}",
        result.day(),
        verdict(result),
        exact.len(),
        table(result, title)
    );
    let broken = result.judgements.criteria.iter().filter(|one| !one.passed);
    for criterion in broken {
        let shown = criterion.parts.iter().map(|part| part.shown.clone());
        text.push_str(&format!(
            "\nNot held: {} ({}).\n",
            criterion.name,
            shown.collect::<Vec<_>>().join(", ")
        ));
    }
    for account in exact.iter().filter(|account| !account.holds()) {
        text.push_str(&format!(
            "\nNot exact: {}: {} instead of {}.\n",
            account.name, account.received, account.expected
        ));
    }
    text
}

fn table(result: &ResultDocument, title: &str) -> String {
    let Some(extra) = result.tables.iter().find(|table| table.title == title) else {
        return "Not told.\n".to_owned();
    };
    let heads: Vec<&str> = extra.columns.iter().map(String::as_str).collect();
    let mut table = Markdown::new(&heads);
    for row in &extra.rows {
        table.row(row.iter().cloned());
    }
    table.0
}
