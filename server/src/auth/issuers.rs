//! Tokens of other issuers, accepted by configuration (REST contract section 1.2).
//!
//! Owns the configured issuers, their keys, and the reading of their claims. Called by the
//! verifier for tokens whose `iss` is not an own one. An issuer that is configured can name any
//! user: that is what configuring it means. It can never make an admin: its `scope` is not read.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::TokenError;
use super::claims::{self, Claims};
use super::identity::{Identity, TokenHash, hash_token};
use super::jwks::JwksFile;
use super::jwt::UnverifiedToken;
use super::key::{KeyError, PublicKeyAlgorithm, VerificationKey};
use super::token::milliseconds;

/// The clock difference that foreign tokens are forgiven unless configured otherwise.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(60);

/// An issuer whose tokens are accepted.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// What logs and errors call it; unique.
    pub name: String,
    /// How its signatures are checked.
    pub keys: IssuerKeys,
    /// The `iss` that its tokens must have; `None` accepts any that no other issuer is configured
    /// for.
    pub issuer: Option<String>,
    /// The `aud` that its tokens must have; `None` refuses tokens that have one, since those are
    /// for somebody else (RFC 7519 section 4.1.3).
    pub audience: Option<String>,
    /// The claim that holds the user id: a name, or a path with dots.
    pub user_claim: String,
    /// The claim that holds the tier, likewise; `None` reads no tier.
    pub tier_claim: Option<String>,
    /// Clock difference that `exp` and `nbf` are forgiven.
    pub leeway: Duration,
}

impl IssuerSettings {
    /// An issuer with the defaults: any `iss`, no `aud`, user in `sub`, no tier, 60 s of leeway.
    #[must_use]
    pub fn new(name: impl Into<String>, keys: IssuerKeys) -> Self {
        Self {
            name: name.into(),
            keys,
            issuer: None,
            audience: None,
            user_claim: "sub".to_owned(),
            tier_claim: None,
            leeway: DEFAULT_LEEWAY,
        }
    }
}

/// How an issuer's signatures are checked. `Debug` hides the shared secret.
#[derive(Clone)]
pub enum IssuerKeys {
    /// HS256 with a shared secret of at least 32 bytes.
    Hs256Secret(Vec<u8>),
    /// One public key in PEM form, for the named algorithm only.
    PublicKeyPem(PublicKeyAlgorithm, String),
    /// The public keys of a JWKS file, chosen by `kid`. The file is looked at again at most every
    /// 10 s, and a change takes effect without a restart.
    JwksFile(PathBuf),
}

impl fmt::Debug for IssuerKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hs256Secret(_) => formatter.write_str("Hs256Secret(hidden)"),
            Self::PublicKeyPem(algorithm, _) => formatter
                .debug_tuple("PublicKeyPem")
                .field(algorithm)
                .finish(),
            Self::JwksFile(path) => formatter.debug_tuple("JwksFile").field(path).finish(),
        }
    }
}

/// An issuer that cannot be configured as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// Its key cannot be used.
    #[error("issuer {name:?}: {source}")]
    Key {
        /// The issuer's configured name.
        name: String,
        /// What is wrong with the key.
        source: KeyError,
    },
    /// Two issuers of one name.
    #[error("two issuers are named {0:?}; give each its own name")]
    DuplicateName(String),
    /// An expected `iss`, `aud` or a claim's name is empty text.
    #[error("issuer {name:?}: `{setting}` is empty; set it, or leave it out for its default")]
    Empty {
        /// The issuer's configured name.
        name: String,
        /// The setting.
        setting: &'static str,
    },
    /// An `iss` that this server's own tokens have.
    #[error(
        "issuer {name:?} expects the `iss` {issuer:?} of this server's own tokens; use another \
         name at the issuer, or another for the own tokens"
    )]
    OwnIssuer {
        /// The issuer's configured name.
        name: String,
        /// The expected `iss`.
        issuer: String,
    },
}

