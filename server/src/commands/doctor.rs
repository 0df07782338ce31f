//! `dormouse doctor`: does this machine suit the configuration? Says what to change.
//!
//! Looks and changes nothing, but for a file that it writes into the data folder and removes. One
//! concern a file; what each reads of the system is given to a function that judges it, so that the
//! judging is tested without the system.

mod clock;
mod network;
mod secret;
mod storage;
mod system;

use std::fmt::Write as _;

use dormouse_config::Settings;

use super::{Failure, load};
use crate::cli::SettingFlags;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// As it should be.
    Good,
    /// It works, but not as well or not for long.
    Warning,
    /// The server will not start, or will fail its users.
    Bad,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What there is.
    found: String,
    /// What to change; empty where all is well.
    remedy: String,
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Good,
            found: found.into(),
            remedy: String::new(),
        }
    }

    fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Warning,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    fn bad(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Bad,
            ..Self::warning(check, found, remedy)
        }
    }
}

/// Makes all checks; returns what to print when nothing is bad.
///
/// # Errors
/// Everything that was found when something is bad; all faults of the configuration.
pub fn run(flags: &SettingFlags) -> Result<String, Failure> {
    let settings = load(flags)?.settings;
    let findings = examine(&settings);
    let text = report(&findings);
    if findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Bad)
    {
        Err(Failure::new(text.trim_end()))
    } else {
        Ok(text)
    }
}

fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![Finding::good("configuration", "can be used")];
    findings.push(secret::check(settings));
    findings.push(system::open_files(settings));
    findings.extend(system::kernel(settings));
    findings.extend(storage::folder(settings));
    findings.push(storage::database(settings));
    findings.push(clock::check());
    findings.extend(network::ports(settings));
    findings.extend(network::proxies(settings));
    findings
}

fn report(findings: &[Finding]) -> String {
    let mut text = String::from("dormouse doctor\n");
    for Finding {
        check,
        verdict,
        found,
        remedy,
    } in findings
    {
        let mark = match verdict {
            Verdict::Good => "ok     ",
            Verdict::Warning => "warning",
            Verdict::Bad => "BAD    ",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{mark}  {check}: {found}");
        if !remedy.is_empty() {
            let _ = writeln!(text, "         {remedy}");
        }
    }
    let of = |verdict| {
        findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    };
    let _ = writeln!(
        text,
        "{} ok, {} to look at, {} bad",
        of(Verdict::Good),
        of(Verdict::Warning),
        of(Verdict::Bad)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_every_finding_with_its_remedy() {
        let text = report(&[
            Finding::good("clock", "right"),
            Finding::warning("disk", "nearly full", "make room"),
            Finding::bad("port", "taken", "choose another"),
        ]);
        for part in [
            "ok       clock: right\n",
            "warning  disk: nearly full\n         make room\n",
            "BAD      port: taken\n         choose another\n",
            "1 ok, 1 to look at, 1 bad\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
    }
}
