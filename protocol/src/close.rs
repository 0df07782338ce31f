//! Close codes (RFC 6455 section 7.4 and realtime contract, section 12).

/// Why a connection is closed, as the number in the close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $label:literal, $reason:literal;)*) => {
        impl CloseCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// A word for logs and metrics, from a closed set (strangers become `other`).
            pub const fn label(self) -> &'static str {
                match self.0 {
                    $($code => $label,)*
                    _ => "other",
                }
            }

            /// The text sent beside the code where nothing more exact is known.
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "",
                }
            }
        }
    };
}

codes! {
    /// A client closed normally.
    NORMAL = 1000, "normal", "";
    /// Shutdown, restart or idle timeout.
    GOING_AWAY = 1001, "going_away", "going away";
    /// Invalid framing, or too many bad envelopes in a row.
    PROTOCOL_ERROR = 1002, "protocol_error", "protocol error";
    /// Reserved by the contract; never sent.
    UNSUPPORTED = 1003, "unsupported", "unsupported data";
    /// Text, or binary read as text, that is not UTF-8.
    INVALID_UTF8 = 1007, "invalid_utf8", "invalid UTF-8";
    /// Inbound rate abuse, or a deliberate disconnect by an admin.
    POLICY = 1008, "policy", "policy violation";
    /// A message over the inbound limit.
    TOO_BIG = 1009, "too_big", "message too big";
    /// Socket-level or internal fault.
    INTERNAL = 1011, "internal_error", "internal error";
    /// The process is being replaced; reconnect at once.
    RESTART = 1012, "restart", "service restart";
    /// The send queue went over its bound: the client does not read.
    SLOW_CONSUMER = 1013, "slow_consumer", "slow consumer";
    /// Authentication failed, or the token was revoked while connected.
    AUTH_FAILED = 4001, "auth_failed", "authentication failed";
    /// Unknown client type in a first-message `auth`.
    INVALID_HANDSHAKE = 4002, "invalid_handshake", "invalid client type";
    /// `session-scoped` without `sessionId`.
    SESSION_ID_MISSING = 4003, "session_id_missing", "session id missing";
    /// `machine-scoped` without `machineId`.
    MACHINE_ID_MISSING = 4004, "machine_id_missing", "machine id missing";
    /// The user is at the cap of the tier.
    CONNECTION_LIMIT = 4005, "connection_limit", "connection limit reached";
    /// Reserved: parallel connections are legal.
    DUPLICATE = 4006, "duplicate", "duplicate connection";
    /// No authentication within the deadline.
    AUTH_TIMEOUT = 4007, "auth_timeout", "authentication timeout";
}

impl CloseCode {
    /// The number on the wire.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// A code that an admin may ask for: 1000, 1001, 1008, 1011–1014 or 3000–4999. `None` for
    /// codes that may not be sent (RFC 6455 section 7.4.1: 1004, 1005, 1006, 1015 and unassigned).
    pub const fn sendable(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CloseCode;

    #[test]
    fn codes_that_may_not_be_sent_are_refused() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert_eq!(CloseCode::sendable(code), None, "{code}");
        }
        for code in [1000, 1008, 1013, 3000, 4999] {
            assert_eq!(CloseCode::sendable(code).map(CloseCode::as_u16), Some(code));
        }
    }
}