/// All configured issuers.
#[derive(Debug)]
pub(crate) struct Issuers(Vec<Issuer>);

#[derive(Debug)]
struct Issuer {
    keys: Keys,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    user_claim: Box<str>,
    tier_claim: Option<Box<str>>,
    leeway_ms: u64,
}

#[derive(Debug)]
enum Keys {
    Fixed(VerificationKey),
    File(JwksFile),
}

impl Issuers {
    /// Reads all keys. `is_own` tells which `iss` is the server's own.
    pub fn new(
        settings: Vec<IssuerSettings>,
        is_own: impl Fn(&str) -> bool,
        now_ms: u64,
    ) -> Result<Self, IssuerError> {
        let mut names = std::collections::HashSet::new();
        let mut issuers = Vec::with_capacity(settings.len());
        for settings in settings {
            if !names.insert(settings.name.clone()) {
                return Err(IssuerError::DuplicateName(settings.name));
            }
            if let Some(issuer) = settings.issuer.as_ref().filter(|issuer| is_own(issuer)) {
                let issuer = issuer.clone();
                return Err(IssuerError::OwnIssuer {
                    name: settings.name,
                    issuer,
                });
            }
            issuers.push(Issuer::new(settings, now_ms)?);
        }
        Ok(Self(issuers))
    }

