//! What is shown while a run goes: a bar with live rates on a terminal, plain lines elsewhere.
//!
//! Writes to standard error only; the report on standard output stays clean.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::sample::Sample;
use crate::table::{format_micros, format_number};

/// Between two plain lines.
const LINES_APART: Duration = Duration::from_secs(10);

/// The display of one run.
#[derive(Debug)]
pub struct Live(Display);

#[derive(Debug)]
enum Display {
    Silent,
    Bar(ProgressBar),
    Lines {
        name: String,
        length: f64,
        next: f64,
    },
}

impl Live {
    /// Shows nothing.
    pub fn silent() -> Self {
        Self(Display::Silent)
    }

    /// A display for a run of this length.
    pub fn start(name: &str, length: Duration) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(Display::Lines {
                name: name.to_owned(),
                length: length.as_secs_f64(),
                next: LINES_APART.as_secs_f64(),
            });
        }
        let bar = ProgressBar::new(length.as_millis() as u64);
        // The template is a constant that the tests read.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name.to_owned());
        Self(Display::Bar(bar))
    }

    /// Shows a new sample.
    pub(super) fn show(&mut self, sample: &Sample) {
        match &mut self.0 {
            Display::Silent => {}
            Display::Bar(bar) => {
                bar.set_position((sample.seconds * 1e3) as u64);
                bar.set_message(line(sample));
            }
            Display::Lines { name, length, next } => {
                if sample.seconds >= *next {
                    *next = sample.seconds + LINES_APART.as_secs_f64();
                    // Nobody may be reading; the result does not depend on it.
                    let _ = writeln!(
                        std::io::stderr(),
                        "{name} {:.0}s of {length:.0}s: {}",
                        sample.seconds,
                        line(sample)
                    );
                }
            }
        }
    }

    /// Takes the display away.
    pub(super) fn end(&mut self) {
        if let Display::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

const TEMPLATE: &str = "{prefix} [{bar:24}] {elapsed_precise} {wide_msg}";

fn line(sample: &Sample) -> String {
    let mut parts = vec![format!("{} open", sample.connections)];
    for (name, rate) in &sample.per_second {
        parts.push(format!("{} {}/s", short(name), format_number(rate.round())));
    }
    for (name, latency) in &sample.latencies {
        parts.push(format!(
            "{} p95 {}",
            short(name),
            format_micros(latency.p95_us as f64)
        ));
    }
    if let Some(cpu) = sample.server_cpu {
        parts.push(format!("server {:.0}% cpu", cpu * 100.0));
    }
    if let Some(bytes) = sample.server_memory_bytes {
        parts.push(format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)));
    }
    parts.join(", ")
}

/// A metric's name without the words that all share.
fn short(name: &str) -> &str {
    name.trim_start_matches("ws_").trim_start_matches("http_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Percentiles;

    #[test]
    fn a_sample_is_one_line() {
        let sample = Sample {
            connections: 12,
            per_second: [("ws_messages_sent".to_owned(), 1234.4)].into(),
            latencies: [(
                "ws_message_latency".to_owned(),
                Percentiles {
                    p50_us: 1,
                    p95_us: 2_500,
                    p99_us: 3,
                },
            )]
            .into(),
            server_cpu: Some(0.25),
            server_memory_bytes: Some(3 << 20),
            ..Sample::default()
        };
        assert_eq!(
            line(&sample),
            "12 open, messages_sent 1,234/s, message_latency p95 2.50ms, server 25% cpu, 3.0 MiB"
        );
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
