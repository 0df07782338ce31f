//! How much of each resource was used at most, beside the limit that the settings give it.

use super::{Markdown, shown};
use crate::document::ResultDocument;
use crate::performance::Results;
use crate::stats::Statistic;

/// A resource: name, limit with its setting, the most that was used, its unit, what it is.
type Row<'a> = (&'a str, &'a str, Option<f64>, &'a str, &'a str);

pub(super) fn limits(results: &Results) -> String {
    let most = |of: &dyn Fn(&str, &ResultDocument) -> Option<f64>| {
        let all = results.named(|_| true);
        all.into_iter()
            .filter_map(|(name, result)| of(name, result))
            .reduce(f64::max)
    };
    let rate = |names: &'static [&'static str]| most(&|_, result| highest_rate(result, names));
    let value =
        |metric: &'static str| most(&|_, result| result.statistic(metric, Statistic::Value));
    let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let memory = |only: &'static str| {
        most(&|name, result| {
            let server = result.server.filter(|_| name.starts_with(only))?;
            Some(megabytes(server.memory_peak_bytes))
        })
    };
    let subscribers = most(&|name, result| (name == "pubsub").then(|| result.peak() as f64));
    let sockets = most(&|_, result| {
        let scripted = result.metrics.get("http_reqs").is_some();
        (!scripted)
            .then(|| result.peak() as f64)
            .filter(|peak| *peak > 0.0)
    });
    let tables: [(&str, &[Row<'_>]); 3] = [
        (
            "Database",
            &[
                (
                    "Connections",
                    "4 that read (`database.read_connections`) and 1 that writes",
                    None,
                    "",
                    "opened at the start and kept",
                ),
                (
                    "Writes that wait",
                    "4,096 (`database.write_queue`)",
                    None,
                    "",
                    "more are refused with 503",
                ),
                (
                    "Wait for a lock",
                    "2 s (`database.lock_timeout`)",
                    None,
                    "",
                    "of another program's",
                ),
                (
                    "Requests a second that read or write it",
                    "none",
                    rate(&["http_reqs"]),
                    "/s",
                    "each of the scenarios' requests but the service endpoints",
                ),
            ],
        ),
        (
            "Publish/subscribe",
            &[
                (
                    "Subscribers",
                    "10,000 (`events.max_subscribers`)",
                    subscribers,
                    "",
                    "on /ws/events",
                ),
                (
                    "Memory",
                    "64 MiB and 16,384 events for each slow subscriber (`events.outbox`, \
                     `events.outbox_frames`)",
                    memory("pubsub"),
                    " MiB",
                    "of the whole server, with its publishers",
                ),
                ("Channels", "none", None, "", "patterns such as `call.*`"),
                (
                    "Published a second",
                    "none",
                    value("pubsub_throughput"),
                    "/s",
                    "by all publishers",
                ),
            ],
        ),
        (
            "Server",
            &[
                (
                    "Clients with requests at once",
                    "open files of the process",
                    value("vus_max"),
                    "",
                    "each on a connection of its own",
                ),
                (
                    "Time for a request's head",
                    "5 s (`http.header_timeout`)",
                    None,
                    "",
                    "then the connection ends",
                ),
                (
                    "WebSocket connections",
                    "25,600 for each worker (`limits.connections_per_worker`), 500 × 4 for a user \
                     of the enterprise tier",
                    sockets,
                    "",
                    "of all users",
                ),
                ("Memory", "the machine's", memory(""), " MiB", "resident"),
            ],
        ),
    ];
    let mut text = String::new();
    for (title, rows) in tables {
        let mut table = Markdown::new(&["Resource", "Limit", "Current Usage", "Notes"]);
        for (name, limit, used, unit, notes) in rows {
            table.row([
                (*name).to_owned(),
                (*limit).to_owned(),
                used.map_or_else(|| "-".to_owned(), |used| shown(Some(used), unit)),
                (*notes).to_owned(),
            ]);
        }
        text.push_str(&format!("### {title}\n\n{}\n", table.0));
    }
    text + "### The most that was held\n\n" + &held(results).0
}

fn highest_rate(result: &ResultDocument, names: &[&str]) -> Option<f64> {
    let samples = result.series.samples.iter();
    let rates = samples.flat_map(|sample| names.iter().filter_map(|n| sample.per_second.get(*n)));
    rates.copied().reduce(f64::max)
}

/// The most that was held of each resource, over all results whose generator kept up: what one
/// reads in a hurry after a pause is no rate.
fn held(results: &Results) -> Markdown {
    type Of = fn(&ResultDocument) -> Option<f64>;
    let rows: [(&str, Of, &str); 6] = [
        (
            "WebSocket connections at once",
            |result| {
                let scripted = result.metrics.get("http_reqs").is_some();
                (!scripted)
                    .then(|| result.peak() as f64)
                    .filter(|peak| *peak > 0.0)
            },
            "",
        ),
        (
            "Clients with HTTP requests at once",
            |result| result.statistic("vus_max", Statistic::Value),
            "",
        ),
        (
            "HTTP requests a second",
            |result| highest_rate(result, &["http_reqs"]),
            "/s",
        ),
        (
            "Messages delivered a second",
            |result| {
                let names = [
                    "ws_messages_received",
                    "messages_received",
                    "events_received",
                ];
                highest_rate(result, &names)
            },
            "/s",
        ),
        (
            "Server memory",
            |result| {
                result
                    .server
                    .map(|server| server.memory_peak_bytes as f64 / f64::from(1 << 20))
            },
            " MiB",
        ),
        (
            "Server processors",
            |result| {
                result
                    .series
                    .samples
                    .iter()
                    .filter_map(|sample| sample.server_cpu)
                    .reduce(f64::max)
            },
            "",
        ),
    ];
    let mut table = Markdown::new(&["Resource", "Most that was held", "In"]);
    for (name, of, unit) in rows {
        let most = results
            .named(|_| true)
            .into_iter()
            .filter(|(_, result)| result.valid())
            .filter_map(|(run, result)| Some((of(result)?, run.to_owned())))
            .max_by(|left, right| left.0.total_cmp(&right.0));
        table.row([
            name.to_owned(),
            shown(most.as_ref().map(|most| most.0), unit),
            most.map_or_else(|| "-".to_owned(), |most| most.1),
        ]);
    }
    table
}
