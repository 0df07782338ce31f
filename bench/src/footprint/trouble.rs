//! What can go wrong while the generator talks to a server.

use std::time::Duration;

use super::dialect::OVERVIEW;
use super::frame::FrameError;
use super::http1::HttpError;
use crate::failure::{Answer, Failure};

/// Why a measurement could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The system refused something.
    #[error("{0}")]
    System(#[from] rustix::io::Errno),
    /// The system refused something.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A frame that breaks RFC 6455.
    #[error("the server sent a bad frame: {0}")]
    Frame(#[from] FrameError),
    /// An answer that is no HTTP, or not as simple as the generator's.
    #[error("{0}")]
    Http(#[from] HttpError),
    /// Another status than 101.
    #[error("an upgrade was answered {status}{answer}")]
    Refused {
        /// The status.
        status: u16,
        /// The server's words.
        answer: Answer,
    },
    /// A connection ended that should not have.
    #[error("the server ended connection {0}")]
    Dropped(usize),
    /// An HTTP connection ended with a request under way.
    #[error("the server ended an HTTP connection before it had answered")]
    LaneClosed,
    /// Another status than 200 to a request.
    #[error("{endpoint} was answered {status}{answer}")]
    Status {
        /// Method and path.
        endpoint: &'static str,
        /// The status.
        status: u16,
        /// The server's words.
        answer: Answer,
    },
    /// Deliveries or pongs do not add up.
    #[error("{0}")]
    Account(String),
    /// A step did not end.
    #[error("not finished within {}: {what}", humantime::format_duration(*.within))]
    TimedOut {
        /// The patience of a step.
        within: Duration,
        /// What is missing.
        what: String,
    },
}

impl Trouble {
    /// A refused upgrade with the server's words.
    pub(super) fn refused(status: u16, body: &[u8]) -> Self {
        Self::Refused {
            status,
            answer: Answer::new(&String::from_utf8_lossy(body)),
        }
    }

    /// Another status than 200.
    pub(super) fn status(endpoint: &'static str, status: u16, body: &[u8]) -> Self {
        Self::Status {
            endpoint,
            status,
            answer: Answer::new(&String::from_utf8_lossy(body)),
        }
    }

    /// The same with the server's words changed, to hide a token in them.
    pub(super) fn with_words(self, change: impl Fn(&str) -> String) -> Self {
        let changed = |answer: Answer| Answer::new(&change(answer.text()));
        match self {
            Self::Refused { status, answer } => Self::Refused {
                status,
                answer: changed(answer),
            },
            Self::Status {
                endpoint,
                status,
                answer,
            } => Self::Status {
                endpoint,
                status,
                answer: changed(answer),
            },
            other => other,
        }
    }

    /// The failure that this is at the server of that address, during that step.
    pub(super) fn into_failure(self, url: &str, step: &str) -> Failure {
        let connecting = |err: &std::io::Error| {
            use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
            matches!(
                err.kind(),
                ConnectionRefused | HostUnreachable | NetworkUnreachable
            )
        };
        let unreachable = |reason: String| Failure::Unreachable {
            url: url.to_owned(),
            reason,
        };
        match self {
            Self::System(err) if connecting(&err.into()) => {
                unreachable(std::io::Error::from(err).to_string())
            }
            Self::Io(err) if connecting(&err) => unreachable(err.to_string()),
            Self::Http(err) => unreachable(err.to_string()),
            Self::Refused { status, answer } => {
                Failure::of_status(url, "GET /v1/updates", status, answer.text())
            }
            Self::Status {
                endpoint,
                status: status @ (401 | 403),
                answer,
            } if endpoint.ends_with(OVERVIEW) => Failure::Refused {
                url: url.to_owned(),
                what: endpoint.to_owned(),
                status,
                answer,
                remedy: "give the admin's token with --admin-token or ADMIN_TOKEN",
            },
            Self::Status {
                endpoint,
                status,
                answer,
            } => Failure::of_status(url, endpoint, status, answer.text()),
            other => Failure::Incomplete(format!("{step} at {url}: {other}")),
        }
    }
}
