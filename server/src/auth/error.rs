//! Why a token is refused.
//!
//! Owned by this module for logs and metrics. HTTP answers and close frames must not repeat it:
//! clients get one generic text (REST contract section 1.2), lest a prober learn which part of a
//! forged token was right. No variant holds anything taken from the token.

/// Why a token is refused. [`Self::label`] is its word in logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than [`super::MAX_TOKEN_BYTES`].
    #[error("the token is longer than {} bytes", super::MAX_TOKEN_BYTES)]
    TooLong,
    /// Not three base64url parts whose first two are JSON objects.
    #[error("not a signed JSON web token in compact form")]
    Malformed,
    /// `alg` is `none`, unknown, or not one of HS256, RS256, ES256 and EdDSA.
    #[error("the signature algorithm is none of HS256, RS256, ES256 and EdDSA")]
    UnsupportedAlgorithm,
    /// The header demands an extension (`crit`, RFC 7515 section 4.1.11).
    #[error("the header demands an extension that is not understood")]
    UnsupportedExtension,
    /// The header names another algorithm than the issuer's key is for.
    #[error("the signature algorithm is not that of the issuer's key")]
    WrongAlgorithm,
    /// The header's `kid` names no key of the issuer, or is absent while several keys would fit.
    #[error("the token does not name one of the issuer's keys")]
    UnknownKey,
    /// The signature is not the issuer's over this content.
    #[error("the signature does not match")]
    BadSignature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is absent, or no accepted issuer's.
    #[error("the issuer is not one that is accepted here")]
    WrongIssuer,
    /// `aud` does not name this server: it is absent where one is expected, or another, or present
    /// where none is configured (RFC 7519 section 4.1.3 demands refusal then).
    #[error(
        "the token is for another audience; if it is for this one, configure the issuer's audience"
    )]
    WrongAudience,
    /// A claim that must be there is not.
    #[error("the claim {0} is missing")]
    MissingClaim(&'static str),
    /// A claim has the wrong type or an impossible value.
    #[error("the claim {0} is not valid")]
    BadClaim(&'static str),
    /// `sub` and `user` are both there and differ.
    #[error("the claims sub and user differ")]
    TwoUsers,
    /// The user's id is not 1 to 128 visible characters.
    #[error("the user id is not 1 to 128 visible characters")]
    BadUserId,
    /// The token was revoked.
    #[error("the token has been revoked")]
    Revoked,
    /// The user's account is blocked or deleted.
    #[error("the account is blocked")]
    Blocked,
    /// An admin token came where a user's is asked for.
    #[error("an admin token is not a user token")]
    AdminToken,
    /// A token without scope `admin` came where an admin's is asked for.
    #[error("the token has no admin scope")]
    NotAdmin,
}

impl TokenError {
    /// The word for this refusal in logs and as a metrics label; from a closed set.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::UnsupportedExtension => "unsupported_extension",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::MissingClaim(_) => "missing_claim",
            Self::BadClaim(_) => "bad_claim",
            Self::TwoUsers => "two_users",
            Self::BadUserId => "bad_user_id",
            Self::Revoked => "revoked",
            Self::Blocked => "blocked",
            Self::AdminToken => "admin_token",
            Self::NotAdmin => "not_admin",
        }
    }

    /// The `code` of a refused refresh (REST contract section 3.4).
    #[must_use]
    pub const fn refresh_code(self) -> &'static str {
        match self {
            Self::Expired => "TOKEN_EXPIRED",
            Self::Revoked | Self::Blocked => "TOKEN_REVOKED",
            _ => "TOKEN_INVALID",
        }
    }
}
