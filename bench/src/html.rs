//! A result as one self-contained page: verdict, thresholds, pictures, accounts, every metric.
//!
//! No script, no font, no address outside: the page can be mailed. Light and dark follow the
//! reader's system. Pure: a document in, text out. Whatever came from elsewhere is escaped.

mod chart;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::document::ResultDocument;
use crate::outcome::Account;
use crate::stats::Summary;
use crate::table::{format_micros, format_number, mark};
use crate::watch::Sample;
use chart::{Line, columns, lines};

const STYLE: &str = include_str!("html/style.css");

/// The page of a result.
pub fn page(result: &ResultDocument) -> String {
    let mut body = String::new();
    head(&mut body, result);
    judgements(&mut body, result);
    pictures(&mut body, result);
    for table in &result.tables {
        let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
        let rows = table.rows.iter().map(|row| (None, row.clone()));
        let mut text = self::table(&columns, rows);
        if columns.len() == 2 {
            // A name and words about it, which may take several lines.
            text = text.replacen("class=\"wide\"", "class=\"words\"", 1);
        }
        section(&mut body, &table.title, &text);
    }
    accounts(&mut body, &result.all_accounts());
    metrics(&mut body, result);
    if !result.notes.is_empty() {
        let items = result
            .notes
            .iter()
            .map(|note| format!("<li>{}</li>", escape(note)));
        section(
            &mut body,
            "Complaints",
            &format!("<ul>{}</ul>", items.collect::<String>()),
        );
    }
    let title = escape(&format!("{} · {}", result.scenario, result.day()));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

fn head(body: &mut String, result: &ResultDocument) {
    let (class, verdict) = match (result.interrupted, result.passed) {
        (true, _) => ("warn", "interrupted"),
        (false, Some(true)) => ("good", "passed"),
        (false, Some(false)) => ("bad", "failed"),
        (false, None) => ("plain", "measured"),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        body,
        "<header><h1>{}</h1> <span class=\"badge {class}\">{verdict}</span></header>",
        escape(&result.scenario)
    );
    if let Some(validity) = result.validity.as_ref().filter(|validity| !validity.valid) {
        let _ = writeln!(
            body,
            "<p class=\"alert\"><b>Not valid.</b> The generator fell behind: {}.</p>",
            escape(&validity.reasons.join("; "))
        );
    }
    let machine = &result.machine;
    let mebibytes =
        |bytes: u64| format!("{} MiB", format_number(bytes as f64 / f64::from(1 << 20)));
    let mut facts = vec![
        ("Server", result.url.clone()),
        ("Started", result.started_at.clone()),
        ("Machine", {
            let processor = machine
                .processor
                .clone()
                .unwrap_or_else(|| machine.arch.clone());
            format!("{} × {processor}, {}", machine.cpus, machine.os)
        }),
    ];
    if result.duration_seconds > 0.0 {
        facts.insert(
            2,
            (
                "Duration",
                format!("{} s", format_number(result.duration_seconds)),
            ),
        );
    }
    if result.time_scale != 1.0 {
        facts.push(("Time scale", format_number(result.time_scale)));
    }
    if let Some(server) = result.server {
        facts.push(("Server processors", format!("{:.2} on average", server.cpu)));
        facts.push((
            "Server memory",
            format!(
                "{} before, {} peak, {} after",
                mebibytes(server.memory_before_bytes),
                mebibytes(server.memory_peak_bytes),
                mebibytes(server.memory_after_bytes)
            ),
        ));
    }
    if let Some(generator) = result.generator {
        facts.push((
            "Generator",
            format!(
                "{:.2} of {} processors, timers late by {} (p99), {} process{}",
                generator.cpu,
                generator.processors,
                format_micros(generator.lag_p99_us as f64),
                result.workers.max(1),
                if result.workers > 1 { "es" } else { "" }
            ),
        ));
    }
    body.push_str("<dl>");
    for (name, value) in facts {
        let _ = write!(
            body,
            "<div><dt>{name}</dt><dd>{}</dd></div>",
            escape(&value)
        );
    }
    body.push_str("</dl>\n");
}

fn judgements(body: &mut String, result: &ResultDocument) {
    if !result.judgements.criteria.is_empty() {
        let mut list = String::from("<ul class=\"criteria\">");
        for criterion in &result.judgements.criteria {
            let class = if criterion.passed { "good" } else { "bad" };
            let _ = write!(
                list,
                "<li class=\"{class}\">{} {}</li>",
                mark(criterion.passed),
                escape(&criterion.name)
            );
        }
        list.push_str("</ul>");
        let title = match result.title.as_str() {
            "" => "Criteria",
            title => title,
        };
        section(body, title, &list);
    }
    if !result.judgements.thresholds.is_empty() {
        let rows = result.judgements.thresholds.iter().map(|judgement| {
            let cells = vec![
                format!("{} {}", mark(judgement.passed), judgement.threshold),
                judgement.shown.clone(),
            ];
            (Some(judgement.passed), cells)
        });
        section(body, "Thresholds", &table(&["Threshold", "Measured"], rows));
    }
}

fn pictures(body: &mut String, result: &ResultDocument) {
    let samples = &result.series.samples;
    let mut charts = String::new();
    if samples.len() > 1 {
        let names: BTreeSet<&String> = samples
            .iter()
            .flat_map(|sample| sample.latencies.keys())
            .collect();
        for name in names {
            let line = |label: &'static str, of: fn(crate::watch::Percentiles) -> u64| Line {
                label,
                points: points(samples, |sample| {
                    sample
                        .latencies
                        .get(name)
                        .map(|latency| of(*latency) as f64)
                }),
            };
            let three = [
                line("p50", |latency| latency.p50_us),
                line("p95", |latency| latency.p95_us),
                line("p99", |latency| latency.p99_us),
            ];
            charts.push_str(&lines(&format!("{name} over time"), &three, format_micros));
        }
    }
    for (name, bars) in &result.histograms {
        if !bars.is_empty() {
            charts.push_str(&columns(&format!("{name}: distribution"), bars));
        }
    }
    if samples.len() > 1 {
        let one = |label, of: &dyn Fn(&Sample) -> Option<f64>| {
            [Line {
                label,
                points: points(samples, of),
            }]
        };
        let open = one("connections", &|sample| Some(sample.connections as f64));
        charts.push_str(&lines("Connections over time", &open, format_number));
        let names: BTreeSet<&String> = samples
            .iter()
            .flat_map(|sample| sample.per_second.keys())
            .collect();
        let rates: Vec<Line<'_>> = names
            .iter()
            .map(|name| Line {
                label: name.as_str(),
                points: points(samples, |sample| sample.per_second.get(*name).copied()),
            })
            .collect();
        if !rates.is_empty() {
            charts.push_str(&lines("Per second", &rates, format_number));
        }
        let memory = one("server memory", &|sample| {
            sample
                .server_memory_bytes
                .map(|bytes| bytes as f64 / f64::from(1 << 20))
        });
        if !memory[0].points.is_empty() {
            let shown = |mebibytes| format!("{} MiB", format_number(mebibytes));
            charts.push_str(&lines("Server memory", &memory, shown));
        }
        let processors = [
            Line {
                label: "server",
                points: points(samples, |sample| sample.server_cpu.map(|cpu| cpu * 100.0)),
            },
            Line {
                label: "generator",
                points: points(samples, |sample| Some(sample.generator_cpu * 100.0)),
            },
        ];
        let percent = |percent: f64| format!("{}%", format_number(percent));
        charts.push_str(&lines("Processor use (100% is one)", &processors, percent));
    }
    if !charts.is_empty() {
        section(
            body,
            "Over time",
            &format!("<div class=\"charts\">{charts}</div>"),
        );
    }
}

