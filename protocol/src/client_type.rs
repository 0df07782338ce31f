//! The three kinds of connection (realtime contract, section 1).

use serde::{Deserialize, Serialize};

/// What a connection is for; fixed at authentication, decides what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ClientType {
    /// App or browser; receives everything of its user. The default.
    UserScoped,
    /// Agent process or session viewer; needs a `sessionId`.
    SessionScoped,
    /// Daemon on a computer; needs a `machineId`.
    MachineScoped,
}

impl ClientType {
    /// All client types, in the order of their [`ClientType::index`].
    pub const ALL: [Self; 3] = [Self::UserScoped, Self::SessionScoped, Self::MachineScoped];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserScoped => "user-scoped",
            Self::SessionScoped => "session-scoped",
            Self::MachineScoped => "machine-scoped",
        }
    }

    /// Reads the exact name on the wire; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Position in per-type counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for ClientType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