    /// Verifies a token that claims no own issuer.
    ///
    /// Issuers configured for exactly its `iss` are tried, and only without such a one those for
    /// any. Where several are tried and none accepts, the refusal of the one that came furthest is
    /// given.
    pub fn verify(&self, token: &UnverifiedToken<'_>, now_ms: u64) -> Result<Identity, TokenError> {
        let claimed = token.claimed_issuer();
        let named =
            |issuer: &&Issuer| issuer.issuer.is_some() && issuer.issuer.as_deref() == claimed;
        let any = |issuer: &&Issuer| issuer.issuer.is_none();
        let expected = self.0.iter().any(|issuer| named(&issuer));
        let mut refusal = TokenError::WrongIssuer;
        for issuer in self
            .0
            .iter()
            .filter(|issuer| if expected { named(issuer) } else { any(issuer) })
        {
            match issuer.verify(token, now_ms) {
                Ok(identity) => return Ok(identity),
                Err(err) if progress(err) >= progress(refusal) => refusal = err,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    /// Reads JWKS files that changed, each at most every 10 s.
    pub fn reload_if_due(&self, now_ms: u64) {
        self.files().for_each(|file| file.reload_if_due(now_ms));
    }

    /// Changes whenever an issuer's keys do: what a key verified before may not be valid any more.
    pub fn generation(&self) -> u64 {
        self.files().map(JwksFile::generation).sum()
    }

    fn files(&self) -> impl Iterator<Item = &JwksFile> {
        self.0.iter().filter_map(|issuer| match &issuer.keys {
            Keys::File(file) => Some(file),
            Keys::Fixed(_) => None,
        })
    }
}

/// How far verification came before this refusal.
const fn progress(err: TokenError) -> u8 {
    match err {
        TokenError::WrongIssuer => 0,
        TokenError::WrongAlgorithm | TokenError::UnknownKey => 1,
        TokenError::BadSignature => 2,
        _ => 3,
    }
}

impl Issuer {
    fn new(settings: IssuerSettings, now_ms: u64) -> Result<Self, IssuerError> {
        let IssuerSettings {
            name,
            keys,
            issuer,
            audience,
            user_claim,
            tier_claim,
            leeway,
        } = settings;
        for (setting, text) in [
            ("issuer", issuer.as_deref()),
            ("audience", audience.as_deref()),
            ("user_claim", Some(user_claim.as_str())),
            ("tier_claim", tier_claim.as_deref()),
        ] {
            if text == Some("") {
                return Err(IssuerError::Empty { name, setting });
            }
        }
        let keys = match keys {
            IssuerKeys::Hs256Secret(secret) => {
                VerificationKey::from_hs256_secret(&secret).map(Keys::Fixed)
            }
            IssuerKeys::PublicKeyPem(algorithm, pem) => {
                VerificationKey::from_pem(algorithm, &pem).map(Keys::Fixed)
            }
            IssuerKeys::JwksFile(path) => JwksFile::open(&path, now_ms).map(Keys::File),
        };
        Ok(Self {
            keys: keys.map_err(|source| IssuerError::Key { name, source })?,
            issuer: issuer.map(String::into_boxed_str),
            audience: audience.map(String::into_boxed_str),
            user_claim: user_claim.into_boxed_str(),
            tier_claim: tier_claim.map(String::into_boxed_str),
            leeway_ms: milliseconds(leeway),
        })
    }

    /// Verifies a token whose `iss` is the expected one, if one is.
    fn verify(&self, token: &UnverifiedToken<'_>, now_ms: u64) -> Result<Identity, TokenError> {
        let claims = match &self.keys {
            Keys::Fixed(key) => token.verify(key)?,
            Keys::File(file) => verify_with_one_of(token, &file.keys())?,
        };
        claims.check_audience(self.audience.as_deref())?;
        let expires_at_ms = claims.check_times(now_ms, self.leeway_ms, self.leeway_ms)?;
        let user = self.user(claims)?;
        let tier = claims::tier(
            self.tier_claim
                .as_deref()
                .and_then(|path| claims.at_path(path)),
        )?;
        let token_hash = revocation_hash(token);
        Ok(Identity {
            user,
            tier,
            admin: false,
            expires_at_ms,
            extras: tenant(claims)?,
            token_hash,
        })
    }

    /// The user id. Whole numbers are taken as their decimal digits, for issuers whose accounts
    /// are numbered.
    fn user(&self, claims: &Claims) -> Result<std::sync::Arc<str>, TokenError> {
        match claims.at_path(&self.user_claim) {
            None => Err(TokenError::MissingClaim("user")),
            Some(Value::String(id)) => claims::user(id),
            Some(Value::Number(id)) if !id.is_f64() => claims::user(&id.to_string()),
            Some(_) => Err(TokenError::BadClaim("user")),
        }
    }
}

/// The claim `tenantId`, which the event side asks for (contract events.md section 2), where own
/// tokens have it too: among the extras.
fn tenant(
    claims: &Claims,
) -> Result<Option<std::sync::Arc<serde_json::Map<String, Value>>>, TokenError> {
    let tenant = claims.text("tenantId")?;
    Ok(tenant.map(|tenant| {
        let extras = [("tenantId".to_owned(), Value::from(tenant))];
        std::sync::Arc::new(extras.into_iter().collect())
    }))
}

/// The claims, if the key of the set that the header points to signed them: the one of its `kid`,
/// or else one without an id. More than one is no key: trying several would make every forged
/// token cost as many verifications.
fn verify_with_one_of<'t>(
    token: &'t UnverifiedToken<'_>,
    keys: &[VerificationKey],
) -> Result<&'t Claims, TokenError> {
    let fitting: Vec<_> = keys
        .iter()
        .filter(|key| key.algorithm() == token.algorithm())
        .collect();
    if fitting.is_empty() {
        return Err(TokenError::WrongAlgorithm);
    }
    let key = match token.key_id() {
        Some(id) => only(fitting.iter().filter(|key| key.id() == Some(id)))
            .or_else(|| only(fitting.iter().filter(|key| key.id().is_none()))),
        None => only(fitting.iter()),
    };
    token.verify(key.ok_or(TokenError::UnknownKey)?)
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let item = items.next()?;
    items.next().is_none().then_some(item)
}

/// See [`Identity::token_hash`].
fn revocation_hash(token: &UnverifiedToken<'_>) -> TokenHash {
    hash_token(token.signing_input())
}

#[cfg(test)]
mod tests;
