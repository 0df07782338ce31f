//! Why a run could not be made, with the remedy and the exit code of each reason.
//!
//! Returned by everything that can fail before there is a result; `main` prints it as one line. A
//! run that was made but broke its limits is no failure: it is a result.

use std::fmt;

/// Exit code of a run that kept every limit.
pub const EXIT_PASSED: u8 = 0;
/// Exit code of a run that broke a threshold or whose messages do not add up.
pub const EXIT_LIMITS_BROKEN: u8 = 1;
/// Exit code of a run whose generator fell behind, where `--require-valid` asks for that.
pub const EXIT_NOT_VALID: u8 = 8;
/// Exit code of a run that was interrupted; its result covers what was measured until then.
pub const EXIT_INTERRUPTED: u8 = 130;

/// A reason not to have a result. Its text is one line and ends with the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The measurement was begun and could not be finished.
    #[error("{0}")]
    Incomplete(String),
    /// A flag, a file or the environment says something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// No answer, or an answer that is no HTTP.
    #[error("cannot reach {url}: {reason}; start the server, or name its address with --url")]
    Unreachable {
        /// The address without path and query.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// 401, 403 or 429.
    #[error("{url} refused {what} with {status}{answer}; {remedy}")]
    Refused {
        /// The address without path and query.
        url: String,
        /// What was asked of it.
        what: String,
        /// The status.
        status: u16,
        /// The server's own words.
        answer: Answer,
        /// What to change.
        remedy: &'static str,
    },
    /// 404, 405, 426 or 501 where the contract has an endpoint.
    #[error("{url} has no {endpoint} (it answered {status}); name a Dormouse server with --url")]
    MissingEndpoint {
        /// The address without path and query.
        url: String,
        /// Method and path.
        endpoint: String,
        /// The status.
        status: u16,
    },
    /// The limit of open files is too low.
    #[error(
        "{who} needs {needed} file descriptors and may open {limit}; start it after \
         `ulimit -n {needed}`, or use fewer connections"
    )]
    FileDescriptors {
        /// The process.
        who: String,
        /// How many the run opens.
        needed: u64,
        /// Its limit.
        limit: u64,
    },
    /// A generator process of `--workers` has no result.
    #[error("worker {number}: {line}")]
    Worker {
        /// Which one.
        number: usize,
        /// Its own complaint.
        line: String,
        /// Its exit code.
        code: u8,
    },
    /// A signal ended a trial, of which a half is no result.
    #[error("interrupted; there is no result, and what was started is ended: run it again")]
    Interrupted,
    /// `--out` cannot be written.
    #[error("cannot write the result to {path}: {reason}; name a writable place with --out")]
    ResultFile {
        /// The file.
        path: String,
        /// What went wrong.
        reason: String,
    },
}

impl Failure {
    /// The exit code: 1 unfinished, 2 usage, 3 unreachable, 4 refused, 5 endpoint missing, 6 file
    /// descriptors, 7 result file, 130 interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Incomplete(_) => EXIT_LIMITS_BROKEN,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::Refused { .. } => 4,
            Self::MissingEndpoint { .. } => 5,
            Self::FileDescriptors { .. } => 6,
            Self::ResultFile { .. } => 7,
            Self::Interrupted => EXIT_INTERRUPTED,
            Self::Worker { code, .. } => *code,
        }
    }

    /// The failure that a status other than the expected one means, whoever received it.
    pub fn of_status(url: &str, what: &str, status: u16, body: &str) -> Self {
        let (url, what, answer) = (url.to_owned(), what.to_owned(), Answer::new(body));
        match status {
            401 | 403 => Self::Refused {
                url,
                what,
                status,
                answer,
                remedy: "give a valid token with --token or AUTH_TOKEN",
            },
            429 => Self::Refused {
                url,
                what,
                status,
                answer,
                remedy: "use fewer connections, or an account whose tier allows more",
            },
            404 | 405 | 426 | 501 => Self::MissingEndpoint {
                url,
                endpoint: what,
                status,
            },
            _ => Self::Unreachable {
                url,
                reason: format!("{what} was answered {status}{answer}"),
            },
        }
    }
}

/// What a server said of itself, cut to one short line; shown in parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(String);

impl Answer {
    const LONGEST: usize = 160;

    /// The first words of a body, without line ends and control characters. What differs from one
    /// refusal to the next (`requestId`, `timestamp`) is left out, so that equal ones are equal.
    pub fn new(body: &str) -> Self {
        let lasting = serde_json::from_str(body)
            .ok()
            .map(|mut json: serde_json::Value| {
                for place in ["", "/error"] {
                    let object = json
                        .pointer_mut(place)
                        .and_then(serde_json::Value::as_object_mut);
                    if let Some(object) = object {
                        object.retain(|name, _| name != "requestId" && name != "timestamp");
                    }
                }
                json.to_string()
            });
        let body = lasting.as_deref().unwrap_or(body);
        let printable = body.chars().map(|c| if c.is_control() { ' ' } else { c });
        let words: String = printable.take(Self::LONGEST).collect();
        Self(words.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The words without parentheses.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_means_its_exit_code() {
        let cases = [
            (401, 4),
            (403, 4),
            (429, 4),
            (404, 5),
            (405, 5),
            (426, 5),
            (501, 5),
            (500, 3),
        ];
        for (status, code) in cases {
            let failure = Failure::of_status("http://h:1", "GET /x", status, "");
            assert_eq!(failure.exit_code(), code, "{status}");
        }
    }

    #[test]
    fn what_differs_from_one_refusal_to_the_next_is_left_out() {
        let body = r#"{"error":{"message":"no","requestId":"a1"},"requestId":"b","timestamp":1}"#;
        assert_eq!(Answer::new(body).text(), r#"{"error":{"message":"no"}}"#);
        assert_eq!(
            Answer::new(r#"{"error":"bad token"}"#).text(),
            r#"{"error":"bad token"}"#
        );
        assert_eq!(Answer::new("plain text").text(), "plain text");
    }

    #[test]
    fn a_failure_is_one_line_with_the_servers_words_and_the_remedy() {
        let body = format!("bad\n\u{1b}[31mtoken {}", "x".repeat(500));
        let text = Failure::of_status("http://h:1", "GET /x", 401, &body).to_string();
        assert!(
            text.starts_with("http://h:1 refused GET /x with 401 (bad [31mtoken xxx"),
            "{text}"
        );
        assert!(
            text.ends_with("; give a valid token with --token or AUTH_TOKEN"),
            "{text}"
        );
        assert!(
            !text.contains(['\n', '\u{1b}']) && text.len() < 300,
            "{text}"
        );
        let silent = Failure::of_status("http://h:1", "GET /x", 403, "").to_string();
        assert!(silent.contains("with 403; give"), "{silent}");
    }
}