fn points(samples: &[Sample], of: impl Fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
    samples
        .iter()
        .filter_map(|sample| Some((sample.seconds, of(sample)?)))
        .collect()
}

fn accounts(body: &mut String, accounts: &[Account]) {
    if accounts.is_empty() {
        return;
    }
    let rows = accounts.iter().map(|account| {
        let numbers = [
            account.sent,
            account.refused,
            account.unanswered,
            account.expected,
            account.received,
            account.lost,
            account.duplicated,
            account.wrong,
        ];
        let mut cells = vec![format!("{} {}", mark(account.holds()), account.name)];
        cells.extend(numbers.map(|number| format_number(number as f64)));
        (Some(account.holds()), cells)
    });
    let heads = [
        "Account",
        "sent",
        "refused",
        "unanswered",
        "expected",
        "received",
        "lost",
        "duplicated",
        "wrong",
    ];
    section(body, "Reconciliation", &table(&heads, rows));
}

fn metrics(body: &mut String, result: &ResultDocument) {
    let mut times = Vec::new();
    let mut others = Vec::new();
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), format_number);
    for (name, summary) in result.metrics.iter() {
        match *summary {
            Summary::Trend {
                count,
                p50_us,
                p95_us,
                p99_us,
                max_us,
                ..
            } => {
                let time = |micros: Option<u64>| {
                    micros.map_or_else(|| "–".to_owned(), |micros| format_micros(micros as f64))
                };
                let mut cells = vec![name.to_owned(), format_number(count as f64)];
                cells.extend([p50_us, p95_us, p99_us, max_us].map(time));
                times.push((None, cells));
            }
            Summary::Counter { count } => {
                others.push((None, vec![name.to_owned(), format_number(count as f64)]));
            }
            Summary::Gauge { max, .. } => {
                others.push((None, vec![format!("{name} (max)"), shown(max)]));
            }
            Summary::Rate { rate, .. } => {
                let percent = rate.map(|rate| rate * 100.0);
                let text = percent.map_or_else(|| "–".to_owned(), |rate| shown(Some(rate)) + "%");
                others.push((None, vec![name.to_owned(), text]));
            }
            Summary::Value { value } => others.push((None, vec![name.to_owned(), shown(value)])),
        }
    }
    if !times.is_empty() {
        let heads = ["Time", "count", "p50", "p95", "p99", "max"];
        section(body, "Times", &table(&heads, times.into_iter()));
    }
    if !others.is_empty() {
        section(
            body,
            "Counts and shares",
            &table(&["Metric", "value"], others.into_iter()),
        );
    }
}

fn section(body: &mut String, title: &str, content: &str) {
    let _ = writeln!(
        body,
        "<section><h2>{}</h2>{content}</section>",
        escape(title)
    );
}

/// A table that scrolls sideways by itself where it is too wide.
fn table(heads: &[&str], rows: impl Iterator<Item = (Option<bool>, Vec<String>)>) -> String {
    let mut text = String::from("<div class=\"wide\"><table><thead><tr>");
    for head in heads {
        let _ = write!(text, "<th>{}</th>", escape(head));
    }
    text.push_str("</tr></thead><tbody>");
    for (passed, cells) in rows {
        let class = match passed {
            Some(true) => " class=\"good\"",
            Some(false) => " class=\"bad\"",
            None => "",
        };
        let _ = write!(text, "<tr{class}>");
        for cell in cells {
            let _ = write!(text, "<td>{}</td>", escape(&cell));
        }
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table></div>");
    text
}

/// A text that cannot be taken for markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> ResultDocument {
        let text = r#"{"schema":1,"tool":"t","version":"0","scenario":"<b>x</b>",
            "machine":{"os":"linux","kernel":null,"arch":"x","processor":"P & Q","cpus":2,
            "memoryBytes":null},"url":"http://h","startedAt":"2026-01-02T03:04:05.000Z",
            "durationSeconds":3.0,"passed":false,"timeScale":0.5,"workers":1,
            "validity":{"valid":false,"reasons":["slow"]},
            "series":{"intervalSeconds":1.0,"samples":[
              {"seconds":1.0,"connections":5,"latencies":{"lat":{"p50_us":1,"p95_us":2,"p99_us":3}},
               "perSecond":{"sent":4.0},"serverMemoryBytes":1048576,"serverCpu":0.5,
               "generatorCpu":0.1,"generatorLagUs":1},
              {"seconds":2.0,"connections":9,"latencies":{"lat":{"p50_us":4,"p95_us":9,"p99_us":10}},
               "perSecond":{"sent":6.0},"serverMemoryBytes":2097152,"serverCpu":0.6,
               "generatorCpu":0.1,"generatorLagUs":1}]},
            "histograms":{"lat":[[10,3],[12,5]]},
            "metrics":{"lat":{"kind":"trend","count":8,"min_us":1,"mean_us":1.0,"p50_us":1500,
              "p95_us":2,"p99_us":3,"max_us":4},"lost":{"kind":"counter","count":7}},
            "judgements":{"thresholds":[{"threshold":"lat p95 < 1ms","observed":2.0,
              "shown":"2us","passed":true},{"threshold":"lost count == 0","observed":7.0,
              "shown":"7","passed":false}],"criteria":[]},
            "accounts":[{"name":"events","sent":8,"refused":0,"unanswered":0,"expected":8,
              "received":1,"lost":7,"duplicated":0,"wrong":0,"refusalsAllowedPercent":0}]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_page_holds_verdict_pictures_tables_and_nothing_from_outside() {
        let page = page(&document());
        for part in [
            "<span class=\"badge bad\">failed</span>",
            "Not valid.",
            "lat over time",
            "lat: distribution",
            "Connections over time",
            "Server memory",
            "Processor use",
            "<tr class=\"bad\"><td>✗ lost count == 0</td><td>7</td></tr>",
            "✗ events",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<b>x</b>") && page.contains("&lt;b&gt;x&lt;/b&gt;"));
        assert!(page.contains("P &amp; Q"));
        for outside in ["<script", "<link", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }
}
